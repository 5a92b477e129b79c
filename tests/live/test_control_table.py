"""One table of controls makes every face of a session."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from helpers.live_doubles import QUIET, Stage, noise, playing

from edgevc.cli import main
from edgevc.control.client import send_command
from edgevc.control.controls import BY_NAME, CONTROLS
from edgevc.control.document import markdown
from edgevc.errors import ConfigError
from edgevc.terminal.keys import Keys, keys_help

ROOT = Path(__file__).resolve().parents[2]


def test_every_face_knows_every_control(server, session, capsys):
    """Socket, command line, keys and document; each is asked itself, not the code that makes it."""
    document = (ROOT / "docs" / "live-control.md").read_text(encoding="utf-8")
    values = {"mode": "bypass", "voice": "quarter", "gain": -3.0, "pitch": 2.0, "listening": True}
    assert set(values) == set(BY_NAME), "give the new control a value here"
    assert "".join(server_refusal(server)).endswith(f"{', '.join(BY_NAME)}, got 'dance'")
    with contextlib.suppress(SystemExit):
        main(["control", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for name, value in values.items():
        control = BY_NAME[name]
        send_command(server.address, name, value)
        assert control.get(session) == value
        session.apply(name, control.kind_of(session).from_value(control.get(Stage(playing(noise(1)), QUIET).session)))
        assert main(["control", "--control", server.address, name, str(value)]) == 0
        assert control.get(session) == value
        assert f"{name}: " in shown
        assert f"| `{name}` |" in document
        for key in control.keys:
            assert f"{key.shown or key.characters} {key.label}" in keys_help()
            for character in key.characters[:2]:
                Keys(session).press(character)
            assert f"`{key.shown or key.characters}`" in document
    for name in ("status", "subscribe", "stop"):
        assert name in shown
        assert f"`{name}`" in document


def test_help_and_document_show_the_keys_of_the_table(capsys):
    with pytest.raises(SystemExit):
        main(["live", "--help"])
    assert f"keys: {keys_help(', ')}" in capsys.readouterr().out
    assert keys_help() in (ROOT / "docs" / "live-setup.md").read_text(encoding="utf-8")


def server_refusal(server):
    with pytest.raises(ConfigError) as error:
        send_command(server.address, "dance")
    return str(error.value)


def test_every_key_of_a_control_changes_it():
    for control in CONTROLS:
        for key in control.keys:
            session = Stage(playing(noise(1)), QUIET).session
            Keys(session).press(key.characters[0])
            first = control.get(session)
            Keys(session).press(key.characters[1] if len(key.characters) > 1 else key.characters)
            assert first != control.get(session), key


def test_a_session_takes_a_control_by_name(session):
    session.apply("gain", np.float32(-1.5))
    assert session.gain_db == -1.5
    with pytest.raises(ConfigError, match="a control is one of mode, voice, gain, pitch, listening, got 'dance'"):
        session.apply("dance", 1)


def test_the_document_is_what_the_table_says():
    assert (ROOT / "docs" / "live-control.md").read_text(encoding="utf-8") == markdown(), (
        "python -m edgevc.control.document > docs/live-control.md"
    )
