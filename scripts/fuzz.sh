#!/bin/sh
# fuzz.sh [SECONDS] [NAME...]: runs each fuzzer of tests/fuzz for that long, 20 s without an argument: fuzz_*.cc with
# libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer, fuzz_*.py with atheris. Each begins with its corpus in
# tests/fuzz/corpus/NAME; what it finds new goes to build/fuzz/found/NAME, and an input that breaks a rule to
# build/fuzz/broken: run the fuzzer with that file as its only argument to see it again.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-20}
[ $# = 0 ] || shift
python=${VENV:-.venv}/bin/python
sh scripts/need.sh clang build

cmake -S . -B build/fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=RelWithDebInfo -DEDGEVC_PYTHON=OFF \
  -DEDGEVC_FUZZ=ON -DEDGEVC_SANITIZE=address,undefined,float-cast-overflow >/dev/null
cmake --build build/fuzz -- --quiet

mkdir -p build/fuzz/broken
status=0
for source in tests/fuzz/fuzz_*.cc tests/fuzz/fuzz_*.py; do
  [ -e "$source" ] || continue
  file=$(basename "$source")
  name=${file%.*}
  name=${name#fuzz_}
  case " $* " in "  " | *" $name "*) ;; *) continue ;; esac
  mkdir -p "build/fuzz/found/$name" "tests/fuzz/corpus/$name"
  case $source in
    *.cc) fuzzer=build/fuzz/fuzz_$name ;;
    *) fuzzer="$python $source" ;;
  esac
  echo "$name, $seconds s"
  log=build/fuzz/$name.log
  # shellcheck disable=SC2086  # words on purpose
  if $fuzzer -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 \
    -artifact_prefix="build/fuzz/broken/$name-" "build/fuzz/found/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
    sed -n 's/^stat::number_of_executed_units: */  inputs tried: /p' "$log"
  else
    tail -n 40 "$log" >&2
    status=1
  fi
done
exit $status
