#!/bin/sh
# fuzz.sh [SECONDS] [NAME...]: runs each fuzzer for that long, 20 s without an argument, as many at once as there are
# processors: the targets of tests/fuzz/targets.py with atheris, and tests/fuzz/fuzz_*.cc with libFuzzer,
# AddressSanitizer and UndefinedBehaviorSanitizer. Each begins with its corpus in tests/fuzz/corpus/NAME. An input that
# breaks a rule goes to build/fuzz/broken/NAME-*: run the fuzzer with that file as its only argument to see it again
# (build/fuzz/fuzz_NAME FILE, or python tests/fuzz/run.py NAME FILE); mended, it belongs into the corpus.
set -eu
cd "$(dirname "$0")/.."
python=${VENV:-.venv}/bin/python

if [ "${1:-}" = --one ]; then # SECONDS NAME
  seconds=$2 name=$3
  log=build/fuzz/$name.log
  if [ -e "tests/fuzz/fuzz_$name.cc" ]; then
    mkdir -p "build/fuzz/found/$name" "tests/fuzz/corpus/$name"
    set -- "build/fuzz/fuzz_$name" "-max_total_time=$seconds" -timeout=60 -rss_limit_mb=2048 -max_len=4096 \
      -print_final_stats=1 "-artifact_prefix=build/fuzz/broken/$name-" "build/fuzz/found/$name" "tests/fuzz/corpus/$name"
  else
    set -- "$python" tests/fuzz/run.py "$name" --seconds "$seconds"
  fi
  if "$@" >"$log" 2>&1; then
    # one write, since others write as well
    echo "$name: $(sed -n 's/^stat::number_of_executed_units: *\(.*\)/\1 inputs, 0 finds/p; s/^tried: //p' "$log")"
    exit
  fi
  { echo "$name: FOUND something, or did not run; $log ends with"; tail -n 40 "$log"; } >&2
  exit 1
fi

seconds=${1:-20}
[ $# = 0 ] || shift
sh scripts/need.sh clang build
cmake -S . -B build/fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=RelWithDebInfo -DEDGEVC_PYTHON=OFF \
  -DEDGEVC_FUZZ=ON -DEDGEVC_SANITIZE=address,undefined,float-cast-overflow >/dev/null
cmake --build build/fuzz -- --quiet

mkdir -p build/fuzz/broken
[ $# != 0 ] || set -- $("$python" tests/fuzz/run.py --list) \
  $(find tests/fuzz -name 'fuzz_*.cc' | sed 's/.*fuzz_\(.*\)\.cc/\1/' | sort)
[ $# != 0 ]
echo "$# fuzzers, $seconds s each"
# xargs ends with 123 where one of them failed
printf '%s\n' "$@" | xargs -n 1 -P "$(nproc)" sh scripts/fuzz.sh --one "$seconds" || {
  echo "fuzz.sh: see above; inputs lie in build/fuzz/broken" >&2
  exit 1
}
