"""What a source tells all sinks: a command that was heard, or a sentence that was refused and why."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from edgevc.errors import ConfigError
from edgevc.text import shortened

TIME_TO_LIVE = 30.0
"""Seconds in which a command may still be acted on: a late one is dangerous."""


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and abs(value) < 1e12


def _are_slots(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(part, str) for pair in value.items() for part in pair)


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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], time_to_live: float = TIME_TO_LIVE) -> Event:
        """Return an event that `as_dict` wrote, or another program; only `command` must be there.

        Raises:
            ConfigError: a value has another type, or there is neither a command nor a refusal.
        """
        words = {name: values.get(name, "") for name in ("command", "text", "refusal", "wake", "speaker", "source")}
        slots, identity = values.get("slots", {}), values.get("id") or uuid.uuid4().hex
        certainty, at, expires = values.get("certainty", 0.0), values.get("at", time.time()), values.get("expires")
        texts_fine = all(isinstance(word, str) for word in (*words.values(), identity))
        numbers_fine = all(map(_is_number, (certainty, at, at if expires is None else expires)))
        if not (texts_fine and numbers_fine and _are_slots(slots) and (words["command"] or words["refusal"])):
            raise ConfigError(
                'an event must be such as {"command": "light", "slots": {"room": "kitchen"}}, got '
                f"{shortened(dict(list(values.items())[:8]).__repr__())}"
            )
        left = time_to_live if expires is None else max(0.0, expires - at)
        return cls(
            slots=dict(slots), certainty=float(certainty), at=float(at), id=identity[:128], time_to_live=left, **words
        )

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


@dataclass
class Counts:
    """What became of the events that a sink was given. What was given is the sum of the others and what waits."""

    given: int = 0
    sent: int = 0
    """The peer took it."""
    refused: int = 0
    """The peer will not take it."""
    expired: int = 0
    """Its time to live was over."""
    dropped: int = 0
    """There was no room for it."""

    def __str__(self) -> str:
        """Return what a summary has: the counts that are not zero."""
        return ", ".join(f"{value} {name}" for name, value in vars(self).items() if value) or "nothing"


class Sink(Protocol):
    """Takes events to one place. The relay runs `run` as a task of its loop and starts it again when it fails."""

    name: str
    """For logs and counters, such as "mqtt"."""
    counts: Counts

    def prepare(self) -> None:
        """Open what it needs, before the relay runs. Raises EdgevcError where it cannot work."""
        ...

    def take(self, event: Event) -> None:
        """Queue an event at once, bounded; never wait, never raise. What is dropped is counted and logged."""
        ...

    async def run(self) -> None:
        """Connect and deliver until it is cancelled; a peer that fails is tried again with a growing pause."""
        ...

    @property
    def waiting(self) -> int:
        """Events that are neither delivered nor given up."""
        ...

    def describe(self, event: Event) -> list[str]:
        """Return what would be sent, one line for each message."""
        ...


class Source(Protocol):
    """Gives events: a microphone, a live session, a file, Wyoming clients."""

    name: str

    async def run(self) -> None:
        """Hear and call the relay for each event until the source ends or it is cancelled."""
        ...
