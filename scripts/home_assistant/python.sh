#!/bin/sh
# python.sh TREE ARGUMENT...: the Python of a tree that build.sh has made, with Home Assistant, as a process of this system
set -eu
tree=$1
shift
for loader in "$tree"/lib64/ld-linux-*.so.* "$tree"/lib/ld-linux-*.so.*; do
  [ -e "$loader" ] && break
done
for libraries in "$tree"/usr/lib/*-linux-gnu*; do
  [ -d "$libraries" ] && break
done
exec env PYTHONHOME="$tree/usr" PYTHONPATH="$tree/opt/ha/lib/python3.14/site-packages" "$loader" --library-path \
  "$libraries" --argv0 python3.14 "$tree/usr/bin/python3.14" "$@"
