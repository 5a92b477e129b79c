"""Words said by their letters: as the dictionary has it where it was held out, and nothing that cannot be said."""

import subprocess
import sys
from pathlib import Path

import pytest
from train_letters import dictionary, held_out

from edgevc.recognition.letters import by_letters, plain_letters
from edgevc.recognition.lexicon import lexicon_of
from edgevc.recognition.phones import log_priors

ROOT = Path(__file__).resolve().parents[2]


def test_most_words_that_were_held_out_are_said_as_the_dictionary_has_them():
    known = dictionary()
    chosen = [word for word in sorted(known) if held_out(word)][::60]
    assert len(chosen) > 90
    ways = {word: by_letters(word) for word in chosen}
    first = sum(found[0] in known[word] for word, found in ways.items())
    # 74 of 100 of all (docs/results/letters.json)
    assert first > 0.6 * len(chosen)
    assert sum(any(way in known[word] for way in found) for word, found in ways.items()) > 0.75 * len(chosen)


@pytest.mark.parametrize(
    ("word", "way"), [("unpause", "AH N P AO Z"), ("unmute", "AH N M Y UW T"), ("dimmable", "D IH M AH B AH L")]
)
def test_words_of_a_house_are_said_as_people_do(word, way):
    assert tuple(way.split()) in by_letters(word)


def test_accents_do_not_count_and_what_is_no_letter_cannot_be_said():
    assert by_letters("Rölló") == by_letters("rollo") != ()
    assert plain_letters("Straße") == "strasse"
    for word in ("日本", "x2", "", "-", "a" * 31, "'", "…"):
        assert by_letters(word) == ()


def test_every_phone_is_one_that_encoders_hear():
    from edgevc.bundle import ModelBundle

    phones = ModelBundle.find("default").phones
    assert len(log_priors(phones)) == len(phones)
    for word in ("zzyzx", "qwrt", "aeiou", "mississippi", "wohnzimmer"):
        for way in by_letters(word):
            assert set(way) <= set(phones)


def test_a_lexicon_says_which_words_it_guessed_by_their_letters():
    lexicon = lexicon_of({"unpause", "kitchen", "snowboy", "日本"}, [{"unpause": ["AH N P AO Z"]}])
    assert dict(lexicon.guessed) == {"snowboy": ("snow", "boy")}
    lexicon = lexicon_of({"unpause", "日本"})
    assert lexicon.guessed == {"unpause": ()}
    assert lexicon["unpause"] == by_letters("unpause")
    assert "日本" not in lexicon


def test_the_tool_learns_a_model_that_can_be_read(tmp_path):
    words = ROOT / "tools" / "train_letters.py"
    done = subprocess.run(
        [sys.executable, words, "--out", tmp_path / "m.npz", "--every", "100", "--threshold", "0.5"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "m.npz: " in done.stdout
