"""Judges what a model gives before it is played: frames that are no sound, and sound that is far too loud."""

from __future__ import annotations

import logging
import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.limits import HOP_LENGTH, SAMPLE_RATE
from edgevc.live.rare_log import RareLog

_LOG = logging.getLogger(__name__)

MAX_ABOVE_INPUT = 10 ** (12 / 10)
"""Energy of the converted voice over that of the dry one; speech stays below 2 dB, see docs/live.md."""
LOUD_ENOUGH = 10 ** (-40 / 10)
"""Mean square, -40 dBFS: below it nothing is turned down, however quiet the input is."""
LOUDNESS_SECONDS = 3.0
"""Over which both are averaged."""
_FADE_LENGTH = 320
# Energies cost as much as a fade; a few looks a second tell as much as all.
_LOOK_SAMPLES = 8 * HOP_LENGTH


class Judged(Protocol):
    """What the guard needs of a `ConverterStream`."""

    @property
    def n_bad_frames(self) -> int:
        """Frames since the last reset in which the model gave no sound."""
        ...

    @property
    def n_model_resets(self) -> int:
        """How often the stream cleared the model's memory."""
        ...


class ModelGuard:
    """Counts bad frames and how often the stream cleared the model's memory; holds the loudness near the input's.

    A model that does what it was trained for is let through bit for bit.
    """

    def __init__(self) -> None:
        """Nothing judged yet."""
        self.bad_frames = 0
        """In which the model gave values that are not finite or absurd; they are silent."""
        self.resets = 0
        """Times that the model's memory was cleared."""
        self.loud_hops = 0
        """Hops that were turned down because the model was far louder than what it heard."""
        self._seen = 0
        self._seen_resets = 0
        self._position = 0
        self._looked_at = 0
        self._dry = self._wet = 0.0
        self._gain = _core.FadeGain(_FADE_LENGTH)
        self._log = RareLog(_LOG)

    def judge(self, stream: Judged, dry: NDArray[np.float32], wet: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what may be played of `wet`, which `stream` made of `dry`; both float32 (n * 160,)."""
        self._position += len(dry)
        if stream.n_bad_frames != self._seen:
            self._count(stream)
        if self._position - self._looked_at >= _LOOK_SAMPLES:
            self._look(dry, wet)
        if self._gain.target == 1.0 and not self._gain.remaining:
            return wet
        self.loud_hops += len(wet) // HOP_LENGTH
        return self._gain.process(wet)

    def _count(self, stream: Judged) -> None:
        # a voice that is new or was reset counts from 0 again
        self.bad_frames += stream.n_bad_frames - (self._seen if stream.n_bad_frames >= self._seen else 0)
        resets = stream.n_model_resets
        self.resets += resets - (self._seen_resets if resets >= self._seen_resets else 0)
        self._seen, self._seen_resets = stream.n_bad_frames, resets
        now = self._position / SAMPLE_RATE
        self._log.warn(now, "the model gives what is no sound (not finite or absurd); it is taken as silence")

    def _look(self, dry: NDArray[np.float32], wet: NDArray[np.float32]) -> None:
        seconds = (self._position - self._looked_at) / SAMPLE_RATE
        self._looked_at = self._position
        share = min(1.0, seconds / LOUDNESS_SECONDS)
        self._dry += share * (float(dry @ dry) / len(dry) - self._dry)
        self._wet += share * (float(wet @ wet) / len(wet) - self._wet)
        allowed = max(LOUD_ENOUGH, MAX_ABOVE_INPUT * self._dry)
        if self._wet <= allowed:
            self._gain.set_target(1.0)
            return
        self._gain.set_target(math.sqrt(allowed / self._wet))
        decibels = 10 * math.log10(self._wet / allowed)
        self._log.warn(
            self._position / SAMPLE_RATE,
            "the model is far louder than what it hears; it is turned down by %.0f dB and more, see `edgevc info`",
            decibels,
        )
