"""Compares the streaming F0 tracker with pyworld's harvest on recordings; needs pyworld and soundfile.

--data is a folder of <speaker>/*.flac, 16 kHz mono. Frames are aligned by their centres. Definitions:
gross error: share of frames voiced for both in which F0 differs by more than 20 %;
voicing error: share of all frames in which only one of the two says voiced.
"harvest + noise" is harvest against itself after white noise 40 dB below the recording was added to its input: how
far the reference agrees with itself about voicing.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from edgevc.dsp.pitch import PitchTracker

try:
    import pyworld
except ImportError as error:
    raise SystemExit(f"this benchmark needs {error.name}; pip install pyworld") from None

RATE, HOP = 16000, 160
F0_MIN, F0_MAX = 60.0, 500.0
FIELDS = ("utterances", "frames", "voiced", "both", "gross", "extra", "missed", "reference_changed", "seconds")


def harvest(x: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    """F0 at samples first, first + 160, ..., 0 where unvoiced; first is 0 or 80."""
    step = HOP if first == 0 else HOP // 2
    f0 = pyworld.harvest(x, RATE, f0_floor=F0_MIN, f0_ceil=F0_MAX, frame_period=1000 * step / RATE)[0]
    return f0[first // step :: HOP // step]


def compare(path: Path, latency: int, gain: float, max_seconds: float, self_check: bool) -> NDArray[np.float64]:
    """One row of FIELDS."""
    x, rate = soundfile.read(path, dtype="float32")
    if rate != RATE or x.ndim != 1:
        raise SystemExit(f"{path} must be 16 kHz mono, got {rate} Hz and shape {x.shape}")
    x = x[: int(max_seconds * RATE)]
    tracker = PitchTracker(RATE, HOP, F0_MIN, F0_MAX, latency)
    start = time.perf_counter()
    frames = np.concatenate((tracker.process((gain * x).astype(np.float32)), tracker.flush()))
    seconds = time.perf_counter() - start
    # Frame m is centred at 160 (m + 1) - latency.
    first_frame = -(-latency // HOP) - 1
    first_sample = HOP * (first_frame + 1) - latency
    reference = harvest(x.astype(np.float64), first_sample)
    found = frames[first_frame:, 0][: len(reference)]
    reference = reference[: len(found)]
    voiced, reference_voiced = found > 0, reference > 0
    both = voiced & reference_voiced
    gross = both & (np.abs(found - reference) > 0.2 * reference)
    changed = 0
    if self_check:
        noise = np.random.default_rng(1).normal(size=len(x)) * 0.01 * np.sqrt(np.mean(x.astype(np.float64) ** 2))
        changed = np.count_nonzero((harvest(x + noise, first_sample)[: len(found)] > 0) != reference_voiced)
    counts = (voiced & ~reference_voiced, ~voiced & reference_voiced)
    return np.array(
        [
            1,
            len(reference),
            reference_voiced.sum(),
            both.sum(),
            gross.sum(),
            *(c.sum() for c in counts),
            changed,
            seconds,
        ]
    )


def show(name: str, row: NDArray[np.float64]) -> None:
    """Print one line of the table."""
    r = dict(zip(FIELDS, row.tolist(), strict=True))
    frames = r["frames"]
    print(
        f"| {name} | {r['utterances']:.0f} | {frames:.0f} | {100 * r['voiced'] / frames:.1f} "
        f"| {100 * r['gross'] / max(r['both'], 1):.2f} | {100 * (r['extra'] + r['missed']) / frames:.2f} "
        f"| {100 * r['extra'] / frames:.2f} | {100 * r['missed'] / frames:.2f} "
        f"| {100 * r['reference_changed'] / frames:.2f} |",
        flush=True,
    )


def main() -> None:
    """Print a table, one line per speaker and one for all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of <speaker>/*.flac")
    parser.add_argument("--speakers", nargs="*", help="default: all in the folder")
    parser.add_argument("--utterances", type=int, default=20, help="per speaker, drawn with --seed")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--max-seconds", type=float, default=60.0, help="what is longer is cut")
    parser.add_argument("--latency", type=int, choices=(480, 240), default=480, help="of the tracker, in samples")
    parser.add_argument("--gain", type=float, default=1.0, help="of the tracker's input; harvest gets the recording")
    parser.add_argument(
        "--no-self-check", action="store_true", help="leave out harvest + noise, which doubles the time"
    )
    parser.add_argument("--out", type=Path, help="write the figures of all speakers together as JSON")
    options = parser.parse_args()
    speakers = options.speakers or sorted(p.name for p in options.data.iterdir() if p.is_dir())
    print(
        "| speaker | utterances | frames | voiced % | gross error % | voicing error % | of it extra | of it missed "
        "| harvest + noise % |"
    )
    print("| --- " * 9 + "|")
    total = np.zeros(len(FIELDS))
    for speaker in speakers:
        paths = sorted((options.data / speaker).glob("*.flac"))
        paths = random.Random(options.seed).sample(paths, min(options.utterances, len(paths)))
        rows = [
            compare(path, options.latency, options.gain, options.max_seconds, not options.no_self_check)
            for path in paths
        ]
        if not rows:
            raise SystemExit(f"no .flac files in {options.data / speaker}")
        show(speaker, np.sum(rows, axis=0))
        total += np.sum(rows, axis=0)
    show("all", total)
    frames = total[FIELDS.index("frames")]
    if options.out is not None:
        both = total[FIELDS.index("both")]
        wrong = total[FIELDS.index("extra")] + total[FIELDS.index("missed")]
        n = int(total[FIELDS.index("utterances")])
        command = f"python benchmarks/f0_accuracy.py --data FOLDER --speakers {' '.join(speakers)} ..."
        figures = (("gross pitch error", total[FIELDS.index("gross")] / both, 5), ("voicing error", wrong / frames, 10))
        rows = [
            {"name": f"{name}, {n} utterances", "value": 100 * share, "unit": "%", "bar": bar, "command": command}
            for name, share, bar in figures
        ]
        options.out.write_text(json.dumps(rows, indent=2) + "\n")
    print(f"\n{1e6 * total[FIELDS.index('seconds')] / frames:.1f} us per frame of 10 ms")


if __name__ == "__main__":
    main()
