"""What can be changed of a relay while it runs: whether it listens, and how sure it must be."""

from __future__ import annotations

from collections.abc import Callable

from edgevc.recognition.recognizer import LEAST_CERTAINTY

SENSITIVITY = 50.0
"""Per cent at which a sentence must be as certain as LEAST_CERTAINTY."""
STEP = 2.0
"""Of certainty, from 50 to 100 % or to 0 %: at 0 hardly anything is certain enough."""


class Controls:
    """Sources read it from their threads; the loop writes it."""

    def __init__(self, sensitivity: float = SENSITIVITY) -> None:
        """`sensitivity` is per cent."""
        self.listening = True
        self.sensitivity = sensitivity
        self._watchers: list[Callable[[], None]] = []

    @property
    def least_certainty(self) -> float:
        """Sentences below it are refused."""
        return LEAST_CERTAINTY - STEP * (self.sensitivity - SENSITIVITY) / SENSITIVITY

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` after each change, in the loop."""
        self._watchers.append(changed)

    def set(self, *, listening: bool | None = None, sensitivity: float | None = None) -> None:
        """Change it; call in the loop."""
        if listening is not None:
            self.listening = listening
        if sensitivity is not None:
            self.sensitivity = min(max(sensitivity, 0.0), 100.0)
        for changed in self._watchers:
            changed()
