"""How much of the watermark is in a stretch of sound: its levels against the public pattern and against decoys.

NumPy alone, no learnt weights. docs/mark.md has the formulas, and how often it is right.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevc.limits import HOP_LENGTH, SAMPLE_RATE
from edgevc.mark.pattern import BANDS, BINS_PER_BAND, FIRST_BIN, PERIOD, PUBLIC_KEY, pattern

FloatArray = NDArray[np.floating]

N_DECOYS = 31
"""Patterns of other keys, with which the public one is compared: they say what the sound gives to any pattern."""
ROWS_PER_SECOND = 2 * SAMPLE_RATE // HOP_LENGTH
"""Levels are looked at every 5 ms, since nobody knows where a frame begins."""

_ROWS = 2 * PERIOD
_WINDOW_LENGTH = 2 * HOP_LENGTH
_FFT_SIZE = 512
_DEEPEST = 1e-5
"""Of the loudest band's power: what is below is silence, and says nothing."""
_CLIP = 0.7
"""In standard deviations: speech has many outliers, the mark is in the many small values."""
_FLOOR_MARGIN = float(np.exp(1.0))


@dataclass(frozen=True)
class Match:
    """The best place of the public pattern."""

    score: float
    """Correlation there, in the decoys' standard deviations; 0 where there is no sound."""
    offset: int
    """Rows of 5 ms by which the pattern is turned."""
    speed: float
    """By which time was stretched to find it, such as 0.005."""


def rows(samples: NDArray[np.float32]) -> FloatArray:
    """Return how far each band's level stands out from its neighbours in time and frequency, (rows of 5 ms, BANDS).

    Args:
        samples: float32 (T,), 16 kHz, mono; at least 330.
    """
    n = (len(samples) - _WINDOW_LENGTH - HOP_LENGTH // 2) // HOP_LENGTH + 1
    out = np.empty((2 * n, BANDS))
    for phase in (0, 1):
        out[phase::2] = _standing_out(_levels(samples[phase * HOP_LENGTH // 2 :], n))
    return out


def _levels(samples: NDArray[np.float32], n: int) -> FloatArray:
    """Return the mean power of each band in n frames, (n, BANDS)."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW_LENGTH)[::HOP_LENGTH][:n]
    spectra = np.fft.rfft(frames * _hann(), _FFT_SIZE, axis=1)[:, FIRST_BIN : FIRST_BIN + BANDS * BINS_PER_BAND]
    power: FloatArray = (spectra.real**2 + spectra.imag**2).reshape(n, BANDS, BINS_PER_BAND).mean(2)
    return power.astype(np.float64)


@functools.cache
def _hann() -> NDArray[np.float32]:
    window: NDArray[np.float32] = np.hanning(_WINDOW_LENGTH + 1)[:_WINDOW_LENGTH].astype(np.float32)
    return window


def _standing_out(power: FloatArray) -> FloatArray:
    """Whiten the levels: subtract neighbours, clip, weigh by how far the band is above its own noise floor."""
    loudest = float(power.max(initial=0.0))
    if loudest <= 0:
        return np.zeros_like(power)
    levels = np.log(np.maximum(power, loudest * 1e-6))
    heard = power > loudest * _DEEPEST
    padded = np.pad(levels, ((2, 2), (2, 2)), mode="edge")
    # speech moves slowly: half of what is 20 ms before and after is taken away
    sharp = padded[2:-2] - 0.5 * (padded[:-4] + padded[4:])
    # and gain, onsets and the envelope move neighbouring bands alike
    sharp = (
        sharp[:, 2:-2] - 0.375 * (sharp[:, 1:-3] + sharp[:, 3:-1]) - 0.125 * (sharp[:, :-4] + sharp[:, 4:])
    )  # fmt: skip
    # 1.4826: the median of a normal distribution's absolute values to its standard deviation
    spread = 1.4826 * np.median(np.abs(sharp[heard])) + 1e-12
    floor = np.exp(np.percentile(levels, 10, axis=0))
    weight = np.clip(1 - _FLOOR_MARGIN * floor / np.exp(levels), 0, 1) * heard
    standing: FloatArray = np.clip(sharp / spread, -_CLIP, _CLIP) * weight
    return standing


def match(found: FloatArray, speeds: Sequence[float] = (0.0,), key: str = PUBLIC_KEY) -> Match:
    """Return the best place of a key's pattern among all offsets and the given speeds.

    Args:
        found: of `rows`.
        speeds: changes of speed that are tried.
        key: whose pattern; another one than the public key says how the score behaves on what is not marked.
    """
    best = Match(0.0, 0, 0.0)
    for speed in speeds:
        correlations, deviation = _correlations(folded(found, speed), (key,))
        if deviation > 0:
            offset = int(np.argmax(correlations[0]))
            score = float(correlations[0, offset] / deviation)
            best = max(best, Match(score, offset, speed), key=lambda match: match.score)
    return best


def scores(found: FloatArray, keys: Sequence[str], speeds: Sequence[float] = (0.0,)) -> FloatArray:
    """Return the score of several keys, (keys,), as `match` gives it for one: how often are they found by chance?"""
    best = np.zeros(len(keys))
    for speed in speeds:
        correlations, deviation = _correlations(folded(found, speed), keys)
        if deviation > 0:
            best = np.maximum(best, correlations.max(1) / deviation)
    return best


def folded(found: FloatArray, speed: float = 0.0) -> FloatArray:
    """Return the sum of the rows that lie whole periods apart, (2 * PERIOD, BANDS)."""
    place = np.round(np.arange(len(found)) * (1 + speed)).astype(np.int64) % _ROWS
    cells = (place[:, None] * BANDS + np.arange(BANDS)).ravel()
    return np.asarray(np.bincount(cells, found.ravel(), _ROWS * BANDS), np.float64).reshape(_ROWS, BANDS)


def _correlations(fold: FloatArray, keys: Sequence[str]) -> tuple[FloatArray, float]:
    """Return the keys' correlations at each offset, (keys, offsets), and the decoys' standard deviation over theirs."""
    turned = np.conj(np.fft.rfft(fold, axis=0))
    # one product for all: decoys, and the keys behind them
    spectra = np.concatenate([_decoys(), *(_spectrum(key)[None] for key in keys)])
    found = np.fft.irfft((turned[None] * spectra).sum(2), _ROWS, axis=1)
    return found[N_DECOYS:], float(np.sqrt(np.mean(found[:N_DECOYS] ** 2)))


def at_half_frames(signs: NDArray[np.int8]) -> FloatArray:
    """Return a pattern every 5 ms instead of every 10; between two frames both are heard alike."""
    fine = np.empty((_ROWS, BANDS))
    fine[::2] = signs
    fine[1::2] = 0.5 * (signs + np.roll(signs, -1, 0).astype(np.float64))
    return fine


@functools.lru_cache(64)
def _spectrum(key: str) -> NDArray[np.complexfloating]:
    return np.fft.rfft(at_half_frames(pattern(key)), axis=0)


@functools.cache
def _decoys() -> NDArray[np.complexfloating]:
    return np.stack([np.fft.rfft(at_half_frames(pattern(f"decoy {i}")), axis=0) for i in range(N_DECOYS)])


def along(found: FloatArray, place: Match, key: str = PUBLIC_KEY) -> FloatArray:
    """Return how much each row agrees with the pattern at that place, (rows,); around 0 where there is no mark."""
    row = (np.round(np.arange(len(found)) * (1 + place.speed)).astype(np.int64) + place.offset) % _ROWS
    agreement: FloatArray = (found * at_half_frames(pattern(key))[row]).sum(1)
    return agreement
