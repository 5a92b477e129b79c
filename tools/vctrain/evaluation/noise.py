"""Noise that no training heard: a kitchen made of ESC-10's held-out recordings, and a quiet room."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vctrain.data.corpora import SAMPLE_RATE
from vctrain.data.noise import KITCHEN, Sounds, kitchen_sounds, mix, mix_at_snr
from vctrain.data.speakers import HELD_OUT_NOISES


@dataclass(frozen=True)
class Kitchen:
    """Speech in a kitchen: `snr_db` is the power of the whole utterance, pauses included, over the noise's."""

    folder: Path
    snr_db: float = 10.0

    def add(self, samples: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        """(T,) samples with noise; the same `name` always gets the same noise."""
        rng = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:16], 16))
        return mix_at_snr(samples, mix(_sounds(self.folder), len(samples), rng), self.snr_db)


def kitchen_files(folder: Path) -> list[str]:
    """The recordings that the kitchen is made of, relative to the ESC-10 folder.

    Raises:
        FileNotFoundError: a class is missing.
    """
    names = []
    for kind in KITCHEN:
        found = [p for p in sorted(folder.glob(f"*{kind}/*.ogg")) if HELD_OUT_NOISES.fullmatch(p.name)]
        if not found:
            raise FileNotFoundError(
                f"expected ESC-10's '{kind}' recordings of fold 5 below {folder}; see docs/training.md"
            )
        names += [str(path.relative_to(folder)) for path in found]
    return names


@cache
def _sounds(folder: Path) -> Sounds:
    kitchen_files(folder)
    return kitchen_sounds(folder, held_out=True)


def room(seconds: float, level_dbfs: float, seed: int = 5) -> NDArray[np.float32]:
    """A room where nobody speaks: noise that falls by 6 dB per octave above 100 Hz, mains hum, breath-like swells."""
    rng = np.random.default_rng(seed)
    n = int(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hertz = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
    noise = np.fft.irfft(spectrum / np.maximum(hertz, 100), n)
    noise /= np.sqrt((noise**2).mean())
    time = np.arange(n) / SAMPLE_RATE
    hum = sum(0.3 / k * np.sin(2 * np.pi * 50 * k * time) for k in (1, 2, 3))
    # somebody breathes near the microphone every four seconds
    breath = rng.standard_normal(n) * 0.5 * np.maximum(0, np.sin(2 * np.pi * time / 4)) ** 4
    total = noise + hum + breath
    return (total / np.sqrt((total**2).mean()) * 10 ** (level_dbfs / 20)).astype(np.float32)
