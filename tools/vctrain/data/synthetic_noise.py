"""Household noise made at random: showers of short sounds, ticking, hum. No two of them are the same recording."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from vctrain.data.corpora import SAMPLE_RATE
from vctrain.data.distortions import unit_power


def ring(rng: np.random.Generator) -> NDArray[np.float64]:
    """A short sound of unit energy, what a drop, a crackle or a spoon sounds like: one to three decaying tones."""
    seconds = 10 ** rng.uniform(-3.3, -1.5)
    t = np.arange(int(5 * seconds * SAMPLE_RATE) + 8) / SAMPLE_RATE
    sound = np.zeros(len(t))
    for _ in range(rng.integers(1, 4)):
        frequency = 10 ** rng.uniform(2.3, 3.85)
        sound += rng.uniform(0.2, 1) * np.sin(2 * np.pi * (frequency * t + rng.random()))
    sound = (sound + rng.uniform(0, 1) * rng.standard_normal(len(t))) * np.exp(-t / seconds)
    return sound / np.sqrt((sound**2).sum())


def shower(n_samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n_samples,) rain, frying or fire: up to four kinds of sounds, each 1 to 3000 times a second, some far louder."""
    noise = np.zeros(n_samples)
    for _ in range(rng.integers(1, 5)):
        struck = rng.random(n_samples) < 10 ** rng.uniform(0, 3.5) / SAMPLE_RATE
        struck[rng.integers(n_samples)] = True
        strokes = np.zeros(n_samples)
        strokes[struck] = np.exp(rng.uniform(0.2, 1.6) * rng.standard_normal(struck.sum())) * rng.choice((-1, 1))
        sounds = unit_power(fftconvolve(strokes, ring(rng))[:n_samples])
        noise += 10 ** rng.uniform(-0.75, 0) * sounds
    return noise


def ticking(n_samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n_samples,) two sounds in turn, one to eight times a second, not quite evenly."""
    period = SAMPLE_RATE / 10 ** rng.uniform(0, 0.9)
    strokes = np.zeros((2, n_samples))
    places = np.arange(rng.uniform(0, period), n_samples, period)
    places = np.clip(places + rng.normal(0, 0.02 * period, len(places)), 0, n_samples - 1).astype(int)
    for turn in range(2):
        strokes[turn, places[turn::2]] = rng.uniform(0.3, 1, len(places[turn::2]))
    return sum(fftconvolve(row, ring(rng))[:n_samples] for row in strokes)


def hum(n_samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n_samples,) a motor: harmonics of a slowly wandering fundamental of 40 to 400 Hz."""
    wander = np.interp(np.arange(n_samples), np.linspace(0, n_samples, 6), rng.normal(0, 0.01, 6))
    phase = np.cumsum(2 * np.pi * 10 ** rng.uniform(1.6, 2.6) / SAMPLE_RATE * (1 + wander))
    return sum(
        rng.uniform(0, 1) / k ** rng.uniform(0.3, 1) * np.sin(k * phase + rng.uniform(0, 6.3)) for k in range(1, 12)
    )


def household(n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(n_samples,) of unit power: a shower, loud or not, often ticking, sometimes a motor."""
    noise = np.zeros(n_samples)
    for make, share in ((shower, 1.0), (ticking, 0.4), (hum, 0.25)):
        if rng.random() < share:
            part = unit_power(make(n_samples, rng))
            noise += 10 ** rng.uniform(-1, 0) * part
    return unit_power(noise)
