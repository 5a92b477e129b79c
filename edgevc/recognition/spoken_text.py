"""What a grammar makes of a sentence that was written, not heard."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgevc.recognition.automaton import Automaton, Label, meaning
from edgevc.recognition.grammar import Meaning
from edgevc.recognition.number_words import MAX_NUMBER, number_words

MAX_WORDS = 100
"""Of a sentence; a longer one is none of any grammar."""


def understand(automaton: Automaton, text: str) -> Meaning | None:
    """Return what a sentence asks for, None where the grammar does not contain it; capitals and stops do not count."""
    words = words_of(text)
    if not words or len(words) > MAX_WORDS:
        return None
    arcs: dict[tuple[int, str], list[tuple[Label, int]]] = {}
    for arc in automaton.arcs:
        arcs.setdefault((arc.source, arc.label.word), []).append((arc.label, arc.target))
    # one way to each node is enough: what follows does not depend on how it was reached
    ways: dict[int, tuple[Label, ...]] = {0: ()}
    for word in words:
        reached: dict[int, tuple[Label, ...]] = {}
        for node, labels in ways.items():
            for label, target in arcs.get((node, word), ()):
                reached.setdefault(target, (*labels, label))
        ways = reached
    for node, labels in ways.items():
        if node in automaton.finals:
            return meaning(automaton.finals[node], labels, automaton.outcomes, automaton.reported)
    return None


def words_of(text: str) -> Sequence[str]:
    """Return the words as they are said: small letters, numbers and % in words."""
    found: list[str] = []
    for word in re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+|%", text.lower().replace("\u2019", "'")):
        if word == "%":
            found.append("percent")
        elif word.isdecimal():
            if len(word) > len(str(MAX_NUMBER)):
                return []
            found += number_words(int(word)).split()
        else:
            found.append(word)
    return found
