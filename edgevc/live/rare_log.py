"""Says a fault that may come in hundreds once, and then rarely."""

from __future__ import annotations

import logging
import math

EVERY_SECONDS = 60.0


class RareLog:
    """Warnings of a live session, each kind at most once a minute."""

    def __init__(self, logger: logging.Logger) -> None:
        """`logger` takes what is said."""
        self._logger = logger
        self._said: dict[str, float] = {}

    def warn(self, now: float, message: str, *values: object) -> None:
        """Say `message`, unless it was said within the last minute; `now` in seconds of any clock."""
        if now - self._said.get(message, -math.inf) >= EVERY_SECONDS:
            self._said[message] = now
            self._logger.warning(message, *values)
