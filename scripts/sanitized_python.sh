#!/bin/sh
# sanitized_python.sh [address|thread] [PYTEST-ARGUMENTS...]: builds the Python extensions with sanitizers and runs tests
# of the bindings with them, the sound device's against a virtual sound server. Without arguments: address, which is
# AddressSanitizer and UndefinedBehaviorSanitizer, and a choice of tests, for thread those that use threads; `all` in place
# of pytest's arguments is every test that needs no model. VENV names the environment with the tests' packages.
set -eu
cd "$(dirname "$0")/.."
kind=${1:-address}
[ $# = 0 ] || shift
bin=$(cd "${VENV:-.venv}/bin" && pwd)
case $kind in
  address) sanitizers=address,undefined,float-cast-overflow libraries="libasan.so libubsan.so" ;;
  thread) sanitizers=thread libraries=libtsan.so ;;
  *) echo "sanitized_python.sh: address or thread, got $kind" >&2; exit 2 ;;
esac
if [ $# = 0 ] || [ "$*" = all ]; then
  rest="tests/unit/test_high_pass.py tests/unit/test_post_chain.py tests/unit/test_synthesis.py"
  [ $kind$# != thread0 ] || rest=
  [ $# = 0 ] || rest="$rest tests/live/test_ports.py tests/unit/test_resample.py tests/unit/test_adaptive_resample.py
    tests/unit/test_features.py tests/unit/test_f0.py tests/unit/test_pitch_mapper.py tests/unit/test_rfft.py"
  # shellcheck disable=SC2086  # words on purpose
  set -- tests/live/test_portaudio_binding.py tests/unit/test_bindings.py tests/unit/test_ring_buffer.py $rest
fi
sh scripts/need.sh compiler build portaudio sound

# A sanitizer must be there before Python is, and libstdc++ with it, or exceptions pass it by.
preload=
for library in $libraries libstdc++.so; do
  path=$(c++ -print-file-name="$library")
  [ "$path" != "$library" ] || { echo "sanitized_python.sh: $(c++ --version | head -n 1) has no $library; install g++" >&2; exit 1; }
  preload="$preload $path"
done

build=build/python-$kind
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DEDGEVC_SANITIZE="$sanitizers" \
  -Dpybind11_DIR="$("$bin/python" -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$bin/python" >/dev/null
cmake --build "$build" -- --quiet
# A package folder of its own: the sources as they are, with these extensions in place of others.
package=$build/package
rm -rf "$package"
mkdir -p "$package"
cp -R edgevc "$package"
rm -f "$package"/edgevc/*.so
ln -s "$PWD/models" "$package/models"
cmake --install "$build" --prefix "$package" --component core >/dev/null
[ -e "$(ls "$package"/edgevc/_portaudio*.so)" ] || { echo "sanitized_python.sh: _portaudio was not built" >&2; exit 1; }

echo "tests of the bindings with $sanitizers"
# Python keeps memory for good, hence no search for leaks; malloc shows AddressSanitizer the end of each array.
export PYTHONPATH="$PWD/$package" PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
# pytest keeps what is written to stderr, so reports go to files
report=$PWD/$build/report
rm -f "$report".*
# OpenBLAS has threads of its own, which ThreadSanitizer was not built into; none of them is needed here
export OPENBLAS_NUM_THREADS=1
export TSAN_OPTIONS="log_path=$report suppressions=$PWD/scripts/thread_sanitizer.supp"
# ThreadSanitizer wants its addresses free, which a kernel that scatters memory widely does not grant
as_usual="setarch -R"
$as_usual true 2>/dev/null || as_usual=
(cd "$build" && LD_PRELOAD=$preload $as_usual "$bin/python" -c '
import edgevc._core, edgevc._portaudio, os
for module in (edgevc._core, edgevc._portaudio):
    assert module.__file__.startswith(os.environ["PYTHONPATH"]), module.__file__
')
# Programs that the tests start, the sound server among them, are not preloaded; a test that starts edgevc does it itself.
status=0
LD_PRELOAD=$preload $as_usual "$bin/python" -c '
import os, sys
os.environ["SANITIZERS"] = os.environ.pop("LD_PRELOAD")
# this folder, whose edgevc has no sanitizer
sys.path.remove("")
import pytest
sys.exit(pytest.main())
' -q -p no:cacheprovider "$@" || status=$?
cat "$report".* >&2 2>/dev/null || true
exit $status
