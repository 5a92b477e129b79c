"""What a frame of phone posteriors is worth to each phone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SearchSettings:
    """The few numbers of the search. Frames last 10 ms."""

    prior_weight: float = 0.8
    """How much of the phones' frequencies is divided out: 0 trusts the posteriors, 1 makes them likelihoods."""
    acoustic_scale: float = 1.0
    """Weight of a frame's emission against the word penalty."""
    floor: float = -7.0
    """Least emission of a frame: one misheard phone must not rule out a sentence."""
    word_penalty: float = -5.0
    """Added for each word; negative."""
    slot_penalty: float = 0.0
    """Added for each slot's value beside those of its words: what may be left out must be worth being heard."""
    beam: float = 100.0
    """Paths that are worse than the best one by more are given up."""
    filler: float = 0.0
    """Silence pays max(silence, best phone - filler), so that noise behind a sentence is no word; 0 turns it off."""
    closed_end_frames: int = 10
    """How long a sentence must be over where no word may follow."""
    open_end_frames: int = 50
    """How long where one may."""
    unsure_end_frames: int = 150
    """How long where an unfinished sentence is better, by `unsure_margin` at most."""
    unsure_margin: float = 40.0
    max_sentence_frames: int = 1000
    """A sentence that goes on for longer is given up."""


def emissions(
    log_posteriors: NDArray[np.float32], log_priors: NDArray[np.float64], settings: SearchSettings
) -> NDArray[np.float32]:
    """Return what states pay, (L, n_phones), for log-posteriors of that shape and log-priors (n_phones,).

    What is not a number counts as very unlikely.
    """
    scaled = np.minimum(log_posteriors, 0).astype(np.float64) - settings.prior_weight * log_priors
    return (np.fmax(scaled, settings.floor) * settings.acoustic_scale).astype(np.float32)


def phone_log_priors(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return logs of the phones' frequencies, from how often each was heard (n_phones,); one is added to each."""
    smoothed = counts.astype(np.float64) + 1.0
    logs: NDArray[np.float64] = np.log(smoothed / smoothed.sum())
    return logs
