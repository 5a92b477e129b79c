"""Writes cases, lets a process meet them, and starts another one where it died."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import edgevc

LONGEST_S = 300
"""Then the process is killed: far above what any one bundle may take."""


def meet(cases, folder):
    """Return a row for each case: name, runs (expected), ended, message, seconds, cpu_seconds, main_mb, child_mb.

    `ended` is "runs", an error's name, "crash" or "hang".

    Args:
        cases: name to Case.
        folder: empty; bundles are written there, and deleted when they have been met.
    """
    waiting = list(cases.values())
    rows = []
    while waiting:
        # few at a time, since some are large
        batch, waiting = waiting[:20], waiting[20:]
        with tempfile.TemporaryDirectory(dir=folder) as place:
            rows += _meet_batch(batch, Path(place), folder / "cache")
    return rows


def _meet_batch(batch, place, cache):
    lines = []
    for case in batch:
        target = place / case.name
        lines.append(json.dumps([case.name, str(case.write(target) or target), case.engine]))
    expected = {case.name: case.runs for case in batch}
    rows = []
    while len(rows) < len(lines):
        found, begun = _run(lines[len(rows) :], cache)
        rows += found
        if len(rows) < len(lines):
            row = {"name": begun, "message": "", "seconds": 0.0, "cpu_seconds": 0.0, "main_mb": 0, "child_mb": 0}
            rows.append(row | {"ended": "crash"})
    return [row | {"runs": expected[row["name"]]} for row in rows]


def _run(lines, cache):
    root = Path(edgevc.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(
        [sys.executable, "-P", Path(__file__).with_name("run.py")] if sys.version_info >= (3, 11)
        else [sys.executable, Path(__file__).with_name("run.py")],
        input="\n".join(lines), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        timeout=LONGEST_S * len(lines), check=False,
    )  # fmt: skip
    rows, begun = [], json.loads(lines[0])[0]
    for line in done.stdout.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            # an engine printed
            continue
        if "begins" in said:
            begun = said["begins"]
        else:
            rows.append(said)
    return rows, begun


def clear(folder):
    """Delete the verdicts that runs have left."""
    shutil.rmtree(folder / "cache", ignore_errors=True)
