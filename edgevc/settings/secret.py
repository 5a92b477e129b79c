"""Passwords and keys: never on a command line, never in a message, and only from files that nobody else can read."""

from __future__ import annotations

from pathlib import Path

from edgevc.errors import ConfigError
from edgevc.files import require_private

MAX_BYTES = 4096
"""Of a file that holds one."""


class SecretText:
    """A secret that no message shows by accident."""

    def __init__(self, text: str) -> None:
        """`text` is the secret."""
        self._text = text

    def reveal(self) -> str:
        """Return it, for the one place that sends it."""
        return self._text

    def __repr__(self) -> str:
        """Return what logs may have."""
        return "(hidden)"

    def __eq__(self, other: object) -> bool:
        """Whether both hide the same."""
        return isinstance(other, SecretText) and self._text == other._text

    def __hash__(self) -> int:
        """Return the hash of what is hidden."""
        return hash(self._text)


def read_secret(path: Path, what: str) -> SecretText:
    """Return the secret that a file holds, without the line end behind it.

    Args:
        path: of the file, such as one of systemd's credentials.
        what: the secret's name.

    Raises:
        ConfigError: others can read it, or it is empty, longer than MAX_BYTES or no line of text.
    """
    require_private(path, what)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    except UnicodeDecodeError:
        # its own message quotes the bytes
        text = ""
    if not text or len(content) > MAX_BYTES or not text.isprintable():
        raise ConfigError(f"{path} must hold {what} as one line of at most {MAX_BYTES} bytes; write it anew")
    return SecretText(text)


def secret_of(given: SecretText | None, path: Path | None, what: str) -> SecretText | None:
    """Return the secret that was given, or the one of a file; None where there is neither.

    Raises:
        ConfigError: there are both, or as `read_secret`.
    """
    if given is not None and path is not None:
        raise ConfigError(f"{what} must come from one place, got a value and the file {path}; leave one of them out")
    return read_secret(path, what) if path is not None else given
