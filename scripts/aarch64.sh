#!/bin/sh
# aarch64.sh: cross-builds the wheel for 64-bit ARM, converts a sentence with it as an emulated Raspberry Pi 4
# (Cortex-A72, LiteRT), and compares the result with what this machine's own edgevc makes. Everything that is
# downloaded stays in build/aarch64. An emulated run says nothing about speed.
#
# The emulated Python is Debian 12's, as on Raspberry Pi OS 12. Its files are only unpacked, not installed. Programs
# that it starts (the engine check runs in a process of its own) go through the emulator as well: qemu tells Python
# that its own path is the launcher below, so `sys.executable` is something that this machine can execute.
set -eu
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}
work=$PWD/build/aarch64
root=$work/root
launcher=$root/usr/bin/python-cortex-a72
voice=kathleen

host_python=
for candidate in "$venv/bin/python" python3.11 /usr/bin/python3; do
  if "$candidate" -c 'import sys; raise SystemExit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
    host_python=$candidate
    break
  fi
done
[ -n "$host_python" ] || { echo "aarch64.sh builds for Python 3.11 and needs it here too; none found" >&2; exit 1; }
PYTHON=$host_python sh scripts/need.sh venv build emulator
mkdir -p "$work"

if [ ! -f "$work/root.done" ]; then
  echo "unpacking Debian 12 for arm64"
  rm -rf "$root"
  # the mirror that apt uses here; mmdebstrap has a default where there is none
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 'Component: main' | head -n 1)
  # shellcheck disable=SC2086  # no mirror, no argument
  mmdebstrap --quiet --variant=extract --architectures=arm64 \
    --include=python3,python3-minimal,libpython3.11-dev,libstdc++-12-dev,libc6-dev,libexpat1,zlib1g,libffi8,libssl3 \
    bookworm "$root" $mirror
  sh scripts/fake_pi.sh "$root"
  touch "$work/root.done"
fi
# the emulator by its full path: a program may clear PATH before it starts another
cat >"$launcher" <<END
#!/bin/sh
exec $(command -v qemu-aarch64-static) -cpu cortex-a72 -L "$root" -0 "$launcher" "$root/usr/bin/python3.11" "\$@"
END
chmod +x "$launcher"

[ -x "$work/venv/bin/python" ] || "$host_python" -m venv "$work/venv"
pip="$work/venv/bin/python -m pip --disable-pip-version-check -q"
if [ ! -f "$work/site.done" ]; then
  echo "downloading numpy and LiteRT for aarch64"
  $pip install --target "$work/site" --upgrade --only-binary :all: --python-version 3.11 --implementation cp \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
    numpy ai-edge-litert
  touch "$work/site.done"
fi

echo "cross-building the wheel"
rm -rf "$work/wheel" "$work/edgevc"
EDGEVC_SYSROOT=$root CMAKE_TOOLCHAIN_FILE=$PWD/scripts/aarch64.cmake _PYTHON_HOST_PLATFORM=linux-aarch64 \
  SETUPTOOLS_EXT_SUFFIX=.cpython-311-aarch64-linux-gnu.so $pip wheel . --no-deps -w "$work/wheel"
"$work/venv/bin/python" -m zipfile -e "$work"/wheel/edgevc-*-cp311-cp311-linux_aarch64.whl "$work/edgevc"

echo "converting examples/sentence.wav as a Cortex-A72"
# -P: the installed package, not the source folder. An empty cache: the engine has to prove itself in each run.
rm -rf "$work/cache"
PYTHONPATH=$work/edgevc:$work/site XDG_CACHE_HOME=$work/cache "$launcher" -P -m edgevc convert examples/sentence.wav \
  "$work/cortex-a72.wav" --voice $voice --engine litert --force
"$venv/bin/edgevc" convert examples/sentence.wav "$work/here.wav" --voice $voice --engine litert --force
"$venv/bin/python" scripts/compare_audio.py "$work/here.wav" "$work/cortex-a72.wav"
