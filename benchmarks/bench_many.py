"""Many files: speed of two processes against one, time per file beside its conversion, and the list of a million files.

python benchmarks/bench_many.py speed|overhead|list --work WORK [--files 400] [--model default]

Puts its rows into docs/results/many.json, where others stay. `speed` wants two quiet cores, `overhead` one. WORK
is a folder for the recordings, which are made from examples/sentence.wav.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
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


def timed_run(corpus: Path, out: Path, model: str, jobs: int) -> tuple[float, float]:
    """Return seconds by the clock, and the most memory that one of the workers took, MB."""
    shutil.rmtree(out, ignore_errors=True)
    words = ["convert", str(corpus), str(out), "--bundle", model, "--voice", "anon", "--jobs", str(jobs)]
    peak = 0.0
    started = time.perf_counter()
    process = subprocess.Popen(edgevc_command(*words), stdout=subprocess.DEVNULL)
    while process.poll() is None:
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            peak = max([peak, *(peak_mb(int(child)) for child in children)])
        time.sleep(0.05)
    took = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"convert ended with {process.returncode}")
    return took, peak


def peak_mb(process: int) -> float:
    """Return the most memory that a process has taken so far."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    # a child that has ended has no such line
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def conversion_alone(corpus: Path, model: str) -> float:
    """Return the seconds that the model takes for all recordings, which are in memory, one after the other."""
    import edgevc

    stream = edgevc.VoiceConverter(model).stream("anon")
    samples = [edgevc.read(path)[0] for path in sorted(corpus.rglob("*.wav"))]
    stream.process(samples[0])
    stream.flush()
    started = time.perf_counter()
    for one in samples:
        stream.process(one)
        stream.flush()
    return time.perf_counter() - started


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
    out = folder.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    manifest = out / "edgevc-convert.jsonl"
    started = time.perf_counter()
    process = subprocess.Popen(
        edgevc_command("convert", str(folder), str(out), "--voice", "slt", "--jobs", "1"), stderr=subprocess.DEVNULL
    )
    try:
        while not (manifest.exists() and manifest.stat().st_size):
            if process.poll() is not None:
                raise SystemExit(f"convert ended with {process.returncode}")
            time.sleep(0.01)
        return {"files": n_files, "seconds": time.perf_counter() - started, "peak_mb": peak_mb(process.pid)}
    finally:
        process.kill()
        process.wait()


Row = tuple[str, float, str, "str | None"]


def speed(corpus: Path, work: Path, model: str, n_files: int) -> list[Row]:
    """Two processes against one."""
    one, two = [], []
    for _ in range(ROUNDS):
        one.append(timed_run(corpus, work / "one", model, 1)[0])
        two.append(timed_run(corpus, work / "two", model, 2)[0])
    ratios = [alone / together for alone, together in zip(one, two, strict=True)]
    return [
        ("recordings of 2 s", n_files, "", None),
        ("one process", statistics.median(one), "s", None),
        ("two processes", statistics.median(two), "s", None),
        ("two processes against one", statistics.median(ratios), "times", ">= 1.85"),
    ]


def overhead(corpus: Path, work: Path, model: str, n_files: int) -> list[Row]:
    """What a file takes beside its conversion, the start of the batch included."""
    alone = conversion_alone(corpus, model)
    took, peak = timed_run(corpus, work / "one", model, 1)
    name = f"{n_files} files, {model}"
    return [
        (f"{name}: the model alone, samples in memory", alone, "s", None),
        (f"{name}: the batch, one process", took, "s", None),
        (f"{name}: a file beside its conversion, start included", 1000 * (took - alone) / n_files, "ms", "<= 3"),
        (f"{name}: memory of the worker", peak, "MB", "<= 70"),
    ]


def listing(work: Path, n_files: int) -> list[Row]:
    """How long until the first file of a large folder is done."""
    listed = list_many(work / f"listed-{n_files}", n_files)
    return [
        ("files in the list", n_files, "", None),
        ("from the command to the first file's line in the manifest", listed["seconds"], "s", "<= 10"),
        ("memory of the process that has the list", listed["peak_mb"], "MB", "<= 300"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("speed", "overhead", "list"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--model", default="default")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "many.json")
    arguments = parser.parse_args()
    part, n_files, model = arguments.part, arguments.files, arguments.model
    arguments.work.mkdir(parents=True, exist_ok=True)
    command = f"python benchmarks/bench_many.py {part} --work WORK --files {n_files}"
    if part == "list":
        rows = listing(arguments.work, n_files)
    else:
        command += f" --model {model}"
        corpus = arguments.work / f"corpus-{n_files}"
        if not corpus.exists():
            make_corpus(corpus, n_files)
        rows = (speed if part == "speed" else overhead)(corpus, arguments.work, model, n_files)
    new = [
        {"name": name, "value": value, "unit": unit, "bar": bar, "command": command} for name, value, unit, bar in rows
    ]
    before = json.loads(arguments.out.read_text()) if arguments.out.exists() else []
    names = {row["name"] for row in new}
    content = [row for row in before if row["name"] not in names] + new
    arguments.out.write_text(json.dumps(content, indent=1) + "\n")
    for row in new:
        print(f"{row['name']}: {row['value']:.4g} {row['unit']}")


if __name__ == "__main__":
    main()
