"""The kinds of values that a setting may have: each reads text (flags, environment) and values (TOML, JSON)."""

from __future__ import annotations

import ipaddress
import math
import os
import shlex
from abc import ABC, abstractmethod
from numbers import Real
from pathlib import Path

from edgevc.settings.secret import SecretText

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")
_MAX_SOCKET_PATH = 107
"""Bytes that Linux has for the path of a unix socket."""


class Kind(ABC):
    """How a value is read. Every reader raises ValueError for what the rule does not allow."""

    rule: str
    """Completes the sentence "NAME must be ..."."""
    metavar: str | None
    """What stands for the value in the help; None where the flag takes none."""

    @abstractmethod
    def from_text(self, text: str) -> object:
        """Read a flag or an environment variable."""

    def from_value(self, value: object) -> object:
        """Read a value of TOML or JSON; kinds that these have no type for take a string."""
        if not isinstance(value, str):
            raise ValueError
        return self.from_text(value)

    def to_value(self, value: object) -> object:
        """Return the value as TOML and JSON have it; `from_value` takes it back."""
        if isinstance(value, tuple):
            return [self.to_value(part) for part in value]
        return str(value) if isinstance(value, Path) else value

    def seen_from(self, folder: Path, value: object) -> object:
        """Return the value as it is meant by somebody in `folder`; only paths change."""
        return value


class Number(Kind):
    """A finite number within bounds."""

    def __init__(self, low: float, high: float, unit: str = "", metavar: str = "N") -> None:
        """Bounds are allowed values."""
        self.low, self.high, self.metavar = low, high, metavar
        self.rule = f"a number within {low:g}..{high:g}" + (f" {unit}" if unit else "")

    def from_text(self, text: str) -> float:
        """Read a decimal number."""
        return self._checked(float(text))

    def from_value(self, value: object) -> float:
        """Take an integer or a float."""
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ValueError
        try:
            return self._checked(float(value))
        except OverflowError as error:
            # an integer has any length, a float ends at 1e308
            raise ValueError from error

    def _checked(self, value: float) -> float:
        if not (math.isfinite(value) and self.low <= value <= self.high):
            raise ValueError
        return value


class Integer(Kind):
    """A whole number within bounds."""

    metavar = "N"

    def __init__(self, low: int, high: int) -> None:
        """Bounds are allowed values."""
        self.low, self.high = low, high
        self.rule = f"a whole number within {low}..{high}"

    def from_text(self, text: str) -> int:
        """Read a decimal integer."""
        return self.from_value(int(text))

    def from_value(self, value: object) -> int:
        """Take an integer."""
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise ValueError
        return value


class IntegerChoice(Kind):
    """One of a few integers."""

    def __init__(self, choices: tuple[int, ...]) -> None:
        """All that is allowed."""
        self.choices = choices
        self.metavar = "{" + ",".join(map(str, choices)) + "}"
        self.rule = f"one of {', '.join(map(str, choices))}"

    def from_text(self, text: str) -> int:
        """Read a decimal integer."""
        return self.from_value(int(text))

    def from_value(self, value: object) -> int:
        """Take an integer."""
        if isinstance(value, bool) or not isinstance(value, int) or value not in self.choices:
            raise ValueError
        return value


class Choice(Kind):
    """One of a few words."""

    def __init__(self, choices: tuple[str, ...]) -> None:
        """All that is allowed."""
        self.choices = choices
        self.metavar = "{" + ",".join(choices) + "}"
        self.rule = f"one of {', '.join(choices)}"

    def from_text(self, text: str) -> str:
        """Take one of the words."""
        if text not in self.choices:
            raise ValueError
        return text


class Switch(Kind):
    """True or false; the flag has a twin that begins with --no-."""

    metavar = None
    rule = "true or false"

    def from_text(self, text: str) -> bool:
        """Read 1, true, yes, on, or their opposites."""
        word = text.strip().lower()
        if word not in _TRUE + _FALSE:
            raise ValueError
        return word in _TRUE

    def from_value(self, value: object) -> bool:
        """Take true or false."""
        if not isinstance(value, bool):
            raise ValueError
        return value


class Text(Kind):
    """Any words; empty ones mean that nothing is chosen."""

    rule = "text"

    def __init__(self, metavar: str = "NAME") -> None:
        """`metavar` is what the help calls it."""
        self.metavar = metavar

    def from_text(self, text: str) -> str | None:
        """Take the text without the blanks around it."""
        if not text.isprintable():
            raise ValueError
        return text.strip() or None


class Secret(Kind):
    """A password or a key: from the environment, or from a file that nobody else can read; there is no flag."""

    rule = "one line of text"
    metavar = None

    def from_text(self, text: str) -> SecretText | None:
        """Take the text as it is; empty means none."""
        if not text.isprintable():
            raise ValueError
        return SecretText(text) if text else None

    def to_value(self, value: object) -> object:
        """Refuse: nothing writes a secret into a file."""
        raise ValueError


class Words(Kind):
    """A program and its arguments."""

    rule = "a list of words, in one text parted as a shell does"
    metavar = "WORDS"

    def __init__(self, most: int = 100) -> None:
        """At most `most` words."""
        self.most = most

    def from_text(self, text: str) -> tuple[str, ...]:
        """Split as a shell does; nothing is expanded."""
        return self.from_value(shlex.split(text))

    def from_value(self, value: object) -> tuple[str, ...]:
        """Take an array of strings, or the text."""
        if isinstance(value, str):
            return self.from_text(value)
        if not isinstance(value, (list, tuple)) or len(value) > self.most:
            raise ValueError
        if any(not isinstance(word, str) or "\0" in word for word in value):
            raise ValueError
        return tuple(value)


class FilePath(Kind):
    """A path; an empty one means that nothing is chosen. The tilde is expanded."""

    rule = "a path"
    metavar = "PATH"

    def from_text(self, text: str) -> Path | None:
        """Take the path as it is."""
        if "\0" in text:
            raise ValueError
        return Path(text).expanduser() if text.strip() else None

    def seen_from(self, folder: Path, value: object) -> object:
        """Make it absolute."""
        return folder / value if isinstance(value, Path) else value


class ModelPath(Kind):
    """The name of a built-in model, kept as text; or a path to a model folder or .zip."""

    rule = "the name of a built-in model, or a path to a model folder or .zip"
    metavar = "MODEL"

    def from_text(self, text: str) -> str | Path | None:
        """Take a bare name as a built-in model's, everything else as a path; ./NAME is a folder."""
        found = self.from_value(text)
        # a Path forgets the ./, and would be taken for a name again
        return Path.cwd() / found if isinstance(found, Path) and found.name == str(found) else found

    def from_value(self, value: object) -> str | Path | None:
        """Take a string; a path in it may be relative."""
        if not isinstance(value, str):
            raise ValueError
        path = FilePath().from_text(value)
        return str(path) if path is not None and os.sep not in value and path.suffix not in (".zip", ".age") else path

    def seen_from(self, folder: Path, value: object) -> object:
        """Make a path absolute."""
        return folder / value if isinstance(value, Path) else value


class TwoPaths(Kind):
    """Two different paths; in one text they are parted as in PATH."""

    rule = f"two different paths, in a variable separated by {os.pathsep!r}"
    metavar = "PATH"

    def from_text(self, text: str) -> tuple[Path, Path] | None:
        """Split at the path separator."""
        return self.from_value(text.split(os.pathsep) if text.strip() else [])

    def from_value(self, value: object) -> tuple[Path, Path] | None:
        """Take an array of two strings, or an empty one for none."""
        if not isinstance(value, (list, tuple)) or any(not isinstance(part, str) or "\0" in part for part in value):
            raise ValueError
        if not value:
            return None
        first, second = (Path(part).expanduser() for part in value)
        if first == second or not (value[0].strip() and value[1].strip()):
            raise ValueError
        return first, second

    def seen_from(self, folder: Path, value: object) -> object:
        """Make both absolute."""
        return tuple(folder / path for path in value) if isinstance(value, tuple) else value


class Filters(Kind):
    """Peaking filters, each a centre in Hz, a gain in dB and a Q."""

    metavar = "HZ:DB[:Q],..."

    def __init__(self, most: int, hz: tuple[float, float], db: tuple[float, float], q: tuple[float, float]) -> None:
        """At most `most` filters, each value within its bounds."""
        self.most = most
        self._bounds = (hz, db, q)
        self.rule = (
            f"at most {most} filters HZ:DB:Q separated by commas, {hz[0]:g}..{hz[1]:g} Hz, {db[0]:g}..{db[1]:g} dB, "
            f"Q {q[0]:g}..{q[1]:g} (1 where left out)"
        )

    def from_text(self, text: str) -> tuple[tuple[float, float, float], ...]:
        """Read HZ:DB or HZ:DB:Q, separated by commas."""
        parts = [part for part in text.split(",") if part.strip()]
        return self.from_value([[float(number) for number in part.split(":")] for part in parts])

    def from_value(self, value: object) -> tuple[tuple[float, float, float], ...]:
        """Take an array of arrays of two or three numbers, or the text."""
        if isinstance(value, str):
            return self.from_text(value)
        if not isinstance(value, (list, tuple)) or len(value) > self.most:
            raise ValueError
        filters = []
        for entry in value:
            if not isinstance(entry, (list, tuple)) or len(entry) not in (2, 3):
                raise ValueError
            numbers = [*entry, 1.0][:3]
            for number, (low, high) in zip(numbers, self._bounds, strict=True):
                if isinstance(number, bool) or not isinstance(number, (int, float)) or not low <= number <= high:
                    raise ValueError
            filters.append((float(numbers[0]), float(numbers[1]), float(numbers[2])))
        return tuple(filters)


class HostPort(Kind):
    """HOST:PORT, an IPv6 host in brackets; empty for none."""

    rule = "HOST:PORT with a port within 0..65535 (0: any free one), such as 127.0.0.1:9464"
    metavar = "HOST:PORT"

    def from_text(self, text: str) -> str | None:
        """Check that host and port can be told apart."""
        if text.strip():
            split_host_port(text)
        return text.strip() or None


class ControlAddress(Kind):
    """unix:PATH, or a port of this machine."""

    rule = f"unix:PATH with a path of at most {_MAX_SOCKET_PATH} bytes, or 127.0.0.1:PORT"
    metavar = "ADDRESS"

    def from_text(self, text: str) -> str | None:
        """Refuse addresses that other machines reach: whoever reaches it commands the session."""
        word = text.strip()
        if word.startswith("unix:"):
            if not 1 <= len(os.fsencode(word[5:])) <= _MAX_SOCKET_PATH:
                raise ValueError
        elif word and not is_loopback(split_host_port(word)[0]):
            raise ValueError
        return word or None


def split_host_port(text: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT; an IPv6 host loses its brackets.

    Raises:
        ValueError: it is not of that form.
    """
    host, colon, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = str(ipaddress.IPv6Address(host[1:-1]))
    elif ":" in host:
        raise ValueError
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach `host`; a name other than localhost may lead anywhere."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
