"""Pronunciations of words: pocketsphinx's dictionary, and what it lacks written by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

Pronunciation = tuple[str, ...]
"""ARPAbet phones without stress."""

ADDED = {
    # words that the dictionary lacks
    "splenda": ("S P L EH N D AH",),
    # weak forms and common ways of saying that it lacks
    "a": ("EH",),
    "americano": ("AH M EH R AH K AA N OW", "AH M EH R IH K AE N OW"),
    "almond": ("AO L M AH N D", "AA L M AH N D", "AE L M AH N D", "AH M AH N D"),
    "and": ("AH N", "EH N D", "N"),
    "brown": ("B R AA N",),
    "cappuccino": ("K AE P AH CH IY N OW", "K AA P AH CH IY N OW"),
    "coffee": ("K AO F IY", "K AA F IY"),
    "double": ("D AH B L", "D AH B AO L"),
    "have": ("AH V",),
    "latte": ("L AO T EY", "L AE T EY", "L AA D EY"),
    "little": ("L IH D AH L", "L IH D L", "L IH T L"),
    "lot": ("L AA D",),
    "milk": ("M EH L K", "M IH AH L K"),
    "mocha": ("M AA K AH",),
    "of": ("AH", "AO V"),
    "roast": ("R OW S", "R OW S T"),
    "single": ("S IH NG G L",),
    "sweetener": ("S W IY T N ER", "S W IY T AH N ER"),
    "triple": ("T R IH P L", "CH R IH P AH L"),
    "twenty": ("T W EH N IY", "T W AH N IY"),
    "want": ("W AA N", "W AO N T"),
    "whole": ("HH OW L", "HH AO L"),
    "with": ("W IH TH", "W IH DH", "W IH"),
}
"""Word to pronunciations beside the dictionary's."""


class LexiconError(KeyError):
    """A word without a pronunciation."""

    def __str__(self) -> str:
        """Return the message without the quotes that KeyError puts around it."""
        return str(self.args[0])


class Lexicon:
    """Words in lower case to their pronunciations, the most usual one first."""

    def __init__(self, entries: Mapping[str, Iterable[str]]) -> None:
        """`entries`: word to pronunciations as text, phones separated by spaces."""
        self._entries = {word: tuple(dict.fromkeys(tuple(p.split()) for p in found)) for word, found in entries.items()}

    def __getitem__(self, word: str) -> tuple[Pronunciation, ...]:
        """Return at least one pronunciation.

        Raises:
            LexiconError: there is none.
        """
        if word not in self._entries:
            raise LexiconError(f"no pronunciation of {word!r}; add it to ADDED in vctrain/recognition/lexicon.py")
        return self._entries[word]


def pocketsphinx_lexicon(words: Iterable[str]) -> Lexicon:
    """Return the pronunciations of `words` in pocketsphinx's US-English dictionary and `ADDED`.

    Words that neither has are left out; `Lexicon` names them when they are asked for.
    """
    import pocketsphinx

    path = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))
    wanted = set(words)
    entries: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, phones = line.partition(" ")
        word = re.sub(r"\(\d+\)$", "", name)
        if word in wanted:
            entries.setdefault(word, []).append(phones)
    for word in wanted & ADDED.keys():
        entries.setdefault(word, []).extend(ADDED[word])
    return Lexicon(entries)
