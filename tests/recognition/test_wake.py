"""Wake phrases: commands are heard behind them and not before, also in one breath."""

import numpy as np
import pytest
from helpers.synthetic_speech import GRAMMAR, LEXICON, PHONES, sound

from edgevc.errors import ConfigError
from edgevc.recognition.armed import ArmedRecognizer, WakeSettings
from edgevc.recognition.automaton import compile_grammar
from edgevc.recognition.grammar import Grammar, GrammarError
from edgevc.recognition.lexicon import Lexicon
from edgevc.recognition.network import build_network
from edgevc.recognition.recognizer import CommandRecognizer
from edgevc.recognition.rhino import parse_rhino
from edgevc.recognition.sentences import Rule
from edgevc.recognition.toml_grammar import parse_toml
from edgevc.recognition.wake import wake_phrases

WORDS = Lexicon({"weather": ["W EH DH ER"], "tomorrow": ["T AH M AA R OW"], "go": ["G OW"]})
LONG = " ".join(["weather go tomorrow garage"] * 3)


@pytest.fixture
def armed():
    commands = build_network(compile_grammar(parse_rhino(GRAMMAR)), LEXICON, PHONES)
    phrases = wake_phrases([Rule("wake", 1, "[go] weather tomorrow")])
    wake = build_network(compile_grammar(Grammar(phrases)), WORDS, PHONES)

    def build(seconds=8.0):
        return ArmedRecognizer(
            CommandRecognizer(commands, PHONES),
            CommandRecognizer(wake, PHONES),
            WakeSettings(armed_seconds=seconds),
        )

    return build


def words(heard):
    return [" ".join(one.recognition.words) for one in heard if one.refusal is None]


def test_a_command_without_its_wake_phrase_is_not_heard(armed):
    stream = armed()
    assert stream.process(sound("turn on kitchen lamp", tail=200)) == []
    assert stream.woken == []
    assert not stream.armed


def test_a_command_behind_a_wake_phrase_is_heard_and_ends_the_wait(armed):
    stream = armed()
    assert stream.process(sound("weather tomorrow", tail=100)) == []
    (phrase,) = stream.woken
    assert phrase.recognition.meaning.intent == "[go] weather tomorrow"
    assert stream.armed
    heard = stream.process(sound("turn on kitchen lamp", tail=100))
    assert words(heard) == ["turn on kitchen lamp"]
    assert stream.woken == []
    assert not stream.armed
    assert stream.process(sound("turn off kitchen lamp", tail=100)) == []


@pytest.mark.parametrize("pause", [0, 1, 5, 30])
def test_phrase_and_command_in_one_breath_are_both_heard(armed, pause):
    said = np.concatenate([sound("weather tomorrow")[:-8], sound("turn off bed room lamp", pause=pause, tail=60)])
    stream = armed()
    heard = stream.process(said)
    assert len(stream.woken) == 1
    assert words(heard) == ["turn off bed room lamp"]
    assert heard[0].recognition.meaning.slots == {"place": "bed room"}


def test_a_recognitions_frames_count_from_where_it_says(armed):
    lead = sound("", pause=100)
    said = np.concatenate([lead, sound("weather tomorrow"), sound("turn on kitchen lamp", tail=100)])
    stream = armed()
    (heard,) = stream.process(said)
    (phrase,) = stream.woken
    assert phrase.begin == 0
    # each sound ends with a pause of 8 frames
    assert phrase.recognition.ends[-1] == len(lead) + len(sound("weather tomorrow")) - 9
    assert heard.begin + heard.recognition.ends[-1] == len(said) - 100 - 9


def test_the_sentences_do_not_depend_on_how_the_frames_come(armed, rng):
    said = [sound(text, right=0.7, rng=rng, tail=40) for text in ("weather tomorrow", LONG, "play some music")]
    stream = np.concatenate([*said, *said[:2], sound("", pause=900), *said, sound("", pause=60)])
    whole = armed()
    expected = whole.process(stream)
    expected_phrases = whole.woken
    pieces, heard, phrases, start = armed(), [], [], 0
    while start < len(stream):
        size = int(rng.integers(1, 40))
        heard += pieces.process(stream[start : start + size])
        phrases += pieces.woken
        start += size
    assert len(expected_phrases) == 3
    assert len(words(expected)) == 2
    assert [(h.recognition, h.begin, h.end) for h in heard] == [(h.recognition, h.begin, h.end) for h in expected]
    assert [h.end for h in phrases] == [h.end for h in expected_phrases]


def test_the_wait_ends_after_the_armed_time_but_not_in_a_sentence(armed):
    stream = armed(seconds=1.0)
    stream.process(np.concatenate([sound("weather tomorrow"), sound("", pause=120)]))
    assert not stream.armed
    assert stream.process(sound("turn on kitchen lamp", tail=100)) == []
    # begun in time: "turn on kitchen" alone takes longer than what is left
    heard = stream.process(
        np.concatenate([sound("weather tomorrow"), sound("turn on kitchen lamp", frames=9, tail=90)])
    )
    assert words(heard) == ["turn on kitchen lamp"]


def test_a_refused_sentence_leaves_the_wait_as_it_is(armed):
    stream = armed()
    said = [sound("weather tomorrow"), sound("turn on garage lamp", tail=160), sound("turn on kitchen lamp", tail=100)]
    assert words(stream.process(np.concatenate(said))) == ["turn on kitchen lamp"]


def test_a_stream_that_is_reset_is_a_new_one(armed):
    said = np.concatenate([sound("weather tomorrow"), sound("play music in the kitchen", tail=100)])
    stream = armed()
    stream.process(said[: len(said) // 2])
    stream.reset()
    assert stream.process(said) == armed().process(said)


def test_without_phrases_commands_are_always_heard():
    commands = build_network(compile_grammar(parse_rhino(GRAMMAR)), LEXICON, PHONES)
    stream = ArmedRecognizer(CommandRecognizer(commands, PHONES), None)
    assert stream.armed
    assert words(stream.process(sound("turn on kitchen lamp", tail=60))) == ["turn on kitchen lamp"]


def test_phrases_stand_in_the_grammar_with_its_rules():
    grammar = parse_toml('wake = ["hey <who>"]\n[[command]]\nname = "a"\nsay = ["go"]\n[rules]\nwho = "(house|lamp)"')
    assert list(grammar.wake) == ["hey <who>"]
    one = parse_toml('wake = "hey lamp"\n[[command]]\nname = "a"\nsay = ["go"]')
    assert compile_grammar(Grammar(one.wake)).n_nodes == 3


@pytest.mark.parametrize(
    ("wake", "rule"),
    [
        ("3", "line 1, wake: expected a phrase as text, got 3"),
        ('"[hey]"', "at least one word that may not be left out"),
        ('"hey {room}"', "a wake phrase cannot contain lists"),
        (str([f"hey {chr(97 + i)}" for i in range(21)]), "at most 20 phrases, got 21"),
    ],
)
def test_what_is_no_phrase_is_refused_by_name(wake, rule):
    with pytest.raises(GrammarError, match=rule.replace("[", r"\[")):
        parse_toml(f'wake = {wake}\n[[command]]\nname = "a"\nsay = ["go"]')


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), 601])
def test_a_wait_out_of_range_is_one_line(armed, seconds):
    with pytest.raises(ConfigError, match="armed_seconds: expected above 0 and at most 600"):
        armed(seconds)
