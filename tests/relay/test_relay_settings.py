"""The relay's settings: five tables of one file, and secrets that nobody sees."""

import argparse
import dataclasses
import json
from pathlib import Path

import pytest

from edgevc.errors import ConfigError
from edgevc.relay import settings
from edgevc.relay.settings import TABLES, Settings
from edgevc.settings.kinds import Integer, Secret, Words
from edgevc.settings.secret import SecretText, read_secret

ROOT = Path(__file__).resolve().parents[2]
HIDDEN = "tr0ub4dor"


def resolve(*flags, toml=None, folder=None, mode=0o600):
    parser = argparse.ArgumentParser()
    for table in TABLES:
        table.add_arguments(parser, config=table is TABLES[0])
    if toml is not None:
        path = folder / "c.toml"
        path.write_text(toml)
        path.chmod(mode)
        flags = (*flags, "--config", str(path))
    return Settings.resolve(parser.parse_args([str(flag) for flag in flags]))


def test_every_field_has_a_setting_and_every_setting_a_field():
    for table in TABLES:
        fields = {field.name for field in dataclasses.fields(table.into)}
        assert fields == {setting.field for setting in table.settings}
        assert set(table.defaults) == fields


def test_flags_and_tables_of_one_file_go_together(tmp_path):
    found = resolve(
        "--device=pi",
        "--mqtt-port=1884",
        toml='[relay]\ncommands = "lamps.toml"\n[mqtt]\nhost = "h"\nport = 1\n[program]\nrun = ["lamp", "{room} x"]\n'
        '[live]\nvoice = "slt"\n',
        folder=tmp_path,
    )
    assert (found.relay.device, found.relay.commands) == ("pi", tmp_path / "lamps.toml")
    assert (found.mqtt.host, found.mqtt.port) == ("h", 1884)
    assert found.program.run == ("lamp", "{room} x")


def test_there_is_no_flag_for_a_secret(capsys):
    parser = argparse.ArgumentParser()
    for table in TABLES:
        table.add_arguments(parser, config=table is TABLES[0])
    options = parser.format_help()
    secrets = [setting for table in TABLES for setting in table.settings if isinstance(setting.kind, Secret)]
    assert len(secrets) == 4
    for setting in secrets:
        assert f"{setting.flag} " not in options
        with pytest.raises(SystemExit):
            parser.parse_args([f"{setting.flag}={HIDDEN}"])
        message = capsys.readouterr().err.rpartition("error: ")[2]
        assert f"set {setting.variable}" in message
        assert HIDDEN not in message


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o602])
def test_a_file_with_a_secret_that_others_can_read_is_refused_with_what_to_type(tmp_path, mode):
    with pytest.raises(ConfigError) as caught:
        resolve(toml=f'[mqtt]\nhost = "h"\nusername = "u"\npassword = "{HIDDEN}"\n', folder=tmp_path, mode=mode)
    assert f"type: chmod 600 {tmp_path}/c.toml" in str(caught.value)
    assert f"{mode:04o}" in str(caught.value)
    assert HIDDEN not in str(caught.value)


def test_a_file_for_its_owner_alone_may_hold_secrets_and_no_message_shows_them(tmp_path):
    toml = f'[mqtt]\nhost = "h"\nusername = "u"\npassword = "{HIDDEN}"\n'
    found = resolve(toml=toml, folder=tmp_path)
    assert found.mqtt.password == SecretText(HIDDEN)
    assert found.mqtt.password.reveal() == HIDDEN
    assert HIDDEN not in f"{found} {found.mqtt.password!r} {found.mqtt.password}"


def test_a_file_without_secrets_may_be_read_by_everybody(tmp_path):
    assert resolve(toml='[mqtt]\nhost = "h"\npassword = ""\n', folder=tmp_path, mode=0o644).mqtt.password is None


def test_a_secret_that_is_none_is_not_quoted(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="got something else") as caught:
        resolve(toml=f'[mqtt]\npassword = ["{HIDDEN}"]\n', folder=tmp_path)
    assert HIDDEN not in str(caught.value)
    monkeypatch.setenv("EDGEVC_MQTT_PASSWORD", f"{HIDDEN}\n{HIDDEN}")
    with pytest.raises(ConfigError, match="must be one line of text, got something else") as caught:
        resolve()
    assert HIDDEN not in str(caught.value)


def test_a_secret_may_come_from_the_environment_and_from_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEVC_HOME_ASSISTANT_TOKEN", HIDDEN)
    assert resolve("--home-assistant-url=http://h:8123").home_assistant.token.reveal() == HIDDEN
    path = tmp_path / "token"
    path.write_text(HIDDEN + "\n")
    path.chmod(0o600)
    assert read_secret(path, "the token").reveal() == HIDDEN
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_secret(path, "the token")


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"\xff\xfe", b"x" * 5000])
def test_a_file_that_holds_no_secret_is_refused_without_its_content(tmp_path, content):
    path = tmp_path / "token"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="must hold the token as one line") as caught:
        read_secret(path, "the token")
    assert "xff" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--wyoming=0.0.0.0:10300"], "must be of this machine alone"),
        (["--mqtt-topic=a/#"], "topic must be a topic"),
        (["--mqtt-command-topic=a/{"], "must have a name in each pair of braces"),
        (["--mqtt-host=h", "--mqtt-key=k"], "must be given together"),
        (["--mqtt-ca-file=/x"], "need tls = true"),
        (["--mqtt-port=70000"], "must be a whole number within 0..65535"),
        (["--home-assistant-url=http://h"], "needs a long-lived token"),
        (["--home-assistant-url=h:8123"], "must be http://HOST"),
        (["--home-assistant-url=http://me:secret@h"], "without a user's name"),
        (["--home-assistant-url=http://h:0x"], "must be http://HOST"),
        (["--program-run=lamp {"], "must have a name in each pair of braces"),
    ],
)
def test_what_cannot_work_is_refused_with_its_rule(flags, words):
    with pytest.raises(ConfigError, match="^.*" + words.replace("{", r"\{")):
        resolve(*flags)


def test_a_webhook_address_that_is_none_is_not_quoted(monkeypatch):
    monkeypatch.setenv("EDGEVC_WEBHOOK_URL", f"ftp://h/{HIDDEN}")
    with pytest.raises(ConfigError, match=r"got \(hidden\)") as caught:
        resolve()
    assert HIDDEN not in str(caught.value)


def test_words_of_a_program_are_split_as_a_shell_does_and_never_expanded():
    assert Words().from_text("lamp '{room} a' $HOME *") == ("lamp", "{room} a", "$HOME", "*")
    with pytest.raises(ValueError, match="quotation"):
        Words().from_text("lamp 'a")
    with pytest.raises(ValueError):  # noqa: PT011
        Words().from_value(["a", 1])


def test_an_integer_is_no_float_and_no_truth_value():
    kind = Integer(1, 9)
    assert kind.from_value(9) == 9
    for wrong in (True, 1.0, 0, 10, "3"):
        with pytest.raises(ValueError):  # noqa: PT011
            kind.from_value(wrong)


def test_the_document_is_made_from_the_tables():
    page = (ROOT / "docs" / "relay-settings.md").read_text(encoding="utf-8")
    assert page == settings.markdown(), "python -m edgevc.relay.settings > docs/relay-settings.md"
    assert json.dumps(HIDDEN) not in page
