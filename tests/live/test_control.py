"""The control socket: commands, refusals, and clients that mean no good."""

import contextlib
import json
import os
import resource
import socket
import stat
import time
from pathlib import Path

import pytest
from helpers.control_socket import connect, talk, wait_until

from edgevc.control import bounded
from edgevc.control import server as control_server
from edgevc.control.address import default_address
from edgevc.control.bounded import MAX_CLIENTS
from edgevc.control.client import Connection, send_command
from edgevc.control.server import MAX_LINE, ControlServer
from edgevc.errors import ConfigError, SessionError


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
    assert answer["settings"] == {
        **{"mode": "mute", "voice": "quarter", "gain": -3.0, "pitch": 2.5, "listening": False},
        **{"voices": ["half", "quarter"]},
    }
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
        ({"command": "mode", "value": 3}, "mode must be one of convert, bypass, mute, got 3"),
        ({"command": "voice", "value": "nobody"}, "voice must be one of half, quarter"),
        ({"command": "gain", "value": 1e308}, "gain must be a number within -40..40 dB, got 1e+308"),
        ({"command": "gain", "value": float("nan")}, "gain must be a number within -40..40 dB, got nan"),
        (
            {"command": "gain", "value": 10**400},
            "gain must be a number within -40..40 dB, got a number of about 401 digits",
        ),
        ({"command": "gain", "value": True}, "gain must be a number within -40..40 dB, got True"),
        ({"command": "pitch", "value": [1]}, "pitch must be a number within -24..24 semitones, got list"),
        ({"command": "pitch"}, "pitch must be a number within -24..24 semitones, got None"),
        (
            {"command": "dance"},
            "command must be one of status, subscribe, stop, mode, voice, gain, pitch, listening, got 'dance'",
        ),
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


def test_one_client_too_many_takes_the_place_of_the_one_that_was_quiet_for_longest(server):
    clients = [connect(server) for _ in range(MAX_CLIENTS)]
    for client in [*clients, clients[0]]:
        assert talk(client, b'{"command": "status"}\n')["ok"]
    with connect(server) as one_too_many:
        assert talk(one_too_many, b'{"command": "status"}\n')["ok"]
        answer = json.loads(clients[1].makefile("rb").read())
        assert answer["error"].startswith("too many clients: 16 are connected")
        for client in (clients[0], *clients[2:]):
            assert talk(client, b'{"command": "status"}\n')["ok"]
    for client in clients:
        client.close()


def test_a_fault_of_the_session_costs_one_client_and_no_more(server, session, caplog):
    with connect(server) as other, connect(server) as client:
        assert talk(other, b'{"command": "mode", "value": "mute"}\n')["ok"]
        stats, session.stats = session.stats, None
        client.sendall(b'{"command": "status"}\n')
        assert client.recv(1) == b""
        session.stats = stats
        assert talk(other, b'{"command": "status"}\n')["ok"]
    assert [record.getMessage() for record in caplog.records] == ["a request could not be answered"]


def test_a_fault_while_events_are_told_ends_the_events_and_no_more(server, session, caplog):
    with connect(server) as subscriber:
        assert talk(subscriber, b'{"command": "subscribe"}\n')["ok"]
        stats, session.stats = session.stats, None
        wait_until(lambda: caplog.records)
        session.stats = stats
        assert talk(subscriber, b'{"command": "mode", "value": "mute"}\n') == {"ok": True, "mode": "mute"}
    assert [record.getMessage() for record in caplog.records] == [
        "the server's own work ends here; requests are still answered"
    ]


def test_a_crowd_that_says_nothing_locks_nobody_out(server):
    crowd = [connect(server) for _ in range(300)]
    assert send_command(server.address, "status")["ok"]
    for client in crowd:
        client.close()


def test_who_is_dropped_for_another_is_told_so_by_the_client_as_well(server):
    with Connection(server.address) as first:
        first.ask("status")
        crowd = [connect(server) for _ in range(MAX_CLIENTS)]
        for client in crowd:
            talk(client, b'{"command": "status"}\n')
        with pytest.raises(SessionError, match="too many clients"):
            first.ask("status")
    for client in crowd:
        client.close()


def test_who_takes_too_long_is_disconnected_and_a_subscriber_may_be_quiet(server, monkeypatch):
    monkeypatch.setattr(bounded, "REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(control_server, "IDLE_SECONDS", 0.4)
    with connect(server) as slow, connect(server) as idle, connect(server) as subscriber:
        assert talk(subscriber, b'{"command": "subscribe"}\n')["ok"]
        started = time.monotonic()
        for byte in b'{"comm':
            slow.send(bytes([byte]))
        assert slow.recv(1) == b""
        middle = time.monotonic()
        assert idle.recv(1) == b""
        # a busy machine is late, never early
        assert middle - started >= 0.2
        assert time.monotonic() - started + 0.1 >= 0.4
        assert talk(subscriber, b'{"command": "status"}\n')["ok"]


def test_without_a_descriptor_for_a_client_the_thread_rests_and_goes_on_afterwards(session, stopped, caplog):
    server = ControlServer("127.0.0.1:0", session, stopped.set)
    host, _, port = server.address.rpartition(":")
    with socket.socket() as client:
        client.settimeout(20)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = 1 + max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
        try:
            held = []
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.dup(0))
            client.connect((host, int(port)))
            client.sendall(b'{"command": "status"}\n')
            time.sleep(0.2)
            before = time.process_time()
            # a second try falls into it
            time.sleep(1.2)
            spent = time.process_time() - before
        finally:
            for descriptor in held:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        # measured 0.001 s; 0.68 s where accept() is tried again at once
        assert spent < 0.2
        assert json.loads(client.makefile("rb").readline())["ok"]
    assert [record.getMessage() for record in caplog.records] == [
        "no client can be served: Too many open files; close what holds so many files"
    ]
    server.close()


def test_a_command_in_pieces_is_understood(server, session):
    with connect(server) as client:
        for byte in b'{"command": "gain", "value": 4}\n':
            client.send(bytes([byte]))
        assert json.loads(client.makefile("rb").readline()) == {"ok": True, "gain": 4.0}


def test_the_socket_is_for_this_user_alone(server):
    mode = Path(server.address[5:]).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_another_sessions_socket_in_the_same_place_stays(tmp_path, session, stopped):
    first = ControlServer(f"unix:{tmp_path}/c.sock", session, stopped.set)
    (tmp_path / "c.sock").unlink()
    second = ControlServer(f"unix:{tmp_path}/c.sock", session, stopped.set)
    first.close()
    assert send_command(second.address, "status")["ok"]
    second.close()
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize(
    "address", ["0.0.0.0:4010", "example.org:80", "4010", "127.0.0.1:99999", "", "unix:", "unix:\0x"]
)
def test_addresses_that_others_reach_are_refused(session, stopped, address):
    with pytest.raises(ConfigError, match=r"unix:PATH or 127\.0\.0\.1:PORT"):
        ControlServer(address, session, stopped.set)


def test_the_usual_place_is_the_users_runtime_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert default_address() == f"unix:{tmp_path}/edgevc.sock"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    assert default_address() is None
