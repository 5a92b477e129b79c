"""Runs of `edgevc convert` over folders, and what they left there."""

import json
import subprocess
import sys
from pathlib import Path

from edgevc.batch.plan import MANIFEST

SENTENCE = Path(__file__).resolve().parents[2] / "examples" / "sentence.wav"


def records(folder):
    return [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines() if line]


def command(*arguments, cwd, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "edgevc", "convert", *map(str, arguments)],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finish(process, code=0):
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    return out + err


def stray(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(".edgevc-")]
