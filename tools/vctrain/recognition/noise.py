"""A kitchen: running water, frying and a clock, from recordings of ESC-10's fifth fold."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vctrain.data.corpora import SAMPLE_RATE

KITCHEN = {"Rain": 0.0, "Fire crackling": -3.0, "Clock tick": -6.0}
"""Class of ESC-10 to level in dB."""


@cache
def _recordings(folder: Path, kind: str) -> list[NDArray[np.float32]]:
    import soundfile as sf
    import soxr

    paths = sorted(folder.glob(f"*{kind}/5-*.ogg"))
    if not paths:
        raise FileNotFoundError(f"expected ESC-10's '{kind}' recordings of fold 5 below {folder}; see docs/training.md")
    found = []
    for path in paths:
        samples, rate = sf.read(path, dtype="float32")
        samples = soxr.resample(samples, rate, SAMPLE_RATE)
        if (power := np.sqrt((samples**2).mean())) > 1e-3:
            found.append((samples / power).astype(np.float32))
    return found


def kitchen(samples: NDArray[np.float32], folder: Path, snr_db: float, name: str) -> NDArray[np.float32]:
    """Samples (T,) with noise `snr_db` below their power, pauses included; the same `name` gets the same noise."""
    rng = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:16], 16))
    noise = np.zeros(len(samples))
    for kind, level in KITCHEN.items():
        recordings = _recordings(folder, kind)
        recording = recordings[rng.integers(len(recordings))]
        noise += 10 ** (level / 20) * np.resize(np.roll(recording, -int(rng.integers(len(recording)))), len(samples))
    power = np.sqrt((samples.astype(np.float64) ** 2).mean() / ((noise**2).mean() + 1e-18))
    return (samples + noise * (power * 10 ** (-snr_db / 20))).astype(np.float32)
