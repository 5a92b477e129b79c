"""Notices when the machine itself stands still: on a virtual one, its host may run something else for milliseconds.

A process per core, above every real-time priority that edgevc uses, sleeps 4 ms at a time and notes when it wakes late.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

STALL_MS = 8.0

_SENTINEL = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(80))
limit = float(sys.argv[2]) / 1000
while True:
    before = time.monotonic()
    time.sleep(0.004)
    after = time.monotonic()
    if after - before - 0.004 > limit:
        print(after, 1000 * (after - before - 0.004), flush=True)
"""


@contextlib.contextmanager
def sentinels(folder: Path) -> Iterator[Callable[[], list[tuple[float, float]]]]:
    """Watch while the block runs; yields a function that returns (time.monotonic() of its end, ms) of every stall.

    Needs the right to real-time priority.
    """
    files = [folder / f"stalls{core}" for core in sorted(os.sched_getaffinity(0))]
    processes = []
    for core, path in zip(sorted(os.sched_getaffinity(0)), files, strict=True):
        with path.open("wb") as out:
            command = [sys.executable, "-c", _SENTINEL, str(core), str(STALL_MS)]
            processes.append(subprocess.Popen(command, stdout=out))

    def found() -> list[tuple[float, float]]:
        if any(process.poll() is not None for process in processes):
            raise RuntimeError("the watch over the machine has ended; it needs the right to real-time priority (root)")
        lines = [line.split() for path in files for line in path.read_text().splitlines()]
        return sorted((float(moment), float(ms)) for moment, ms in lines)

    try:
        yield found
    finally:
        for process in processes:
            process.terminate()
            process.wait()
