"""The grammar of a house: what is exposed can be said, and is reported as Home Assistant knows it."""

import pytest
from helpers.fake_home import house

from edgevc.errors import SessionError
from edgevc.house.grammar import house_grammar
from edgevc.house.house import Entity, House, Place, read_house
from edgevc.recognition.automaton import compile_grammar
from edgevc.recognition.grammar import GrammarError
from edgevc.recognition.home_assistant import parse_home_assistant
from edgevc.recognition.lexicon import lexicon_of
from edgevc.recognition.sentence_list import SentenceList
from edgevc.recognition.spoken_text import understand

HOME = "http://house:8123"


class Answers:
    def __init__(self, answers):
        self.answers = answers

    def ask(self, kind, **values):
        return self.answers[kind]


def no_words(words):
    return {"küchen", "rollo", "日本", "zzyzx"} & set(words)


def grammar_of(found):
    return house_grammar(found, HOME, no_words)


def meanings(grammar, *sentences):
    automaton = compile_grammar(parse_home_assistant(grammar.text))
    found = [understand(automaton, sentence) for sentence in sentences]
    return [None if one is None else (one.intent, dict(one.slots)) for one in found]


def test_what_is_exposed_is_read_with_its_aliases_and_its_area():
    found = read_house(Answers(house()))
    assert found.entities == (
        Entity("cover", ("Küchen-Rollo", "blind")),
        Entity("light", ("Lamp",), "bed_room"),
        Entity("light", ("Kitchen lamp", "Ceiling light"), "kitchen"),
        Entity("lock", ("door",)),
    )
    assert found.areas[0] == Place("kitchen", ("Kitchen", "cook house"), "ground")
    assert found.floors == (Place("ground", ("Ground floor",)),)


@pytest.mark.parametrize("kind", house())
@pytest.mark.parametrize("answer", [None, [], {}, 7, [None], {"exposed_entities": 3}, [{"entity_id": 4}]])
def test_an_answer_that_is_none_is_an_error_or_an_empty_house(kind, answer):
    try:
        found = read_house(Answers({**house(), kind: answer}))
    except SessionError as error:
        said = str(error)
    else:
        said = type(found).__name__
    assert said == "House" or "answers otherwise" in said


@pytest.mark.parametrize("value", [["kitchen"], {"a": 1}, 7, True])
@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("config/area_registry/list", "area_id"),
        ("config/area_registry/list", "floor_id"),
        ("config/floor_registry/list", "floor_id"),
        ("config/device_registry/list", "id"),
        ("config/device_registry/list", "area_id"),
        ("config/entity_registry/get_entries", "area_id"),
        ("config/entity_registry/get_entries", "device_id"),
    ],
)
def test_ids_of_another_type_are_an_error(kind, key, value):
    answers = house()
    found = answers[kind]
    found = found[0] if isinstance(found, list) else found["light.kitchen"]
    found[key] = value
    with pytest.raises(SessionError, match="answers otherwise than expected"):
        read_house(Answers(answers))


def test_a_name_of_a_megabyte_takes_no_time():
    answers = house()
    answers["get_states"][0]["attributes"]["friendly_name"] = "x" * 1_000_000
    assert lexicon_of(["x" * 1_000_000]).guessed == {}
    found = house_grammar(read_house(Answers(answers)), "", lambda words: {word for word in words if len(word) > 99})
    assert any("no pronunciation of" in line for line in found.left_out)


def test_things_are_said_by_name_and_alias_and_reported_as_they_are_written():
    grammar = grammar_of(read_house(Answers(house())))
    assert meanings(
        grammar,
        "turn on the ceiling light",
        "switch the kitchen lamp off",
        "set the brightness of the lamp to 35 percent",
        "open the blind",
        "set the blind to 50 percent",
        "lock the door",
        "turn off the lights in the cook house",
        "turn on the ground floor lights",
        "movie night",
    ) == [
        ("HassTurnOn", {"name": "Ceiling light"}),
        ("HassTurnOff", {"name": "Kitchen lamp"}),
        ("HassLightSet", {"name": "Lamp", "brightness": "35"}),
        ("HassTurnOn", {"name": "blind"}),
        ("HassSetPosition", {"name": "blind", "position": "50"}),
        ("HassTurnOn", {"name": "door"}),
        ("HassTurnOff", {"area": "cook house", "domain": "light"}),
        ("HassTurnOn", {"floor": "Ground floor", "domain": "light"}),
        ("conversation", {}),
    ]


def test_what_is_not_exposed_or_not_safe_by_voice_cannot_be_said():
    grammar = grammar_of(read_house(Answers(house())))
    said = ("turn on the secret", "unlock the door", "turn on the lights in the attic", "turn on the blind")
    assert meanings(grammar, *said) == [None] * 4


def test_what_cannot_be_said_is_left_out_by_name():
    grammar = grammar_of(read_house(Answers(house())))
    assert sorted(grammar.left_out) == [
        "'Küchen-Rollo': no pronunciation of 'küchen', 'rollo'; give it an alias in Home Assistant",
        grammar.left_out[-1],
    ]
    assert grammar.left_out[-1].startswith("the sentence 'play {album}': ")


def test_things_of_one_name_are_told_apart_by_their_areas():
    lamps = tuple(Entity("light", ("Lamp",), area) for area in ("a", "b"))
    fan = Entity("fan", ("Fan",), "a")
    found = House((*lamps, fan), (Place("a", ("Hall",)), Place("b", ("Office",))), (), ())
    said = meanings(grammar_of(found), "turn on the lamp in the office", "turn on the fan in the office")
    assert said == [("HassTurnOn", {"name": "Lamp", "area": "Office"}), None]


def test_names_of_every_kind_give_a_grammar_that_can_be_read():
    odd = (
        *("AC", "TV 2", "a_b", "a-b", "A b", "5", "light/on", "{{ x }}", "[x]", "(a|b)", "<rule>", "None", "日本"),
        *('"', "\\", "#1", "yes: no", "- x", "true", "!tag", "🙂", "21.5°", "x\ny"),
    )
    found = House(tuple(Entity("switch", (name,)) for name in odd), (), (), odd)
    grammar = grammar_of(found)
    values = SentenceList(compile_grammar(parse_home_assistant(grammar.text)))
    assert values.count("HassTurnOn") > 40
    assert any("日本" in line for line in grammar.left_out)
    # one of two names that are said alike
    assert meanings(grammar, "turn on the a b") == [("HassTurnOn", {"name": "a_b"})]


def test_a_house_without_anything_is_said():
    with pytest.raises(GrammarError, match="nothing that http://house:8123 exposes"):
        grammar_of(House((), (), (), ()))
