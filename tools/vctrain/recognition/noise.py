"""A kitchen: running water, frying and a clock, from the recordings of ESC-10 that no training hears."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vctrain.data.speech import load_noises

KITCHEN = {"Rain": 0.0, "Fire crackling": -3.0, "Clock tick": -6.0}
"""Class of ESC-10 to level in dB."""


@cache
def _recordings(folder: Path, kind: str) -> list[NDArray[np.float32]]:
    folders = sorted(folder.glob(f"*{kind}"))
    found = load_noises(folders[0], held_out=True) if folders else []
    if not found:
        raise FileNotFoundError(f"expected ESC-10's '{kind}' recordings of fold 5 below {folder}; see docs/training.md")
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
