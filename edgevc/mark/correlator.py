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
from edgevc.mark.pattern import BANDS, BINS_PER_BAND, FIRST_BIN, GENTLE_BANDS, PERIOD, PUBLIC_KEY, pattern

FloatArray = NDArray[np.floating]

N_DECOYS = 31
"""Patterns of other keys, with which the public one is compared: they say what the sound gives to any pattern."""
VIEWS = 2
"""In which the rows are looked at; the score is the larger one."""
ROWS_PER_SECOND = 2 * SAMPLE_RATE // HOP_LENGTH
"""Levels are looked at every 5 ms, since nobody knows where a frame begins."""

_ROWS = 2 * PERIOD
_WINDOW_LENGTH = 2 * HOP_LENGTH
_STEP = HOP_LENGTH // 2
_FFT_SIZE = 512
_DEEPEST = (1e-5, 1e-6)
"""Of the loudest band's power, by view: what is below is silence, and says nothing."""
_CLIP = 0.7
"""In standard deviations: speech has many outliers, the mark is in the many small values."""
_NEAR = (8, 2)
"""Rows and bands to each side: how much these move says how much a cell may be trusted."""
_NEAR_SHARE = 0.85
"""Of a cell's spread that comes from what is near; the rest is the whole sound's."""
_MOST = 4.0
"""Standard deviations: what moves more does not tell more of its neighbours."""
_GENTLE_WEIGHT = 0.75
"""Of the bands with smaller steps. In older marks all steps are of 0.5 dB; they are found by the same weights."""
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
    view: int
    """In which of the views of the rows."""


def rows(samples: NDArray[np.float32]) -> FloatArray:
    """Return how far each band's level stands out from its neighbours, (VIEWS, rows of 5 ms, BANDS).

    Args:
        samples: float32 (T,), 16 kHz, mono; at least 400.
    """
    return standing_out(levels(samples))


def levels(samples: NDArray[np.float32]) -> FloatArray:
    """Return the mean power of each band every 5 ms, (an even number of rows, BANDS).

    Args:
        samples: float32 (T,), 16 kHz, mono; at least 400.
    """
    n = 2 * ((len(samples) - _WINDOW_LENGTH - _STEP) // HOP_LENGTH + 1)
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW_LENGTH)[::_STEP][:n]
    spectra = np.fft.rfft(frames * _hann(), _FFT_SIZE, axis=1)[:, FIRST_BIN : FIRST_BIN + BANDS * BINS_PER_BAND]
    power: FloatArray = (spectra.real**2 + spectra.imag**2).reshape(n, BANDS, BINS_PER_BAND).mean(2)
    return power.astype(np.float64)


@functools.cache
def _hann() -> NDArray[np.float32]:
    window: NDArray[np.float32] = np.hanning(_WINDOW_LENGTH + 1)[:_WINDOW_LENGTH].astype(np.float32)
    return window


def standing_out(power: FloatArray) -> FloatArray:
    """Whiten the levels: subtract neighbours, clip, weigh; return it in both views, (VIEWS, rows, BANDS).

    Each cell is measured by how much the cells near it move: a calm vowel tells more than a burst.

    One view weighs each cell by how far it is above its band's noise floor: noise that came on the way has no mark. In
    the other one all that is not silence counts alike: in a pause of our own, the noise is marked, too.
    """
    loudest = float(power.max(initial=0.0))
    if loudest <= 0:
        return np.zeros((VIEWS, *power.shape))
    logs = np.log(np.maximum(power, loudest * 1e-6))
    padded = np.pad(logs, ((4, 4), (2, 2)), mode="edge")
    # speech moves slowly: half of what is 20 ms before and after is taken away
    sharp = padded[4:-4] - 0.5 * (padded[:-8] + padded[8:])
    # and gain, onsets and the envelope move neighbouring bands alike
    sharp = (
        sharp[:, 2:-2] - 0.375 * (sharp[:, 1:-3] + sharp[:, 3:-1]) - 0.125 * (sharp[:, :-4] + sharp[:, 4:])
    )  # fmt: skip
    floor = np.exp(np.percentile(logs, 10, axis=0))
    weights = (np.clip(1 - _FLOOR_MARGIN * floor / np.exp(logs), 0, 1), 1.0)
    standing = np.empty((VIEWS, *power.shape))
    for view, (weight, deepest) in enumerate(zip(weights, _DEEPEST, strict=True)):
        heard = power > loudest * deepest
        # 1.4826: the median of a normal distribution's absolute values to its standard deviation
        spread = 1.4826 * np.median(np.abs(sharp[heard])) + 1e-12
        # 1.25: of a normal distribution's mean of absolute values to its standard deviation
        near = 1.25 * _mean_nearby(np.minimum(np.abs(sharp) / spread, _MOST), heard)
        local = _NEAR_SHARE * near + (1 - _NEAR_SHARE)
        standing[view] = np.clip(sharp / (spread * local), -_CLIP, _CLIP) / local * weight * heard
    return standing


def _mean_nearby(values: FloatArray, counted: NDArray[np.bool_]) -> FloatArray:
    """Return the mean of those values around each cell that are counted; 0 where none is."""
    counts = _sum_nearby(counted.astype(np.float64))
    mean: FloatArray = _sum_nearby(values * counted) / np.maximum(counts, 1.0)
    return mean


def _sum_nearby(values: FloatArray) -> FloatArray:
    """Return the sum around each cell, _NEAR to each side; what is at the edge stands for what is beyond it."""
    n_rows, n_bands = _NEAR
    padded = np.pad(values, ((n_rows + 1, n_rows), (n_bands + 1, n_bands)), mode="edge")
    sums = padded.cumsum(0).cumsum(1)
    rows_apart = sums[2 * n_rows + 1 :] - sums[: -2 * n_rows - 1]
    apart: FloatArray = rows_apart[:, 2 * n_bands + 1 :] - rows_apart[:, : -2 * n_bands - 1]
    return apart


def match(found: FloatArray, speeds: Sequence[float] = (0.0,), key: str = PUBLIC_KEY) -> Match:
    """Return the best place of a key's pattern among all views, offsets and the given speeds.

    Args:
        found: of `rows`; one view of it can be given alone, (1, rows, BANDS).
        speeds: changes of speed that are tried.
        key: whose pattern; another one than the public key says how the score behaves on what is not marked.
    """
    marks = _correlations(found, speeds, (key,))[..., 0, :]
    view, speed, offset = (int(i) for i in np.unravel_index(int(np.argmax(marks)), marks.shape))
    score = float(marks[view, speed, offset])
    return Match(score, offset, speeds[speed], view) if score > 0 else Match(0.0, 0, 0.0, 0)


def scores(found: FloatArray, keys: Sequence[str], speeds: Sequence[float] = (0.0,)) -> FloatArray:
    """Return the score of several keys, (keys,), as `match` gives it for one: how often are they found by chance?"""
    best: FloatArray = np.maximum(_correlations(found, speeds, keys).max((0, 1, 3)), 0)
    return best


def _correlations(found: FloatArray, speeds: Sequence[float], keys: Sequence[str]) -> FloatArray:
    """Return the keys' correlations in the decoys' standard deviations, (views, speeds, keys, offsets)."""
    folds = np.stack([[folded(view, speed) for speed in speeds] for view in found])
    turned = np.conj(np.fft.rfft(folds, axis=2)).reshape(-1, _ROWS // 2 + 1, BANDS)
    # one product for all: decoys, and the keys behind them
    spectra = np.concatenate([_decoys(), *(_spectrum(key)[None] for key in keys)])
    products = turned.transpose(1, 0, 2) @ spectra.transpose(1, 2, 0)
    correlations = np.fft.irfft(products.transpose(1, 2, 0), _ROWS, axis=2)
    deviation = np.sqrt(np.mean(correlations[:, :N_DECOYS] ** 2, axis=(1, 2), keepdims=True))
    marks = correlations[:, N_DECOYS:] / np.where(deviation > 0, deviation, np.inf)
    return marks.reshape(len(found), len(speeds), len(keys), _ROWS)


def folded(found: FloatArray, speed: float = 0.0) -> FloatArray:
    """Return the sum of the rows that lie whole periods apart, (2 * PERIOD, BANDS)."""
    place = np.round(np.arange(len(found)) * (1 + speed)).astype(np.int64) % _ROWS
    cells = (place[:, None] * BANDS + np.arange(BANDS)).ravel()
    return np.asarray(np.bincount(cells, found.ravel(), _ROWS * BANDS), np.float64).reshape(_ROWS, BANDS)


def _expected(key: str) -> FloatArray:
    """Return how much each cell of a key's pattern says, every 5 ms, (2 * PERIOD, BANDS)."""
    fine = at_half_frames(pattern(key))
    fine[:, :GENTLE_BANDS] *= _GENTLE_WEIGHT
    return fine


def at_half_frames(signs: NDArray[np.int8]) -> FloatArray:
    """Return a pattern every 5 ms instead of every 10; between two frames both are heard alike."""
    fine = np.empty((_ROWS, BANDS))
    fine[::2] = signs
    fine[1::2] = 0.5 * (signs + np.roll(signs, -1, 0).astype(np.float64))
    return fine


@functools.lru_cache(64)
def _spectrum(key: str) -> NDArray[np.complexfloating]:
    return np.fft.rfft(_expected(key), axis=0)


@functools.cache
def _decoys() -> NDArray[np.complexfloating]:
    return np.stack([np.fft.rfft(_expected(f"decoy {i}"), axis=0) for i in range(N_DECOYS)])


def along(found: FloatArray, place: Match, key: str = PUBLIC_KEY) -> FloatArray:
    """Return how much each row agrees with the pattern at that place, (rows,); around 0 where there is no mark."""
    view = found[place.view]
    row = (np.round(np.arange(len(view)) * (1 + place.speed)).astype(np.int64) + place.offset) % _ROWS
    agreement: FloatArray = (view * _expected(key)[row]).sum(1)
    return agreement
