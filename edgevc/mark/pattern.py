"""The public pattern of the watermark: which bands of a frame are louder, and which quieter.

The core lays it over the voice (csrc/include/edgevc/watermark.h); here it is for the detector.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

PUBLIC_KEY = "edgevc speech watermark 1"
"""The same for everybody and all sounds. Who knows it can find the mark, take it away, or put it on any sound."""
FIRST_BIN = 10
"""Of 257 of 31.25 Hz each: 312.5 Hz."""
BINS_PER_BAND = 6
BANDS = 40
GENTLE_BANDS = 5
"""The lowest ones: their steps are of 0.3 dB, those of the others of 0.6 dB."""
HOLD_FRAMES = 2
"""Frames of 10 ms of one sign."""
PERIOD = 96
"""Frames after which all repeats."""

_ROWS, _PAIRS = PERIOD // (2 * HOLD_FRAMES), BANDS // 2


def pattern(key: str = PUBLIC_KEY) -> NDArray[np.int8]:
    """Return 1 where a band is louder and -1 where it is quieter, int8 (PERIOD, BANDS).

    The first 480 bits of the key's SHAKE-256 are one sign each for two neighbouring bands, which have opposite signs,
    during HOLD_FRAMES frames and, turned, HOLD_FRAMES more.

    Args:
        key: any text; another key gives a pattern that is not ours.
    """
    digest = np.frombuffer(hashlib.shake_256(key.encode()).digest(_ROWS * _PAIRS // 8), np.uint8)
    signs = 2 * np.unpackbits(digest).astype(np.int8).reshape(_ROWS, _PAIRS) - 1
    bands = np.stack([signs, -signs], axis=2).reshape(_ROWS, BANDS)
    steps = np.stack([bands, -bands], axis=1).reshape(2 * _ROWS, BANDS)
    return np.repeat(steps, HOLD_FRAMES, axis=0)
