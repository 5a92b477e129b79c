"""Follows the ratio of two sound devices' clocks, slowly enough that nobody hears it."""

from __future__ import annotations

from collections import deque

import numpy as np

MAX_DEVIATION = 0.015
"""Of the ratio from 1: 26 cents. Sound cards differ by 0.02 % at most; 1 % is the worst that shall work."""

_UPDATE_SECONDS = 0.1
_WINDOW_SECONDS = 60.0
_FIRST_SECONDS = 1.0
# A lag of 10 ms changes the speed by 0.2 %, 3.5 cents, and is halved every 3.5 s.
_LAG_GAIN = 0.2
_MAX_LAG_TERM = 0.004
_LAG_SECONDS = 1.0
# What one clock and exact bookkeeping leave: the rounding of the resamplers.
_DEAD_SECONDS = 0.0006
# Least change worth telling the resampler.
_STEP = 2e-6


class ClockFollower:
    """Finds how many output samples an input sample is worth, from what both devices have moved.

    The slope of samples played over samples captured (least squares over a minute at most) is the ratio of the two
    clocks, whatever was dropped or underflowed meanwhile. The devices move whole blocks, so over t seconds the slope is
    uncertain by 1.5 blocks / t; it counts once it is beyond that. The rest, and what an accident left in the queues, is
    led back by a term proportional to the lag. With one clock both are exactly 0, and so is the correction.
    """

    def __init__(self, block_seconds: float) -> None:
        """`block_seconds`: the longer of both devices' blocks."""
        self._block = block_seconds
        self._points: deque[tuple[float, float]] = deque()
        self._lag = 0.0
        self._before = 0.0
        self._next = 0.0
        self.slope = 1.0
        """Output clock / input clock as estimated."""
        self.ratio = 1.0
        """Output samples per input sample, nominal rates taken out, that keep the queues at their target."""
        self.corrections = 0
        """Times `ratio` was moved."""

    def update(self, captured: float, played: float, lag: float) -> bool:
        """Take the state of the queues; return True where `ratio` was moved.

        Args:
            captured: seconds of input captured since the start, by the input's nominal rate.
            played: seconds of output played since the start, by the output's nominal rate.
            lag: seconds that wait in both queues beyond the target.
        """
        self._lag += min(1.0, max(0.0, captured - self._before) / _LAG_SECONDS) * (lag - self._lag)
        self._before = captured
        if captured < self._next:
            return False
        self._next = captured + _UPDATE_SECONDS
        self._points.append((captured, played))
        while self._points[0][0] < captured - _WINDOW_SECONDS:
            self._points.popleft()
        self._estimate()
        wanted = self.slope - self._lag_term()
        wanted = min(max(wanted, 1 - MAX_DEVIATION), 1 + MAX_DEVIATION)
        if wanted == self.ratio or (abs(wanted - self.ratio) < _STEP and wanted != 1.0):
            return False
        self.ratio = wanted
        self.corrections += 1
        return True

    def forget(self) -> None:
        """Start to measure anew, because samples went by that nobody counted; the ratio stays."""
        self._points.clear()

    def _estimate(self) -> None:
        points = np.array(self._points)
        length = points[-1, 0] - points[0, 0]
        if length < _FIRST_SECONDS:
            return
        x, y = (points - points.mean(0)).T
        excess = float(x @ (y - x)) / float(x @ x)
        # a single block more or less, in the middle of the time
        doubt = 1.5 * self._block / length
        if abs(excess) > doubt:
            self.slope = 1.0 + excess

    def _lag_term(self) -> float:
        lag = self._lag
        if abs(lag) < _DEAD_SECONDS:
            return 0.0
        return min(max(_LAG_GAIN * lag, -_MAX_LAG_TERM), _MAX_LAG_TERM)
