"""Pronunciations of words that no dictionary has, from those that it has: compounds, endings, initials.

Only what leaves little doubt: "snowboy" is snow and boy, "dimmable" is none of these. `edgevc commands check` says what
was guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

Pronunciation = tuple[str, ...]
Known = Callable[[str], Iterable[Pronunciation]]
"""Pronunciations of a word; none where it is not known."""

MAX_LETTERS = 40
_LEAST_PART = 3
_MOST_INITIALS = 5
_HISSING = frozenset(("S", "Z", "SH", "ZH", "CH", "JH"))
_VOICELESS = frozenset(("P", "T", "K", "F", "TH"))
_LETTERS = {
    "a": "EY", "b": "B IY", "c": "S IY", "d": "D IY", "e": "IY", "f": "EH F", "g": "JH IY", "h": "EY CH", "i": "AY",
    "j": "JH EY", "k": "K EY", "l": "EH L", "m": "EH M", "n": "EH N", "o": "OW", "p": "P IY", "q": "K Y UW",
    "r": "AA R", "s": "EH S", "t": "T IY", "u": "Y UW", "v": "V IY", "w": "D AH B AH L Y UW", "x": "EH K S",
    "y": "W AY", "z": "Z IY",
}  # fmt: skip


@dataclass(frozen=True)
class Guess:
    """A word's pronunciations, and of what they are made."""

    pronunciations: tuple[Pronunciation, ...]
    parts: tuple[str, ...]


def parts_of(word: str) -> set[str]:
    """Return the words whose pronunciations `guess` may ask for."""
    if len(word) > MAX_LETTERS:
        return set()
    stems = {stem for stem, _ in _without_ending(word)}
    return stems | {part for one in (word, *stems) for pair in _splits(one) for part in pair}


def guess(word: str, known: Known) -> Guess | None:
    """Return how a word is said, in lower case; None where nothing of it is known."""
    if len(word) > MAX_LETTERS:
        return None
    return _compound(word, known) or _with_ending(word, known) or _initials(word)


def _splits(word: str) -> list[tuple[str, str]]:
    return [(word[:i], word[i:]) for i in range(_LEAST_PART, len(word) - _LEAST_PART + 1)]


def _compound(word: str, known: Known) -> Guess | None:
    # the fewer letters the shorter part has, the likelier it is there by chance
    for left, right in sorted(_splits(word), key=lambda pair: -min(map(len, pair))):
        joined = [(*a, *b) for a in known(left) for b in known(right)]
        if joined:
            return Guess(tuple(joined[:4]), (left, right))
    return None


def _without_ending(word: str) -> list[tuple[str, str]]:
    for ending in ("'s", "s'", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 2 and not word.endswith("ss"):
            return [(word.removesuffix(ending), ending)]
    return []


def _with_ending(word: str, known: Known) -> Guess | None:
    for stem, ending in _without_ending(word):
        ways = list(known(stem)) or list((_compound(stem, known) or Guess((), ())).pronunciations)
        if ways:
            return Guess(tuple((*way, *_plural(way[-1])) for way in ways), (stem, ending))
    return None


def _plural(last: str) -> Pronunciation:
    return ("IH", "Z") if last in _HISSING else ("S",) if last in _VOICELESS else ("Z",)


def _initials(word: str) -> Guess | None:
    if not 2 <= len(word) <= _MOST_INITIALS or not set(word) <= set(_LETTERS) or set(word) & set("aeiouy"):
        return None
    phones = tuple(phone for letter in word for phone in _LETTERS[letter].split())
    return Guess((phones,), tuple(word))
