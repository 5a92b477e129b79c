"""`edgevc control` and the client: what they say to a session, and to what is none."""

import contextlib
import json
import socket
import subprocess
import sys
import threading

import pytest

from edgevc.cli import main
from edgevc.control.client import send_command
from edgevc.errors import SessionError


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
        (["gain", "loud"], "gain must be a number within -40..40 dB, got 'loud'"),
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


ROGUE = {
    b'{"ok":true,"stats":{"state":"\\u001b]0;owned\\u0007\\u001b[31mred","x":{"y":"z"}}}\n': 0,
    b'{"ok":true,"stats":{"latency":{"a":1e999}}}\n': 0,
    b'{"ok":true,"stats":[1],"settings":{"\\u001b[2J":{"\\u001b[2J":[[]]}}}\n': 0,
    b'{"ok": false, "error": "\\u001b[2J"}\n': 2,
    b'{"ok": false}\n': 9,
    b'{"ok": "yes"}\n': 9,
    b"x" * (300 << 10): 9,
    b"[1]\n": 9,
    b"[" * 200_000 + b"\n": 9,
    b'{"ok": true, "stats": ' + b'{"x": ' * 900 + b"0" + b"}" * 901 + b"\n": 9,
    b'{"ok": true, "stats"': 9,
    b'{"ok": true, "stats": ' + b"9" * 5000 + b"}\n": 9,
    b"": 9,
}


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("answer", ROGUE, ids=range(len(ROGUE)))
def test_a_rogue_server_can_neither_crash_the_command_nor_reach_the_terminal(tmp_path, capsys, answer, options):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{tmp_path}/c")
    listener.listen()

    def serve():
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    code = main(["control", "--control", f"unix:{tmp_path}/c", *options, "status"])
    thread.join()
    listener.close()
    said = capsys.readouterr()
    assert code == ROGUE[answer]
    assert "\x1b" not in said.out + said.err
    assert said.err.count("\n") == (code != 0)


def test_an_answer_that_never_ends_is_given_up(tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{tmp_path}/c")
    listener.listen()
    done = threading.Event()

    def serve():
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            while not done.wait(0.05):
                connection.sendall(b" ")

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(SessionError, match="no session answers"):
        send_command(f"unix:{tmp_path}/c", "status", timeout=0.5)
    done.set()
    thread.join()
    listener.close()
