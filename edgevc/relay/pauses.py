"""Pauses between tries, which grow so that a peer that is down is not asked all the time."""

from __future__ import annotations

import random

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 30.0


class Pauses:
    """Each pause is up to twice the last one; chance keeps many relays from asking at the same moment."""

    def __init__(self, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS) -> None:
        """Both in seconds."""
        self.first, self.longest = first, longest
        self._next = first

    def next(self) -> float:
        """Return the next pause in seconds."""
        pause, self._next = self._next, min(2 * self._next, self.longest)
        return pause * random.uniform(0.75, 1.0)  # noqa: S311 (no secret)

    def reset(self) -> None:
        """Begin again with the first one."""
        self._next = self.first
