"""Means with intervals, and equal error rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
SEED = 20

Figure = dict[str, float | None]
"""`mean`, and `low` and `high`: the 95 % interval; None where there are too few utterances for one."""


@dataclass(frozen=True)
class Score:
    """One converted utterance. Each metric is a share (amount, out of): (errors, words), or (value, 1)."""

    speaker: str
    voice: str
    utterance: str
    parts: dict[str, tuple[float, float]]

    @property
    def pair(self) -> tuple[str, str]:
        """Speaker and voice."""
        return self.speaker, self.voice


class _Draws:
    """Utterances drawn again and again with replacement, speaker by speaker, the same for every voice."""

    def __init__(self, scores: Sequence[Score], draws: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.index: dict[str, dict[str, int]] = {}
        for speaker in sorted({s.speaker for s in scores}):
            names = sorted({s.utterance for s in scores if s.speaker == speaker})
            self.index[speaker] = {name: i for i, name in enumerate(names)}
        # row 0: every utterance once
        self.counts = {
            speaker: np.vstack(
                [np.ones(len(names)), rng.multinomial(len(names), np.full(len(names), 1 / len(names)), draws)]
            )
            for speaker, names in self.index.items()
        }
        self.several = any(len(names) > 1 for names in self.index.values())

    def of(self, score: Score) -> NDArray[np.float64]:
        """How often each draw has this utterance (draws + 1,)."""
        return self.counts[score.speaker][:, self.index[score.speaker][score.utterance]]


def _figure(values: NDArray[np.float64], several: bool) -> Figure:
    drawn = values[1:][np.isfinite(values[1:])]
    if not several or len(drawn) < 20:
        return {"mean": float(values[0]), "low": None, "high": None}
    low, high = np.percentile(drawn, (2.5, 97.5))
    return {"mean": float(values[0]), "low": float(low), "high": float(high)}


def summarise(scores: Sequence[Score], draws: int = DRAWS, seed: int = SEED) -> dict[str, Figure]:
    """Every metric's mean over (speaker, voice) pairs, with a bootstrap interval over utterances.

    A pair's own figure is the sum of its amounts by the sum of what they are out of, so words count alike in a WER, and
    every pair counts alike in the mean. Utterances are drawn with replacement within each speaker, together with all
    their conversions, which are not independent. The interval says what other utterances of these speakers would
    give, not what other speakers would.
    """
    resampled = _Draws(scores, draws, seed)
    figures = {}
    for key in dict.fromkeys(key for s in scores for key in s.parts):
        sums: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
        for s in scores:
            if key in s.parts:
                amount, out_of = s.parts[key]
                total = sums.setdefault(s.pair, [np.zeros(draws + 1), np.zeros(draws + 1)])
                total[0] += amount * resampled.of(s)
                total[1] += out_of * resampled.of(s)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.array([amount / out_of for amount, out_of in sums.values()])
        known = np.isfinite(shares)
        if not known[:, 0].any():
            continue
        counts = known.sum(axis=0)
        means = np.where(known, shares, 0).sum(axis=0) / np.where(counts, counts, np.nan)
        figures[key] = _figure(means, resampled.several)
    return figures


def difference(scores: Sequence[Score], others: Sequence[Score]) -> list[Score]:
    """Score by score, metric by metric, first less second, of the utterances that both have.

    Amounts out of the same number are subtracted (errors among the same words); other shares are subtracted as values.
    """
    by_name = {(*s.pair, s.utterance): s for s in others}
    result = []
    for s in scores:
        other = by_name.get((*s.pair, s.utterance))
        if other is None:
            continue
        parts = {}
        for key in s.parts.keys() & other.parts.keys():
            (a, n), (b, m) = s.parts[key], other.parts[key]
            if n == m:
                parts[key] = (a - b, n)
            elif n and m:
                parts[key] = (a / n - b / m, 1.0)
        result.append(Score(s.speaker, s.voice, s.utterance, {k: parts[k] for k in s.parts if k in parts}))
    return result


def equal_error_rate(
    genuine: NDArray[np.float64],
    impostor: NDArray[np.float64],
    genuine_weights: NDArray[np.float64] | None = None,
    impostor_weights: NDArray[np.float64] | None = None,
) -> float:
    """Where as many genuine trials are refused (score < threshold) as impostors accepted, as a share; 0.5 is chance.

    Between two thresholds the line through both points of the curve is taken.
    """
    scores = np.concatenate([genuine, impostor])
    weights_g = np.ones(len(genuine)) if genuine_weights is None else genuine_weights
    weights_i = np.ones(len(impostor)) if impostor_weights is None else impostor_weights
    is_genuine = np.concatenate([weights_g, np.zeros(len(impostor))])
    is_impostor = np.concatenate([np.zeros(len(genuine)), weights_i])
    if not weights_g.sum() or not weights_i.sum():
        return float("nan")
    levels, level_of = np.unique(scores, return_inverse=True)
    refused = np.concatenate([[0], np.cumsum(np.bincount(level_of, is_genuine, len(levels)))]) / weights_g.sum()
    accepted = 1 - np.concatenate([[0], np.cumsum(np.bincount(level_of, is_impostor, len(levels)))]) / weights_i.sum()
    after = int(np.argmax(refused >= accepted))
    gap_before, gap_after = (accepted - refused)[[after - 1, after]]
    share = gap_before / (gap_before - gap_after)
    return float(refused[after - 1] + share * (refused[after] - refused[after - 1]))


@dataclass(frozen=True)
class Verification:
    """What a speaker verifier says of one converted utterance: similarities to who it claims to be, and to others."""

    score: Score
    genuine: float
    impostors: tuple[float, ...]


def eer_figure(trials: Sequence[Verification], draws: int = 200, seed: int = SEED) -> Figure | None:
    """Equal error rate over a trial list with its bootstrap interval; None without trials."""
    trials = [t for t in trials if t.impostors]
    if not trials:
        return None
    resampled = _Draws([t.score for t in trials], draws, seed)
    genuine = np.array([t.genuine for t in trials])
    impostors = np.array([value for t in trials for value in t.impostors])
    repeat = np.array([len(t.impostors) for t in trials])
    counts = np.stack([resampled.of(t.score) for t in trials])
    values = [equal_error_rate(genuine, impostors, row, np.repeat(row, repeat)) for row in counts.T]
    return _figure(np.array(values), resampled.several)
