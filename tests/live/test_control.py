"""The control socket: commands, refusals, and clients that mean no good."""

import json
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from live_doubles import QUIET, Stage, noise, playing

from edgevc.cli import main
from edgevc.control.server import MAX_CLIENTS, MAX_LINE, ControlServer, default_address, send_command
from edgevc.errors import ConfigError, SessionError


@pytest.fixture
def stopped():
    return threading.Event()


@pytest.fixture
def session():
    return Stage(playing(noise(1)), QUIET).session


@pytest.fixture
def server(tmp_path, session, stopped):
    server = ControlServer(f"unix:{tmp_path}/c.sock", session, stopped.set)
    yield server
    server.close()


def connect(server):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(server.address[5:])
    return client


def talk(client, data):
    client.sendall(data)
    return json.loads(client.makefile("rb").readline())


def test_every_command_does_what_it_says(server, session, stopped):
    assert send_command(server.address, "mode", "mute")["mode"] == "mute"
    assert session.mode == "mute"
    send_command(server.address, "voice", "quarter")
    assert session.voice == "quarter"
    send_command(server.address, "gain", -3)
    assert session.gain_db == -3.0
    send_command(server.address, "pitch", 2.5)
    assert session.semitones == 2.5
    answer = send_command(server.address, "status")
    assert answer["stats"]["mode"] == "mute"
    assert answer["settings"] == {"gain_db": -3.0, "semitones": 2.5, "voices": ["half", "quarter"]}
    assert not stopped.is_set()
    send_command(server.address, "stop")
    assert stopped.is_set()


def test_one_connection_may_send_many_commands_at_once(server, session):
    with connect(server) as client:
        client.sendall(b'{"command": "gain", "value": 1}\n{"command": "gain", "value": 2}\n\n{"command": "status"}\n')
        lines = client.makefile("rb")
        assert [json.loads(lines.readline())["ok"] for _ in range(3)] == [True, True, True]
    assert session.gain_db == 2.0


@pytest.mark.parametrize(
    ("request_", "rule"),
    [
        ({"command": "mode", "value": "loud"}, "mode must be one of"),
        ({"command": "mode", "value": 3}, "needs a name"),
        ({"command": "voice", "value": "nobody"}, "voice must be one of half, quarter"),
        ({"command": "gain", "value": 1e308}, "gain_db must be within"),
        ({"command": "gain", "value": float("nan")}, "gain_db must be within"),
        ({"command": "gain", "value": 10**400}, "gain_db must be within"),
        ({"command": "gain", "value": True}, "needs a number"),
        ({"command": "pitch", "value": [1]}, "needs a number"),
        ({"command": "pitch"}, "needs a number"),
        ({"command": "dance"}, "command must be one of status, mode"),
    ],
)
def test_a_wrong_command_is_refused_and_the_connection_stays(server, session, request_, rule):
    with connect(server) as client:
        answer = talk(client, json.dumps(request_).encode() + b"\n")
        assert not answer["ok"]
        assert rule in answer["error"]
        assert talk(client, b'{"command": "status"}\n')["ok"]
    assert (session.mode, session.voice, session.gain_db, session.semitones) == ("convert", "half", 0.0, 0.0)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\xff\xfe\n",
        b"[" * 3000 + b"\n",
        b"[1, 2]\n",
        b'{"command": 5}\n',
        b"x" * (MAX_LINE + 2),
        b'{"command": "gain", "value": ' + b"9" * 4500 + b"}\n",
    ],
)
def test_who_speaks_another_language_is_disconnected(server, data):
    with connect(server) as client:
        client.sendall(data)
        file = client.makefile("rb")
        assert not json.loads(file.readline())["ok"]
        assert file.read() == b""
    assert send_command(server.address, "status")["ok"]


def test_a_client_that_never_reads_is_dropped_and_holds_nobody_up(server):
    with connect(server) as client:
        client.setblocking(False)
        request = b'{"command": "status"}\n' * 100
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            try:
                client.send(request)
            except BlockingIOError:
                break
            except OSError:
                break
        started = time.monotonic()
        assert send_command(server.address, "status")["ok"]
        # measured 2 ms; a second client would wait for ever if the first could block
        assert time.monotonic() - started < 2


def test_more_clients_than_fit_are_turned_away_and_the_others_served(server):
    clients = [connect(server) for _ in range(MAX_CLIENTS)]
    for client in clients:
        assert talk(client, b'{"command": "status"}\n')["ok"]
    with connect(server) as one_too_many:
        assert one_too_many.recv(10) == b""
    assert talk(clients[0], b'{"command": "status"}\n')["ok"]
    for client in clients:
        client.close()
    deadline = time.monotonic() + 10
    while True:
        try:
            assert send_command(server.address, "status")["ok"]
            break
        except ConfigError:
            assert time.monotonic() < deadline


def test_a_command_in_pieces_is_understood(server, session):
    with connect(server) as client:
        for byte in b'{"command": "gain", "value": 4}\n':
            client.send(bytes([byte]))
        assert json.loads(client.makefile("rb").readline()) == {"ok": True, "gain": 4.0}


def test_the_socket_is_for_this_user_alone(server):
    mode = Path(server.address[5:]).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_the_socket_goes_with_the_server(tmp_path, session, stopped):
    server = ControlServer(f"unix:{tmp_path}/c.sock", session, stopped.set)
    server.close()
    server.close()
    assert list(tmp_path.iterdir()) == []


def test_a_dead_sessions_socket_is_replaced_and_a_living_ones_is_not(tmp_path, session, stopped):
    path = tmp_path / "c.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    server = ControlServer(f"unix:{path}", session, stopped.set)
    with pytest.raises(SessionError, match="another session may run there"):
        ControlServer(f"unix:{path}", session, stopped.set)
    assert send_command(server.address, "status")["ok"]
    server.close()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path, session, stopped):
    path = tmp_path / "c.sock"
    path.write_text("mine")
    with pytest.raises(SessionError, match="cannot listen"):
        ControlServer(f"unix:{path}", session, stopped.set)
    assert path.read_text() == "mine"


def test_a_port_of_this_machine_works_too(session, stopped):
    server = ControlServer("127.0.0.1:0", session, stopped.set)
    assert send_command(server.address, "status")["ok"]
    server.close()


@pytest.mark.parametrize("address", ["0.0.0.0:4010", "example.org:80", "4010", "127.0.0.1:99999", ""])
def test_addresses_that_others_reach_are_refused(session, stopped, address):
    with pytest.raises(ConfigError, match=r"unix:PATH or 127\.0\.0\.1:PORT"):
        ControlServer(address, session, stopped.set)


def test_the_usual_place_is_the_users_runtime_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert default_address() == f"unix:{tmp_path}/edgevc.sock"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    assert default_address() is None


def test_the_command_line_speaks_to_the_socket(server, session, capsys):
    assert main(["control", "--control", server.address, "mode", "bypass"]) == 0
    assert session.mode == "bypass"
    assert main(["control", "--control", server.address, "gain", "-6"]) == 0
    assert session.gain_db == -6.0
    assert main(["control", "--control", server.address, "status"]) == 0
    assert "bypass" in capsys.readouterr().out
    assert main(["control", "--control", server.address, "--json", "status"]) == 0
    assert json.loads(capsys.readouterr().out)["stats"]["mode"] == "bypass"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mode"], "mode needs a value"),
        (["gain", "loud"], "gain must be a number"),
        (["status", "now"], "status takes no value"),
        (["voice", "nobody"], "voice must be one of half, quarter"),
    ],
)
def test_the_command_line_says_what_is_wrong(server, capsys, arguments, message):
    assert main(["control", "--control", server.address, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_no_session_is_said_in_one_line(tmp_path):
    command = [sys.executable, "-m", "edgevc", "control", "--control", f"unix:{tmp_path}/none", "status"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 9
    assert done.stderr.count("\n") == 1
    assert "start `edgevc live`" in done.stderr
