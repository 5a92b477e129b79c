"""Recordings of which one knows what they say: where that stands, and how what was heard is judged."""

import numpy as np
import pytest
from helpers.synthetic_speech import GRAMMAR

from edgevc.errors import ConfigError
from edgevc.recognition.automaton import compile_grammar
from edgevc.recognition.grammar import Meaning
from edgevc.recognition.recognizer import Heard, Refusal
from edgevc.recognition.rhino import parse_rhino
from edgevc.recognition.search import Recognition
from edgevc.recognition.sentence_list import SentenceList
from edgevc.recognition.spoken_commands import Sentence
from edgevc.recognition.toml_grammar import parse_toml
from edgevc.recognition.trial import Expected, Verdict, expected_by_name, hear, read_expected, tally

CSV = "file,command,room,state\na.wav,light,kitchen,on\nb/c.wav,light,,off\nnoise.wav,,,\n"
JSONL = (
    '{"file": "a.wav", "command": "light", "slots": {"room": "kitchen", "level": 20}}\n\n{"file": "n", "command": ""}'
)


def test_labels_come_as_a_table_or_as_a_line_each():
    assert read_expected(CSV, "l.csv") == {
        "a.wav": Expected("light", {"room": "kitchen", "state": "on"}),
        "b/c.wav": Expected("light", {"state": "off"}),
        "noise.wav": Expected("", {}),
    }
    assert read_expected(JSONL, "l.jsonl") == {
        "a.wav": Expected("light", {"room": "kitchen", "level": "20"}),
        "n": Expected("", None),
    }


@pytest.mark.parametrize(
    ("text", "name", "rule"),
    [
        ("name,command\na,b\n", "l.csv", "line 1: expected the columns file and command"),
        ("file,command\na,b,c\n", "l.csv", "line 2: expected as many values as columns"),
        ("file,command\na,b\na,c\n", "l.csv", "line 3: 'a' stands there twice"),
        ("file,command\n", "l.csv", "expected a line for each recording, got none"),
        ("[1]", "l.jsonl", "line 1: expected {"),
        ("\n{", "l.jsonl", "line 2: no JSON"),
        ('{"file": 1, "command": ""}', "l.jsonl", "line 1: expected {"),
        ("[" * 100_000, "l.jsonl", "line 1: no JSON"),
        ("file,command\n" + "x" * 200_000, "l.csv", "save it as CSV"),
    ],
)
def test_what_are_no_labels_is_refused_by_line(text, name, rule):
    with pytest.raises(ConfigError, match=rule.replace("[", r"\[")):
        read_expected(text, name)


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("turn_on_kitchen_lamp", Expected("light", {"place": "kitchen"})),
        ("Turn on living-room lamp (2)", Expected("light", {"place": "living room"})),
        ("play music 17", Expected("music", {})),
        ("light-3", Expected("light", None)),
        ("none_12", Expected("", None)),
        ("something else", None),
        ("07c2c646", None),
    ],
)
def test_a_name_says_what_a_recording_says(stem, expected):
    assert expected_by_name(stem, SentenceList(compile_grammar(parse_rhino(GRAMMAR)))) == expected


def test_a_number_at_the_end_may_belong_to_the_sentence():
    text = '[[command]]\nname = "dim"\nsay = ["dim to {level}"]\nlevel = { from = 0, to = 30 }'
    sentences = SentenceList(compile_grammar(parse_toml(text)))
    assert expected_by_name("dim_to_20", sentences) == Expected("dim", {"level": "20"})


class Stream:
    """Hears what it is told to have heard, and nothing before all of it."""

    def __init__(self, *heard):
        self.heard = heard

    def process(self, samples):
        assert len(samples) == 16000 + 2 * 16000
        return [Sentence(heard, 1.0, 1.1) for heard in self.heard]


def heard(intent, refusal=None, **slots):
    found = Recognition(Meaning(intent, slots), (intent,), 0.0, 0.0, (0,), (0,))
    return Heard(found, None, 1, refusal)


@pytest.mark.parametrize(
    ("stream", "expected", "verdict"),
    [
        (Stream(heard("light", room="hall")), Expected("light", {"room": "hall"}), Verdict.RIGHT),
        (Stream(heard("light", room="hall")), Expected("light", None), Verdict.RIGHT),
        (Stream(heard("light", room="hall")), Expected("light", {}), Verdict.OTHERWISE),
        (Stream(heard("music")), Expected("light", {}), Verdict.OTHERWISE),
        (Stream(heard("light", Refusal.UNCERTAIN)), Expected("light", {}), Verdict.REFUSED),
        (Stream(heard("light", Refusal.UNCERTAIN), heard("light")), Expected("light", {}), Verdict.RIGHT),
        (Stream(), Expected("light", {}), Verdict.NOTHING),
        (Stream(Heard(None, None, 1, Refusal.TIMED_OUT)), Expected("light", {}), Verdict.NOTHING),
        (Stream(), Expected(""), Verdict.RIGHT),
        (Stream(heard("light", Refusal.UNCERTAIN)), Expected(""), Verdict.RIGHT),
        (Stream(heard("light")), Expected(""), Verdict.ACCEPTED),
    ],
)
def test_a_recording_is_judged_by_its_first_command(stream, expected, verdict):
    trial = hear("a.wav", np.zeros(16000, np.float32), expected, stream)
    assert trial.verdict is verdict


def test_the_tally_counts_verdicts():
    trials = [
        hear("a", np.zeros(16000, np.float32), Expected("light", {}), Stream(*one)) for one in ((), (heard("light"),))
    ]
    result = tally(trials)
    assert result.share_right == 0.5
    assert result.counts[Verdict.NOTHING] == result.counts[Verdict.RIGHT] == 1
    assert tally([]).share_right == 0.0
