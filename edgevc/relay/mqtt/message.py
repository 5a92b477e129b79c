"""What is published."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Message:
    """One message with a time to live."""

    topic: str
    payload: bytes
    command: str
    """Which command it tells, for logs."""
    expires: float
    """Unix time after which it is not sent any more."""
    row: int | None = None
    """In the queue on disk; None while it is in memory alone."""
    not_before: float = 0.0
    """Unix time before which it is not tried again."""
    tries: int = 0
    """Times that the broker refused it."""
