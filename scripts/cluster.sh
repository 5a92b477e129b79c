#!/bin/sh
# cluster.sh: installs Ray, an S3-compatible storage and the wheel of .venv into .venv-cluster, and runs the batch on a
# cluster of three machines, which are network namespaces of this one. Needs root. EDGEVC_CLUSTER_FILES: how many files.
set -eu
cd "$(dirname "$0")/.."
venv=${CLUSTER_VENV:-.venv-cluster}
PYTHON=${PYTHON:-python3}
export PYTHON
sh scripts/need.sh venv ip
[ -x "$venv/bin/python" ] || "$PYTHON" -m venv "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check -q"
wheel=$(ls "${VENV:-.venv}"/wheel/edgevc-*.whl)
$pip install "$wheel[litert,audio,ray]" "s3fs>=2023.6" "moto[server]>=5" "pyarrow>=14" "pytest>=8"
$pip install --force-reinstall --no-deps "$wheel"
"$venv/bin/pytest" tests/cluster
