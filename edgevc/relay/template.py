"""Texts of the user's own into which a command's words are filled, such as home/{room}/{command}."""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgevc.errors import ConfigError
from edgevc.relay.event import Event
from edgevc.text import shortened

_FIELD = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
MAX_TOPIC_BYTES = 65_535
"""MQTT 5, section 1.5.4."""


class MissingFieldError(Exception):
    """A command does not have what a template asks for."""


class Template:
    """A text with {names} in it."""

    def __init__(self, text: str, what: str) -> None:
        """Read it.

        Args:
            text: with {command}, {text}, {id}, {device} or slots' names.
            what: the setting's name, for messages.

        Raises:
            ConfigError: a brace is not of that form.
        """
        self.text, self.what = text, what
        rest = _FIELD.sub("", text)
        wrong = [name for name in _FIELD.findall(text) if not _NAME.fullmatch(name)]
        if "{" in rest or "}" in rest or wrong:
            raise ConfigError(f"{what} must have a name in each pair of braces, such as {{command}}, got {text!r}")

    def require_topic(self) -> None:
        """Refuse what is no topic to publish to.

        Raises:
            ConfigError: it has wildcards, or begins with $, which belongs to brokers.
        """
        if not self.text or set("+#\0") & set(self.text) or self.text[0] in "$/" or self.text[-1] == "/":
            raise ConfigError(
                f"{self.what} must be a topic without + and #, and neither begin with $ or / nor end with /, got "
                f"{self.text!r}"
            )

    def fill(self, fields: Mapping[str, str]) -> str:
        """Return the text.

        Raises:
            MissingFieldError: a name is not among the fields.
        """

        def value(match: re.Match[str]) -> str:
            if match[1] not in fields:
                raise MissingFieldError(f"it has no {match[1]}, which {self.what} needs")
            return fields[match[1]]

        return _FIELD.sub(value, self.text)

    def topic(self, fields: Mapping[str, str]) -> str:
        """Return a topic; what a field says stays within its level and is no wildcard."""
        text = self.fill({name: re.sub(r"[/+#\0]", "_", value) for name, value in fields.items()})
        if len(text.encode()) > MAX_TOPIC_BYTES:
            raise MissingFieldError(f"{self.what} would be longer than {MAX_TOPIC_BYTES} bytes: {shortened(text)}")
        return text

    def word(self, fields: Mapping[str, str]) -> str:
        """Return a word of a command line; what a field says never begins an option.

        Raises:
            MissingFieldError: a name is not among the fields, or the word would begin with a dash of a field's.
        """
        text = self.fill(fields)
        if text.startswith("-") and not self.text.startswith("-"):
            raise MissingFieldError(f"{shortened(text)} would be an option of the program")
        return text.replace("\0", "")


def fields_of(event: Event) -> dict[str, str]:
    """Return the names that a template may have; slots do not hide the others."""
    return {**event.slots, "command": event.command, "text": event.text, "id": event.id, "source": event.source}
