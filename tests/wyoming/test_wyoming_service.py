"""Spoken commands as a Wyoming service, with the real package as client and the default model's encoder."""

import asyncio
import contextlib
from pathlib import Path

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
    Transcribe,
    Transcript,
    answer,
    connect,
    hang_up,
    run,
    serving,
    speak,
)

from edgevc.audio.reader import read_audio
from edgevc.bundle import ModelBundle
from edgevc.dsp.resample import resample
from edgevc.recognition.command_set import CommandSet
from edgevc.recognition.spoken_commands import SpokenCommands
from edgevc.wyoming.service import CommandService
from edgevc.wyoming.sound import SPEECH, AudioFormat

SENTENCE = Path(__file__).resolve().parents[2] / "examples" / "sentence.wav"
TEXT = "please turn on the kitchen light and play some music"
GRAMMAR = """
wake = ["please turn on"]

[[command]]
name = "light_and_music"
say = ["[please turn] (on|off) the {room} light and play some music"]
room = ["kitchen", "bath room"]

[[command]]
name = "stop"
say = ["stop"]
"""


@pytest.fixture(scope="session")
def spoken(tmp_path_factory):
    path = tmp_path_factory.mktemp("grammar") / "home.toml"
    path.write_text(GRAMMAR, encoding="utf-8")
    bundle = ModelBundle.find("default")
    return SpokenCommands(CommandSet.read(path, bundle.phones), bundle)


@pytest.fixture(scope="module")
def sound():
    """The sentence and a second of silence."""
    samples, _, _ = read_audio(SENTENCE)
    return np.concatenate([samples, np.zeros(16_000, np.float32)])


@contextlib.asynccontextmanager
async def listening(spoken, **options):
    service = CommandService(spoken, **options)
    try:
        async with serving(service.converse) as port:
            yield port
    finally:
        service.close()


async def say(client, samples, form=SPEECH):
    """All the sound, and no audio-stop."""
    await client.write_event(AudioStart(form.rate, form.width, form.channels).event())
    data = raw(samples)
    for start in range(0, len(data), 640):
        await client.write_event(AudioChunk(form.rate, form.width, form.channels, data[start : start + 640]).event())


def test_the_transcript_comes_before_the_sound_has_stopped_with_the_intent_before_it(spoken, sound):
    heard = []

    async def test():
        async with (
            listening(spoken, heard=lambda sentence, client: heard.append((sentence, client))) as port,
            AsyncTcpClient("127.0.0.1", port) as client,
        ):
            await client.write_event(Transcribe(language="en").event())
            await say(client, sound)
            intent = await client.read_event()
            assert intent.data["name"] == "light_and_music"
            assert intent.data["entities"] == [{"name": "room", "value": "kitchen"}]
            assert Transcript.from_event(await client.read_event()).text == TEXT
            # what comes late gets no second answer, and the next question its own
            await client.write_event(AudioChunk(16000, 2, 1, bytes(640)).event())
            await client.write_event(AudioStop().event())
            await client.write_event(Transcribe().event())
            await say(client, sound)
            assert (await answer(client)).data["text"] == TEXT

    run(test())
    (sentence, client), _ = heard
    assert client.startswith("127.0.0.1:")
    # the recording ends at 3.3 s
    assert sentence.noticed_at - sentence.ended_at < 0.3
    assert sentence.noticed_at < 3.6


def test_a_recording_that_ends_at_once_behind_the_last_word_is_heard(spoken, sound):
    async def test():
        async with listening(spoken) as port, AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Transcribe().event())
            await speak(client, raw(sound[: 16_000 * 33 // 10]), SPEECH)
            assert (await answer(client)).data["text"] == TEXT

    run(test())


@pytest.mark.parametrize("form", [AudioFormat(48000, 2, 2), AudioFormat(22050, 4, 1)], ids=str)
def test_sound_of_any_format_is_heard(spoken, sound, form):
    samples = resample(sound, 16000, form.rate)
    scale = 2 ** (8 * form.width - 1) - 1
    data = np.rint(samples[:, None].repeat(form.channels, 1).astype(np.float64) * scale).astype(f"<i{form.width}")

    async def test():
        async with listening(spoken) as port, AsyncTcpClient("127.0.0.1", port) as client:
            await speak(client, data.tobytes(), form)
            assert (await answer(client)).data["text"] == TEXT

    run(test())


def test_what_is_no_command_is_an_empty_transcript_after_the_time_out_of_its_own(spoken, rng):
    noise = rng.normal(0, 0.003, 16000 * 3).astype(np.float32)

    async def test():
        async with listening(spoken, timeout=2.0) as port:
            async with AsyncTcpClient("127.0.0.1", port) as client:
                await client.write_event(Transcribe().event())
                await say(client, noise)
                assert (await answer(client)).data["text"] == ""
            # also where the sound stops without a word, and where none comes at all
            async with AsyncTcpClient("127.0.0.1", port) as client:
                await client.write_event(Transcribe().event())
                await speak(client, raw(noise[:8000]), SPEECH)
                assert (await answer(client)).data["text"] == ""
            async with AsyncTcpClient("127.0.0.1", port) as client:
                await client.write_event(Transcribe().event())
                assert (await answer(client)).data["text"] == ""
                assert (await client.read_event()).type == "error"
                assert await client.read_event() is None

    run(test())


def test_a_wake_phrase_is_told_with_its_time_as_soon_as_it_ended(spoken, sound):
    async def test():
        async with listening(spoken) as port:
            async with AsyncTcpClient("127.0.0.1", port) as client:
                await client.write_event(Event("detect", {"names": ["please turn on"]}))
                await say(client, sound)
                event = await client.read_event()
                assert (event.type, event.data["name"]) == ("detection", "please turn on")
                assert 300 < event.data["timestamp"] < 1500
            async with AsyncTcpClient("127.0.0.1", port) as client:
                await client.write_event(Event("detect", {"names": ["another"]}))
                await speak(client, raw(sound), SPEECH)
                assert (await client.read_event()).type == "not-detected"

    run(test())


def test_home_assistant_is_told_that_it_need_not_listen_for_the_end(spoken):
    async def test():
        async with listening(spoken, name="living room", version="1.2") as port:
            for _ in range(3):
                # as it asks every half minute, and leaves
                async with AsyncTcpClient("127.0.0.1", port) as client:
                    await client.write_event(Describe().event())
                    info = Info.from_event(await client.read_event())
        (asr,), (intent,), (wake,) = info.asr, info.intent, info.wake
        assert asr.requires_external_vad is False
        assert asr.prefers_noise_reduction_enabled is False
        assert (asr.name, intent.name, wake.name, asr.version) == ("living room", "living room", "living room", "1.2")
        assert asr.models[0].languages == ["en"]
        assert (wake.models[0].name, wake.models[0].phrase) == ("please turn on", "please turn on")

    run(test())


def test_sentences_in_writing_are_understood_and_others_are_not(spoken):
    async def test():
        async with listening(spoken) as port, AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Event("recognize", {"text": TEXT.capitalize() + "."}))
            event = await client.read_event()
            assert (event.type, event.data["name"]) == ("intent", "light_and_music")
            assert event.data["entities"] == [{"name": "room", "value": "kitchen"}]
            await client.write_event(Event("recognize", {"text": "open the garage"}))
            assert (await client.read_event()).type == "not-recognized"
            await client.write_event(Event("ping", {"text": "x"}))
            event = await client.read_event()
            assert (event.type, event.data["text"]) == ("pong", "x")

    run(test())


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "audio-chunk", "data": {"rate": 1}}\n',
        b'{"type": "recognize", "data": {"text": 7}}\n',
        b'{"type": "recognize"}\n',
        b'{"type": "ping", "data": []}\n{"type": "audio-start", "data": {"rate": 700001, "width": 2, "channels": 1}}\n',
        b"\n",
    ],
)
def test_a_broken_client_ends_alone(spoken, sound, line):
    async def test():
        async with listening(spoken) as port, AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Transcribe().event())
            await client.write_event(AudioStart(16000, 2, 1).event())
            reader, writer = await connect(port)
            writer.write(line)
            assert b'"error"' in await reader.readline()
            await hang_up(writer)
            await speak(client, raw(sound), SPEECH)
            assert (await answer(client)).data["text"] == TEXT

    run(test())


def test_several_clients_hear_their_own(spoken, sound):
    async def one(port, samples):
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await speak(client, raw(samples), SPEECH)
            return (await answer(client)).data["text"]

    async def test():
        async with listening(spoken) as port:
            silence = np.zeros(8000, np.float32)
            return await asyncio.gather(*(one(port, sound if number % 2 else silence) for number in range(4)))

    assert run(test()) == ["", TEXT, "", TEXT]
