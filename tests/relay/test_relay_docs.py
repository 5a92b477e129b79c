"""What docs/relay.md shows works: its grammar, its dry run, and its broker with its rules and settings."""

import contextlib
import io
import re
import shlex
import subprocess
from pathlib import Path

from helpers.broker import PASSWORD, USER, WATCHER, Broker, Watcher
from helpers.command_line import start

from edgevc.cli import main

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "relay.md").read_text(encoding="utf-8")


def block(kind, words):
    """The one block of code of a kind that has these words."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (found,) = [text for language, text in blocks if language == kind and words in text]
    return found


def test_the_dry_run_of_the_page_says_what_would_be_done(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lamps.toml").write_text(block("toml", "[[command]]"))
    subprocess.run(["espeak-ng", "-s", "150", "-w", "command.wav", "turn off the bedroom light"], check=True)
    (command,) = re.findall(r"^edgevc (relay .*--dry-run.*)$", PAGE, re.MULTILINE)
    assert run(*shlex.split(command), warns=True).out == "program: lamp bedroom off\n"


def test_the_broker_the_rules_and_the_settings_of_the_page_work_together(tmp_path):
    # Home Assistant's part is the watcher's here
    access = block("", "user homeassistant").replace("user homeassistant", f"user {WATCHER}")
    configuration = block("", "listener 1883")
    with Broker(tmp_path / "broker", access=access) as broker:
        shown = {line.split()[0] for line in configuration.splitlines()}
        assert shown <= {line.split()[0] for line in (tmp_path / "broker" / "conf").read_text().splitlines()}
        (tmp_path / "lamps.toml").write_text(block("toml", "[[command]]"))
        settings = tmp_path / "config.toml"
        text = block("toml", "[mqtt]").replace("the password of edgevc", PASSWORD)
        assert f'username = "{USER}"' in text
        settings.write_text(text + f'port = {broker.port}\nqueue = "queue"\n')
        settings.chmod(0o600)
        with Watcher(broker, "homeassistant/#", "edgevc/#") as watcher:
            process = start("relay", "--config", settings, "--events", stdin=subprocess.PIPE)
            watcher.wait_for("homeassistant/device/edgevc_pi/config")
            _, err = process.communicate(b'{"command": "light"}\n', timeout=120)
            assert process.returncode == 0, err
            watcher.wait_for("edgevc/pi/event")
            assert watcher.of("edgevc/pi/status") == [b"online", b"offline"]
            assert b"refuses" not in err


def test_every_flag_of_the_page_is_one():
    flags = set(re.findall(r"(?<=[\s`])--[a-z][a-z-]+", PAGE)) - {"--listening"}
    assert len(flags) > 10
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        main(["relay", "--help"])
    assert {flag for flag in flags if flag not in text.getvalue()} == set()
