#!/bin/sh
# run.sh TREE PROGRAM ARGUMENT...: a program of a tree that build.sh has made, as a process of this system: with the
# loader and the libraries of the tree, without root. Its Python finds Home Assistant.
set -eu
tree=$1
program=$2
shift 2
for loader in "$tree"/lib64/ld-linux-*.so.* "$tree"/lib/ld-linux-*.so.*; do
  [ -e "$loader" ] && break
done
for libraries in "$tree"/usr/lib/*-linux-gnu*; do
  [ -d "$libraries" ] && break
done
exec env PYTHONHOME="$tree/usr" PYTHONPATH="$tree/opt/ha/lib/python3.14/site-packages" "$loader" --library-path \
  "$libraries" --argv0 "${program##*/}" "$tree/$program" "$@"
