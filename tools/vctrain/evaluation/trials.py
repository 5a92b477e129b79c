"""Which utterances are converted and scored: fixed by their names alone, and written into every table of scores."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vctrain.data.speakers import UNSEEN_SPEAKERS
from vctrain.evaluation.systems import Natural, System

SHORTEST = 2.5
LONGEST, LONGEST_TRANSCRIBED = 9.0, 16.0
"""Seconds of a test utterance: long ones cost minutes to recognise and short ones tell little. Where a transcript makes
word errors of them, longer ones are worth it."""
CENTROID_UTTERANCES = 20
"""Natural recordings behind a target voice's centroid."""
ENROLMENT_UTTERANCES = 10
"""Natural recordings, none of them converted, by which a verifier knows a source speaker."""

ALL = frozenset({"words", "base", "tiny.en", "phones", "embedding", "dnsmos", "f0"})
"""`words` are pocketsphinx's, `base` and `tiny.en` those of Whisper."""


class Scene(Protocol):
    """Where speech is heard."""

    def add(self, samples: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        """(T,) samples there; the same `name` always sounds the same."""
        ...


@dataclass(frozen=True)
class Trial:
    """One utterance by one system in one condition, and what is wanted of it."""

    system: System
    speaker: str
    voice: str
    utterance: str
    path: Path
    scene: Scene | None = None
    wanted: frozenset[str] = ALL
    keep: Path | None = None
    """Where the converted file shall stay."""
    may_fail: bool = False
    """A failure is a result of its own instead of the end."""

    @property
    def name(self) -> tuple[str, str]:
        """Speaker and utterance."""
        return self.speaker, self.utterance


NATURAL = Natural()


def ranked(rows: list[dict[str, Any]], speaker: str) -> list[dict[str, Any]]:
    """A speaker's test utterances of fitting length, in an order that nobody chose."""
    rows = [r for r in rows if r["speaker"] == speaker and r["split"] == "test"]
    rows = [r for r in rows if SHORTEST < r["seconds"] < (LONGEST_TRANSCRIBED if r["text"] else LONGEST)]
    return sorted(rows, key=lambda r: hashlib.sha256(r["utterance"].encode()).hexdigest())


def choose(rows: list[dict[str, Any]], speaker: str, count: int) -> list[dict[str, Any]]:
    """A fixed selection of a speaker's test utterances: more of them begin with the same."""
    return ranked(rows, speaker)[:count]


def sources(rows: list[dict[str, Any]], utterances: int, transcribed: int) -> dict[str, list[dict[str, Any]]]:
    """Unseen speaker to utterances: `utterances` each, `transcribed` where words can be counted."""
    chosen = {}
    for speaker in UNSEEN_SPEAKERS:
        known = any(r["text"] for r in rows if r["speaker"] == speaker)
        chosen[speaker] = choose(rows, speaker, transcribed if known else utterances)
    return chosen


def enrolment(rows: list[dict[str, Any]], chosen: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Unseen speaker to natural utterances that are not converted; empty where all of them are."""
    return {s: ranked(rows, s)[len(r) :][:ENROLMENT_UTTERANCES] for s, r in chosen.items()}
