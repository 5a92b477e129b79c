"""What a command shows on stderr while it works: one line that changes, on a terminal."""

from __future__ import annotations

import contextlib
import sys
import time

from edgevc.text import printable

_EVERY_S = 0.1


class Progress:
    """One line on a terminal, at most ten times a second; elsewhere nothing, or a line for each new step."""

    def __init__(self, *, steps: bool = False) -> None:
        """Start the clock.

        Args:
            steps: where stderr is no terminal, write a line whenever `step` changes: for work of minutes in a log.
        """
        self._started = time.monotonic()
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._steps = steps and sys.stderr is not None and not self._terminal
        self._last = ""
        self._shown_at = -_EVERY_S
        self._visible = False

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    def show(self, text: str, step: str | None = None) -> None:
        """Show `text`; `step` is the part of it that a log should have, without what changes too often."""
        if self._terminal:
            now = time.monotonic()
            if now - self._shown_at >= _EVERY_S:
                self._shown_at, self._visible = now, True
                _write(f"\r\033[K{printable(text)}")
        elif self._steps and (step or text) != self._last:
            self._last = step or text
            _write(f"{self.seconds:4.0f} s  {printable(self._last)}\n")

    def close(self) -> None:
        """Clear the line; what comes next may be shown at once."""
        if self._visible:
            _write("\r\033[K")
        self._visible, self._shown_at = False, -_EVERY_S


def _write(text: str) -> None:
    # the terminal may have gone, which is no reason to end the work
    with contextlib.suppress(OSError, ValueError):
        print(text, end="", file=sys.stderr, flush=True)


def bar(done: float, total: float | None, unit: str = "s") -> str:
    """Return how much is done, as a bar where the whole is known."""
    if not total:
        return f"{done:.1f} {unit}"
    filled = round(30 * min(1.0, done / total))
    return f"[{'#' * filled}{'.' * (30 - filled)}] {done:.1f} / {total:.1f} {unit}"
