"""Fails unless two conversions of one recording, by two CPUs or two engines, sound the same.

    python scripts/compare_audio.py EXPECTED.wav OTHER.wav

Two CPUs round int8 products and the sums behind them differently, so samples are not compared: the phase of a
partial may drift. Their log-mel spectrograms are, where either recording is within 50 dB of its loudest band.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edgevc.audio.reader import read_audio
from edgevc.dsp.features import LogMel

TOLERANCE_DB = 0.3
"""Mean distance. Measured on examples/sentence.wav with an interim model: Cortex-A72 beside x86-64 0.031 (both LiteRT),
ONNX Runtime beside LiteRT 0.13; a gain of 0.5 dB gives 0.50, a pitch a quarter of a semitone higher 1.46."""
RANGE_DB = 50.0


def log_mel_distance_db(expected: Path, other: Path) -> float:
    """Mean absolute difference of the loud log-mel values; raises ValueError where the lengths differ."""
    signals = [read_audio(path)[0] for path in (expected, other)]
    if len(signals[0]) != len(signals[1]) or not len(signals[0]):
        raise ValueError(f"{expected} and {other} must have the same length, got {[len(s) for s in signals]} samples")
    decibels = [LogMel().process(samples) * (10 / np.log(10)) for samples in signals]
    loud = np.maximum(*decibels) > max(values.max() for values in decibels) - RANGE_DB
    return float(np.abs(decibels[0] - decibels[1])[loud].mean())


def main() -> int:
    """Print the distance; 1 where it is too large."""
    distance = log_mel_distance_db(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"log-mel distance {distance:.3f} dB, at most {TOLERANCE_DB} dB")
    return int(not distance <= TOLERANCE_DB)


if __name__ == "__main__":
    sys.exit(main())
