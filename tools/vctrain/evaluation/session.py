"""One evaluation: its options, its recordings, natural speech to compare with, and what is converted."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vctrain.data.speakers import PAIRS, VOICES
from vctrain.evaluation import noise, tables, trials, whisper_asr
from vctrain.evaluation.scoring import score_all
from vctrain.evaluation.systems import System
from vctrain.evaluation.tables import Known
from vctrain.evaluation.trials import Trial

WORDS_ONLY = frozenset({"words"})
PARTS = ("pocketsphinx", "whisper", "phones", "lists", "languages", "room", "picture")
METRICS_OF = {"pocketsphinx": {"words"}, "whisper": set(whisper_asr.RECOGNISERS), "phones": {"phones"}}
"""Part to what it asks of every conversion."""


@dataclass(frozen=True)
class Session:
    """What stays the same during an evaluation."""

    args: argparse.Namespace
    rows: list[dict[str, Any]]
    pool: Executor

    @property
    def cache(self) -> Path:
        """Where slow metrics are cached."""
        return self.args.data / "scores"

    @property
    def voices(self) -> list[str]:
        """Those that have recordings to be compared with."""
        return [v for v in self.args.voices if v in VOICES]

    @property
    def wanted(self) -> frozenset[str]:
        """What is asked of every conversion."""
        return trials.ALL.difference(*(METRICS_OF.get(part, ()) for part in self.args.skip))

    def trial(self, row: dict[str, Any], voice: str, system: System) -> Trial:
        """One recording of DATA by one system, everything wanted."""
        path = self.args.data / row["path"]
        return Trial(system, row["speaker"], voice, row["utterance"], path, wanted=self.wanted)

    def score(self, trials: Sequence[Trial], what: str) -> list[dict[str, Any]]:
        """In parallel."""
        return score_all(trials, self.cache, self.pool, what)

    def evaluate(self, trials: Sequence[Trial], known: Known, what: str) -> tables.System:
        """Scores as a system's."""
        return tables.System(trials, self.score(trials, what), known)


def natural_speech(session: Session) -> Known:
    """Scores of every natural recording that anything is compared with."""
    args, rows = session.args, session.rows
    chosen = trials.sources(rows, args.utterances, args.word_utterances)
    enrolment = trials.enrolment(rows, chosen)
    for speaker, voice in PAIRS:
        if voice in args.voices:
            chosen[speaker] = trials.choose(rows, speaker, args.pair_utterances)
    voices = {v: trials.choose(rows, v, trials.CENTROID_UTTERANCES) for v in VOICES}
    wanted: dict[tuple[str, str], Trial] = {}
    # words cost seconds, and only what is converted needs them
    ceiling = [r for v in session.voices for r in voices[v][: args.utterances]] if args.baselines else []
    everything = [(r, session.wanted) for group in chosen.values() for r in group]
    everything += [(r, session.wanted) for r in ceiling]
    everything += [(r, frozenset({"embedding", "f0"})) for group in voices.values() for r in group]
    everything += [(r, frozenset({"embedding"})) for group in enrolment.values() for r in group]
    for row, what in everything:
        trial = dataclasses.replace(
            session.trial(row, "", trials.NATURAL), wanted=WORDS_ONLY if args.words_only else what
        )
        if not args.words_only or what == session.wanted:
            wanted.setdefault(trial.name, trial)
    results = session.score(list(wanted.values()), "natural speech")
    names = {s: [(s, r["utterance"]) for r in group] for s, group in chosen.items()}
    for voice, group in voices.items():
        names.setdefault(voice, [(voice, r["utterance"]) for r in group[: args.utterances]])
    return Known(
        results=dict(zip(wanted, results, strict=True)),
        texts={(r["speaker"], r["utterance"]): r["text"] for r in rows},
        voices={v: [(v, r["utterance"]) for r in group] for v, group in voices.items()},
        enrolment={s: [(s, r["utterance"]) for r in group] for s, group in enrolment.items()},
        chosen=names,
    )


def conversions(session: Session, known: Known, system: System, voices: Sequence[str], pairs: bool) -> list[Trial]:
    """Every unseen speaker to every voice, and the pairs of trained speakers."""
    by_name = {(r["speaker"], r["utterance"]): r for r in session.rows}
    wanted = [(s, v) for s in known.enrolment for v in voices]
    wanted += [(s, v) for s, v in PAIRS if v in voices] if pairs else []
    return [session.trial(by_name[name], voice, system) for s, voice in wanted for name in known.chosen[s]]


def kept(trial: Trial, folder: Path | None) -> Trial:
    """The trial, its output written into the folder."""
    if folder is None:
        return trial
    return dataclasses.replace(trial, keep=folder / f"{trial.speaker}-{trial.utterance}-{trial.voice}.wav")


def in_kitchen(trials_: Sequence[Trial], kitchen: noise.Kitchen) -> list[Trial]:
    """The same trials in noise; unseen speakers only."""
    return [dataclasses.replace(t, scene=kitchen, keep=None) for t in trials_]
