"""What the scores of single utterances say together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vctrain import metrics
from vctrain.data.speakers import UNSEEN_SPEAKERS
from vctrain.evaluation import whisper_asr
from vctrain.evaluation.statistics import Figure, Score, Verification, difference, eer_figure, summarise
from vctrain.evaluation.trials import Trial

Result = dict[str, Any]
Name = tuple[str, str]
"""Speaker and utterance."""

TABLE_KEYS = (
    "similarity",
    "similarity_to_source",
    "wer",
    "source_wer",
    "ovrl",
    "sig",
    "bak",
    "source_ovrl",
    "f0_correlation",
)
"""Every row of a table has them, as numbers."""


@dataclass
class Known:
    """Natural speech: what everything is compared with."""

    results: dict[Name, Result]
    texts: Mapping[Name, str | None]
    voices: dict[str, list[Name]]
    """The recordings behind each target's centroid."""
    enrolment: dict[str, list[Name]]
    """The recordings by which a verifier knows each unseen speaker."""
    chosen: dict[str, list[Name]] = field(default_factory=dict)
    """The recordings of each source speaker that are converted."""

    def embeddings(self, names: Sequence[Name], without: Name | None = None) -> list[NDArray[np.float32]]:
        """Of some recordings; one can be left out, so that nothing is compared with itself."""
        return [np.array(self.results[n]["embedding"], np.float32) for n in names if n != without]

    def f0_range(self, voice: str) -> NDArray[np.float64] | None:
        """Mean 5th, 50th and 95th percentile of a voice's F0, semitones above 1 Hz."""
        ranges = [self.results[n]["f0_range"] for n in self.voices.get(voice, ())]
        ranges = [r for r in ranges if r]
        return np.mean(ranges, axis=0) if ranges else None


def word_parts(trial: Trial, heard: list[str], known: Known) -> dict[str, tuple[float, float]]:
    """Word errors, and the source's own, among the words of the transcript.

    Without a transcript the reference is the recogniser's own reading of the source: a change, not an error.
    """
    before = known.results[trial.name]["words"]
    text = known.texts.get(trial.name)
    reference = metrics.words(text) if text else before
    errors, own = metrics.edit_errors(reference, heard), metrics.edit_errors(reference, before)
    n = float(len(reference))
    parts = {"wer": (float(errors), n), "source_wer": (float(own), n)}
    parts["wer_minus_source" if text else "words_changed"] = (float(errors - own), n)
    return parts


def whisper_parts(trial: Trial, result: Result, known: Known) -> dict[str, tuple[float, float]]:
    """What Whisper reads wrong: `wrong_base`, `wrong_tiny.en` of the reference's words; `beyond_...` less the source's.

    The reference is the transcript, or what Whisper base reads in the source; no utterance has more errors than words.
    """
    before, text = known.results[trial.name], known.texts.get(trial.name)
    parts = {}
    for name in whisper_asr.RECOGNISERS:
        if name in result:
            reference = whisper_asr.words(text) if text else before["base"]
            errors, own = (whisper_asr.word_errors(reference, heard) for heard in (result[name], before[name]))
            parts[f"wrong_{name}"] = (float(errors), float(len(reference)))
            parts[f"beyond_{name}"] = (float(errors - own), float(len(reference)))
    return parts


def _plain(value: float) -> tuple[float, float]:
    return (value, 1.0) if math.isfinite(value) else (0.0, 0.0)


class System:
    """Scores of one system in one condition.

    Every share is (amount, out of):
    `wer`, `source_wer`: see word_parts; `wer_minus_source` only of speakers with transcripts, `words_changed` only of
    those without.
    `wrong_base`, `beyond_base` and so on: see whisper_parts.
    `phone_change`: edits between the phones heard in the clean source and in the output, by the number of the former.
    `similarity`: cosine to the centroid of the target's recordings, this one left out; where a voice has none, of its
    conversions of other speakers.
    `similarity_to_source`: cosine to the centroid of those recordings of the speaker that are converted.
    `cents_error`: see metrics.Melody.
    `f0_low`, `f0_high`: semitones by which the utterance's 5th and 95th percentile of F0 lie above the target's (mean
    of its recordings).
    """

    def __init__(self, trials: Sequence[Trial], results: Sequence[Result], known: Known) -> None:
        self.known = known
        self.trials = list(trials)
        self.results = list(results)
        self._spoken: dict[str, list[tuple[str, NDArray[np.float32]]]] = {}
        for trial, result in zip(trials, results, strict=True):
            spoken = self._spoken.setdefault(trial.voice, [])
            spoken.append((trial.speaker, np.array(result["embedding"], np.float32)))
        self.scores = [self._score(t, r) for t, r in zip(trials, results, strict=True)]

    def target(self, trial: Trial, voice: str) -> NDArray[np.float32] | None:
        """The centroid that `voice` should reach."""
        if voice in self.known.voices:
            return metrics.centroid(self.known.embeddings(self.known.voices[voice], trial.name))
        others = [e for speaker, e in self._spoken.get(voice, ()) if speaker != trial.speaker]
        return metrics.centroid(others) if others else None

    def _score(self, trial: Trial, result: Result) -> Score:
        before = self.known.results[trial.name]
        embedding = np.array(result["embedding"], np.float32)
        parts: dict[str, tuple[float, float]] = {}
        target = self.target(trial, trial.voice)
        parts["similarity"] = _plain(float(embedding @ target)) if target is not None else (0.0, 0.0)
        own = metrics.centroid(self.known.embeddings(self.known.chosen[trial.speaker]))
        parts["similarity_to_source"] = _plain(float(embedding @ own))
        if "words" in result:
            parts |= word_parts(trial, result["words"], self.known)
        parts |= whisper_parts(trial, result, self.known)
        if "phones" in result:
            phones = before["phones"]
            parts["phone_change"] = (float(metrics.edit_errors(phones, result["phones"])), float(len(phones)))
        parts |= {name: _plain(value) for name, value in result["dnsmos"].items()}
        parts["source_ovrl"] = _plain(before["dnsmos"]["ovrl"])
        if "f0_correlation" in result:
            parts["f0_correlation"] = _plain(result["f0_correlation"])
            parts["cents_error"] = _plain(result["cents_error"])
        wanted = self.known.f0_range(trial.voice)
        if wanted is not None and result["f0_range"]:
            parts["f0_low"] = _plain(result["f0_range"][0] - float(wanted[0]))
            parts["f0_high"] = _plain(result["f0_range"][2] - float(wanted[2]))
        return Score(trial.speaker, trial.voice, trial.utterance, parts)

    def target_trials(self) -> list[Verification]:
        """Is a converted utterance taken for its target?

        Genuine: the utterance against the centroid of the voice that it was converted to. Impostors: the same utterance
        against the centroids of the other voices. A low EER is wanted. Voices without recordings take no part.
        """
        voices = self.known.voices
        trials = []
        for trial, result, score in zip(self.trials, self.results, self.scores, strict=True):
            if trial.voice in voices:
                embedding = np.array(result["embedding"], np.float32)
                scores = {
                    v: float(embedding @ metrics.centroid(self.known.embeddings(n, trial.name)))
                    for v, n in voices.items()
                }
                own = scores.pop(trial.voice)
                trials.append(Verification(score, own, tuple(scores.values())))
        return trials

    def source_trials(self) -> list[Verification]:
        """Can a verifier still tell who spoke?

        Genuine: a converted utterance of an unseen speaker against the centroid of natural utterances of this speaker,
        none of which was converted. Impostors: the same utterance against such centroids of the other unseen speakers.
        A high EER is wanted: 0.5 means that nothing of the source is left.
        """
        centroids = {
            s: metrics.centroid(self.known.embeddings(names)) for s, names in self.known.enrolment.items() if names
        }
        trials = []
        for trial, result, score in zip(self.trials, self.results, self.scores, strict=True):
            if trial.speaker in centroids:
                embedding = np.array(result["embedding"], np.float32)
                scores = {s: float(embedding @ c) for s, c in centroids.items()}
                own = scores.pop(trial.speaker)
                trials.append(Verification(score, own, tuple(scores.values())))
        return trials

    def table(self, other: System | None = None) -> dict[str, dict[str, Any]]:
        """One row per source and voice: plain means, their intervals, and means less another system's."""
        rows: dict[str, dict[str, Any]] = {}
        differences = difference(self.scores, other.scores) if other else []
        for pair in dict.fromkeys(s.pair for s in self.scores):
            group = [s for s in self.scores if s.pair == pair]
            figures = summarise(group)
            counted = "wer" if "wer" in figures else "wrong_base"
            row: dict[str, Any] = {key: figures.get(key, {"mean": None})["mean"] for key in TABLE_KEYS}
            row |= {key: figure["mean"] for key, figure in figures.items() if key not in row}
            row["n"] = len(group)
            row["words"] = int(sum(s.parts[key][1] for s in group for key in s.parts if key == counted))
            row["interval"] = {key: [f["low"], f["high"]] for key, f in figures.items()}
            group = [s for s in differences if s.pair == pair]
            if group:
                row["minus_float"] = {key: f["mean"] for key, f in summarise(group).items()}
            rows[" -> ".join(pair)] = row
        return rows

    def unseen(self, voices: Sequence[str]) -> list[Score]:
        """Scores of these voices, sources that no training heard."""
        return [s for s in self.scores if s.speaker in UNSEEN_SPEAKERS and s.voice in voices]

    def summary(self, voices: Sequence[str]) -> dict[str, Figure]:
        """Mean and interval of everything, over unseen speakers and these voices; EER included."""
        figures = summarise(self.unseen(voices))
        for name, trials in (("target_eer", self.target_trials()), ("source_eer", self.source_trials())):
            chosen = [t for t in trials if t.score.speaker in UNSEEN_SPEAKERS and t.score.voice in voices]
            figure = eer_figure(chosen)
            if figure:
                figures[name] = figure
        return figures


INCREASES = {"wer": "noise_wer_increase", "phone_change": "noise_phone_increase", "ovrl": "noise_ovrl_increase"}


def noise_increases(noisy: Sequence[Score], clean: Sequence[Score]) -> dict[str, Figure]:
    """How much noise costs, utterance by utterance; the WER of speakers with transcripts only."""
    transcribed = [s for s in noisy if "wer_minus_source" in s.parts]
    words, rest = summarise(difference(transcribed, clean)), summarise(difference(noisy, clean))
    figures = {"wer": words.get("wer"), **{key: rest.get(key) for key in INCREASES if key != "wer"}}
    return {INCREASES[key]: figure for key, figure in figures.items() if figure}


def language_table(
    trials: Sequence[Trial], results: Sequence[Result], natural: Mapping[Name, Result]
) -> dict[str, Any]:
    """Per language: phones changed, what failed, and the softest output; `speaker` of a trial is the language."""
    table: dict[str, Any] = {}
    for language in dict.fromkeys(t.speaker for t in trials):
        group = [(t, r) for t, r in zip(trials, results, strict=True) if t.speaker == language]
        done = [(t, r) for t, r in group if "failed" not in r]
        scores = []
        for t, r in done:
            before = natural[t.name]["phones"]
            errors = float(metrics.edit_errors(before, r["phones"]))
            scores.append(Score(language, t.voice, t.utterance, {"phone_change": (errors, float(len(before)))}))
        table[language] = {
            "phone_change": summarise(scores).get("phone_change") if scores else None,
            "failed": [f"{t.utterance} -> {t.voice}: {r['failed']}" for t, r in group if "failed" in r],
            "softest_dbfs": min((r["level_dbfs"] for _, r in done), default=None),
            "n": len(group),
        }
    return table


def rounded(value: Any) -> Any:
    """Numbers of a table at six significant digits: what lies beyond is noise, and makes large files."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
