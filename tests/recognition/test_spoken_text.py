"""A grammar's sentences in writing."""

import pytest

from edgevc.recognition.automaton import compile_grammar
from edgevc.recognition.spoken_text import understand
from edgevc.recognition.toml_grammar import parse_toml

GRAMMAR = """
[[command]]
name = "light"
say = ["turn (on|off) the {room} light[s]", "set [the] {room} light to {percent}%"]
room = ["kitchen", { in = "living room|lounge", out = "living_room" }, "Anna's room"]
percent = { from = 0, to = 100 }

[[command]]
name = "stop"
say = ["stop"]
"""


@pytest.fixture(scope="module")
def automaton():
    return compile_grammar(parse_toml(GRAMMAR))


@pytest.mark.parametrize(
    ("text", "intent", "slots"),
    [
        ("stop", "stop", {}),
        ("Stop!", "stop", {}),
        ("Turn on the kitchen light.", "light", {"room": "kitchen"}),
        ("turn off the LOUNGE lights", "light", {"room": "living_room"}),
        ("turn off the anna\u2019s room light", "light", {"room": "anna's room"}),
        ("set kitchen light to 25%", "light", {"room": "kitchen", "percent": "25"}),
        ("set the kitchen light to twenty five percent", "light", {"room": "kitchen", "percent": "25"}),
        ("set the kitchen light to 101 %", None, None),
        ("turn on the light", None, None),
        ("stop stop", None, None),
        ("", None, None),
        ("...", None, None),
        ("stop " * 200, None, None),
        ("set kitchen light to " + "9" * 500 + "%", None, None),
    ],
)
def test_a_sentence_means_what_it_would_mean_if_it_were_said(automaton, text, intent, slots):
    found = understand(automaton, text)
    assert (None if found is None else (found.intent, dict(found.slots))) == (intent and (intent, slots))
