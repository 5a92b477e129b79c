"""What a session tells without being asked: changes of state, and phones."""

import base64
import dataclasses
import json
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers.control_socket import connect, wait_until
from helpers.live_doubles import QUIET, Stage, noise, playing

from edgevc.bundle import ModelBundle
from edgevc.control.client import Connection, send_command
from edgevc.control.phones import CAPACITY_HOPS, PhoneQueue
from edgevc.control.server import ControlServer
from edgevc.converter import VoiceConverter
from edgevc.errors import ConfigError, SessionError


def test_a_subscriber_is_told_of_every_change_and_of_nothing_else(server, session):
    with Connection(server.address) as connection:
        events = connection.subscribe("state")
        first = next(events)
        assert {name: first[name] for name in ("ok", "events", "state", "mode", "voice", "gain", "pitch")} == {
            **{"ok": True, "events": ["state"], "state": "starting"},
            **{"mode": "convert", "voice": "half", "gain": 0.0, "pitch": 0.0},
        }
        assert first["faults"]["device_restarts"] == 0
        for name, value in (
            ("mode", "mute"),
            ("voice", "quarter"),
            ("gain", -2.0),
            ("pitch", 1.5),
            ("listening", True),
        ):
            session.apply(name, value)
            assert next(events) == {"event": "state", name: value}
        session.link.restarts += 1
        assert next(events) == {"event": "state", "faults": {"device_restarts": 1}}
        server.close()
        assert list(events) == []


def test_a_subscriber_may_go_on_asking(server, session):
    with connect(server) as client:
        lines = client.makefile("rb")
        client.sendall(b'{"command": "subscribe"}\n{"command": "mode", "value": "mute"}\n')
        assert json.loads(lines.readline())["events"] == ["state"]
        assert json.loads(lines.readline()) == {"ok": True, "mode": "mute"}
        assert json.loads(lines.readline()) == {"event": "state", "mode": "mute"}


def test_one_connection_is_told_and_asks_and_loses_neither(server, session):
    with Connection(server.address) as connection:
        events = connection.subscribe("state")
        next(events)
        session.apply("gain", 1.0)
        # until the change is sent before an answer
        wait_until(lambda: connection.ask("pitch", 3) == {"ok": True, "pitch": 3.0} and connection.waiting)
        session.apply("gain", 2.0)
        told = {}
        while told.get("gain") != 2.0:
            event = next(events)
            assert event.pop("event") == "state"
            told |= event
        assert told == {"gain": 2.0, "pitch": 3.0}


@pytest.mark.parametrize("value", ["weather", [], ["state", 3], {}, 5, ["state"] * 3 + ["x"]])
def test_what_nobody_can_subscribe_to_is_refused(server, value):
    with pytest.raises(ConfigError, match="subscribe takes a list of state and phones"):
        send_command(server.address, "subscribe", value)


def test_phones_are_refused_where_the_session_gives_none(server):
    with pytest.raises(ConfigError, match="this session gives no phones"):
        send_command(server.address, "subscribe", ["phones"])


@dataclasses.dataclass
class Chunk:
    position: int
    phones: np.ndarray | None


PHONES = tuple(f"p{i}" for i in range(40))


def queue_of(session):
    """The tap of a server whose client has subscribed to phones."""
    wait_until(lambda: any(isinstance(tap, PhoneQueue) for tap in session.taps))
    return next(tap for tap in session.taps if isinstance(tap, PhoneQueue))


def test_phones_arrive_as_they_were_heard(tmp_path, session, stopped, rng):
    server = ControlServer(f"unix:{tmp_path}/c.sock", session, stopped.set, PHONES)
    taps = session.taps
    hops = rng.standard_normal((12, 40)).astype(np.float32)
    with Connection(server.address) as connection:
        events = connection.subscribe("phones")
        assert next(events) == {
            **{"ok": True, "events": ["phones"], "phones": list(PHONES)},
            "encoding": "base64 of float32 log-probabilities, little-endian, hop by hop",
        }
        wait_until(lambda: len(session.taps) == len(taps) + 1)
        (queue,) = set(session.taps) - set(taps)
        queue.on_chunk(Chunk(1600, hops[:2]))
        queue.on_chunk(Chunk(1920, hops[2:4]))
        queue.on_chunk(Chunk(2240, None))
        # the device lost a second
        queue.on_chunk(Chunk(19_200, hops[4:]))
        heard, places = [], []
        while len(heard) < 12:
            event = next(events)
            assert event["event"] == "phones"
            assert "dropped" not in event
            values = np.frombuffer(base64.b64decode(event["phones"]), "<f4").reshape(event["hops"], 40)
            heard.extend(values)
            places += [event["position"] + 160 * i for i in range(event["hops"])]
    assert np.array_equal(heard, hops)
    assert places == [1600, 1760, 1920, 2080, *range(19_200, 19_200 + 8 * 160, 160)]
    wait_until(lambda: session.taps == taps)
    server.close()


def test_a_session_that_runs_gives_its_phones_to_a_subscriber(tmp_path, stopped):
    stage = Stage(playing(noise(5)), QUIET)
    server = ControlServer(f"unix:{tmp_path}/c.sock", stage.session, stopped.set, ["loud"])
    with Connection(server.address) as connection:
        events = connection.subscribe("phones")
        next(events)
        wait_until(lambda: stage.session.taps)
        stage.run(1.0)
        heard = 0
        while heard < 90:
            event = next(events)
            heard += event["hops"]
            assert event["position"] % 160 == 0
        server.close()
        assert stage.session.taps == ()


def connect_when_it_listens(address, process):
    deadline = time.monotonic() + 60
    while True:
        try:
            return Connection(address)
        except SessionError:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_phones_of_a_real_session_are_those_of_the_converter(tmp_path):
    """The whole way: pipe, session in its own process, socket; with the default model."""
    samples = (3000 * np.sin(np.arange(16_000) ** 1.5 / 300)).astype("<i2")
    address = f"unix:{tmp_path}/c.sock"
    command = [
        sys.executable,
        "-m",
        "edgevc",
        "live",
        "--raw",
        f"--control={address}",
        "--engine=onnx",
        "--no-realtime",
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        heard = []
        with connect_when_it_listens(address, process) as connection:
            events = connection.subscribe("state", "phones")
            assert "SIL" in next(events)["phones"]
            # the tap is there by the time that the next answer comes
            process.stdin.write(samples.tobytes())
            process.stdin.close()
            last = None
            for event in events:
                last = event if event["event"] == "state" else last
                if event["event"] == "phones":
                    assert event["position"] == 160 * len(heard)
                    assert "dropped" not in event
                    heard.extend(np.frombuffer(base64.b64decode(event["phones"]), "<f4").reshape(event["hops"], -1))
        assert last["state"] == "stopped"
        assert process.wait(20) == 0, process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    stream = VoiceConverter(ModelBundle.default(), "onnx").stream("kathleen")
    expected = []
    for i in range(0, 16_000, 160):
        stream.process(samples[i : i + 160].astype(np.float32) / 32768)
        expected.extend(stream.phones.copy())
    # beyond its end the input is silence, until what is inside has come out
    assert np.array_equal(heard[:100], expected)


def test_phones_that_nobody_fetches_in_time_are_dropped_and_counted(session):
    queue = PhoneQueue(session, PHONES)
    queue.want(True)
    for i in range(CAPACITY_HOPS + 7):
        queue.on_chunk(Chunk(160 * i, np.full((1, 40), i, np.float32)))
    assert queue.dropped == 7
    positions, values = queue.take()
    assert list(positions) == [160 * i for i in range(CAPACITY_HOPS)]
    assert list(values[:, 0]) == list(range(CAPACITY_HOPS))
    queue.on_chunk(Chunk(9 * 160, np.zeros((3, 40), np.float32)))
    assert list(queue.take()[0]) == [1440, 1600, 1760]


def test_who_wants_phones_begins_with_what_comes_from_then_on(session):
    queue = PhoneQueue(session, PHONES)
    queue.want(True)
    queue.on_chunk(Chunk(0, np.zeros((3, 40), np.float32)))
    queue.want(False)
    queue.want(True)
    assert queue.take()[1].shape == (0, 40)


def test_a_subscriber_that_does_not_read_loses_phones_and_is_told_how_many(tmp_path, session, stopped):
    server = ControlServer(f"unix:{tmp_path}/c.sock", session, stopped.set, PHONES)
    put = 0
    with Connection(server.address) as connection:
        events = connection.subscribe("phones")
        next(events)
        queue = queue_of(session)
        # until the socket's buffers and the server's are full
        deadline = time.monotonic() + 30
        while (lost := server.phones_dropped) < 100 and time.monotonic() < deadline:
            queue.on_chunk(Chunk(160 * put, np.zeros((50, 40), np.float32)))
            put += 50
            time.sleep(0.002)
        assert lost >= 100
        heard = dropped = 0
        while dropped < lost:
            if heard and not queue.waiting:
                queue.on_chunk(Chunk(160 * put, np.zeros((1, 40), np.float32)))
                put += 1
            event = next(events)
            heard += event["hops"]
            dropped += event.get("dropped", 0)
        # nothing is lost without being counted
        assert heard + dropped <= put
    server.close()
