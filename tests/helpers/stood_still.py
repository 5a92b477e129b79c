"""Measures whether the machine had time for its programs: the one reason to repeat a test that runs in real time."""

import contextlib
import subprocess
import sys

LATE_MS = 15.0
"""Less than the shortest queue of these tests holds."""
EXCUSED = []
"""What was repeated, for the summary."""

_WATCH = """
import os, sys, time
if sys.argv[2] == "ahead":
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(80))
limit = float(sys.argv[1]) / 1000
print("ready", flush=True)
while True:
    before = time.monotonic()
    time.sleep(0.005)
    late = time.monotonic() - before - 0.005
    if late > limit:
        print(round(1000 * late, 1), flush=True)
"""


@contextlib.contextmanager
def watch(path, ahead=False):
    """Watch while the block runs; yields a function that returns by how many ms a program woke up late, each time.

    Args:
        path: file that is written.
        ahead: with real-time priority, where the test itself keeps all cores busy.
    """
    with path.open("wb") as out:
        command = [sys.executable, "-I", "-c", _WATCH, str(LATE_MS), "ahead" if ahead else "beside"]
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
    try:
        yield lambda: [float(line) for line in path.read_text().split() if line != "ready"]
    finally:
        process.kill()
        process.wait()
