#!/bin/sh
# build.sh: a real Home Assistant for the tests, with the Python and the Mosquitto 2.1 that it needs, in a tree of Debian
# beside this system (forky; nothing of this system is changed). Prints the folder of the tree. Needs root, about a
# minute and a half and 1.7 GB once; a tree that is there is used again. EDGEVC_HA_TREE names another folder.
set -eu
cd "$(dirname "$0")"
version=2026.11.0
suite=forky
tree=${EDGEVC_HA_TREE:-${XDG_CACHE_HOME:-$HOME/.cache}/edgevc-ha/$version-$(cat build.sh requirements.txt | sha256sum | cut -c1-12)}

if [ ! -e "$tree/complete" ]; then
  sh ../need.sh debian-tree >&2
  # an own name until it is complete: two may build at once, and one may be interrupted
  making=$(mktemp -d "$(mkdir -p "$(dirname "$tree")" && echo "$(dirname "$tree")")/making.XXXXXX")
  trap 'rm -rf "$making"' EXIT
  # the mirror that apt uses here; mmdebstrap has a default where there is none
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' 'Component: main' | head -n 1)
  cp /etc/ssl/certs/ca-certificates.crt "$making.crt"
  in_tree='chroot "$1" env HOME=/root LANG=C.UTF-8 PIP_FIND_LINKS= PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore'
  pip="$in_tree /opt/ha/bin/pip install -q --disable-pip-version-check"
  constraints=/opt/ha/lib/python3.14/site-packages/homeassistant/package_constraints.txt
  # a moving suite's index may be older than it promises on a mirror; its signature is looked at all the same.
  # a compiler, because two of the requirements have no wheel for this Python
  # shellcheck disable=SC2086  # no mirror, no argument
  mmdebstrap --quiet --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include=python3.14,python3.14-venv,python3.14-dev,g++,mosquitto,libturbojpeg0,ca-certificates \
    --customize-hook="cp $making.crt \"\$1/etc/ssl/certs/ca-certificates.crt\"" \
    --customize-hook="cp $PWD/requirements.txt \"\$1/opt/requirements.txt\"" \
    --customize-hook="$in_tree python3.14 -m venv /opt/ha" \
    --customize-hook="$pip --only-binary homeassistant homeassistant==$version" \
    --customize-hook="$pip -c $constraints -r /opt/requirements.txt" \
    --customize-hook='touch "$1/complete"' \
    "$suite" "$making" $mirror >&2
  rm -f "$making.crt"
  [ -e "$tree/complete" ] || mv -T "$making" "$tree"
fi
echo "$tree"
