"""`edgevc commands`: what it prints, writes and ends with."""

import json
import shutil
from pathlib import Path

import pytest

from edgevc.cli import main

SENTENCE = Path(__file__).resolve().parents[2] / "examples" / "sentence.wav"
GRAMMAR = """
wake = "bob"

[[command]]
name = "light"
say = ["please turn (on|off) the {room} light and play some music"]
room = ["kitchen", "bath room"]

[[command]]
name = "stop"
say = ["stop"]
"""
SAID = "please turn on the kitchen light and play some music"


@pytest.fixture
def grammar(tmp_path):
    path = tmp_path / "home.toml"
    path.write_text(GRAMMAR, encoding="utf-8")
    return path


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    shutil.copy(SENTENCE, folder / f"{SAID.replace(' ', '_')}.wav")
    shutil.copy(SENTENCE, folder / "stop_2.wav")
    shutil.copy(SENTENCE, folder / "what is it.wav")
    return folder


def test_check_says_what_may_be_said_and_what_is_weak(grammar, capsys):
    assert main(["commands", "check", str(grammar)]) == 0
    out = capsys.readouterr().out
    assert "light: 4 sentences\n" in out
    assert "stop: 1 sentence\n" in out
    assert "wake phrase 'bob': 3 phones; take a longer one" in out
    assert main(["commands", "check", str(grammar), "--json"]) == 0
    assert [command["n_sentences"] for command in json.loads(capsys.readouterr().out)["commands"]] == [4, 1]


def test_check_ends_with_1_where_a_word_has_no_pronunciation(grammar, capsys, tmp_path):
    grammar.write_text(GRAMMAR.replace("bath room", "bath room日"), encoding="utf-8")
    assert main(["commands", "check", str(grammar)]) == 1
    assert "no pronunciation: 'room日'; written alike: room" in capsys.readouterr().out
    own = tmp_path / "own.dict"
    own.write_text("room日 R UW M\n")
    assert main(["commands", "check", str(grammar), "--dictionary", str(own)]) == 0


def test_recordings_are_judged_by_their_names_and_put_on_a_page(grammar, recordings, capsys, tmp_path):
    report = tmp_path / "page.html"
    assert main(["commands", "test", str(grammar), "--audio", str(recordings), "--report", str(report)]) == 1
    done = capsys.readouterr()
    assert "what is it.wav: what it should say is not known; it is left out" in done.err
    assert f"stop_2.wav: heard otherwise: '{SAID}'" in done.out
    assert "2 recordings, 50.0% right: right 1, heard otherwise 1" in done.out
    page = report.read_text(encoding="utf-8")
    assert page.index("stop_2.wav") < page.index(f"{SAID.replace(' ', '_')}.wav")
    assert "light room=kitchen" in page
    # a page that is there is not replaced
    assert main(["commands", "test", str(grammar), "--audio", str(recordings), "--report", str(report)]) == 8


def test_recordings_are_judged_by_a_table(grammar, recordings, capsys, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("file,command,room\nwhat is it.wav,light,kitchen\n")
    arguments = ["commands", "test", str(grammar), "--audio", str(recordings), "--expected", str(table)]
    assert main([*arguments, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["verdict"] == "right"
    assert row["heard"] == {"command": "light", "slots": {"room": "kitchen"}}
    assert row["certainty"] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["check", "no.toml"], 2, "no.toml: No such file or directory; name a grammar that can be read"),
        (["test", "FILE", "--audio", "no"], 2, "no: "),
        (["test", "FILE", "--audio", "."], 2, "no recordings in it; name a folder of recordings"),
        (["test", "FILE", "--audio", "AUDIO", "--expected", "no.csv"], 2, "no.csv: "),
        (["say", "FILE", "--voice", "nobody-speaks-so"], 2, "espeak-ng --voice nobody-speaks-so: "),
        (["test", "FILE", "--audio", "AUDIO", "--bundle", "no"], 3, "no"),
    ],
)
def test_a_mistake_is_a_line_and_a_code(grammar, recordings, capsys, tmp_path, monkeypatch, arguments, code, message):
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    places = {"FILE": str(grammar), "AUDIO": str(recordings)}
    assert main(["commands", *(places.get(word, word) for word in arguments)]) == code
    assert message in capsys.readouterr().err


def test_without_espeak_it_says_how_to_get_it(grammar, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert main(["commands", "say", str(grammar)]) == 2
    assert "espeak-ng is not installed; install it, such as by `sudo apt install espeak-ng`" in capsys.readouterr().err


def test_what_espeak_says_is_heard_back(grammar, capsys):
    code = main(["commands", "say", str(grammar), "--limit", "2", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert {row["expected"]["command"] for row in rows} == {"light", "stop"}
    light = next(row for row in rows if row["expected"]["command"] == "light")
    assert light["file"].startswith("please turn o")
    assert light["words"]
    assert code == (0 if all(row["verdict"] == "right" for row in rows) else 1)
