"""The sentences of a grammar, counted and numbered."""

import itertools

import pytest
from helpers.synthetic_speech import GRAMMAR

from edgevc.recognition.automaton import compile_grammar
from edgevc.recognition.grammar import Meaning
from edgevc.recognition.rhino import parse_rhino
from edgevc.recognition.sentence_list import SentenceList
from edgevc.recognition.toml_grammar import parse_toml


@pytest.fixture(scope="module")
def lamps():
    return SentenceList(compile_grammar(parse_rhino(GRAMMAR)))


def expected_lights():
    rooms = ("kitchen", "living room", "bed room")
    turned = itertools.product(("", "please "), ("switch", "turn"), ("on", "off"), rooms)
    yield from (f"{please}{verb} {onoff} {room} lamp" for please, verb, onoff, room in turned)
    yield from (f"{room} lamp {onoff}" for room, onoff in itertools.product(rooms, ("on", "off")))


def test_every_sentence_has_a_number_and_no_two_are_the_same(lamps):
    assert lamps.commands == ("light", "music")
    assert lamps.count("light") == 30
    assert lamps.count("music") == 8
    found = [" ".join(lamps.sentence("light", i).words) for i in range(30)]
    assert sorted(found) == sorted(expected_lights())
    with pytest.raises(IndexError):
        lamps.sentence("light", 30)


def test_each_sentence_says_what_it_asks_for(lamps):
    for i in range(30):
        spoken = lamps.sentence("light", i)
        room = next(r for r in ("kitchen", "living room", "bed room") if r in " ".join(spoken.words))
        assert spoken.meaning == Meaning("light", {"place": room})


def test_some_are_spread_over_all_and_are_all_where_there_are_few(lamps):
    assert len({spoken.words for spoken in lamps.some("light", 7)}) == 7
    assert len({spoken.words for spoken in lamps.some("music", 100)}) == 8


def test_words_are_understood_as_the_grammar_does(lamps):
    assert lamps.understood(["please", "turn", "on", "living", "room", "lamp"]) == [
        Meaning("light", {"place": "living room"})
    ]
    assert lamps.understood(["turn", "on", "living", "lamp"]) == []
    assert lamps.understood([]) == []


def test_a_command_in_two_tables_is_one_and_values_are_reported_under_their_names():
    text = """
    [[command]]
    name = "go"
    say = ["go {place}"]
    place = [{ in = "home|back", out = "HOME" }]
    [[command]]
    name = "go"
    say = ["leave"]
    slots = { place = "AWAY" }
    """
    sentences = SentenceList(compile_grammar(parse_toml(text)))
    assert sentences.commands == ("go",)
    assert sentences.count("go") == 3
    found = {" ".join(s.words): s.meaning.slots["place"] for s in sentences.some("go", 3)}
    assert found == {"go home": "HOME", "go back": "HOME", "leave": "AWAY"}


def test_a_grammar_of_very_many_sentences_is_counted_at_once():
    say = " ".join("[(a|b|c|d)]" for _ in range(30)) + " stop"
    sentences = SentenceList(compile_grammar(parse_toml(f'[[command]]\nname = "x"\nsay = ["{say}"]')))
    # sequences of up to 30 letters: which brackets they fill makes no other sentence
    assert sentences.count("x") == sum(4**n for n in range(31))
    assert sentences.sentence("x", sentences.count("x") - 1).words[-1] == "stop"
