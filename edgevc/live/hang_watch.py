"""Whether a call that the worker of a live session made will ever come back."""

from __future__ import annotations

from edgevc.live.clock import Clock

HANG_SECONDS = 10.0
"""A call of the model that takes so long, and is looked at twice meanwhile, will not come back."""
CONFIRM_SECONDS = 2.0
"""Between the two looks."""


class HangWatch:
    """Judges the call that goes on now.

    Two looks some seconds apart must see the same call: a process that was stopped and goes on has a long one, too.
    """

    def __init__(self, clock: Clock) -> None:
        """Nothing seen yet; `clock` is the worker's."""
        self._clock = clock
        # when the call began that takes long, and when it was first seen to
        self._suspect = (0.0, 0.0)

    def look(self, busy_since: float | None) -> float:
        """Return for how many seconds a call has not come back that never will; 0.0 where there is none.

        Args:
            busy_since: when the call began that goes on now; None between two calls.
        """
        now = self._clock.now()
        if busy_since is None or now - busy_since < HANG_SECONDS:
            return 0.0
        if self._suspect[0] != busy_since:
            self._suspect = (busy_since, now)
        return now - busy_since if now - self._suspect[1] >= CONFIRM_SECONDS else 0.0
