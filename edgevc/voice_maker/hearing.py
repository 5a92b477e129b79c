"""Were these words said, in this order? Answered from a model's phones; no grammar, no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WORDS = Path(__file__).with_name("consent_words.dict")
FILLER = -0.35
"""Of a frame that belongs to no word, beside 0 of the best phone: so words are not squeezed."""
LEAST_FRAMES = 2
"""Of a phone."""
FloatArray = NDArray[np.float32]


def read_words() -> dict[str, tuple[str, ...]]:
    """Return the words that may be asked for, and their phones."""
    lines = WORDS.read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line and not line.startswith(";")]
    return {row[0]: tuple(row[1:]) for row in rows}


def word_scores(
    phones: FloatArray, names: Sequence[str], words: Sequence[Sequence[str]]
) -> tuple[list[float], list[tuple[int, int]]]:
    """Return how well each word is heard where it is heard best, all in this order, and its first and last frame.

    Args:
        phones: log-probabilities (N, P).
        names: of the columns.
        words: phones of each.

    Returns:
        The mean over a word's frames of its phone's log-probability less that of the best phone, 0 at best; -inf where
        the sound is too short.
    """
    column: Mapping[str, int] = {name: i for i, name in enumerate(names)}
    evidence = phones - phones.max(1, keepdims=True)
    # a state for each least frame of each phone; fillers before, between and behind
    owner, emission = [-1], [None]
    for number, word in enumerate(words):
        for phone in word:
            owner += [number] * LEAST_FRAMES
            emission += [column[phone]] * LEAST_FRAMES  # type: ignore[list-item]
        owner.append(-1)
        emission.append(None)
    table = np.stack([np.full(len(phones), FILLER) if at is None else evidence[:, at] for at in emission], 1)
    fillers = np.array([at is None for at in emission])
    best, back = _path(table, fillers)
    if not np.isfinite(best):
        return [-np.inf] * len(words), [(0, 0)] * len(words)
    owners = np.array(owner)[back]
    scores, spans = [], []
    for number in range(len(words)):
        frames = np.flatnonzero(owners == number)
        spans.append((int(frames[0]), int(frames[-1])))
        scores.append(float(table[frames, back[frames]].mean()))
    return scores, spans


def _path(table: NDArray[np.float64], fillers: NDArray[np.bool_]) -> tuple[float, NDArray[np.int64]]:
    """Return the best sum from the first state to one of the last two, and the state of each frame.

    A state goes on or on to the next; the one before a filler may leave it out.
    """
    n_frames, n_states = table.shape
    total = np.full(n_states, -np.inf)
    total[:2] = table[0, :2]
    steps = np.zeros((n_frames, n_states), np.int8)
    for frame in range(1, n_frames):
        one = np.concatenate([[-np.inf], total[:-1]])
        two = np.concatenate([[-np.inf, -np.inf], total[:-2]])
        # over a filler only
        two[1:][~fillers[:-1]] = -np.inf
        choices = np.stack([total, one, two])
        steps[frame] = choices.argmax(0)
        total = choices.max(0) + table[frame]
    state = n_states - 1 if total[-1] >= total[-2] else n_states - 2
    best = float(total[state])
    states = np.zeros(n_frames, np.int64)
    for frame in range(n_frames - 1, -1, -1):
        states[frame] = state
        state -= int(steps[frame, state])
    return best, states
