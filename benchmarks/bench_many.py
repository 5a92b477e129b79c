"""Many files: speed of two processes against one, time per file beside its conversion, and the list of a million files.

python benchmarks/bench_many.py --work WORK [--files 400] [--listed 1000000]

Writes docs/results/many.json. WORK is a folder for the recordings, which are made from examples/sentence.wav.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from edgevc.children import edgevc_command

ROOT = Path(__file__).resolve().parent.parent
SECONDS_EACH = 2.0
ROUNDS = 3


def make_corpus(folder: Path, n_files: int) -> None:
    """Write recordings of 2 s, cut out of the sentence at different places."""
    import edgevc

    samples, rate = edgevc.read(ROOT / "examples" / "sentence.wav")
    length = round(SECONDS_EACH * rate)
    for i in range(n_files):
        path = folder / f"{i % 50:02d}" / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        start = i * 37 % (len(samples) - length)
        edgevc.write(path, samples[start : start + length], rate)


def timed_run(corpus: Path, out: Path, jobs: int) -> tuple[float, float]:
    """Return seconds by the clock, and the audio's processing seconds summed over all files."""
    shutil.rmtree(out, ignore_errors=True)
    words = ["convert", str(corpus), str(out), "--voice", "anon", "--jobs", str(jobs)]
    started = time.perf_counter()
    subprocess.run(edgevc_command(*words), check=True, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - started
    lines = (out / "edgevc-convert.jsonl").read_text().splitlines()
    return took, sum(json.loads(line)["processing_seconds"] for line in lines)


_LIST = """\
import json, resource, sys, time
from pathlib import Path
started = time.perf_counter()
from edgevc.batch.plan import make_plan
plan = make_plan([Path(sys.argv[1])], Path(sys.argv[2]))
order = plan.largest_first()
peak = int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1])
print(json.dumps({"files": len(plan), "seconds": time.perf_counter() - started, "peak_mb": peak / 1024}))
"""


def list_many(folder: Path, n_files: int) -> dict[str, float]:
    """List a folder of sparse files in a process of its own."""
    if not folder.exists():
        for i in range(n_files):
            place = folder / f"{i // 1000:04d}"
            if i % 1000 == 0:
                place.mkdir(parents=True)
            descriptor = os.open(place / f"recording_{i}.wav", os.O_CREAT | os.O_WRONLY, 0o644)
            os.ftruncate(descriptor, 1000 + i % 7000)
            os.close(descriptor)
    words = [sys.executable, "-c", _LIST, str(folder), str(folder.parent / "out")]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True, cwd=folder).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--listed", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "many.json")
    arguments = parser.parse_args()
    corpus = arguments.work / f"corpus-{arguments.files}"
    if not corpus.exists():
        make_corpus(corpus, arguments.files)
    one, two, overhead = [], [], []
    for _ in range(ROUNDS):
        took, processing = timed_run(corpus, arguments.work / "one", 1)
        one.append(took)
        overhead.append(1000 * (took - processing) / arguments.files)
        two.append(timed_run(corpus, arguments.work / "two", 2)[0])
    listed = list_many(arguments.work / f"listed-{arguments.listed}", arguments.listed)
    command = f"python benchmarks/bench_many.py --work WORK --files {arguments.files} --listed {arguments.listed}"
    ratios = [alone / together for alone, together in zip(one, two, strict=True)]
    rows = [
        ("recordings of 2 s", arguments.files, "", None),
        ("one process", statistics.median(one), "s", None),
        ("two processes", statistics.median(two), "s", None),
        ("two processes against one", statistics.median(ratios), "times", ">= 1.85"),
        ("time of a file beside its conversion, start included", statistics.median(overhead), "ms", "<= 3"),
        ("files in the list", listed["files"], "", None),
        ("listing them", listed["seconds"], "s", "<= 10"),
        ("memory of the list's process", listed["peak_mb"], "MB", "<= 300"),
    ]
    content = [
        {"name": name, "value": value, "unit": unit, "bar": bar, "command": command} for name, value, unit, bar in rows
    ]
    arguments.out.write_text(json.dumps(content, indent=1) + "\n")
    for row in content:
        print(f"{row['name']}: {row['value']:.4g} {row['unit']}")


if __name__ == "__main__":
    main()
