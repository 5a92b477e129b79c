#!/bin/sh
# need.sh TOOL...: installs the Debian packages of those tools that are missing; without root, says what to type.
# Tools: make, venv (a Python that can make virtual environments), compiler, build (cmake and ninja), clang (with its
# fuzzer), emulator (aarch64),
# portaudio (to build with sound devices), sound (a virtual sound card for the tests), systemd (to check the unit),
# espeak (speech in many languages, for the judge of converted speech), minisign and age (which read our signatures and
# encrypted models, and we theirs), broker (Mosquitto, for the tests of the
# relay), debian-tree (to unpack another Debian beside this one), ip (network namespaces).
set -eu

packages=
add() { packages="$packages $*"; }

for tool in "$@"; do
  case $tool in
    make) command -v make >/dev/null || add make ;;
    venv) "${PYTHON:-python3}" -c 'import ensurepip' 2>/dev/null || add python3 python3-venv ;;
    compiler)
      # the Python headers belong to the Python that is used; only Debian's own have a package for them
      command -v c++ >/dev/null || add g++
      "${PYTHON:-python3}" -c 'import os, sysconfig
raise SystemExit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' 2>/dev/null ||
        add python3-dev
      ;;
    build)
      command -v cmake >/dev/null || add cmake
      command -v ninja >/dev/null || add ninja-build
      ;;
    clang)
      # with the library of its fuzzer, which Debian has in a package apart
      command -v clang++ >/dev/null || add clang
      ls "$(clang++ -print-resource-dir 2>/dev/null)"/lib/linux/libclang_rt.fuzzer-*.a >/dev/null 2>&1 ||
        add libclang-rt-dev
      ;;
    portaudio)
      # what the compiler finds counts, wherever it came from
      echo '#include <portaudio.h>' | c++ -E -x c++ - >/dev/null 2>&1 || add portaudio19-dev
      ;;
    sound)
      command -v pulseaudio >/dev/null || add pulseaudio
      command -v parec >/dev/null || add pulseaudio-utils
      ls /usr/lib/*/alsa-lib/libasound_module_pcm_pulse.so >/dev/null 2>&1 || add libasound2-plugins
      ;;
    espeak) command -v espeak-ng >/dev/null || add espeak-ng ;;
    minisign) command -v minisign >/dev/null || add minisign ;;
    age) command -v age >/dev/null || add age ;;
    broker)
      PATH=$PATH:/usr/sbin command -v mosquitto >/dev/null || add mosquitto
      command -v mosquitto_sub >/dev/null || add mosquitto-clients
      ;;
    debian-tree) command -v mmdebstrap >/dev/null || add mmdebstrap ;;
    ip) command -v ip >/dev/null || add iproute2 ;;
    systemd) command -v systemd-analyze >/dev/null || add systemd ;;
    emulator)
      command -v qemu-aarch64-static >/dev/null || add qemu-user-static
      command -v aarch64-linux-gnu-g++ >/dev/null || add g++-aarch64-linux-gnu
      command -v mmdebstrap >/dev/null || add mmdebstrap
      command -v arch-test >/dev/null || add arch-test
      ;;
    *) echo "need.sh: unknown tool $tool" >&2; exit 2 ;;
  esac
done
[ -n "$packages" ] || exit 0

# another apt may be at work
command="apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends$packages"
if ! command -v apt-get >/dev/null; then
  echo "edgevc needs what Debian calls:$packages. Install them with this system's package manager." >&2
  exit 1
elif [ "$(id -u)" = 0 ]; then
  as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root="sudo -n"
else
  printf 'Some packages are missing. Type this, then start again:\n\n  sudo %s\n\n' "$command" >&2
  exit 1
fi
echo "installing$packages"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # words on purpose
$as_root $command >/dev/null 2>&1 || { $as_root apt-get update -qq && $as_root $command >/dev/null; }
