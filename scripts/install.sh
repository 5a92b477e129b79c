#!/bin/sh
# install.sh: makes .venv, builds the wheel in .venv/wheel and installs it with LiteRT (ONNX Runtime where LiteRT has
# no wheel) and plots. install.sh dev, after it: adds everything that the tests and linters need.
set -eu
cd "$(dirname "$0")/.."
extra=${1:-demo}
venv=${VENV:-.venv}
asked=${PYTHON:-}
PYTHON=${PYTHON:-python3}
export PYTHON

if [ -n "$asked" ] && ! command -v "$asked" >/dev/null; then
  echo "PYTHON must be a Python 3.10 or newer, there is no command $asked" >&2
  exit 1
fi
sh scripts/need.sh venv compiler
# without it everything but live sound devices works
sh scripts/need.sh portaudio || echo "going on without sound devices" >&2
"$PYTHON" -c 'import sys; raise SystemExit(sys.version_info < (3, 10))' || {
  echo "edgevc needs Python 3.10 or newer, $PYTHON is $("$PYTHON" -V 2>&1); name another, as in: make PYTHON=python3.11" >&2
  exit 1
}
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  "$PYTHON" -m venv "$venv"
elif [ -n "$asked" ] && [ "$("$venv/bin/python" -V)" != "$("$PYTHON" -V)" ]; then
  echo "$venv has $("$venv/bin/python" -V), not $("$PYTHON" -V); remove it, or name another: make VENV=.venv-other" >&2
  exit 1
fi
pip="$venv/bin/python -m pip --disable-pip-version-check -q"

if [ "$extra" = dev ]; then
  sh scripts/need.sh sound systemd minisign age broker espeak
  # the demo's step came first and built the wheel
  $pip install "$(ls "$venv"/wheel/edgevc-*.whl)[dev]"
  exit
fi
if $pip install --only-binary :all: ai-edge-litert 2>"$venv/litert.log"; then
  extra=litert,plot
else
  # pip's reason goes along: it may be the network as well
  sed 's/^/  /' "$venv/litert.log" >&2
  echo "LiteRT could not be installed here; edgevc works with ONNX Runtime instead" >&2
  extra=onnx,plot
fi
echo "compiling edgevc (a minute or two on a small board)"
rm -rf "$venv/wheel"
$pip wheel . --no-deps -w "$venv/wheel"
wheel=$(ls "$venv"/wheel/edgevc-*.whl)
echo "installing it into $venv: pip install \"edgevc[$extra]\""
$pip install "$wheel[$extra]"
# a wheel of the version that is installed already is not taken otherwise
$pip install --force-reinstall --no-deps "$wheel"
