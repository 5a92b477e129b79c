"""Where the live session takes its time from; tests give it a simulated one."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Seconds that never run backwards."""

    def now(self) -> float:
        """Return the present, in seconds since some fixed moment."""
        ...

    def sleep(self, seconds: float, stop: threading.Event) -> bool:
        """Wait; return True, at once, when `stop` is set."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    now = staticmethod(time.monotonic)

    def sleep(self, seconds: float, stop: threading.Event) -> bool:
        """Wait; return True, at once, when `stop` is set."""
        return stop.wait(seconds)
