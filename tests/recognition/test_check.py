"""What `edgevc commands check` says of a grammar."""

import pytest
from helpers.synthetic_speech import PHONES

from edgevc.recognition.check import check_grammar
from edgevc.recognition.toml_grammar import parse_toml

TEXT = """
wake = ["hey computer", "bob"]

[[command]]
name = "light"
say = ["turn (on|off) the {room} light", "set the light to {percent}%"]
room = ["kitchen", "chicken", "cellar", { in = "sell her", out = "cellar" }, "conservatory日"]
percent = [15, 50]

[[command]]
name = "stop"
say = ["stop"]
"""
TEXT = TEXT.replace("[15, 50]", '["15", "50"]')


@pytest.fixture(scope="module")
def found():
    return check_grammar(parse_toml(TEXT), PHONES)


def test_it_counts_what_may_be_said_and_gives_examples(found):
    light, stop = found.commands
    assert (light.name, light.n_sentences, stop.n_sentences) == ("light", 12, 1)
    assert len(light.examples) == 3
    assert stop.examples == ("stop",)


def test_a_word_that_no_dictionary_has_is_named_with_what_is_written_alike(found):
    (missing,) = found.missing
    assert missing.word == "conservatory日"
    assert missing.nearest[0] == "conservatory"
    # nothing can be built yet
    assert found.n_states == 0
    assert "conservatory日" not in found.pronunciations
    assert ("S", "T", "AA", "P") in found.pronunciations["stop"]


def test_a_dictionary_of_ones_own_fills_the_gap():
    own = {"conservatory日": ["K AH N S ER V AH T AO R IY"]}
    found = check_grammar(parse_toml(TEXT), PHONES, [own])
    assert found.missing == ()
    assert found.n_states > 100


def test_what_sounds_alike_and_asks_for_something_else_is_named(found):
    pairs = {(pair.one, pair.other, pair.where) for pair in found.alike}
    assert ("fifteen", "fifty", "percent") in pairs
    # reported as the same
    assert ("cellar", "sell her", "room") not in pairs
    assert all(pair.distance <= 0.34 for pair in found.alike)
    # K IH CH AH N and CH IH K AH N: 2 of 5
    assert ("chicken", "kitchen", "room") not in pairs


def test_words_in_the_same_place_that_lead_elsewhere_are_compared_too():
    text = '[[command]]\nname = "a"\nsay = ["play"]\n[[command]]\nname = "b"\nsay = ["plays"]'
    (pair,) = check_grammar(parse_toml(text), PHONES).alike
    assert (pair.one, pair.other, pair.where) == ("play", "plays", "")
    assert pair.distance == 0.25


def test_a_short_wake_phrase_is_weak(found):
    long, short = found.wake
    assert (long.phrase, long.weak) == ("hey computer", False)
    assert long.n_phones == 10
    assert (short.phrase, short.n_phones, short.weak) == ("bob", 3, True)
