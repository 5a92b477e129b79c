#!/bin/sh
# install.sh [EXTRA]: makes .venv and installs edgevc into it with LiteRT (ONNX Runtime where LiteRT has no wheel)
# and plots; with the extra "dev", everything that the tests and linters need.
set -eu
cd "$(dirname "$0")/.."
extra=${1:-demo}
venv=${VENV:-.venv}
asked=${PYTHON:-}
PYTHON=${PYTHON:-python3}
export PYTHON

sh scripts/need.sh venv compiler
"$PYTHON" -c 'import sys; raise SystemExit(sys.version_info < (3, 10))' || {
  echo "edgevc needs Python 3.10 or newer, $PYTHON is $("$PYTHON" -V 2>&1); name another, as in: make PYTHON=python3.11" >&2
  exit 1
}
if [ ! -x "$venv/bin/python" ]; then
  rm -rf "$venv"
  "$PYTHON" -m venv "$venv"
elif [ -n "$asked" ] && [ "$("$venv/bin/python" -V)" != "$("$PYTHON" -V)" ]; then
  echo "$venv has $("$venv/bin/python" -V), not $("$PYTHON" -V); remove it, or name another: make VENV=.venv-other" >&2
  exit 1
fi
pip="$venv/bin/python -m pip --disable-pip-version-check -q"

if [ "$extra" = dev ]; then
  what=".[dev]"
elif $pip install --only-binary :all: ai-edge-litert 2>"$venv/litert.log"; then
  what=".[litert,plot]"
else
  # pip's reason goes along: it may be the network as well
  sed 's/^/  /' "$venv/litert.log" >&2
  echo "LiteRT could not be installed here; edgevc works with ONNX Runtime instead" >&2
  what=".[onnx,plot]"
fi
echo "installing edgevc into $venv: pip install \"$what\" (compiles the C++ core; a minute or two on a small board)"
$pip install "$what"
