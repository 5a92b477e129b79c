"""Compares a hop, the import and the memory of `edgevc convert` of two source trees with the core built in each.

    python benchmarks/before_after.py --before TREE [--after TREE] [--out docs/results/before_after.json]

Two processes with one tree each take blocks of 40 hops in turns, so that what else runs on this machine falls on both
alike; run it as `chrt -f 10 taskset -c 1 python ...` where that is allowed. LiteRT, the default model, 1 hop per call.
Figures are medians over the repetitions, ratios medians of the ratios within each; bars are ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
BLOCK = 40
LEFT_OUT = 5
"""Hops at the beginning of a block, which find the other tree's data in the caches."""
BAR = 1.03
WORKER = f"""
import struct, sys, time
import numpy as np
from edgevc.converter import VoiceConverter
from edgevc.bundle import ModelBundle
stream = VoiceConverter(ModelBundle.default(), "litert", 1).stream("slt")
noise = np.random.default_rng(1).standard_normal(64_000)
hops = (0.1 * noise).astype(np.float32).reshape(-1, 160)
i = 0
for _ in sys.stdin.buffer:
    times = []
    for _ in range({BLOCK}):
        start = time.perf_counter_ns()
        stream.process(hops[i % len(hops)])
        times.append(time.perf_counter_ns() - start)
        i += 1
    sys.stdout.buffer.write(struct.pack("{BLOCK}q", *times))
    sys.stdout.buffer.flush()
"""


def environment(tree: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tree.resolve()), "OMP_NUM_THREADS": "1"}


def hop_times(trees: dict[str, Path], blocks: int) -> dict[str, np.ndarray]:
    """Microseconds of each hop, (blocks, hops)."""
    pipe = subprocess.PIPE
    workers = {
        name: subprocess.Popen(
            [sys.executable, "-P", "-c", WORKER], env=environment(tree), stdin=pipe, stdout=pipe, cwd="/"
        )
        for name, tree in trees.items()
    }
    found: dict[str, list[tuple[int, ...]]] = {name: [] for name in trees}
    for block in range(blocks):
        for name in list(trees)[:: 1 if block % 2 else -1]:
            stdin, stdout = workers[name].stdin, workers[name].stdout
            assert stdin is not None
            assert stdout is not None
            stdin.write(b"\n")
            stdin.flush()
            found[name].append(struct.unpack(f"{BLOCK}q", stdout.read(8 * BLOCK)))
    for worker in workers.values():
        worker.communicate()
    # the first blocks warm up
    return {name: np.array(times[5:], np.float64)[:, LEFT_OUT:] / 1000 for name, times in found.items()}


def import_seconds(trees: dict[str, Path]) -> list[float]:
    """For each tree the best of twelve, which the trees take in turns."""
    times: dict[str, list[float]] = {name: [] for name in trees}
    for turn in range(12):
        for name in list(trees)[:: 1 if turn % 2 else -1]:
            start = time.perf_counter()
            command = [sys.executable, "-P", "-c", "import edgevc"]
            subprocess.run(command, env=environment(trees[name]), check=True, cwd="/")
            times[name].append(time.perf_counter() - start)
    return [min(values) for values in times.values()]


def peak_mb(tree: Path) -> float:
    """Of `edgevc convert`."""
    sentence = ROOT / "examples" / "sentence.wav"
    with tempfile.TemporaryDirectory() as folder:
        words = ["convert", sentence, f"{folder}/out.wav", "--voice", "slt", "--engine", "litert"]
        command = [sys.executable, "-P", "-m", "edgevc", *map(str, words)]
        process = subprocess.Popen(
            command, env=environment(tree), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
        )
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"edgevc convert of {tree} failed")
    return used.ru_maxrss / 1024


def repetition(trees: dict[str, Path], blocks: int) -> dict[str, list[float]]:
    """Figure to its value before and after."""
    times = hop_times(trees, blocks)
    return {
        "hop, median (us)": [float(np.median(times[name])) for name in trees],
        "hop, p99 (us)": [float(np.percentile(times[name], 99)) for name in trees],
        "RTF": [float(times[name].mean()) / 10_000 for name in trees],
        "import edgevc (s)": import_seconds(trees),
        "memory of edgevc convert (MB)": [peak_mb(tree) for tree in trees.values()],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--after", type=Path, default=ROOT)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--blocks", type=int, default=60)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    trees = {"before": arguments.before, "after": arguments.after}
    rows = []
    found = [repetition(trees, arguments.blocks) for _ in range(arguments.repetitions)]
    for key in found[0]:
        values = np.array([figures[key] for figures in found])
        before, after = np.median(values, axis=0)
        ratio = float(np.median(values[:, 1] / values[:, 0]))
        print(f"{key:32s} {before:10.4f} {after:10.4f}   ratio {ratio:.3f}")
        for name, value, bar in (("before", before, None), ("after", after, None), ("after / before", ratio, BAR)):
            command = f"python benchmarks/before_after.py --before TREE --repetitions {arguments.repetitions}"
            rows.append({"name": f"{key}: {name}", "value": round(float(value), 5), "unit": ""})
            rows[-1] |= {"command": command, "bar": bar}
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return int(any(row["bar"] is not None and row["value"] > row["bar"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
