"""Grammars in TOML and in Home Assistant's YAML, and the sentence syntax that both have."""

import random
import re
import time
from pathlib import Path

import pytest
from hassil.parse_expression import parse_sentence
from hassil.sample import sample_sentence
from helpers.synthetic_speech import GRAMMAR, PHONES, sound

from edgevc.recognition.automaton import compile_grammar, meaning
from edgevc.recognition.emissions import SearchSettings
from edgevc.recognition.grammar import GrammarError, Meaning
from edgevc.recognition.home_assistant import WildcardError, parse_home_assistant
from edgevc.recognition.lexicon import lexicon_of
from edgevc.recognition.network import build_network
from edgevc.recognition.number_words import number_words, ways_to_say
from edgevc.recognition.phones import log_priors
from edgevc.recognition.rhino import parse_rhino
from edgevc.recognition.search import CommandSearch
from edgevc.recognition.sentences import Rule, SentenceReader, no_lists, phrases, spoken_words
from edgevc.recognition.toml_grammar import parse_toml


def said(grammar):
    """Sentence to meaning, of everything that a small grammar accepts."""
    automaton = compile_grammar(grammar)
    found = {}
    todo = [(0, [])]
    while todo:
        node, labels = todo.pop()
        if node in automaton.finals:
            group = automaton.finals[node]
            found[" ".join(label.word for label in labels)] = meaning(
                group, labels, automaton.outcomes, automaton.reported
            )
        todo += [(arc.target, [*labels, arc.label]) for arc in automaton.arcs if arc.source == node]
    return found


def sentences(text, rules=()):
    reader = SentenceReader({name: Rule(name, 1, rule) for name, rule in dict(rules).items()}, no_lists)
    return sorted(phrases(reader.read(Rule("test", 1, text)), 10_000))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("turn on the light", ["turn on the light"]),
        ("turn [it] (on|off)", ["turn it off", "turn it on", "turn off", "turn on"]),
        ("light[s] on", ["light on", "lights on"]),
        ("[the ]light", ["light", "the light"]),
        ("(a;b) c", ["a b c", "b a c"]),
        ("on|off", ["off", "on"]),
        ("What's up?", ["what's up"]),
        ("50% at 7\\[x\\]", ["fifty percent at seven x"]),
        ("<greet> you", ["hello you", "hi you"]),
        ("(tele|)vision", ["television", "vision"]),
    ],
)
def test_what_a_sentence_accepts(text, expected):
    assert sentences(text, {"greet": "(hi|hello)"}) == expected


def random_sentence(rng, depth=0):
    parts = []
    for _ in range(rng.randint(1, 3 - depth)):
        kind = rng.random()
        if kind < 0.5 or depth == 2:
            parts.append(rng.choice(["turn", "on", "light[s]", "what's", "(un|)lock", "go[ing| to]"]))
        elif kind < 0.6:
            parts.append("<polite>")
        else:
            inner = [random_sentence(rng, depth + 1) for _ in range(rng.randint(1, 2))]
            separator = ";" if rng.random() < 0.3 and len(inner) > 1 else "|"
            parts.append("[" + "|".join(inner) + "]" if kind < 0.8 else "(" + separator.join(inner) + ")")
    return " ".join(parts)


@pytest.mark.parametrize("seed", range(40))
def test_sentences_are_those_that_hassil_accepts(seed):
    rng = random.Random(seed)
    text = f"go {random_sentence(rng)}"
    rules = {"polite": "(please|would you[ kindly])"}
    expected = sample_sentence(parse_sentence(text), expansion_rules={"polite": parse_sentence(rules["polite"])})
    assert sentences(text, rules) == sorted({" ".join(sentence.split()) for sentence in expected}), text


def test_what_touches_in_too_many_ways_is_refused():
    with pytest.raises(GrammarError, match="line 1, test: expected at most 200 ways of saying what touches"):
        sentences("go " + "(a|b|c)" * 6)


LAMPS = """
[[command]]
name = "light"
say = ["turn <onoff> [the] {room} light[s]", "{room} light[s] <onoff>"]
room = ["kitchen", { in = "living room|lounge", out = "living_room" }]
slots = { kind = "lamp" }

[[command]]
name = "brightness"
say = ["(set|dim) [the] {room:place} light to {percent}%"]
percent = { from = 0, to = 100, step = 50 }

[lists]
room = ["bed room"]

[rules]
onoff = "(on|off)"
"""


def test_a_toml_grammar_says_what_was_asked_for():
    found = said(parse_toml(LAMPS))
    assert found["turn on the lounge lights"] == Meaning("light", {"kind": "lamp", "room": "living_room"})
    assert found["kitchen light off"] == Meaning("light", {"kind": "lamp", "room": "kitchen"})
    assert found["dim bed room light to fifty percent"] == Meaning("brightness", {"place": "bed room", "percent": "50"})
    assert found["set the bed room light to a hundred percent"].slots["percent"] == "100"
    # turn on or off, with or without the, 3 ways of 2 rooms, light or lights; the same without turn; 2 * 2 * 4 numbers
    assert len(found) == 2 * 2 * 3 * 2 + 3 * 2 * 2 + 2 * 2 * 4


def test_a_toml_grammar_is_heard():
    automaton = compile_grammar(parse_toml(LAMPS))
    lexicon = lexicon_of({arc.label.word for arc in automaton.arcs})
    search = CommandSearch(build_network(automaton, lexicon, PHONES), log_priors(PHONES), SearchSettings())
    found = search.decode(sound("turn on living room lamp"))
    assert found.meaning.slots["room"] == "living_room"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("{room} light[s] <onoff>", "{rom} light"), r"line 4, light: no list 'rom'; defined are room, room; got"),
        (("<onoff> [the]", "<onof> [the]"), r"line 4, light: no rule 'onof'; defined are onoff"),
        (("[the] {room} light[s]", "[the {room}"), r"line 4, light: expected '\]' to close"),
        (('"(on|off)"', '"(on|<onoff>)"'), r"line 17, onoff: rule 'onoff' contains itself"),
        (('"(on|off)"', "3"), r"onoff: expected a rule's text as text, got 3"),
        (('name = "brightness"', 'nam = "x"'), r"line 8, command: expected name = "),
        (('["bed room"]', "[]"), r"line 14, room: expected at least one value"),
        (('["bed room"]', '["{room}"]'), r"line 14, room: a list's values cannot contain lists"),
        (('["bed room"]', '["[bed]"]'), r"line 14, room: expected at least one word that may not be left out"),
        (("step = 50", "stop = 50"), r"line 11, percent: expected \{ in, out \} or \{ from, to, step \}"),
        (("to = 100", "to = -5"), r"line 11, percent: expected from <= to"),
        (("to = 100", "to = 999000"), r"line 11, percent: expected at most 2001 numbers"),
        (("step = 50", "step = 0.5"), r"line 11, percent: expected a whole number for step, got 0.5"),
        (("[rules]", "[rule]"), r"line 16, rule: expected \[\[command\]\], \[lists\], \[rules\] and wake"),
        (("[[command]]", "[command"), r"TOML: .*line 2"),
        (('slots = { kind = "lamp" }', "slots = 3"), r"line 2, light: expected slots = "),
        (("on|off", "on;off|x"), r"line 17, onoff: expected either '\|' or ';'"),
        (("(on|off)", "(a;b;c;d;e)"), r"line 17, onoff: expected at most 4 parts in any order, got 5"),
        (("(on|off)", "on)"), r"line 17, onoff: '\)' closes nothing"),
        (("(on|off)", "on }"), r"line 17, onoff: cannot read from '}' on"),
    ],
)
def test_mistakes_in_toml_name_line_and_rule(change, message):
    assert change[0] in LAMPS
    with pytest.raises(GrammarError, match=message):
        parse_toml(LAMPS.replace(*change, 1))


def test_one_word_reported_as_two_things_is_refused():
    text = LAMPS.replace('["kitchen", {', '[{ in = "lounge", out = "x" }, {')
    with pytest.raises(GrammarError, match=r"line 5, room: 'lounge' is reported as 'x' and as 'living_room'"):
        parse_toml(text)


@pytest.mark.parametrize(
    ("glue", "message"), [("", "at most 200 ways of saying what"), (" ", "more than 300000 words")]
)
def test_rules_that_double_with_every_level_are_refused_in_time(glue, message):
    rules = "\n".join(f'm{i} = "<m{i + 1}>{glue}<m{i + 1}>"' for i in range(40))
    text = f'[[command]]\nname = "a"\nsay = ["<m0>", "{{v}}"]\nv = ["<m0>"]\n[rules]\n{rules}\nm40 = "on"\n'
    started = time.process_time()
    with pytest.raises(GrammarError, match=message):
        compile_grammar(parse_toml(text))
    assert time.process_time() - started < 10


def test_deep_brackets_are_refused():
    with pytest.raises(GrammarError, match="expected at most 50 brackets"):
        sentences("go " + "(" * 10_000)


HOUSE = """
language: en
intents:
  HassTurnOn:
    data:
      - sentences:
          - "turn on [the] {name}"
          - "<switch> [the] {area} light[s] on"
        slots: {domain: light}
        response: default
      - sentences: ["{area} on"]
        requires_context: {domain: fan}
  HassLightSet:
    data:
      - sentences: ["set {name} brightness to {brightness}[%| percent]"]
  HassClimateSetTemperature:
    data:
      - sentences: ["{temp:temperature} degrees"]
lists:
  area:
    values:
      - in: "(living|family) room"
        out: living_room
      - kitchen
  brightness: {range: {from: 0, to: 10, step: 5}}
  temp: {range: {from: 20, to: 22, fractions: halves}}
  anything: {wildcard: true}
expansion_rules:
  switch: "(switch|turn)"
skip_words: [please]
"""
NAMES = {"name": ["Desk Lamp", "TV_2", "Fan (old)"]}


def test_home_assistants_sentences_say_what_was_asked_for():
    found = said(parse_home_assistant(HOUSE, NAMES))
    assert found["turn on the desk lamp"] == Meaning("HassTurnOn", {"domain": "light", "name": "Desk Lamp"})
    assert found["switch the family room lights on"].slots == {"domain": "light", "area": "living_room"}
    assert found["kitchen on"] == Meaning("HassTurnOn", {"area": "kitchen"})
    assert found["set tv two brightness to five percent"].slots == {"name": "TV_2", "brightness": "5"}
    assert found["turn on fan old"].slots["name"] == "Fan (old)"
    assert found["twenty one point five degrees"].slots == {"temperature": "21.5"}
    assert "twenty two point five degrees" not in found


def test_a_wildcard_is_refused_by_name_or_left_out():
    text = HOUSE.replace('"{area} on"', '"{area} on", "add {anything}"')
    with pytest.raises(WildcardError, match="line 11, HassTurnOn: list 'anything' is a wildcard"):
        parse_home_assistant(text, NAMES)
    assert said(parse_home_assistant(text, NAMES, skip_wildcards=True)) == said(parse_home_assistant(HOUSE, NAMES))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("{area} on", "{are} on"),
            "line 11, HassTurnOn: no list 'are'; defined are area, brightness, temp, anything, name",
        ),
        (("intents:", "intent:"), "line 1, document: expected `intents:`"),
        (("sentences: [", "sentence: ["), "line 11, HassTurnOn: expected sentences: with a list of texts"),
        (("from: 0, to: 10", "from: 0"), "list 'brightness': expected to: with a number"),
        (("fractions: halves", "fractions: thirds"), "expected fractions: halves or tenths, got 'thirds'"),
        (("step: 5", "step: x"), "expected a whole number for step, got 'x'"),
        (("- in: ", "- inn: "), "area: expected in: and out:"),
    ],
)
def test_mistakes_in_yaml_name_line_and_rule(change, message):
    assert change[0] in HOUSE
    with pytest.raises(GrammarError, match=message):
        parse_home_assistant(HOUSE.replace(*change, 1), NAMES)


def test_names_of_any_kind_never_crash():
    rng = random.Random(0)
    signs = [
        "_",
        "-",
        " ",
        "AC",
        "é",
        "ß",
        "2",
        "007",
        "'",
        "(",
        "{",
        "]",
        "|",
        "%",
        "°",
        "日本",
        "\U0001f600",
        "tv",
        ".",
    ]
    refused = {}
    for _ in range(1000):
        name = "".join(rng.choice(signs) for _ in range(rng.randint(1, 8)))
        try:
            compile_grammar(parse_home_assistant(HOUSE, {"name": [name]}))
        except GrammarError as error:
            refused[name] = str(error)
    assert refused
    assert all("expected a name that can be said" in message for message in refused.values())
    assert not any(spoken_words(name) for name in refused)


def test_the_grammars_of_the_documentation_are_read():
    text = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    (toml,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (rhino,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    found = said(parse_toml(toml))
    assert found["turn on the lounge light"].slots == {"kind": "lamp", "room": "living_room"}
    assert found["set bed room light to five percent"].slots == {"room": "bed room", "percent": "5"}
    assert said(parse_rhino(rhino))["please turn on kitchen lamp"].slots == {"place": "kitchen"}


def test_numbers_are_said_as_in_english():
    assert [number_words(n) for n in (0, 13, 40, 99, 100, 205, 1000, -7)] == [
        *("zero", "thirteen", "forty", "ninety nine", "one hundred", "two hundred five", "one thousand", "minus seven"),
    ]
    assert ways_to_say(105) == [
        *("one hundred five", "one hundred and five", "a hundred five", "a hundred and five"),
    ]
    assert len({way for n in range(2001) for way in ways_to_say(n)}) == sum(len(ways_to_say(n)) for n in range(2001))
    with pytest.raises(ValueError, match="expected a number between"):
        number_words(10**6)


def damaged(text, rng):
    """A text with a few places changed as a slip of the hand, or of a program, would."""
    characters = list(text)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(characters))
        kind = rng.random()
        if kind < 0.3:
            del characters[at : at + rng.randint(1, 5)]
        elif kind < 0.6:
            characters[at:at] = rng.choice([*"[](){}<>|;:,\"'\n\\ %&*!#-é\0", "9" * 12, "[[", "- ", "null", "1.5"])
        elif kind < 0.8:
            start = rng.randrange(len(characters))
            characters[at:at] = characters[start : start + rng.randint(1, 30)]
        else:
            characters[at] = rng.choice('[](){}<>|;:,"\n ')
    return "".join(characters)


@pytest.mark.parametrize(
    ("text", "parse"),
    [(LAMPS, parse_toml), (HOUSE, lambda text: parse_home_assistant(text, NAMES)), (GRAMMAR, parse_rhino)],
    ids=["toml", "home_assistant", "rhino"],
)
def test_a_damaged_grammar_is_read_or_refused_in_one_line(text, parse):
    n_read, messages = 0, []
    for seed in range(400):
        try:
            compile_grammar(parse(damaged(text, random.Random(seed))))
            n_read += 1
        except GrammarError as error:
            messages.append(str(error))
    assert [message for message in messages if "\n" in message] == []
    # both happen, else the damage would test nothing
    assert n_read > 20
    assert len(messages) > 20
