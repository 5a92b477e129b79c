"""Moves a speaker's melody into another voice's range, and hands it to the decoder."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

N_PITCH = 4
"""Pitch inputs of the decoder per frame."""

_PRIOR_LOG2_F0 = math.log2(155.0)
# an adult speaker's mean is not known before the first word; a tenth of a second of speech outweighs this guess
_PRIOR_FRAMES = 10.0
# 20 s of voiced speech: slow enough that a sentence keeps its melody, quick enough for another speaker
_MEMORY_FRAMES = 2000.0


class PitchMapper:
    """Shifts log-F0 by the distance between the speaker's running mean and the target voice's mean.

    The mean over voiced frames is causal, so a stream and a file give the same sound.
    """

    def __init__(self, target_log2_f0: float, semitones: float = 0.0) -> None:
        """Start a stream.

        Args:
            target_log2_f0: mean of log2(F0 / Hz) of the target voice.
            semitones: raises or lowers the result.
        """
        self._target = target_log2_f0 + semitones / 12
        self._mean = _PRIOR_LOG2_F0
        self._weight = _PRIOR_FRAMES

    def map(self, f0: float) -> float:
        """Return the F0 in Hz that the target voice speaks where the source has `f0`; 0 where `f0` is 0, unvoiced."""
        if f0 <= 0.0:
            return 0.0
        octaves = math.log2(f0)
        self._weight = min(self._weight + 1.0, _MEMORY_FRAMES)
        self._mean += (octaves - self._mean) / self._weight
        return float(2.0 ** (octaves - self._mean + self._target))


def write_pitch_features(out: NDArray[np.float32], f0: float, periodicity: float, level: float) -> None:
    """Fill one frame of the decoder's `pitch` input, float32 (4,), near unit range.

    Args:
        out: written.
        f0: of the target voice, Hz, 0 where unvoiced.
        periodicity: 0 to 1.
        level: dB.
    """
    out[0] = math.log2(f0) - 7.5 if f0 > 0.0 else 0.0
    out[1] = 1.0 if f0 > 0.0 else 0.0
    out[2] = periodicity
    out[3] = min(max((level + 40.0) / 20.0, -3.0), 2.0)
