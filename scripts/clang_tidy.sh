#!/bin/sh
# clang_tidy.sh [FILE...]: clang-tidy, with the checks of .clang-tidy, over the C++ core or these files of it.
set -eu
cd "$(dirname "$0")/.."
tidy=${VENV:-.venv}/bin/clang-tidy
[ $# -gt 0 ] || set -- $(find csrc/src -name '*.cc' -not -name '*_weights_*')
# the wheel has no headers of a compiler's own, such as stddef.h
headers=$(c++ -print-file-name=include)
mkdir -p build
if ! printf '%s\n' "$@" | xargs -P "$(nproc)" -I FILE "$tidy" --quiet FILE -- -std=c++17 -I csrc/include \
  -isystem "$headers" >build/clang_tidy.log 2>&1; then
  grep -v 'warnings\? .*generated\.$' build/clang_tidy.log >&2
  exit 1
fi
