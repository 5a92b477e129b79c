#!/bin/sh
# test_tools.sh: installs the training toolchain (PyTorch) and the wheel of .venv into .venv-tools, checks the types of
# tools/ and runs their tests.
set -eu
cd "$(dirname "$0")/.."
venv=${TOOLS_VENV:-.venv-tools}
PYTHON=${PYTHON:-python3}
export PYTHON
sh scripts/need.sh venv compiler espeak
[ -x "$venv/bin/python" ] || "$PYTHON" -m venv "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check -q"
$pip install -r tools/requirements.txt
$pip install --no-deps -r tools/requirements-no-deps.txt
wheel=$(ls "${VENV:-.venv}"/wheel/edgevc-*.whl)
$pip install "$wheel[onnx,litert]" "pytest>=8" "mypy==2.4.1"
$pip install --force-reinstall --no-deps "$wheel"
"$venv/bin/mypy" --config-file tools/mypy.ini
# one thread: on a busy machine, PyTorch with more waits for itself
OMP_NUM_THREADS=1 "$venv/bin/pytest" tests/tools
