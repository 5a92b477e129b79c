"""What the worker of a live session counts and times; any thread may read it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgevc.live.stats import Percentiles

SILENCE_DB = -120.0
_HOPS_PER_MINUTE = 6_000
_LEVEL_HOPS = 10


class Rolling:
    """The last values of something that is measured again and again."""

    def __init__(self, size: int = _HOPS_PER_MINUTE) -> None:
        """`size` values are kept."""
        self._values = np.zeros(size, np.float32)
        self._n = 0

    def add(self, value: float) -> None:
        """Append; the oldest goes."""
        self._values[self._n % len(self._values)] = value
        self._n += 1

    def percentiles(self) -> Percentiles:
        """Return the distribution of what is kept; zeros where nothing is."""
        values = self._values[: min(self._n, len(self._values))].copy()
        if not len(values):
            return Percentiles()
        p50, p95, p99 = (float(p) for p in np.percentile(values, (50, 95, 99)))
        return Percentiles(p50, p95, p99, float(values.max()))


class Level:
    """RMS level of the last 100 ms, dB re full scale."""

    def __init__(self) -> None:
        """Silence so far."""
        self._hops: deque[tuple[float, int]] = deque(maxlen=_LEVEL_HOPS)

    def add(self, samples: NDArray[np.float32]) -> None:
        """Take the next chunk, float32 (T,)."""
        self._hops.append((float(samples @ samples), len(samples)))

    @property
    def db(self) -> float:
        """-120 at silence."""
        hops = tuple(self._hops)
        n = sum(count for _, count in hops)
        energy = sum(energy for energy, _ in hops)
        return max(SILENCE_DB, 10 * math.log10(energy / n)) if energy > 0 and n else SILENCE_DB


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
    clock_ratio: float = 1.0
    processing_ms: Rolling = field(default_factory=Rolling)
    playback_fill_ms: Rolling = field(default_factory=Rolling)
    queued: float = 0.0
    """Samples at 16 kHz that wait on both sides of the scheduler."""
    capture_wait: float = 0.0
    """Those on the input side, when a chunk is complete; mean."""
    load: Load = field(default_factory=Load)
