"""Sound in, commands out: grammars from files, any cut of the stream, several streams of one encoder."""

from pathlib import Path

import numpy as np
import pytest

from edgevc.audio.reader import read_audio
from edgevc.bundle import ModelBundle
from edgevc.errors import ConfigError
from edgevc.recognition.command_set import CommandSet, read_grammar
from edgevc.recognition.grammar import GrammarError
from edgevc.recognition.recognizer import Refusal
from edgevc.recognition.spoken_commands import SpokenCommands

SENTENCE = Path(__file__).resolve().parents[2] / "examples" / "sentence.wav"
TOML = """
[[command]]
name = "light_and_music"
say = ["please turn (on|off) the {room} light and play some music"]
room = ["kitchen", "bath room"]

[[command]]
name = "stop"
say = ["stop"]
"""
RHINO = """
context:
  expressions:
    lightAndMusic:
      - "please turn [on, off] the $room:room light and play some music"
  slots:
    room: ["kitchen", "bath room"]
"""
HOME_ASSISTANT = """
intents:
  LightAndMusic:
    data:
      - sentences: ["please turn (on|off) the {room} light and play some music"]
lists:
  room: { values: ["kitchen", "bath room"] }
"""


@pytest.fixture(scope="module")
def bundle():
    return ModelBundle.find("default")


@pytest.fixture
def written(tmp_path):
    def write(text, name):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def spoken(bundle, written):
    return SpokenCommands(CommandSet.read(written(TOML, "home.toml"), bundle.phones), bundle)


@pytest.fixture(scope="module")
def sound():
    samples = read_audio(SENTENCE)[0]
    return np.concatenate([samples, np.zeros(16000, np.float32)])


def figures(sentences):
    return [(one.heard.recognition, one.heard.refusal, one.ended_at) for one in sentences]


def test_a_spoken_sentence_is_its_command_soon_after_its_last_word(spoken, sound):
    (sentence,) = spoken.stream().process(sound)
    assert sentence.heard.recognition.meaning.intent == "light_and_music"
    assert sentence.heard.recognition.meaning.slots == {"room": "kitchen"}
    assert sentence.heard.refusal is None
    # the recording is 3.3 s long, with little silence behind the last word
    assert 2.8 < sentence.ended_at < 3.4
    assert sentence.ended_at < sentence.noticed_at < sentence.ended_at + 0.25


def test_every_cut_of_the_stream_gives_the_same(spoken, sound, rng):
    whole = figures(spoken.stream().process(sound))
    stream = spoken.stream()
    pieces = []
    start = 0
    while start < len(sound):
        size = int(rng.integers(0, 700))
        pieces += stream.process(sound[start : start + size])
        start += size
    assert figures(pieces) == whole


def test_the_second_sentence_has_its_own_time_and_reset_forgets_the_first(spoken, sound):
    stream = spoken.stream()
    first, second = stream.process(np.concatenate([sound, sound]))
    assert second.heard.recognition.words == first.heard.recognition.words
    assert second.ended_at - first.ended_at == pytest.approx(len(sound) / 16000, abs=0.05)
    stream.reset()
    assert figures(stream.process(sound)) == figures([first])


def test_streams_of_one_encoder_do_not_hear_each_other(spoken, sound):
    one, other = spoken.stream(), spoken.stream()
    heard = []
    for start in range(0, len(sound), 160):
        assert other.process(np.zeros(160, np.float32)) == []
        heard += one.process(sound[start : start + 160])
    assert len(heard) == 1


@pytest.mark.parametrize(
    ("text", "name", "intent"),
    [
        (TOML, "a.toml", "light_and_music"),
        (RHINO, "a.yml", "lightAndMusic"),
        (HOME_ASSISTANT, "a.yaml", "LightAndMusic"),
    ],
)
def test_a_file_says_by_its_name_and_its_head_which_syntax_it_has(bundle, written, sound, text, name, intent):
    commands = CommandSet.read(written(text, name), bundle.phones)
    assert commands.commands[0] == intent
    (sentence,) = SpokenCommands(commands, bundle).stream().process(sound)
    assert sentence.heard.recognition.meaning.intent == intent


@pytest.mark.parametrize(
    ("content", "name", "rule"),
    [
        (TOML.encode(), "home.txt", r"home\.txt: a grammar is a file \.toml, \.yaml, \.yml"),
        (b"\xff\xfe", "home.toml", "not UTF-8 at byte 0"),
        (b"#" * 4_000_001, "home.toml", "at most 4000000 bytes"),
        (b"[[command]]\nname = 1", "home.toml", r"home\.toml: line 1"),
    ],
)
def test_a_file_that_is_no_grammar_is_refused_by_name(tmp_path, content, name, rule):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rule):
        read_grammar(path)


def test_a_missing_file_and_an_unknown_word_say_what_to_do(tmp_path, bundle, written):
    with pytest.raises(ConfigError, match="name a grammar that can be read"):
        read_grammar(tmp_path / "nothing.toml")
    with pytest.raises(GrammarError, match="no pronunciation of '日本'; add it to a dictionary"):
        CommandSet.read(written('[[command]]\nname = "a"\nsay = ["日本"]', "a.toml"), bundle.phones)


@pytest.mark.parametrize("wrong", [np.zeros(160), np.zeros((2, 160), np.float32), np.full(160, np.nan, np.float32)])
def test_sound_that_is_none_is_refused(spoken, wrong):
    with pytest.raises((TypeError, ConfigError)):
        spoken.stream().process(wrong)


def test_a_refused_sentence_that_was_hardly_there_was_too_quiet(bundle, written, sound):
    # nothing is certain enough
    commands = CommandSet.read(written(TOML, "home.toml"), bundle.phones)
    picky = SpokenCommands(commands, bundle, least_certainty=99.0)
    (loud,) = picky.stream().process(sound)
    assert loud.heard.refusal is Refusal.UNCERTAIN
    quiet = picky.stream().process(np.float32(1e-3) * sound)
    assert [one.heard.refusal for one in quiet] in ([], [Refusal.TOO_QUIET])
    (hushed,) = picky.stream().process(np.float32(5e-3) * sound)
    assert hushed.heard.reason == "too quiet"


WAKE = """
wake = "please"

[[command]]
name = "light"
say = ["turn (on|off) the kitchen light and play some music"]
"""


def test_wake_phrase_and_command_of_one_breath_are_an_event_each(bundle, written, sound):
    stream = SpokenCommands(CommandSet.read(written(WAKE, "home.toml"), bundle.phones), bundle).stream()
    assert not stream.armed
    woken, sentences = [], []
    for start in range(0, len(sound), 1600):
        sentences += stream.process(sound[start : start + 1600])
        woken += stream.woken
    (phrase,), (sentence,) = woken, sentences
    assert phrase.heard.recognition.meaning.intent == "please"
    # it begins the recording
    assert 0.2 < phrase.ended_at < 1.0
    assert phrase.ended_at < phrase.noticed_at < phrase.ended_at + 0.5
    assert sentence.heard.recognition.meaning.intent == "light"
    assert 2.8 < sentence.ended_at < 3.4


def test_other_phrases_may_stand_in_for_the_files(bundle, written, sound):
    path = written(WAKE, "home.toml")
    commands = CommandSet.read(path, bundle.phones, wake=["hey computer"])
    assert commands.wake.commands == ("hey computer",)
    stream = SpokenCommands(commands, bundle).stream()
    assert stream.process(sound) == stream.woken == []
