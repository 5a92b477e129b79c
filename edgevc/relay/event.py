"""What a source tells all sinks: a command that was heard, or a sentence that was refused and why."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

TIME_TO_LIVE = 30.0
"""Seconds in which a command may still be acted on: a late one is dangerous."""


@dataclass(frozen=True)
class Event:
    """One sentence. Immutable; sinks share it."""

    command: str
    """Name of the command (intent); of a refusal the nearest one, or empty."""
    slots: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    """The words that were heard."""
    certainty: float = 0.0
    """See `edgevc.recognition.evidence`."""
    refusal: str = ""
    """Why it is no command, in words for people; empty: it is one."""
    wake: str = ""
    """The wake phrase that armed it; empty where none was asked for."""
    speaker: str = ""
    """Name of the enrolled speaker, where one was recognised."""
    source: str = ""
    """Which microphone, live session or client it came from."""
    at: float = field(default_factory=time.time)
    """Unix time at which its end was noticed."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    """The same wherever the event is sent again, so that a receiver can tell a repetition."""
    time_to_live: float = TIME_TO_LIVE

    @property
    def expires(self) -> float:
        """Unix time after which it is not sent any more."""
        return self.at + self.time_to_live

    def as_dict(self) -> dict[str, Any]:
        """Return what is written as JSON: the same keys in every sink."""
        return {
            "id": self.id,
            "command": self.command,
            "slots": dict(self.slots),
            "text": self.text,
            "certainty": round(self.certainty, 3),
            "refusal": self.refusal,
            "wake": self.wake,
            "speaker": self.speaker,
            "source": self.source,
            "at": round(self.at, 3),
            "expires": round(self.expires, 3),
        }


class Sink(Protocol):
    """Takes events to one place. The relay runs `run` as a task of its loop and starts it again when it fails."""

    name: str
    """For logs and counters, such as "mqtt"."""

    def take(self, event: Event) -> None:
        """Queue an event at once, bounded; never wait, never raise. What is dropped is counted and logged."""
        ...

    async def run(self) -> None:
        """Connect and deliver until it is cancelled; a peer that fails is tried again with a growing pause."""
        ...


class Source(Protocol):
    """Gives events: a microphone, a live session, a file, Wyoming clients."""

    name: str

    async def run(self) -> None:
        """Hear and call the relay for each event until the source ends or it is cancelled."""
        ...
