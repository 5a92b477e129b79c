"""Frames byte for byte: those of the real package, those at the limits, and those that no reader should take."""

import asyncio
import json

import numpy as np
import pytest
from helpers.wyoming_peers import AudioChunk, Event, Info, Transcript, async_read_event, run

from edgevc.wyoming import frames
from edgevc.wyoming.frames import FrameError, make_frame, read_frame


def read(data):
    """Read one frame from bytes, as a connection gives them."""

    async def reading():
        reader = asyncio.StreamReader(limit=frames.MAX_HEADER)
        reader.feed_data(data)
        reader.feed_eof()
        first = await reader.read(1)
        return await read_frame(reader, first)

    return run(reading())


def header(**entries):
    return json.dumps(entries).encode() + b"\n"


class Pipe:
    """What the package's writer needs."""

    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += data

    def writelines(self, parts):
        self.data += b"".join(parts)

    async def drain(self):
        pass


@pytest.mark.parametrize(
    "event",
    [
        Transcript("Straße, 東京", language="de").event(),
        AudioChunk(16000, 2, 1, b"\x00\n\xff{" * 100).event(),
        Event("anything", {"a": [1, {"b": None}]}, b"\n"),
        Event("describe"),
    ],
)
def test_what_the_real_package_writes_is_read_and_kept_byte_for_byte(event):
    from wyoming.event import async_write_event

    pipe = Pipe()
    run(async_write_event(event, pipe))
    frame = read(pipe.data)
    assert (frame.type, frame.data(), frame.payload) == (event.type, event.data, event.payload or b"")
    assert b"".join(frame.raw) == pipe.data


def test_the_real_package_reads_what_is_written_here():
    frame = make_frame("info", {"asr": [], "name": "ü"}, b"abc", {"version": "1.2"})

    async def reading():
        reader = asyncio.StreamReader()
        reader.feed_data(b"".join(frame.raw))
        return await async_read_event(reader)

    event = run(reading())
    assert (event.type, event.data, event.payload) == ("info", {"asr": [], "name": "ü"}, b"abc")
    assert Info.is_type(event.type)
    assert json.loads(frame.line)["version"] == "1.2"


def test_data_in_the_line_and_behind_it_is_one_and_the_block_counts_more():
    block = b'{"b": 3}'
    frame = read(header(type="x", data={"a": 1, "b": 2}, data_length=len(block)) + block)
    assert frame.data() == {"a": 1, "b": 3}


def test_the_largest_of_each_part_is_read_and_one_byte_more_is_refused(monkeypatch):
    longest = header(type="x", pad="")
    longest = header(type="x", pad="a" * (frames.MAX_HEADER - len(longest)))
    assert len(longest) == frames.MAX_HEADER
    assert read(longest).type == "x"
    with pytest.raises(FrameError, match="at most 65536 bytes"):
        read(longest.replace(b"aa", b"aaa", 1))
    for key, most in (("data_length", frames.MAX_DATA), ("payload_length", frames.MAX_PAYLOAD)):
        body = b"{" + b" " * (most - 2) + b"}"
        found = read(header(type="x", **{key: most}) + body)
        assert len(found.block + found.payload) == most
        with pytest.raises(FrameError, match=f"{key} must be within 0..{most}, got {most + 1}"):
            read(header(type="x", **{key: most + 1}))


def test_nothing_is_allocated_for_what_a_header_only_claims():
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(FrameError, match="ended within an event"):
        read(header(type="x", payload_length=frames.MAX_PAYLOAD))
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b"\n", "must be JSON"),
        (b"GET / HTTP/1.1\r\n", "must be JSON"),
        (b"\xff\xfe{\x00}\x00\n", "must be JSON"),
        (b"[" * 50_000 + b"\n", "must be JSON"),
        (b'{"type": "x", "n": ' + b"9" * 5000 + b"}\n", "must be JSON"),
        (b'{"type": "x", "type": "audio-chunk"}\n', "must be JSON"),
        (b'{"type": "x", "payload_length": 1, "payload_length": 9}\n', "must be JSON"),
        (b"[]\n", "must be an object of JSON, got list"),
        (b"7\n", "must be an object of JSON, got 7"),
        (header(data={}), "type must be text, got None"),
        (header(type=7), "type must be text, got 7"),
        (header(type="x", payload_length=-1), "payload_length must be within"),
        (header(type="x", payload_length=1.0), "payload_length must be within"),
        (header(type="x", payload_length=True), "payload_length must be within"),
        (header(type="x", data_length="3"), "data_length must be within"),
        (header(type="x", data_length=10**30), "data_length must be within"),
        (b'{"type": "x"}', "ended within an event"),
        (header(type="x", data_length=3) + b"{}", "ended within an event"),
        (header(type="x", payload_length=3) + b"ab", "ended within an event"),
    ],
)
def test_a_frame_that_breaks_a_rule_is_refused_by_it(line, rule):
    with pytest.raises(FrameError, match=rule):
        read(line)


@pytest.mark.parametrize(
    "frame",
    [
        header(type="x", data_length=2) + b"[]",
        header(type="x", data_length=2) + b"{]",
        header(type="x", data=[1]),
        header(type="x", data_length=14) + b'{"a":1,"a": 2}',
    ],
)
def test_data_that_is_no_object_is_refused_when_somebody_asks_for_it_and_can_still_be_passed_on(frame):
    found = read(frame)
    assert b"".join(found.raw) == frame
    with pytest.raises(FrameError, match="data must be"):
        found.data()


def test_what_may_be_sound_is_in_no_message():
    secret = np.random.default_rng(0).bytes(60).replace(b"\n", b"") + b"my voice\n"
    with pytest.raises(FrameError) as error:
        read(secret)
    assert "my voice" not in str(error.value)
