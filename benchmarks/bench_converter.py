"""Times the whole converter over both engines, and measures memory and import time of the package.

    python benchmarks/bench_converter.py --out benchmarks/results/converter.json

Every combination of engine and hops per call converts the same seconds of audio in turns, so that another program's
load falls on all of them alike. Wall-clock means and p99 tell something on a quiet machine only; the median hop, the
best repetition and the processor time stand a busy one better, though other programs also empty the caches. RTF is
processing time / audio time. Each row of the output is {name, value, unit, command, bar}; bar is the largest allowed
value, null where there is none.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from peak_memory import peak_memory_mb

import edgevc
from edgevc.audio.wav_writer import write_wav
from edgevc.bundle import ENGINES, ModelBundle
from edgevc.children import edgevc_command
from edgevc.converter import VoiceConverter
from edgevc.converter.bench import speech_like
from edgevc.limits import CHUNK_HOPS, SAMPLE_RATE

BARS = {
    "litert, 1 hop: RTF of the median hop": 0.02,
    "onnx, 1 hop: RTF of the median hop": 0.04,
    "litert, 1 hop: p99 of a call": 3.0,
    "onnx, 1 hop: p99 of a call": 3.0,
    "litert, 1 hop: p99 of a call (processor time)": 3.0,
    "onnx, 1 hop: p99 of a call (processor time)": 3.0,
    "litert: peak memory of edgevc convert": 120.0,
    "onnx: peak memory of edgevc convert": 120.0,
    "import edgevc": 0.15,
}


def main() -> int:
    """Measure, print, and write the rows; return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description="Time the converter and measure its memory.")
    parser.add_argument("--out", type=Path, help="JSON file for the rows")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0, help="of audio in each repetition")
    arguments = parser.parse_args()
    command = f"python benchmarks/bench_converter.py --repetitions {arguments.repetitions}"
    rows = [*time_streams(arguments.repetitions, arguments.seconds), *peak_memory(), *import_times()]
    for row in rows:
        row |= {"command": f"{command} --seconds {arguments.seconds:g}", "bar": BARS.get(row["name"])}
        missed = row["bar"] is not None and row["value"] > row["bar"]
        bar = "" if row["bar"] is None else f"(at most {row['bar']:g}){' MISSED' if missed else ''}"
        print(f"{row['name']:56s} {row['value']:9.4f} {row['unit']:4s} {bar}")
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return int(any(row["bar"] is not None and row["value"] > row["bar"] for row in rows))


def row(name: str, value: float, unit: str) -> dict:
    return {"name": name, "value": round(float(value), 6), "unit": unit}


def time_streams(repetitions: int, seconds: float) -> list[dict]:
    bundle, samples = ModelBundle.default(), speech_like(seconds)
    voice = bundle.voices[0].name
    cases = {(engine, hops): VoiceConverter(bundle, engine, hops) for hops in CHUNK_HOPS for engine in ENGINES}
    wall: dict = {case: [] for case in cases}
    processor: dict = {case: [] for case in cases}
    for repetition in range(repetitions + 1):
        for (engine, hops), converter in cases.items():
            n = converter.hop_length * hops
            chunks = [samples[i : i + n] for i in range(0, len(samples) - n + 1, n)]
            stream = converter.stream(voice)
            times = np.empty((len(chunks), 2))
            for i, chunk in enumerate(chunks):
                cpu, started = time.thread_time(), time.perf_counter()
                stream.process(chunk)
                times[i] = time.perf_counter() - started, time.thread_time() - cpu
            # The first round warms caches and clocks up.
            if repetition:
                wall[engine, hops].append(times[:, 0])
                processor[engine, hops].append(times[:, 1])
    rows = []
    for (engine, hops), converter in cases.items():
        name = f"{engine}, {hops} hop{'s' if hops > 1 else ''}"
        audio = converter.hop_length * hops / SAMPLE_RATE
        # The median over repetitions of each figure: one bad moment spoils one repetition.
        p50, p95, p99 = np.median(np.percentile(wall[engine, hops], [50, 95, 99], axis=1), axis=1)
        cpu_p99 = np.median(np.percentile(processor[engine, hops], 99, axis=1))
        rows += [
            row(f"{name}: RTF of the median hop", p50 / audio, ""),
            row(
                f"{name}: RTF of the median hop, best repetition",
                np.median(wall[engine, hops], axis=1).min() / audio,
                "",
            ),
            row(f"{name}: RTF (processor time)", np.median(np.mean(processor[engine, hops], axis=1)) / audio, ""),
            row(f"{name}: RTF (wall clock)", np.median(np.mean(wall[engine, hops], axis=1)) / audio, ""),
            row(f"{name}: p50 of a call", 1000 * p50, "ms"),
            row(f"{name}: p95 of a call", 1000 * p95, "ms"),
            row(f"{name}: p99 of a call", 1000 * p99, "ms"),
            row(f"{name}: p99 of a call (processor time)", 1000 * cpu_p99, "ms"),
        ]
    return rows


# In a small process between, since a child's peak starts with what its parent holds at the fork.


def peak_memory() -> list[dict]:
    """Peak resident memory of `edgevc convert` of 10 s, as the kernel counts it for the ended process."""
    voice, rows = ModelBundle.default().voices[0].name, []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.wav", Path(folder) / "out.wav"
        write_wav(source, speech_like(10.0), SAMPLE_RATE)
        for engine in ENGINES:
            arguments = ["convert", str(source), str(target), "--voice", voice, "--engine", engine, "--force"]
            megabytes = peak_memory_mb(edgevc_command(*arguments))
            rows.append(row(f"{engine}: peak memory of edgevc convert", megabytes, "MB"))
    return rows


def import_times() -> list[dict]:
    """Median of several `python -X importtime`, the first of which fills the disk cache."""
    rows = []
    for module in ("edgevc", "edgevc.converter"):
        seconds = []
        for _ in range(6):
            # -I: not the sources of the folder that the reader stands in
            code = f"import sys; sys.path.append({str(Path(edgevc.__file__).parents[1])!r}); import {module}"
            command = [sys.executable, "-I", "-X", "importtime", "-c", code]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            # One space: the lines of what was imported first, which count in all that these imported.
            top = re.findall(r"\|\s*(\d+) \| edgevc", done.stderr)
            seconds.append(sum(map(int, top)) / 1e6)
        rows.append(row(f"import {module}", np.median(seconds[1:]), "s"))
    return rows


if __name__ == "__main__":
    sys.exit(main())
