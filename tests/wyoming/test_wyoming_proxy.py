"""The privacy proxy with the real package as client: what is passed on as it is, and what never is."""

import asyncio
import contextlib
import json
import wave

import numpy as np
import pytest
from helpers.command_line import raw
from helpers.wyoming_peers import (
    AsyncTcpClient,
    AudioChunk,
    AudioStart,
    AudioStop,
    Describe,
    Event,
    Info,
    Keeper,
    Transcript,
    answer,
    async_read_event,
    connect,
    hang_up,
    proxied,
    run,
    serving,
    speak,
    transcript,
    until,
)

from edgevc.audio.reader import read_audio
from edgevc.convert import convert_file
from edgevc.converter.bench import speech_like
from edgevc.wyoming import link, server
from edgevc.wyoming.address import Address
from edgevc.wyoming.frames import make_frame
from edgevc.wyoming.proxy import Proxy
from edgevc.wyoming.sound import SPEECH, AudioFormat

INFO = {
    "asr": [
        {
            "name": "whisper",
            "attribution": {"name": "a", "url": "b"},
            "installed": True,
            "description": None,
            "version": "1",
            "later": {"kept": 1},
            "models": [
                {
                    "name": "base",
                    "attribution": {"name": "a", "url": "b"},
                    "installed": True,
                    "description": None,
                    "version": None,
                    "languages": ["en"],
                }
            ],
        }
    ],
}
FOREIGN = (
    b'{ "type":"transcribe" , "version":"0.0.1","data":{"language":"en"}}\n',
    b'{"type": "user-event", "data_length": 14, "payload_length": 4}\n{ "name": "a"}\x00\n\xff{',
    b'{"type": "x", "data_length": 4}\nnull',
    b'{"type":"ping","unknown":[1,2]}\r\n',
)


@pytest.fixture(scope="module")
def spoken():
    """Speech as 16-bit PCM that no converter would give."""
    return raw(speech_like(1.0, seed=4))


def written(samples, form):
    """Samples in a format: the same in every channel but for a small difference that the mean takes out again."""
    wide = np.rint(samples[:, None] * (2 ** (8 * form.width - 1) - 1) * 0.9).astype("<i8")
    frames = wide.repeat(form.channels, axis=1)
    return frames.astype("<i4").tobytes() if form.width == 4 else _cut(frames, form.width)


def _cut(frames, width):
    return frames.astype("<i8").reshape(-1, 1).view(np.uint8)[:, :width].tobytes()


def test_foreign_events_go_on_byte_for_byte_both_ways(change):
    keeper = Keeper([(part,) for part in FOREIGN] + [transcript("hello")])

    async def test():
        async with proxied(keeper, change) as port:
            reader, writer = await connect(port)
            for part in FOREIGN:
                writer.write(part)
            for part in make_frame("audio-stop", {"timestamp": None}).raw:
                writer.write(part)
            expected = b"".join([*FOREIGN, *transcript("hello")])
            assert await reader.readexactly(len(expected)) == expected
            await hang_up(writer)
        assert keeper.everything == b"".join([*FOREIGN, *make_frame("audio-stop", {"timestamp": None}).raw])

    run(test())


@pytest.mark.parametrize(
    "form",
    [SPEECH, AudioFormat(48000, 2, 2), AudioFormat(8000, 4, 1), AudioFormat(44100, 3, 2), AudioFormat(22050, 1, 1)],
    ids=str,
)
def test_the_service_hears_what_the_command_convert_gives(change, run_convert, form):
    samples = speech_like(0.7, seed=2)
    sound = written(np.interp(np.arange(0, len(samples), 16000 / form.rate), np.arange(len(samples)), samples), form)
    keeper = Keeper([transcript("hello")])

    async def test():
        async with proxied(keeper, change) as port, AsyncTcpClient("127.0.0.1", port) as client:
            await speak(client, sound, form, timestamp=500)
            assert Transcript.from_event(await answer(client)).text == "hello"

    run(test())
    assert keeper.sound() == run_convert(sound, form)
    assert {frame.data()["rate"] for frame in keeper.heard[0] if "audio-c" in frame.type} == {16000}
    times = [frame.data()["timestamp"] for frame in keeper.heard[0] if frame.type == "audio-chunk"]
    assert times[0] == 500
    assert times == sorted(times)
    assert times[-1] < 1200
    assert keeper.types()[0] == "audio-start"
    assert keeper.types()[-1] == "audio-stop"
    assert keeper.types().count("audio-stop") == 1


@pytest.fixture
def run_convert(tmp_path, change):
    """What the command `edgevc convert` makes of the same sound in a file."""

    def convert(sound, form):
        source, target = tmp_path / "said.wav", tmp_path / "changed.wav"
        with wave.open(str(source), "wb") as file:
            file.setnchannels(form.channels)
            file.setsampwidth(form.width)
            file.setframerate(form.rate)
            # a file's 8 bits have no sign, those of an event have one
            file.writeframes(bytes(byte ^ 128 for byte in sound) if form.width == 1 else sound)
        convert_file(source, target, change.converter.stream(change.voice), overwrite=True)
        return raw(read_audio(target)[0])

    return convert


@pytest.mark.parametrize("size", [1, 333, 64_000])
def test_however_the_sound_is_cut_the_service_hears_the_same(change, run_convert, spoken, size):
    keeper = Keeper([transcript("x")])
    sound = spoken[: 3200 if size == 1 else None]

    async def test():
        async with proxied(keeper, change) as port, AsyncTcpClient("127.0.0.1", port) as client:
            # without an audio-start, which a service may do without
            for start in range(0, len(sound), size):
                await client.write_event(AudioChunk(16000, 2, 1, sound[start : start + size]).event())
            await client.write_event(AudioStop().event())
            await answer(client)

    run(test())
    assert keeper.sound() == run_convert(sound, SPEECH)
    assert "audio-start" not in keeper.types()


def test_every_recording_of_a_connection_begins_anew(change, run_convert, spoken):
    keeper = Keeper([transcript("x")])

    async def test():
        async with proxied(keeper, change) as port, AsyncTcpClient("127.0.0.1", port) as client:
            await speak(client, spoken, SPEECH)
            # one that is given up for another
            await client.write_event(AudioStart(16000, 2, 1).event())
            await speak(client, spoken, SPEECH)
            await answer(client)
            await answer(client)

    run(test())
    assert keeper.sound() == 2 * run_convert(spoken, SPEECH)


def test_a_format_that_changes_within_a_recording_loses_no_sound(change, run_convert, spoken):
    keeper = Keeper([transcript("x")])
    other = AudioFormat(8000, 2, 1)

    async def test():
        async with proxied(keeper, change) as port, AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(AudioChunk(16000, 2, 1, spoken).event())
            await client.write_event(AudioChunk(8000, 2, 1, spoken[:8000]).event())
            await client.write_event(AudioStop().event())
            await answer(client)

    run(test())
    assert keeper.sound() == run_convert(spoken, SPEECH) + run_convert(spoken[:8000], other)


def test_what_the_service_says_aloud_comes_back_as_it_is(change, spoken):
    said = [make_frame("audio-start", {"rate": 22050, "width": 2, "channels": 1}).raw]
    said += [make_frame("audio-chunk", {"rate": 22050, "width": 2, "channels": 1}, spoken).raw]
    keeper = Keeper(first=said)

    async def test():
        async with proxied(keeper, change) as port:
            reader, writer = await connect(port)
            expected = b"".join(b"".join(parts) for parts in said)
            assert await reader.readexactly(len(expected)) == expected
            await hang_up(writer)

    run(test())


def test_home_assistant_sees_another_name_and_everything_else_as_it_was(change):
    keeper = Keeper(first=[make_frame("info", INFO, header={"version": "9.9"}).raw])

    async def test():
        async with proxied(keeper, change) as port, AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Describe().event())
            event = await client.read_event()
            (program,) = Info.from_event(event).asr
            assert program.name == "edgevc-whisper"
            assert program.models[0].name == "base"
            event.data["asr"][0]["name"] = "whisper"
            assert event.data == INFO
            await client.write_event(Event("select-program", {"name": "edgevc-whisper"}))
            await client.write_event(Event("select-program", {"name": "other"}))
            await until(lambda: len(keeper.heard[0]) == 3)

    run(test())
    assert [frame.data()["name"] for frame in keeper.heard[0][1:]] == ["whisper", "other"]


@pytest.mark.parametrize("kind", ["satellite", "mic"])
def test_no_proxy_stands_before_a_service_whose_sound_would_come_back_unchanged(change, kind):
    keeper = Keeper(first=[make_frame("info", {kind: [{"name": "room"}]}).raw])

    async def test():
        async with proxied(keeper, change) as port, AsyncTcpClient("127.0.0.1", port) as client:
            event = await client.read_event()
            assert event.type == "error"
            assert f"is a {kind}" in event.data["text"]
            assert await client.read_event() is None

    run(test())


def test_without_a_service_the_client_is_told_at_once(change):
    async def test():
        proxy = Proxy(Address("127.0.0.1", 1), change)
        async with serving(proxy.converse) as port, AsyncTcpClient("127.0.0.1", port) as client:
            event = await client.read_event()
            assert event.data["text"] == "the service behind the proxy does not answer; is it running?"
        proxy.close()

    run(test())


# --- one client's faults


def test_twenty_clients_at_once_each_get_their_own(change, run_convert):
    sounds = [raw(speech_like(0.4, seed=seed)) for seed in range(20)]
    keeper = Keeper([transcript("x")])

    async def one(port, sound):
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Event("name", {"seed": sounds.index(sound)}))
            await speak(client, sound, SPEECH)
            assert (await answer(client)).type == "transcript"

    async def test():
        async with proxied(keeper, change) as port:
            await asyncio.gather(*(one(port, sound) for sound in sounds))

    run(test())
    assert len(keeper.heard) == 20
    for number, frames in enumerate(keeper.heard):
        assert keeper.sound(number) == run_convert(sounds[frames[0].data()["seed"]], SPEECH)


async def malformed(port):
    reader, writer = await connect(port)
    writer.write(b'{"type": 7}\n')
    assert b"type must be text" in await reader.read()
    await hang_up(writer)


async def oversize(port):
    reader, writer = await connect(port)
    writer.write(json.dumps({"type": "audio-chunk", "payload_length": 5 << 20}).encode() + b"\n")
    assert b"payload_length must be within" in await reader.read()
    await hang_up(writer)


async def endless_header(port):
    reader, writer = await connect(port)
    writer.write(b'{"type": "' + b"a" * 200_000)
    assert b"at most 65536 bytes" in await reader.read()
    await hang_up(writer)


async def half_an_event(port):
    _, writer = await connect(port)
    writer.write(b'{"type": "audio-chunk", "payload_length": 9')
    await writer.drain()
    await hang_up(writer)


async def leaves_while_it_speaks(port):
    _, writer = await connect(port)
    for part in make_frame("audio-chunk", {"rate": 16000, "width": 2, "channels": 1}, bytes(32000)).raw:
        writer.write(part)
    await writer.drain()
    writer.transport.abort()


async def only_connects(port):
    _, writer = await connect(port)
    await hang_up(writer)


FAULTS = (malformed, oversize, endless_header, half_an_event, leaves_while_it_speaks, only_connects)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_broken_client_harms_its_own_connection_only(change, run_convert, spoken, fault):
    keeper = Keeper([transcript("x")])

    async def test():
        async with proxied(keeper, change) as port, AsyncTcpClient("127.0.0.1", port) as client:
            half = len(spoken) // 4 * 2
            await client.write_event(AudioStart(16000, 2, 1).event())
            await client.write_event(AudioChunk(16000, 2, 1, spoken[:half]).event())
            await until(lambda: keeper.heard and keeper.heard[0])
            await fault(port)
            await client.write_event(AudioChunk(16000, 2, 1, spoken[half:]).event())
            await client.write_event(AudioStop().event())
            assert (await answer(client)).type == "transcript"
            # what the other had with the service is over
            await until(lambda: len(keeper.ended) >= len(keeper.heard) - 1)

    run(test())
    assert keeper.sound(0) == run_convert(spoken, SPEECH)


def test_a_client_that_has_closed_its_half_still_gets_the_answer(change, spoken):
    keeper = Keeper([transcript("late")])

    async def test():
        async with proxied(keeper, change) as port:
            reader, writer = await connect(port)
            for kind, payload in (("audio-chunk", spoken), ("audio-stop", b"")):
                for part in make_frame(kind, {"rate": 16000, "width": 2, "channels": 1}, payload).raw:
                    writer.write(part)
            writer.write_eof()
            event = await async_read_event(reader)
            assert event.data["text"] == "late"
            assert await reader.read() == b""
            await hang_up(writer)

    run(test())


def test_a_client_that_does_not_read_holds_up_nobody_and_ends(change, run_convert, spoken, monkeypatch):
    monkeypatch.setattr(link, "UNREAD_SECONDS", 0.5)
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.1)
    loud = make_frame("audio-chunk", {"rate": 22050, "width": 2, "channels": 1}, bytes(4_000_000)).raw
    keeper = Keeper([transcript("x")], first=[loud] * 5)

    async def test():
        async with proxied(keeper, change) as port:
            _, slow = await connect(port)
            async with AsyncTcpClient("127.0.0.1", port) as client:
                await speak(client, spoken, SPEECH)
                assert (await answer(client)).type == "transcript"
            await until(lambda: len(keeper.ended) == 2)
            slow.transport.abort()

    run(test())
    assert run_convert(spoken, SPEECH) in [keeper.sound(number) for number in range(2)]


def test_a_client_that_reads_slowly_is_waited_for(change, monkeypatch):
    monkeypatch.setattr(link, "UNREAD_SECONDS", 1.0)
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.05)
    loud = make_frame("audio-chunk", {"rate": 22050, "width": 2, "channels": 1}, bytes(4_000_000)).raw
    keeper = Keeper(first=[loud] * 5)

    async def test():
        async with proxied(keeper, change) as port:
            reader, writer = await connect(port)
            wanted = 5 * sum(map(len, loud))
            while wanted:
                wanted -= len(await reader.read(min(wanted, 1_000_000)))
                await asyncio.sleep(0.1)
            await hang_up(writer)

    run(test())


@pytest.mark.parametrize(
    "sent", [b'{"type"', b'{"type": "x", "data_length": 9}\n{"a"', b'{"type":"x","payload_length":2}\n1']
)
def test_an_event_that_never_ends_is_ended(change, monkeypatch, sent):
    monkeypatch.setattr(link, "FRAME_SECONDS", 0.2)
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.05)
    keeper = Keeper()

    async def test():
        async with proxied(keeper, change) as port:
            reader, writer = await connect(port)
            writer.write(sent)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            await hang_up(writer)
            await until(lambda: len(keeper.ended) == 1)

    run(test())
    assert keeper.everything == b""


def test_idle_clients_are_sent_away_and_give_their_place_to_new_ones(change, monkeypatch):
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(server, "GRACE_SECONDS", 0.3)
    keeper = Keeper(first=[make_frame("info", INFO).raw])

    async def test():
        async with proxied(keeper, change, max_clients=2) as port:
            places = [await connect(port) for _ in range(2)]
            for reader, _ in places:
                await async_read_event(reader)
            reader, writer = await connect(port)
            assert (await async_read_event(reader)).data["code"] == "busy"
            await hang_up(writer)
            await asyncio.sleep(0.4)
            reader, writer = await connect(port)
            assert (await async_read_event(reader)).type == "info"
            await hang_up(writer)
            monkeypatch.setattr(server, "IDLE_SECONDS", 0.1)
            for reader, writer in places:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                await hang_up(writer)

    run(test())
