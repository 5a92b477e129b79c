"""Recordings of which one knows what they say, heard by a command set: right, otherwise, refused, nothing."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from edgevc.errors import ConfigError
from edgevc.limits import SAMPLE_RATE
from edgevc.recognition.grammar import Meaning
from edgevc.recognition.sentence_list import SentenceList
from edgevc.recognition.sentences import spoken_words
from edgevc.recognition.spoken_commands import CommandStream, Sentence

MAX_ROWS = 100_000
_SILENCE_SECONDS = 2.0
"""Fed behind a recording, so that its last sentence ends."""

_REPETITION = re.compile(r"[\s_-]*\(?\d+\)?$")


@dataclass(frozen=True)
class Expected:
    """What a recording says."""

    command: str
    """Empty: nothing that the grammar contains."""
    slots: Mapping[str, str] | None = None
    """None: they are not compared."""


class Verdict(Enum):
    """How a recording was heard."""

    RIGHT = "right"
    OTHERWISE = "heard otherwise"
    REFUSED = "refused"
    NOTHING = "nothing heard"
    ACCEPTED = "accepted, but should be refused"


@dataclass(frozen=True)
class Trial:
    """One recording."""

    name: str
    expected: Expected
    verdict: Verdict
    sentence: Sentence | None
    """The first command, or else the first sentence."""


@dataclass(frozen=True)
class Tally:
    """All recordings."""

    trials: tuple[Trial, ...]
    counts: Mapping[Verdict, int] = field(default_factory=dict)

    @property
    def share_right(self) -> float:
        """0 to 1; 0 where there are no recordings."""
        return self.counts.get(Verdict.RIGHT, 0) / len(self.trials) if self.trials else 0.0


def tally(trials: Iterable[Trial]) -> Tally:
    """Count verdicts."""
    trials = tuple(trials)
    return Tally(trials, {verdict: sum(trial.verdict is verdict for trial in trials) for verdict in Verdict})


def read_expected(text: str, name: str) -> dict[str, Expected]:
    """Return what recordings say, by their files' names.

    CSV has the columns file and command, every other one is a slot; JSONL has an object a line with "file", "command"
    and "slots". An empty command is for what must be refused.

    Args:
        text: of the file.
        name: of the file; .jsonl or .json makes it JSONL, everything else is CSV.

    Raises:
        ConfigError: it is no such file; names the line.
    """
    found: dict[str, Expected] = {}
    rows = _json_rows(text, name) if name.lower().endswith((".jsonl", ".json")) else _csv_rows(text, name)
    for line, file, expected in rows:
        if file in found:
            raise ConfigError(f"{name}, line {line}: {file!r} stands there twice; leave one out")
        if len(found) >= MAX_ROWS:
            raise ConfigError(f"{name}: expected at most {MAX_ROWS} recordings; split it")
        found[file] = expected
    if not found:
        raise ConfigError(f"{name}: expected a line for each recording, got none")
    return found


def _csv_rows(text: str, name: str) -> Iterable[tuple[int, str, Expected]]:
    rows = csv.DictReader(io.StringIO(text))
    try:
        if not {"file", "command"} <= set(rows.fieldnames or ()):
            raise ConfigError(f"{name}, line 1: expected the columns file and command, and one for each slot")
        for row in rows:
            if None in row or not row["file"]:
                raise ConfigError(f"{name}, line {rows.line_num}: expected as many values as columns, and a file")
            slots = {slot: value for slot, value in row.items() if slot not in ("file", "command") and value}
            yield rows.line_num, row["file"], Expected(row["command"] or "", slots)
    except csv.Error as error:
        raise ConfigError(f"{name}, line {rows.line_num}: {error}; save it as CSV") from None


def _json_rows(text: str, name: str) -> Iterable[tuple[int, str, Expected]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{name}, line {number}: no JSON: {error}; write one object a line") from None
        slots = row.get("slots") if isinstance(row, dict) else None
        texts = [row.get("file"), row.get("command")] if isinstance(row, dict) else [None]
        if not all(isinstance(text, str) for text in texts) or not isinstance(slots, (dict, type(None))):
            raise ConfigError(f'{name}, line {number}: expected {{"file": "...", "command": "...", "slots": {{...}}}}')
        yield number, row["file"], Expected(row["command"], slots and {str(k): str(v) for k, v in slots.items()})


def expected_by_name(stem: str, sentences: SentenceList) -> Expected | None:
    """Return what a recording says by its file's name without suffix; None where the name does not say.

    The name is the sentence, or the command, with - or _ for spaces; a number at the end is a repetition, and "none"
    stands for what must be refused.
    """
    for text in dict.fromkeys((stem, _REPETITION.sub("", stem))):
        words = spoken_words(re.sub("[_-]", " ", text))
        if words[:1] == ["none"]:
            return Expected("")
        meanings = sentences.understood(words)
        if meanings:
            return Expected(meanings[0].intent, meanings[0].slots)
        for command in sentences.commands:
            if spoken_words(re.sub("[_-]", " ", command)) == words:
                return Expected(command)
    return None


def hear(name: str, samples: NDArray[np.float32], expected: Expected, stream: CommandStream) -> Trial:
    """Feed a recording, mono at 16 kHz (T,), to a new stream and judge what it heard."""
    tail = np.zeros(round(_SILENCE_SECONDS * SAMPLE_RATE), np.float32)
    sentences = stream.process(np.concatenate([samples, tail]))
    commands = [sentence for sentence in sentences if sentence.heard.refusal is None]
    first = next(iter(commands or sentences), None)
    return Trial(name, expected, _verdict(first, expected), first)


def _verdict(sentence: Sentence | None, expected: Expected) -> Verdict:
    accepted = sentence is not None and sentence.heard.refusal is None
    if not expected.command:
        return Verdict.ACCEPTED if accepted else Verdict.RIGHT
    if sentence is None or sentence.heard.recognition is None:
        return Verdict.NOTHING
    if not accepted:
        return Verdict.REFUSED
    return Verdict.RIGHT if _same(sentence.heard.recognition.meaning, expected) else Verdict.OTHERWISE


def _same(found: Meaning, expected: Expected) -> bool:
    if found.intent != expected.command:
        return False
    return expected.slots is None or dict(found.slots) == dict(expected.slots)
