"""Overload policy: process more hops per call, or skip conversion, when the CPU cannot keep up."""

from __future__ import annotations

import math
from collections import deque
from statistics import median

# Of a call's audio time; beyond it there is no room for what else the machine does.
_TOO_MUCH = 0.85
_RECENT_CALLS = 5
_FIRST_HOLD_SECONDS = 2.0
_MAX_HOLD_SECONDS = 60.0
_CALM_SECONDS = 30.0


class _Hold:
    """How long to wait before trying again; twice as long after each failure, short again after a calm time."""

    def __init__(self) -> None:
        self._seconds = _FIRST_HOLD_SECONDS
        self.until = -math.inf

    def fail(self, now: float) -> None:
        calm = now - self.until > _CALM_SECONDS
        self._seconds = _FIRST_HOLD_SECONDS if calm else min(2 * self._seconds, _MAX_HOLD_SECONDS)
        self.until = now + self._seconds


class Batcher:
    """Policy `batch`: twice the hops per call while calls take too long, half of them again when there is room."""

    def __init__(self, sizes: tuple[int, ...], start: int) -> None:
        """`sizes`: hops per call that are loaded, ascending; `start`: the least that is used."""
        self._sizes = [size for size in sizes if size >= start]
        self._index = 0
        self._loads: deque[float] = deque(maxlen=_RECENT_CALLS)
        self._missed: deque[float] = deque(maxlen=2)
        self._hold = _Hold()

    @property
    def chunk_hops(self) -> int:
        """Hops per call now."""
        return self._sizes[self._index]

    def update(self, now: float, spent: float, audio: float, missed: bool) -> bool:
        """Take one call's times in seconds and whether it came too late; return True where `chunk_hops` changed."""
        self._loads.append(spent / audio)
        if missed:
            self._missed.append(now)
        load = median(self._loads) if len(self._loads) == _RECENT_CALLS else 0.0
        late = len(self._missed) == 2 and now - self._missed[0] < 1.0
        if (load > _TOO_MUCH or late) and self._index + 1 < len(self._sizes):
            self._move(1)
            self._hold.fail(now)
            return True
        # half the hops cost at most twice as much per hop
        if self._index and now >= self._hold.until and load < _TOO_MUCH / 2 and not late:
            self._move(-1)
            return True
        return False

    def _move(self, by: int) -> None:
        self._index += by
        self._loads.clear()
        self._missed.clear()


class Rester:
    """Policies `bypass` and `silence`: the converter rests where it would come too late, and is tried again."""

    def __init__(self) -> None:
        """The converter runs."""
        self._spent: deque[float] = deque(maxlen=_RECENT_CALLS)
        self._hold = _Hold()

    def may_convert(self, now: float, time_left: float) -> bool:
        """Return whether to convert a chunk whose output is needed in `time_left` seconds."""
        if now < self._hold.until:
            return False
        if self._spent and median(self._spent) > time_left:
            self._spent.clear()
            self._hold.fail(now)
            return False
        return True

    def update(self, spent: float) -> None:
        """Take the seconds that a conversion took."""
        self._spent.append(spent)
