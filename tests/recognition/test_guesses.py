"""Words that no dictionary has: what is guessed, and what is not."""

import pytest

from edgevc.recognition.guesses import guess, parts_of
from edgevc.recognition.lexicon import lexicon_of

KNOWN = {
    "snow": ["S N OW"],
    "boy": ["B OY"],
    "smart": ["S M AA R T"],
    "things": ["TH IH NG Z"],
    "lamp": ["L AE M P"],
    "where": ["W EH R", "HH W EH R"],
    "switch": ["S W IH CH"],
}


def known(word):
    return [tuple(way.split()) for way in KNOWN.get(word, [])]


@pytest.mark.parametrize(
    ("word", "phones", "parts"),
    [
        ("snowboy", ["S N OW B OY"], ("snow", "boy")),
        ("smartthings", ["S M AA R T TH IH NG Z"], ("smart", "things")),
        ("lamps", ["L AE M P S"], ("lamp", "s")),
        ("switch's", ["S W IH CH IH Z"], ("switch", "'s")),
        ("wheres", ["W EH R Z", "HH W EH R Z"], ("where", "s")),
        ("snowboys", ["S N OW B OY Z"], ("snowboy", "s")),
        ("hvc", ["EY CH V IY S IY"], ("h", "v", "c")),
    ],
)
def test_compounds_endings_and_initials_are_guessed(word, phones, parts):
    found = guess(word, known)
    assert [" ".join(way) for way in found.pronunciations] == phones
    assert found.parts == parts


@pytest.mark.parametrize("word", ["xyzzyq", "conservatorry", "s", "bcdfgh", "a" * 200, "snow-", "tést"])
def test_what_is_in_doubt_is_not_guessed(word):
    assert guess(word, known) is None


def test_all_words_that_a_guess_asks_for_are_named_before():
    for word in ("snowboys", "lamps", "smartthings", "xyzzyq", "hvc"):
        asked = []
        guess(word, lambda part, asked=asked: asked.append(part) or known(part))
        assert set(asked) <= parts_of(word)


def test_a_lexicon_says_which_of_its_words_it_guessed():
    lexicon = lexicon_of({"snowboy", "kitchen", "日本", "edgevc"}, [{"edgevc": ["EH JH"]}])
    assert lexicon["snowboy"] == (("S", "N", "OW", "B", "OY"),)
    assert lexicon.guessed == {"snowboy": ("snow", "boy")}
    assert "日本" not in lexicon
