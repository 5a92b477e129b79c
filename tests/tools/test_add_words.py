"""Word lists of an evaluation go into docs/results/words.json, and nothing else there changes. No model; < 1 s."""

import json
import sys

import add_words
import pytest

pytestmark = pytest.mark.tools


def lists(*names, utterances=("ls19/a", "ls19/b"), wrong=0.5):
    figures = {"base": {"wrong": {"mean": wrong, "low": 0.4, "high": 0.6}}}
    return {name: {"n": 2, "figures": figures, "utterances": list(utterances)} for name in names}


@pytest.fixture
def add(tmp_path, monkeypatch):
    """Adds lists to a file that knows `clean` of the system `old`; returns what the file says then."""
    words = tmp_path / "words.json"
    known = {"lists": {"clean": {"n": 2, "figures": {}}}}
    words.write_text(json.dumps({"systems": {"old": known}, "utterances": {"clean": ["ls19/a", "ls19/b"]}}))

    def run(scores, name="new"):
        (tmp_path / "scores.json").write_text(json.dumps(scores))
        options = ["--scores", str(tmp_path / "scores.json"), "--name", name, "--words", str(words)]
        monkeypatch.setattr(sys, "argv", ["add_words.py", *options])
        add_words.main()
        return json.loads(words.read_text())

    return run


def test_a_system_is_added_and_another_evaluation_takes_its_place(add):
    found = add({"lists": {"lists": lists("clean", "accent")}})
    assert list(found["systems"]) == ["old", "new"]
    assert list(found["systems"]["new"]["lists"]) == list(found["utterances"]) == ["clean", "accent"]
    again = add({"lists": {"lists": lists("clean", wrong=0.25)}})
    assert again["systems"]["new"]["lists"]["clean"]["figures"]["base"]["wrong"]["mean"] == 0.25
    assert again["systems"]["old"] == found["systems"]["old"]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"table": {}}, "has no word lists"),
        ({"lists": {"lists": lists("clean", utterances=["ls19/c"])}}, "list clean has other utterances"),
    ],
)
def test_what_cannot_stand_beside_the_others_is_refused(add, scores, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        add(scores)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
