"""What is known of the phones beforehand: how often they sound, how long they last at least."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgevc.errors import ConfigError

SILENCE = "SIL"

PHONE_SHARES = {
    "SIL": 0.22185, "AA": 0.01683, "AE": 0.02806, "AH": 0.04727, "AO": 0.0167, "AW": 0.00939, "AY": 0.0274,
    "B": 0.01058, "CH": 0.00575, "D": 0.02559, "DH": 0.01638, "EH": 0.02052, "ER": 0.02339, "EY": 0.02124,
    "F": 0.01743, "G": 0.00808, "HH": 0.01714, "IH": 0.03764, "IY": 0.04159, "JH": 0.0052, "K": 0.02261, "L": 0.02914,
    "M": 0.02318, "N": 0.04296, "NG": 0.01046, "OW": 0.01671, "OY": 0.00311, "P": 0.01344, "R": 0.02577, "S": 0.04399,
    "SH": 0.00981, "T": 0.04815, "TH": 0.00714, "UH": 0.00366, "UW": 0.01726, "V": 0.01025, "W": 0.02089,
    "Y": 0.00742, "Z": 0.02531, "ZH": 0.00072,
}  # fmt: skip
"""Share of the time of read English speech in which each phone sounds, from 6.3 h of aligned training data."""

_LONG = frozenset(("AW", "AY", "OY", "EY", "OW", "AO", "AA", "AE", "ER", "IY", "UW", "S", "SH", "CH", "JH"))
"""Full vowels, diphthongs, sibilants."""
_SHORT = frozenset(("AH", "IH", "UH", "B", "D", "G", "DH", "T", "P", "K", "HH"))
"""Weak vowels, stops, and what becomes a flap or a breath."""
_SHORT_FRAMES, _OTHER_FRAMES, _LONG_FRAMES = 3, 4, 5


def minimum_frames(phones: Sequence[str]) -> dict[str, int]:
    """Return how many frames of 10 ms each phone lasts at least.

    They say how fast speech may be, and are what keeps words from being read into noise: with 1, 2 and 3 frames
    "and some milk" finds room at the end of any sentence. Those of pocketsphinx's models are 3 for every phone.
    """
    return {
        phone: _LONG_FRAMES if phone in _LONG else _SHORT_FRAMES if phone in _SHORT else _OTHER_FRAMES
        for phone in phones
    }


def log_priors(phones: Sequence[str]) -> NDArray[np.float64]:
    """Return natural logs of `PHONE_SHARES` for phones in any order, (n_phones,).

    Raises:
        ConfigError: a phone is not in the table.
    """
    unknown = [phone for phone in phones if phone not in PHONE_SHARES]
    if unknown:
        raise ConfigError(f"expected phones of ARPAbet and {SILENCE}, got {unknown[0]!r}")
    logs: NDArray[np.float64] = np.log([PHONE_SHARES[phone] for phone in phones])
    return logs
