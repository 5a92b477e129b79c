"""The keys of a running session: what each does comes from the table of controls."""

from __future__ import annotations

import contextlib
from typing import Any

from edgevc.control.controls import CONTROLS, Control, Controlled, Key, Press
from edgevc.errors import ConfigError

_QUIT = ("q", "Q", "\x03", "\x04")


class Keys:
    """What the keys do; the same in every view."""

    def __init__(self, session: Controlled[Any]) -> None:
        """`session` is the one that they change."""
        self._session = session
        self._keys: dict[str, tuple[Control, Key]] = {
            character: (control, key) for control in CONTROLS for key in control.keys for character in key.characters
        }
        self._before: dict[str, Any] = {}

    def press(self, character: str) -> bool:
        """Do what the key stands for; return whether it ends the session. Other keys do nothing."""
        if character in _QUIT:
            return True
        if character in self._keys:
            control, key = self._keys[character]
            now = control.get(self._session)
            value = key.value(Press(character, now, self._before.get(control.name), self._session.voices))
            # a step beyond the end of a range changes nothing
            with contextlib.suppress(ConfigError):
                if value is not None:
                    control.set(self._session, value)
                    self._before[control.name] = now
        return False


def keys_help(gap: str = "   ") -> str:
    """Return what the keys do, in one line."""
    words = [f"{key.shown or key.characters} {key.label}" for control in CONTROLS for key in control.keys]
    return gap.join([*words, "q quit"])
