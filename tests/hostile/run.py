"""Opens bundles as a program would, converts two seconds with each, and says how it ended: a process of its own.

    python tests/hostile/run.py < list

Each line of the list is JSON: [name, path, engine]. Each line of the answer is JSON: how it ended ("runs", or the name
of the error), the message, seconds by the clock and of the processor (with its children's), and the most memory that
this process and its children had, in MB.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter
from edgevc.errors import EdgevcError

SECONDS = 2


def try_bundle(path, engine, speech):
    """Return how it ends and the message."""
    try:
        bundle = ModelBundle.open(path)
        converter = VoiceConverter(bundle, engine)
        converted = converter.convert(speech, bundle.voices[0].name)
    except EdgevcError as error:
        return type(error).__name__, str(error)
    fine = len(converted) == len(speech) and bool(np.all(np.abs(converted) <= 1))
    return ("runs", "") if fine else ("runs", "what came out is no sound")


def most_memory_mb():
    """Return this process's own peak; ru_maxrss would begin with what its parent had."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def processor_s():
    """Return what this process and its children that have ended took of the processor."""
    times = os.times()
    return sum(times[:4])


def main():
    speech = (0.1 * np.random.default_rng(1).standard_normal(SECONDS * 16_000)).astype(np.float32)
    for line in sys.stdin:
        name, path, engine = json.loads(line)
        # so that a crash has a name
        print(json.dumps({"begins": name}), flush=True)
        start, spent = time.perf_counter(), processor_s()
        ended, message = try_bundle(Path(path), engine, speech)
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        row = {"name": name, "ended": ended, "message": message, "seconds": time.perf_counter() - start}
        row["cpu_seconds"] = processor_s() - spent
        print(json.dumps(row | {"main_mb": most_memory_mb(), "child_mb": children}), flush=True)


if __name__ == "__main__":
    main()
