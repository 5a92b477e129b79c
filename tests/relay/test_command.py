"""`edgevc relay` as a program: recordings, pipes, a live session; what it prints, and what it never prints."""

import asyncio
import json
import subprocess
import sys

import numpy as np
import pytest
from helpers.command_line import environment, finish, start
from helpers.relay_doubles import LAMPS, Server

from edgevc.audio.reader import read_audio
from edgevc.audio.wav_writer import write_wav
from edgevc.bundle import ModelBundle
from edgevc.control.server import ControlServer
from edgevc.recognition.command_set import CommandSet
from edgevc.recognition.posteriors import PhonePosteriors
from edgevc.relay.controls import Controls
from edgevc.relay.sources.live import LiveSource

SENTENCE = "turn on the kitchen lights"


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """A sentence by espeak-ng, at its own 22 kHz."""
    path = tmp_path_factory.mktemp("spoken") / "command.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "150", "-w", path, SENTENCE], check=True)
    return path


@pytest.fixture
def lamps(tmp_path):
    path = tmp_path / "lamps.toml"
    path.write_text(LAMPS)
    return path


def lines_of(out):
    return [json.loads(line) for line in out.splitlines()]


def test_a_recording_becomes_a_line(run, lamps, spoken):
    found = run("relay", "--commands", lamps, spoken, warns=True)
    (event,) = lines_of(found.out)
    assert event["command"] == "light"
    assert event["slots"] == {"room": "kitchen", "state": "on"}
    assert event["text"] == SENTENCE
    assert event["source"] == str(spoken)
    assert "heard: light state=on room=kitchen" in found.err
    assert "1 commands heard, 0 sentences refused; lines: 1 given, 1 sent" in found.err


def test_a_sentence_that_the_grammar_lacks_is_refused_with_a_reason(run, tmp_path, spoken):
    path = tmp_path / "other.toml"
    path.write_text(LAMPS.replace('"kitchen", ', ""))
    (event,) = lines_of(run("relay", "--commands", path, spoken, warns=True).out)
    assert event["refusal"] == "sounds like something that the grammar does not contain"


def test_raw_sound_from_a_pipe_at_another_rate(lamps, spoken):
    samples, rate, _ = read_audio(spoken)
    data = (samples * 32767).astype("<i2").tobytes()
    process = start(
        *("relay", "--commands", lamps, "--raw", "--raw-rate", rate), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    out, err = process.communicate(data, timeout=120)
    assert process.returncode == 0, err
    assert [event["command"] for event in lines_of(out)] == ["light"]


def test_a_header_is_no_sound(lamps, spoken):
    with spoken.open("rb") as file:
        code, err = finish(start("relay", "--commands", lamps, "--raw", stdin=file, stdout=subprocess.PIPE))
    assert code == 5
    assert "must be PCM without a header" in err


def test_events_of_another_relay_are_taken_and_what_is_none_is_said(tmp_path):
    code = "import sys; open(sys.argv[1], 'a').write(sys.argv[2])"
    process = start(
        *("relay", "--events", f'--program-run={sys.executable} -c "{code}" {tmp_path}/out {{room}}'),
        stdin=subprocess.PIPE,
    )
    process.stdin.write(b'{"command": "light", "slots": {"room": "hall"}}\nnonsense\n{"command": 3}\n')
    code, err = finish(process)
    assert code == 0, err
    assert (tmp_path / "out").read_text() == "hall"
    assert err.count("an event is passed over") == 2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["x.wav"], 2, "needs to know what may be said"),
        (["--listen", "none"], 2, "there is nothing to hear"),
        (["--raw", "--events"], 2, "exclude each other"),
        (["--commands", "nothing.toml", "x.wav"], 2, "name a grammar that can be read"),
        (["--commands", "LAMPS", "nothing.wav"], 5, "cannot be opened"),
        (["--commands", "LAMPS", "--control", "unix:/nothing", "--bundle", "none-such"], 3, "none-such"),
    ],
)
def test_what_cannot_be_heard_ends_with_a_reason(run, lamps, arguments, code, words):
    arguments = [lamps if word == "LAMPS" else word for word in arguments]
    assert words in run("relay", *arguments, code=code).err


def test_no_secret_is_ever_printed(tmp_path, lamps, spoken):
    """Much goes wrong in one run, with all messages: none of the secrets is in them, nor in the process list."""
    with Server((401, {})) as server:
        secrets = {"mqtt": "s3cr3t-mqtt", "token": "s3cr3t-token", "url": "s3cr3t-path"}
        config = tmp_path / "config.toml"
        config.write_text(
            f'[relay]\ncommands = "{lamps}"\nlines = true\n'
            f'[mqtt]\nhost = "127.0.0.1"\nport = 9\nusername = "u"\npassword = "{secrets["mqtt"]}"\n'
            f'queue = "{tmp_path}/queue"\n'
            f'[home_assistant]\nurl = "{server.url}"\ntoken = "{secrets["token"]}"\n'
            f'[webhook]\nurl = "{server.url}/{secrets["url"]}"\n'
        )
        config.chmod(0o600)
        process = start("-vv", "relay", "--config", config, "--time-to-live=2", spoken, stdout=subprocess.PIPE)
        seen = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        text = seen + out.decode() + err.decode()
        assert "does not take the token" in text
        assert "the broker cannot be reached" in text
        assert "1 expired" in text
        assert [secret for secret in secrets.values() if secret in text] == []
        assert str(config) in seen
        stored = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("queue"))
        assert not any(secret.encode() in stored for secret in secrets.values())


class Session:
    """What the control server needs of a session that hears a recording."""

    voices = ()

    class wishes:  # noqa: N801
        mode = voice = "x"
        gain_db = semitones = 0.0
        listening = True

    class Stats:
        def as_dict(self):
            return {"state": "running"}

    def __init__(self):
        self.taps = []

    def stats(self):
        return self.Stats()

    def add_tap(self, tap):
        self.taps.append(tap)

    def remove_tap(self, tap):
        self.taps.remove(tap)


class Chunk:
    def __init__(self, position, phones):
        self.position, self.phones = position, phones


def test_a_live_session_is_heard_over_its_socket_and_again_when_it_comes_back(tmp_path, spoken):
    bundle = ModelBundle.find("default")
    samples, rate, _ = read_audio(spoken)
    write_wav(tmp_path / "x.wav", samples, rate)
    from edgevc.dsp.resample import Resampler

    sound = np.concatenate([Resampler(rate, 16_000).process(samples), np.zeros(16_000, np.float32)])
    phones = PhonePosteriors(bundle)(sound)
    (tmp_path / "lamps.toml").write_text(LAMPS)
    commands = CommandSet.read(tmp_path / "lamps.toml", bundle.phones)
    address = f"unix:{tmp_path}/s"
    heard = []

    async def say(session):
        for start_ in range(0, len(phones), 10):
            for tap in list(session.taps):
                tap.on_chunk(Chunk(160 * start_, phones[start_ : start_ + 10]))
            await asyncio.sleep(0.03)

    async def main():
        loop = asyncio.get_running_loop()
        source = LiveSource(
            address,
            lambda names: commands.armed_recognizer(),
            Controls(),
            lambda event: loop.call_soon_threadsafe(heard.append, event),
            30.0,
        )
        task = asyncio.create_task(source.run())
        for expected in (1, 2):
            session = Session()
            server = ControlServer(address, session, lambda: None, bundle.phones)
            for _ in range(1000):
                if session.taps:
                    break
                await asyncio.sleep(0.02)
            await say(session)
            for _ in range(1000):
                if len(heard) == expected:
                    break
                await asyncio.sleep(0.02)
            await asyncio.get_running_loop().run_in_executor(None, server.close)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(main(), 100))
    assert [(event.command, event.slots["room"], event.source) for event in heard] == [
        ("light", "kitchen", "live session")
    ] * 2


def test_a_relay_that_does_not_listen_hears_nothing(lamps, spoken):
    from edgevc.recognition.spoken_commands import SpokenCommands
    from edgevc.relay.sources.hearing import Hearing

    bundle = ModelBundle.find("default")
    commands = SpokenCommands(CommandSet.read(lamps, bundle.phones), bundle)
    samples, rate, _ = read_audio(spoken)
    heard, controls = [], Controls()
    hearing = Hearing(commands, rate, controls, heard.append, "x", 30.0)
    controls.set(listening=False)
    hearing.process(samples)
    hearing.end()
    assert heard == []
    controls.set(listening=True)
    hearing.process(samples)
    hearing.end()
    assert [event.command for event in heard] == ["light"]
    controls.set(sensitivity=0.0)
    assert controls.least_certainty > Controls().least_certainty
    assert environment()["PYTHONPATH"]


def test_a_wyoming_client_gets_its_transcript_and_the_house_its_command(lamps, spoken):
    from helpers.wyoming_peers import AsyncTcpClient, Transcribe, answer, speak

    from edgevc.wyoming.sound import AudioFormat

    samples, rate, _ = read_audio(spoken)
    process = start(
        *("-v", "relay", "--commands", lamps, "--wyoming=127.0.0.1:0", "--lines"),
        stdout=subprocess.PIPE,
        text=True,
    )

    async def main(port):
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Transcribe().event())
            await speak(client, (samples * 32767).astype("<i2").tobytes(), AudioFormat(rate, 2, 1))
            return (await answer(client)).data["text"]

    try:
        line = process.stderr.readline()
        text = asyncio.run(asyncio.wait_for(main(int(line.rpartition(":")[2])), 100))
        event = json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert text == SENTENCE
    assert event["command"] == "light"
    assert event["source"].startswith("wyoming 127.0.0.1:")
