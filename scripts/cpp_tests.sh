#!/bin/sh
# cpp_tests.sh: builds and runs the C++ tests with AddressSanitizer and UndefinedBehaviorSanitizer, and those with
# two threads with ThreadSanitizer; a warning of the compiler is an error.
set -eu
cd "$(dirname "$0")/.."
sh scripts/need.sh compiler build

run() { # NAME SANITIZERS CTEST-ARGUMENTS...
  name=$1 sanitizers=$2
  shift 2
  cmake -S . -B "build/$name" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DEDGEVC_PYTHON=OFF -DEDGEVC_TESTS=ON \
    -DEDGEVC_SANITIZE="$sanitizers" -DCMAKE_COMPILE_WARNING_AS_ERROR=ON >/dev/null
  cmake --build "build/$name" -- --quiet
  echo "C++ tests with $sanitizers"
  ctest --test-dir "build/$name" --output-on-failure --no-tests=error "$@"
}
run asan address,undefined,float-cast-overflow
run tsan thread -R ring_buffer
