"""`edgevc commands from-ha`: once, with a token that is not taken, and following a house that changes and goes away."""

import contextlib
import signal
import subprocess
import threading

import pytest
from helpers.broker import wait_for
from helpers.command_line import start
from helpers.fake_home import TOKEN, FakeHome

from edgevc.cli import main
from edgevc.errors import SessionError
from edgevc.house.connection import HouseConnection
from edgevc.settings.secret import SecretText


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    return path


def test_the_grammar_of_a_house_is_written_and_can_be_checked(tmp_path, token, capsys):
    with FakeHome() as home:
        output = tmp_path / "house.yaml"
        words = ["commands", "from-ha", home.url, "--token-file", str(token)]
        assert main([*words, "--output", str(output)]) == 0
        said = capsys.readouterr().err
        assert "house.yaml: 4 entities, 3 areas" in said
        assert "left out: the sentence 'play {album}'" in said
        assert TOKEN not in said + output.read_text()
        assert main(words) == 0
        assert capsys.readouterr().out == output.read_text()
    assert main(["commands", "check", str(output)]) == 0
    assert "HassTurnOn: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["http://user:pw@host"], 2, "URL must be"),
        (["{url}"], 2, "asks for a token"),
        (["{url}", "--follow", "--token-file", "{token}"], 2, "name it with --output"),
        (["{url}", "--output", "x.toml", "--token-file", "{token}"], 2, "must be a .yaml"),
        (["{url}", "--token-file", "{other}"], 2, "does not take the token"),
        (["http://127.0.0.1:1", "--token-file", "{token}"], 9, "no Home Assistant at http://127.0.0.1:1"),
    ],
)
def test_what_is_wrong_is_said(words, code, why, tmp_path, token, monkeypatch, capsys):
    monkeypatch.delenv("EDGEVC_HOME_ASSISTANT_TOKEN", raising=False)
    other = tmp_path / "other"
    other.write_text("another")
    other.chmod(0o600)
    with FakeHome() as home:
        filled = [word.format(url=home.url, token=token, other=other) for word in words]
        assert main(["commands", "from-ha", *filled]) == code
    assert why in capsys.readouterr().err


def test_a_token_that_is_no_administrators_is_said():
    with FakeHome() as home, HouseConnection(home.url, SecretText(TOKEN)) as connection:
        home.answers.clear()
        with pytest.raises(SessionError, match=r"refuses get_states: 'unauthorized'; it must be an administrator's"):
            connection.ask("get_states")


def test_a_server_that_is_no_home_assistant_is_said():
    from websockets.sync.server import serve

    with serve(lambda socket: socket.send("hello"), "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.socket.getsockname()[1]
        with pytest.raises(SessionError, match="is no Home Assistant"):
            HouseConnection(f"http://127.0.0.1:{port}", SecretText(TOKEN))


def test_a_house_that_changes_and_comes_back_is_followed(tmp_path, token):
    output = tmp_path / "house.yaml"
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(contextlib.closing(FakeHome()))
        process = start(
            *("commands", "from-ha", home.url, "--output", output, "--follow"),
            *("--token-file", token),
            stdin=subprocess.DEVNULL,
        )
        stack.callback(process.stderr.close)
        stack.callback(process.wait)
        stack.callback(process.kill)
        wait_for("the grammar", output.exists)
        wait_for("everything that is watched", lambda: home.asked.count("subscribe_events") == 7)
        assert "Reading lamp" not in output.read_text()
        entry = home.answers["config/entity_registry/get_entries"]["light.bed"]
        entry["aliases"] = [None, "Reading lamp"]
        home.event()
        wait_for("the alias", lambda: "Reading lamp" in output.read_text())
        # it goes away, and comes back as another
        port, answers = home.port, home.answers
        home.close()
        entry["aliases"] = ["Night light"]
        again = stack.enter_context(FakeHome(port, answers))
        wait_for("the other alias", lambda: "Night light" in output.read_text())
        # a house in which nothing is left does not take the grammar away
        again.answers["homeassistant/expose_entity/list"] = {"exposed_entities": {}}
        again.answers["conversation/sentences/list"] = {"trigger_sentences": []}
        asked = len(again.asked)
        again.event()
        wait_for("another look", lambda: len(again.asked) >= asked + 6)
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read().decode()
        assert process.wait(60) == 0, said
    assert "Night light" in output.read_text()
    assert f"no Home Assistant at {home.url}" in said or "is lost" in said
    assert "Home Assistant answers again" in said
    assert "stays as it is" in said
    assert TOKEN not in said


def test_events_without_end_are_no_answer(monkeypatch):
    with FakeHome() as home, HouseConnection(home.url, SecretText(TOKEN)) as connection:
        monkeypatch.setattr("edgevc.house.connection.SECONDS", 0.3)
        home.floods = True
        with pytest.raises(SessionError, match="does not answer within"):
            connection.ask("get_states")
