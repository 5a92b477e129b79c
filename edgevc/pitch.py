"""Moves a speaker's melody into another voice's range, and hands it to the decoder."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

N_PITCH = 4
"""Pitch inputs of the decoder per frame."""

# A speaker's mean is not known before the first word. The first voiced frames find it, and outweigh this guess at once;
# then it may move only slowly, or the falling melody of a sentence would be flattened.
_PRIOR_LOG2_F0 = math.log2(150.0)
_PRIOR_FRAMES = 4.0
_FIRST_FRAMES = 15
_SLOW_FRAMES = 600.0
# What lies farther from the mean is rather an octave error of the tracker than speech.
_MAX_OCTAVES = 0.7


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
        self.retarget(target_log2_f0, semitones)
        self._mean = _PRIOR_LOG2_F0
        self._n_voiced = 0

    def retarget(self, target_log2_f0: float, semitones: float = 0.0) -> None:
        """Move to another voice or pitch; what is known of the speaker stays."""
        self._target = target_log2_f0 + semitones / 12

    def map(self, f0: float) -> float:
        """Return the F0 in Hz that the target voice speaks where the source has `f0`; 0 where `f0` is 0, unvoiced."""
        if f0 <= 0.0:
            return 0.0
        octaves = math.log2(f0)
        self._n_voiced += 1
        first = self._n_voiced <= _FIRST_FRAMES
        self._mean += (octaves - self._mean) / (_PRIOR_FRAMES + self._n_voiced if first else _SLOW_FRAMES)
        distance = min(max(octaves - self._mean, -_MAX_OCTAVES), _MAX_OCTAVES)
        return float(2.0 ** (distance + self._target))


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
