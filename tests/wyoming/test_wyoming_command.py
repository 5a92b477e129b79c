"""The command `edgevc wyoming`, as a process of its own and as it refuses."""

import signal
import subprocess

import pytest
from helpers.command_line import finish, start
from helpers.wyoming_peers import AsyncTcpClient, Describe, Info, Keeper, answer
from helpers.wyoming_peers import run as run_test

INFO = {"name": "whisper", "attribution": {"name": "a", "url": "b"}, "installed": True, "models": []}
INFO = {"asr": [{**INFO, "description": None, "version": "1"}]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_proxy_serves_until_a_signal_comes(number):
    from edgevc.wyoming.frames import make_frame

    async def test():
        async with Keeper(first=[make_frame("info", INFO).raw]).running() as address:
            process = start(
                *("wyoming", "proxy", "--upstream", address, "--listen", "tcp://127.0.0.1:0"), stdout=subprocess.PIPE
            )
            line = process.stdout.readline().decode()
            assert f"speech goes on to {address} as anon" in line
            port = int(line.split(";")[0].rpartition(":")[2])
            async with AsyncTcpClient("127.0.0.1", port) as client:
                await client.write_event(Describe().event())
                assert Info.from_event(await answer(client, "info")).asr[0].name == "edgevc-whisper"
            process.send_signal(number)
            code, err = finish(process)
            process.stdout.close()
            assert (code, err) == (0, "")

    run_test(test())


@pytest.mark.parametrize(
    ("options", "code", "rule"),
    [
        (["--upstream", "server:1"], 2, "--upstream must be tcp://HOST:PORT"),
        (["--upstream", "unix:///run/x"], 2, "--upstream must be tcp://HOST:PORT"),
        (["--upstream", "tcp://server"], 2, "--upstream must be tcp://HOST:PORT"),
        (["--listen", "tcp://0.0.0.0:1"], 2, "add --any-interface"),
        (["--listen", "tcp://127.0.0.1:99999"], 2, "--listen must be tcp://HOST:PORT"),
        (["--name", " "], 2, "--name must be a line of 1 to 50 characters"),
        (["--voice", "nobody"], 3, "nobody"),
        (["--zeroconf", "--listen", "tcp://127.0.0.1:0"], 2, "announces an IPv4 address that others reach"),
    ],
)
def test_what_cannot_be_meant_is_refused(run, options, code, rule):
    upstream = [] if "--upstream" in options else ["--upstream", "tcp://127.0.0.1:1"]
    assert rule in run("wyoming", "proxy", *upstream, *options, code=code).err


def test_a_port_that_is_taken_is_named(run):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listen = ["--listen", f"tcp://127.0.0.1:{port}"]
        outcome = run("wyoming", "proxy", "--upstream", "tcp://127.0.0.1:1", *listen, code=9)
    assert f"cannot listen on 127.0.0.1:{port}" in outcome.err
