"""Noise for training and evaluation: recordings, kitchens mixed from them, and synthetic noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from vctrain.data.corpora import SAMPLE_RATE
from vctrain.data.distortions import shape_spectrum, unit_power
from vctrain.data.speakers import HELD_OUT_NOISES
from vctrain.data.synthetic_noise import household

KITCHEN = {"Rain": 0.0, "Fire crackling": -3.0, "Clock tick": -6.0}
"""Class of ESC-10 to level in dB: running water, frying, and a clock on the wall."""

KITCHEN_SHARE, RECORDED_SHARE, HISS_SHARE = 0.45, 0.2, 0.12
"""Shares of what training hears: kitchens, other recordings, coloured noise. The rest is `household`."""

BABBLE_SHARE, TALKERS = 0.2, (3, 8)
"""Share of noise that is people who talk, where there are some, and how many of them at least and at most."""

Sounds = Sequence[tuple[float, Sequence[NDArray[np.float32]]]]
"""(gain, recordings of unit power) per class."""


def load_noises(folder: Path, held_out: bool = False) -> list[NDArray[np.float32]]:
    """Noise recordings of any rate below a folder, at 16 kHz and unit power; silent files are left out.

    `held_out`: those that are kept for evaluation, instead of those for training.

    Raises:
        FileNotFoundError: there is no .ogg file at all.
    """
    noises = []
    paths = sorted(folder.rglob("*.ogg"))
    if not paths:
        raise FileNotFoundError(f"expected the .ogg files of ESC-10 below {folder}, found none; see docs/training.md")
    for path in paths:
        if bool(HELD_OUT_NOISES.fullmatch(path.name)) != held_out:
            continue
        samples, rate = sf.read(path, dtype="float32")
        samples = soxr.resample(samples, rate, SAMPLE_RATE).astype(np.float32)
        power = float(np.sqrt((samples**2).mean()))
        if power > 1e-3:
            noises.append(samples / power)
    return noises


def kitchen_sounds(folder: Path, held_out: bool = False) -> Sounds:
    """What a kitchen is made of, from ESC-10; classes of which the folder has no such recording are left out."""
    found = [(10 ** (level / 20), next(folder.glob(f"*{kind}"), None)) for kind, level in KITCHEN.items()]
    sounds = [(gain, load_noises(path, held_out)) for gain, path in found if path is not None]
    return [(gain, recordings) for gain, recordings in sounds if recordings]


def looped(recording: NDArray[np.float32], n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(n_samples,) from a random start."""
    return np.resize(np.roll(recording, -int(rng.integers(len(recording)))), n_samples)


def varied(recording: NDArray[np.float32], n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(n_samples,) from a random start, faster or slower by up to half an octave, every other one backwards."""
    speed = 2 ** rng.uniform(-0.5, 0.5)
    piece = looped(recording, int(n_samples * speed) + 2, rng)
    if rng.random() < 0.5:
        piece = piece[::-1]
    return np.interp(np.arange(n_samples) * speed, np.arange(len(piece)), piece).astype(np.float32)


def mix(
    sounds: Sounds, n_samples: int, rng: np.random.Generator, take: Callable[..., NDArray[np.float32]] = looped
) -> NDArray[np.float32]:
    """One recording of each class, by `take`, as (n_samples,) of unit power."""
    noise = np.zeros(n_samples)
    for gain, recordings in sounds:
        noise += gain * take(recordings[int(rng.integers(len(recordings)))], n_samples, rng)
    return unit_power(noise)


def mix_at_snr(samples: NDArray[np.float32], noise: NDArray[np.float32], snr_db: float) -> NDArray[np.float32]:
    """Adds noise (T,) of unit power, `snr_db` below the power of all of samples (T,)."""
    power = float(np.sqrt((samples.astype(np.float64) ** 2).mean()))
    return (samples + noise * (power * 10 ** (-snr_db / 20))).astype(np.float32)


def draw_snr(rng: np.random.Generator) -> float:
    """A signal-to-noise ratio in dB for training: around the evaluation's 10 dB, standard deviation 6."""
    return float(rng.normal(10, 6))


@dataclass(frozen=True)
class Noises:
    """What training hears behind speech."""

    recordings: Sequence[NDArray[np.float32]]
    kitchen: Sounds
    people: Sequence[NDArray[np.int16]] = ()
    """Speech of any level that babble is made of."""

    @classmethod
    def load(cls, folder: Path) -> Noises:
        """ESC-10, or any folder of .ogg files; what is kept for evaluation is left out."""
        return cls(load_noises(folder), kitchen_sounds(folder))

    def draw(self, n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """(n_samples,) of unit power, another one each time."""
        if self.people and rng.random() < BABBLE_SHARE:
            return self._babble(n_samples, rng)
        kind = rng.random()
        if self.kitchen and kind < KITCHEN_SHARE:
            gains = 10 ** (rng.normal(0, 4, len(self.kitchen)) / 20)
            sounds = [(gain * g, r) for (gain, r), g in zip(self.kitchen, gains, strict=True)]
            noise = mix(sounds, n_samples, rng, varied)
        elif self.recordings and kind < KITCHEN_SHARE + RECORDED_SHARE:
            noise = self._recorded(n_samples, rng)
            if rng.random() < 0.4:
                noise = noise + rng.uniform(0.3, 1) * self._recorded(n_samples, rng)
        elif kind < 1 - HISS_SHARE:
            noise = household(n_samples, rng)
        else:
            return unit_power(shape_spectrum(rng.standard_normal(n_samples).astype(np.float32), rng))
        return unit_power(shape_spectrum(noise, rng) if rng.random() < 0.7 else noise)

    def _babble(self, n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
        noise = np.zeros(n_samples, np.float32)
        for _ in range(rng.integers(TALKERS[0], TALKERS[1] + 1)):
            spoken = self.people[int(rng.integers(len(self.people)))].astype(np.float32)
            noise += np.float32(10 ** (rng.normal(0, 3) / 20)) * unit_power(varied(spoken, n_samples, rng))
        return unit_power(noise)

    def _recorded(self, n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
        return varied(self.recordings[int(rng.integers(len(self.recordings)))], n_samples, rng)
