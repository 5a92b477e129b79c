"""What the worker of a live session counts and times; any thread may read it."""

from __future__ import annotations

import math
from array import array
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.limits import SAMPLE_RATE
from edgevc.live.stats import Percentiles

SILENCE_DB = -120.0
_HOPS_PER_MINUTE = 6_000
_LEVEL_CHUNKS = 10


class Rolling:
    """The last values of something that is measured again and again."""

    def __init__(self, size: int = _HOPS_PER_MINUTE) -> None:
        """`size` values are kept."""
        # not NumPy's: writing one value into its arrays takes twice as long
        self._values = array("f", bytes(4 * size))
        self._n = 0

    def add(self, value: float) -> None:
        """Append; the oldest goes."""
        self._values[self._n % len(self._values)] = value
        self._n += 1

    def percentiles(self) -> Percentiles:
        """Return the distribution of what is kept; zeros where nothing is."""
        return Percentiles.of(np.array(self._values[: self._n]))


class Level:
    """RMS level of the last 10 chunks, 100 ms at one hop each, dB re full scale; computed when it is asked for.

    What lies below speech does not count: a microphone's offset is no voice.
    """

    def __init__(self) -> None:
        """Silence so far."""
        self._chunks: deque[NDArray[np.float32]] = deque(maxlen=_LEVEL_CHUNKS)

    def add(self, samples: NDArray[np.float32]) -> None:
        """Take the next chunk, float32 (T,), which must not be written to any more."""
        self._chunks.append(samples)

    @property
    def db(self) -> float:
        """-120 at silence."""
        chunks = tuple(self._chunks)
        if not chunks:
            return SILENCE_DB
        samples = _core.HighPass(SAMPLE_RATE).process(np.concatenate(chunks))
        energy = float(samples @ samples)
        return max(SILENCE_DB, 10 * math.log10(energy / len(samples))) if energy > 0 else SILENCE_DB


class Load:
    """Processing time / audio time over the last second."""

    def __init__(self) -> None:
        """Nothing done yet."""
        self._calls: deque[tuple[float, float]] = deque()
        self._audio = 0.0
        self._spent = 0.0

    def add(self, spent: float, audio: float) -> None:
        """Take a call that spent so many seconds on so many seconds of audio."""
        self._calls.append((spent, audio))
        self._audio += audio
        self._spent += spent
        while self._audio > 1.0 and len(self._calls) > 1:
            old_spent, old_audio = self._calls.popleft()
            self._audio -= old_audio
            self._spent -= old_spent

    @property
    def value(self) -> float:
        """0 where nothing was done."""
        return max(0.0, self._spent) / self._audio if self._audio > 0 else 0.0


@dataclass
class Meters:
    """Written by the worker only; no counter ever falls, a new device does not reset them."""

    hops: int = 0
    samples: int = 0
    """At 16 kHz that went through; Python's integers do not overflow."""
    deadlines_missed: int = 0
    dropped_samples: float = 0.0
    """At 16 kHz, skipped to stay in time."""
    hops_bypassed: int = 0
    drift_corrections: int = 0
    worker_stalls: int = 0
    bad_samples: int = 0
    slow_calls: int = 0
    busy_since: float | None = None
    """When the call of the chain began that goes on now."""
    clock_ratio: float = 1.0
    processing_ms: Rolling = field(default_factory=Rolling)
    playback_fill_ms: Rolling = field(default_factory=Rolling)
    queued: float = 0.0
    """Samples at 16 kHz that wait on both sides of the scheduler."""
    capture_wait: float = 0.0
    """Those on the input side, when a chunk is complete; mean."""
    load: Load = field(default_factory=Load)
