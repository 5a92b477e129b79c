"""Records sentences for a voice: finds where each begins and ends, and says which should be read again; no PyTorch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevc.dsp.resample import resample
from edgevc.limits import SAMPLE_RATE
from edgevc.voice_maker.check import clipped_share, measure, problems

FloatArray = NDArray[np.float32]
SENTENCES = Path(__file__).with_name("sentences.txt")
QUIET_SECONDS = 1.0
"""At the start, in which nobody speaks: how loud the room is."""
PAUSE_SECONDS = 0.9
"""After which a sentence is over."""
EDGE_SECONDS = 0.25
"""Kept before and behind a sentence."""
LONGEST_SECONDS = 15.0
ABOVE_NOISE_DB, LOWEST_DB = 12.0, -55.0
"""What is louder than the room by the first, and than the second, is speech."""
LETTERS_PER_SECOND = 35.0
"""Nobody reads faster."""
# a single sentence is too short for these, or is judged by itself
_NOT_OF_ONE = frozenset({"short", "room", "music"})


@dataclass(frozen=True)
class Take:
    """A sentence as it was read."""

    samples: FloatArray
    """At the microphone's rate."""
    level_db: float
    snr_db: float
    problems: tuple[str, ...]
    """Why it should be read again, for people; empty: it is good."""


def sentences() -> list[str]:
    """Return sentences that hold every phone of English several times; written for this, free as edgevc is."""
    return SENTENCES.read_text(encoding="utf-8").splitlines()


def level_db(block: FloatArray) -> float:
    """Return the level of samples, dBFS RMS."""
    return 10 * float(np.log10(np.square(block, dtype=np.float64).mean() + 1e-12))


class Reader:
    """Cuts sentences out of what a microphone hears."""

    def __init__(self, blocks: Iterable[FloatArray], rate: int) -> None:
        """Listen to the room first.

        Args:
            blocks: of the microphone, some 10 to 100 ms each.
            rate: hertz.
        """
        self._blocks: Iterator[FloatArray] = iter(blocks)
        self.rate = rate
        heard = list(self._of(QUIET_SECONDS))
        self.noise_db = float(np.median([level_db(block) for block in heard])) if heard else -120.0
        self._last = heard[-1:]

    def _of(self, seconds: float) -> Iterator[FloatArray]:
        left = seconds * self.rate
        for block in self._blocks:
            yield block
            left -= len(block)
            if left <= 0:
                return

    def take(self, sentence: str) -> Take | None:
        """Return the next sentence, judged; None: the microphone has ended before one."""
        limit = max(self.noise_db + ABOVE_NOISE_DB, LOWEST_DB)
        before, spoken = self._last, list[FloatArray]()
        silent = 0
        for block in self._blocks:
            loud = level_db(block) > limit
            if not spoken and not loud:
                before = [*before, block][-max(1, round(EDGE_SECONDS * self.rate / len(block))) :]
                continue
            spoken = spoken or list(before)
            spoken.append(block)
            silent = 0 if loud else silent + len(block)
            if silent >= PAUSE_SECONDS * self.rate or sum(map(len, spoken)) >= LONGEST_SECONDS * self.rate:
                break
        if not spoken:
            return None
        samples = np.concatenate(spoken)
        self._last = spoken[-1:]
        tail = max(0, silent - round(EDGE_SECONDS * self.rate))
        return judged(samples[: len(samples) - tail], self.rate, sentence, self.noise_db)


def judged(samples: FloatArray, rate: int, sentence: str, noise_db: float) -> Take:
    """Return a sentence with what is wrong with it; `noise_db`: of the room, dBFS."""
    at_16k = samples if rate == SAMPLE_RATE else resample(samples, rate, SAMPLE_RATE)
    facts = measure([at_16k], clipped=clipped_share(samples))
    found = [problem.text for problem in problems(facts) if problem.name not in {*_NOT_OF_ONE, "noise"}]
    snr = facts.level_db - noise_db
    if snr < 22:
        found.append(f"the room is only {snr:.0f} dB softer than the speech; come closer to the microphone")
    least = len(sentence) / LETTERS_PER_SECOND
    if len(samples) / rate < least:
        found.append(f"{len(samples) / rate:.1f} s is too short for the sentence; read all of it")
    if len(samples) / rate > LONGEST_SECONDS - 0.5:
        found.append("there was no pause behind the sentence; wait a second before the next one")
    return Take(samples, facts.level_db, snr, tuple(found))
