"""What can be changed of a session while it runs: one table, from which every face of a session is made.

The control socket, `edgevc control`, the keys of the terminal and docs/live-control.md read it; a control that is added
here is known to all of them.

    python -m edgevc.control.document > docs/live-control.md
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from edgevc.errors import ConfigError
from edgevc.limits import GAIN_DB, SEMITONES
from edgevc.settings.kinds import Choice, Kind, Number, Switch, Text
from edgevc.text import shortened

MODES = ("convert", "bypass", "mute")
GAIN_STEP_DB = 1.0
"""Of one key."""


class Wishes(Protocol):
    """What a session is asked to be; it follows with the next chunk. Any thread may set it to values that are valid."""

    mode: str
    voice: str
    gain_db: float
    semitones: float
    listening: bool


class Snapshot(Protocol):
    """What a session tells of itself, see `LiveStats`."""

    def as_dict(self) -> dict[str, Any]:
        """Return names and values; values are numbers, words, or a dict of them."""
        ...


S = TypeVar("S", bound=Snapshot, covariant=True)


class Controlled(Protocol[S]):
    """What every face needs of a session."""

    voices: tuple[str, ...]
    """Names that the control `voice` takes."""

    @property
    def wishes(self) -> Wishes:
        """What the controls set."""
        ...

    def stats(self) -> S:
        """Return a snapshot, from any thread."""
        ...

    def add_tap(self, tap: Any) -> None:
        """Give `tap.on_chunk` every chunk from now on."""
        ...

    def remove_tap(self, tap: Any) -> None:
        """Give it nothing more."""
        ...


@dataclass(frozen=True)
class Press:
    """A key that was pressed, and what its control is at that moment."""

    character: str
    now: Any
    before: Any
    """What it was before the last key; None at first."""
    voices: Sequence[str] = ()


@dataclass(frozen=True)
class Key:
    """A key of the terminal, or several with one meaning."""

    characters: str
    label: str
    """Says what it does, beside the characters."""
    value: Callable[[Press], object]
    """Returns the value to set; None for nothing."""
    shown: str = ""
    """What the help writes for the characters; the characters themselves where empty."""


@dataclass(frozen=True)
class Control:
    """One thing that can be changed of a running session."""

    name: str
    kind: Kind
    field: str
    """Of `Wishes`."""
    help: str
    keys: tuple[Key, ...] = ()
    choices: Callable[[Controlled[Any]], tuple[str, ...]] | None = None
    """Words that depend on the session; None where the kind says all."""

    def kind_of(self, session: Controlled[Any]) -> Kind:
        """Return the kind with the choices that this session has."""
        return self.kind if self.choices is None else Choice(self.choices(session))

    def get(self, session: Controlled[Any]) -> Any:
        """Return what the session is asked to be."""
        return getattr(session.wishes, self.field)

    def set(self, session: Controlled[Any], value: object) -> Any:
        """Check `value` and ask the session for it; return it as it was understood.

        Raises:
            ConfigError: the rule of the kind is broken.
        """
        kind = self.kind_of(session)
        try:
            checked = kind.from_value(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise ConfigError(f"{self.name} must be {kind.rule}, got {shortened(value)}") from error
        setattr(session.wishes, self.field, checked)
        return checked

    def from_text(self, text: str) -> Any:
        """Read a word of a command line; what depends on the session is left to the session.

        Raises:
            ConfigError: the rule of the kind is broken.
        """
        try:
            return self.kind.from_text(text)
        except (ValueError, TypeError, OverflowError) as error:
            raise ConfigError(f"{self.name} must be {self.kind.rule}, got {shortened(text)}") from error


def _toggle_mute(press: Press) -> str:
    before = press.before if press.before in MODES and press.before != "mute" else "convert"
    return before if press.now == "mute" else "mute"


def _toggle_bypass(press: Press) -> str:
    return "convert" if press.now == "bypass" else "bypass"


def _neighbour(press: Press) -> str | None:
    if not press.voices:
        return None
    step = 1 if press.character == "v" else -1
    index = press.voices.index(press.now) if press.now in press.voices else -step
    return press.voices[(index + step) % len(press.voices)]


def _numbered(press: Press) -> str | None:
    number = int(press.character)
    return press.voices[number - 1] if number <= len(press.voices) else None


def _louder(press: Press) -> float:
    return float(press.now) + (GAIN_STEP_DB if press.character == "+" else -GAIN_STEP_DB)


CONTROLS = (
    Control(
        "mode",
        Choice(MODES),
        "mode",
        "play the converted voice, the unconverted voice (bypass), or nothing (mute)",
        (Key("m", "mute", _toggle_mute), Key("b", "bypass", _toggle_bypass)),
    ),
    Control(
        "voice",
        Text("NAME"),
        "voice",
        "the target voice; two voices fade into each other",
        (Key("vV", "next voice", _neighbour, "v"), Key("123456789", "voice", _numbered, "1-9")),
        lambda session: session.voices,
    ),
    Control("gain", Number(*GAIN_DB, "dB", "DB"), "gain_db", "output level", (Key("+-", "gain", _louder, "+ -"),)),
    Control("pitch", Number(*SEMITONES, "semitones", "SEMITONES"), "semitones", "raise or lower the pitch"),
    Control("listening", Switch(), "listening", "go on hearing while muted or in bypass, for spoken commands"),
)
BY_NAME = {control.name: control for control in CONTROLS}


def apply(session: Controlled[Any], name: str, value: object) -> Any:
    """Set one control of a session; return the value as it was understood.

    Raises:
        ConfigError: there is no such control, or the value breaks its rule.
    """
    if name not in BY_NAME:
        raise ConfigError(f"a control is one of {', '.join(BY_NAME)}, got {shortened(name)}")
    return BY_NAME[name].set(session, value)
