"""A grammar that changes while the relay runs: heard from then on, announced, and kept where the new one is wrong."""

import asyncio
import contextlib
from pathlib import Path

import numpy as np
from helpers.broker import Broker, Watcher, wait_for
from helpers.relay_doubles import LAMPS
from helpers.relay_process import RelayProcess

from edgevc.audio.reader import read_audio
from edgevc.bundle import ModelBundle
from edgevc.recognition.spoken_commands import SpokenCommands
from edgevc.relay import vocabulary as module
from edgevc.relay.vocabulary import Vocabulary

SAID = """
[[command]]
name = "{name}"
say = ["please turn on the {room} light and play some music"]
"""


def test_streams_hear_what_the_file_says_by_now(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    path = tmp_path / "home.toml"
    path.write_text(SAID.format(name="before", room="kitchen"))
    bundle = ModelBundle.find("default")
    vocabulary = Vocabulary(path, None)
    spoken = SpokenCommands(vocabulary.compiled(bundle.phones), bundle)
    vocabulary.follow(spoken)
    changes = []
    vocabulary.watch(changes.append)
    stream = spoken.stream()
    sound = read_audio(Path(__file__).resolve().parents[2] / "examples" / "sentence.wav")[0]
    sound = np.concatenate([sound, np.zeros(16000, np.float32)])

    def heard():
        return [one.heard.recognition.meaning.intent for one in stream.process(sound) if one.heard.refusal is None]

    async def until(condition):
        task = asyncio.create_task(vocabulary.run())
        for _ in range(3000):
            if condition():
                break
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert condition()

    assert heard() == ["before"]
    ended = 2 * len(sound) / 16000
    # half a sentence is heard to its end with what it began with
    half = len(sound) // 2
    stream.process(sound[:half])
    path.write_text(SAID.format(name="behind", room="kitchen"))
    asyncio.run(until(lambda: changes == [("behind",)]))
    rest = stream.process(sound[half:])
    assert [one.heard.recognition.meaning.intent for one in rest] == ["before"]
    (sentence,) = stream.process(sound)
    assert sentence.heard.recognition.meaning.intent == "behind"
    # times go on
    assert ended < sentence.ended_at < ended + len(sound) / 16000
    assert vocabulary.version == 1


def test_a_grammar_that_is_wrong_changes_nothing(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    path = tmp_path / "home.toml"
    path.write_text(SAID.format(name="light", room="kitchen"))
    vocabulary = Vocabulary(path, None)
    vocabulary.compiled(ModelBundle.find("default").phones)

    async def main():
        task = asyncio.create_task(vocabulary.run())
        for text in ("[[command]", SAID.format(name="other", room="{nowhere}")):
            caplog.clear()
            path.write_text(text)
            while "stays as it was" not in caplog.text:
                await asyncio.sleep(0.01)
        path.unlink()
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(main(), 60))
    assert vocabulary.names == ("light",)
    assert vocabulary.version == 0


def test_home_assistant_is_told_of_commands_that_come_and_go_while_the_relay_runs(tmp_path):
    grammar = tmp_path / "lamps.toml"
    grammar.write_text(LAMPS)
    with (
        contextlib.closing(Broker(tmp_path / "broker").start()) as broker,
        Watcher(broker, "homeassistant/#") as watcher,
        RelayProcess(tmp_path, broker, "--commands", grammar) as relay,
    ):
        topic = "homeassistant/device/edgevc_pi/config"
        watcher.wait_for(topic)
        assert b"trigger_stop" in watcher.of(topic)[-1]
        grammar.write_text(LAMPS.replace('name = "stop"', 'name = "halt"'))
        wait_for("the other command", lambda: b"trigger_halt" in watcher.of(topic)[-1])
        removal = b'"trigger_stop": {"p": "device_automation"}'
        wait_for("the removal", lambda: any(removal in payload for payload in watcher.of(topic)))
        wait_for("the last word", lambda: b"trigger_stop" not in watcher.of(topic)[-1])
        relay.end()
