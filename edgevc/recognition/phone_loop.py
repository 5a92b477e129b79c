"""Phones without a grammar: Viterbi over a loop of all phones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def decode_phones(emitted: NDArray[np.float32], insertion_penalty: float) -> list[int]:
    """Return the best sequence of columns for emissions (L, n_phones); no two neighbours are the same.

    Each phone may be held at no cost; going on to another one adds `insertion_penalty`, which is negative.
    """
    n_frames, n_phones = emitted.shape
    if n_frames == 0:
        return []
    scores = emitted[0].astype(np.float64)
    came_from = np.zeros((n_frames, n_phones), np.intp)
    stay = np.arange(n_phones)
    for i in range(1, n_frames):
        best = int(scores.argmax())
        changed = scores[best] + insertion_penalty > scores
        came_from[i] = np.where(changed, best, stay)
        scores = np.where(changed, scores[best] + insertion_penalty, scores) + emitted[i]
    phone = int(scores.argmax())
    found = [phone]
    for i in range(n_frames - 1, 0, -1):
        before = int(came_from[i, phone])
        if before != phone:
            found.append(before)
        phone = before
    return found[::-1]


def spoken(phones: Sequence[int], silence: int) -> list[int]:
    """Return phones without silence; the same phone on both sides of a silence stays two."""
    return [phone for phone in phones if phone != silence]
