"""How a word that no dictionary has is probably said, by its letters.

An n-gram model over pairs of a letter and its 0 to 2 phones, learned from the CMU dictionary by tools/train_letters.py
(M. Bisani, H. Ney, "Joint-sequence models for grapheme-to-phoneme conversion", 2008, with one letter a pair).
"""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Pronunciation = tuple[str, ...]

MAX_LETTERS = 30
MAX_WAYS = 3
_MARGIN = 2.5
"""Ways that are worse than the best one by more are not returned: natural logs."""
_BEAM = 12
_NEVER = -15.0
"""Of a pair that the model does not have at all."""
_START, _END = 1, 2
_BITS = 10
"""Of a pair's number in the key of an n-gram."""
_STEP = 1 / 16
"""Of the model's natural logs."""


@dataclass(frozen=True)
class _Model:
    order: int
    pairs: dict[str, list[tuple[int, Pronunciation]]]
    """Letter to its pairs: number and phones."""
    scores: dict[int, float]
    """Key of an n-gram to the log of its last pair's probability behind the others."""
    weights: dict[int, float]
    """Key of an n-gram to the log that is added where what follows it is only known behind a shorter one."""

    def score(self, context: tuple[int, ...], pair: int) -> float:
        total = 0.0
        while True:
            found = self.scores.get(_key((*context, pair)))
            if found is not None:
                return total + found
            if not context:
                return total + _NEVER
            total += self.weights.get(_key(context), 0.0)
            context = context[1:]


def _key(pairs: tuple[int, ...]) -> int:
    number = 0
    for pair in pairs:
        number = number << _BITS | pair
    return number


@functools.cache
def _model() -> _Model:
    with np.load(Path(__file__).with_name("letters.npz")) as found:
        order = int(found["order"])
        keys = np.cumsum(found["steps"]).tolist()
        scores = (-_STEP * found["scores"].astype(np.float64)).tolist()
        weights = (_STEP * found["weights"].astype(np.float64)).tolist()
        starts = {_key((_START,) * n): _STEP * weight for n, weight in found["start_weights"].tolist()}
        pairs: dict[str, list[tuple[int, Pronunciation]]] = {}
        for number, text in enumerate(found["pairs"].tolist(), _END + 1):
            letter, *phones = text.split()
            pairs.setdefault(letter, []).append((number, tuple(phones)))
    used = {key: weight for key, weight in zip(keys, weights, strict=True) if weight}
    return _Model(order, pairs, dict(zip(keys, scores, strict=True)), used | starts)


def plain_letters(word: str) -> str:
    """Return a word in a to z and apostrophes, accents taken off; empty where that does not tell how it is said."""
    word = word.lower().replace("ß", "ss").replace("ø", "o").replace("æ", "ae").replace("ł", "l")
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", word) if not unicodedata.combining(sign))
    fine = plain.replace("'", "").isascii() and plain.replace("'", "").isalpha() and len(plain) <= MAX_LETTERS
    return plain if fine else ""


def by_letters(word: str) -> tuple[Pronunciation, ...]:
    """Return how a word is probably said, the likeliest first, at most MAX_WAYS; none where its letters do not tell."""
    plain = plain_letters(word)
    if not plain:
        return ()
    model = _model()
    paths: dict[tuple[tuple[int, ...], Pronunciation], float] = {((_START,) * (model.order - 1), ()): 0.0}
    for letter in plain:
        paths = _longer(model, paths, letter)
    ends: dict[Pronunciation, float] = {}
    for (context, phones), score in paths.items():
        ends[phones] = max(ends.get(phones, -np.inf), score + model.score(context, _END))
    ways = sorted((item for item in ends.items() if item[0]), key=lambda item: -item[1])[:MAX_WAYS]
    return tuple(phones for phones, score in ways if score >= ways[0][1] - _MARGIN)


def _longer(
    model: _Model, paths: dict[tuple[tuple[int, ...], Pronunciation], float], letter: str
) -> dict[tuple[tuple[int, ...], Pronunciation], float]:
    """The best paths with one more letter."""
    longer: dict[tuple[tuple[int, ...], Pronunciation], float] = {}
    for (context, phones), score in paths.items():
        for pair, more in model.pairs.get(letter, ()):
            total = score + model.score(context, pair)
            key = ((*context[1:], pair), phones + more)
            if total > longer.get(key, -np.inf):
                longer[key] = total
    return dict(sorted(longer.items(), key=lambda item: -item[1])[:_BEAM])
