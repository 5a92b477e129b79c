"""Commands out of a stream of phone posteriors, each with what it means, or why it was refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from edgevc.errors import ConfigError
from edgevc.recognition.emissions import SearchSettings
from edgevc.recognition.evidence import Evidence, EvidenceFinder
from edgevc.recognition.network import Network
from edgevc.recognition.phones import log_priors
from edgevc.recognition.search import CommandSearch, Recognition, SearchState

LISTENING = SearchSettings(filler=3.0, slot_penalty=-12.0, open_end_frames=45)
"""The search's numbers for a stream: noise is no word, and no value of a slot that may be left out."""
LEAST_CERTAINTY = -0.5
"""Sentences below it are refused: 2 of 100 good ones of the recordings on which it was chosen (docs/commands.md)."""
LEAST_MARGIN = 3.0
"""Of a value to the next best one of its list, in natural logs; sentences below it are refused as ambiguous."""

_NOISE_SCORE = -4.5
"""Sentences whose phones fit worse than that are called noise where they are refused."""


class Refusal(Enum):
    """Why a sentence is no command."""

    UNCERTAIN = "sounds like something that the grammar does not contain"
    AMBIGUOUS = "two sentences of the grammar fit as well"
    NOISE = "noise, or nothing like the grammar"
    TOO_QUIET = "too quiet"
    TIMED_OUT = "went on for too long"


@dataclass(frozen=True)
class Heard:
    """A sentence that has ended."""

    recognition: Recognition | None
    """Best sentence of the grammar; its frames count from `begin`. None where there is none."""
    evidence: Evidence | None
    end: int
    """Frame of the stream with which the end was noticed."""
    refusal: Refusal | None
    """None: it is a command."""
    begin: int = 0
    """Frame of the stream that the recognition's frames count from."""

    @property
    def reason(self) -> str:
        """Why it was refused, with what was heard instead, for people; empty for a command."""
        if self.refusal is None:
            return ""
        if self.recognition is None or self.evidence is None or self.refusal in (Refusal.NOISE, Refusal.TOO_QUIET):
            return self.refusal.value
        nearest = " ".join(self.recognition.words)
        name, slot = min(self.evidence.slots.items(), key=lambda item: item[1].certainty)
        if self.refusal is Refusal.AMBIGUOUS:
            name, slot = min(self.evidence.slots.items(), key=lambda item: item[1].margin)
            return f"unsure between {slot.value!r} and {slot.rival!r} in {nearest!r}"
        doubt = f", in which {name} {slot.value!r} is doubtful" if name else ""
        return f"{self.refusal.value}; nearest is {nearest!r}{doubt}"


class CommandRecognizer:
    """Hears one stream and goes on after every sentence. One thread uses it at a time."""

    def __init__(
        self,
        network: Network,
        phones: Sequence[str],
        settings: SearchSettings = LISTENING,
        least_certainty: float = LEAST_CERTAINTY,
    ) -> None:
        """Start a stream.

        Args:
            network: of the grammar, from `build_network`.
            phones: names of the posteriors' columns.
            settings: of the search.
            least_certainty: sentences whose `Evidence.certainty` is below are refused; -inf takes everything.

        Raises:
            ConfigError: a setting is out of its range, or a phone is unknown.
        """
        priors = log_priors(phones)
        try:
            self._search = CommandSearch(network, priors, settings)
        except ValueError as error:
            raise ConfigError(f"search settings: {error}") from None
        self._finder = EvidenceFinder(network, phones, priors, settings)
        self.least_certainty = least_certainty
        """May be changed at any time."""
        self.least_margin = LEAST_MARGIN if least_certainty > -np.inf else -np.inf
        """What takes everything takes the doubtful as well."""
        # of a sentence, with room for the wait before it; moved to the front when it is full
        self._kept = np.empty((3 * settings.max_sentence_frames, len(phones)), np.float32)
        self._n_kept = 0
        self._n_frames = 0
        self._state = SearchState.WAITING
        self.longest_end = max(settings.closed_end_frames, settings.open_end_frames, settings.unsure_end_frames)
        """Frames by which an end may be noticed late."""

    @property
    def speaking(self) -> bool:
        """Whether a sentence has begun and not ended."""
        return self._state is SearchState.SPEAKING

    def process(self, log_posteriors: NDArray[np.float32]) -> list[Heard]:
        """Hear frames (L, n_phones), any L; return the sentences that ended in them."""
        heard: list[Heard] = []
        start = 0
        while start < len(log_posteriors):
            taken, sentence = self.hear(log_posteriors[start:])
            start += taken
            if sentence is not None:
                heard.append(sentence)
        return heard

    def hear(self, log_posteriors: NDArray[np.float32]) -> tuple[int, Heard | None]:
        """Hear frames (L, n_phones), any L, up to the end of a sentence; return how many, and the sentence."""
        # not more at once than what a sentence may need of the past leaves room for
        step = len(self._kept) // 3
        start = 0
        while start < len(log_posteriors):
            taken, self._state = self._search.process(log_posteriors[start : start + step])
            self._keep(log_posteriors[start : start + taken])
            start += taken
            self._n_frames += taken
            if self._state in (SearchState.ENDED, SearchState.TIMED_OUT):
                sentence = self._sentence(self._state)
                self._start_anew()
                return start, sentence
        return start, None

    def reset(self, at: int = 0) -> None:
        """Forget everything heard, like a new object; the next frame is number `at` of the stream."""
        self._start_anew()
        self._n_frames = at

    def _start_anew(self) -> None:
        self._search.reset()
        self._state = SearchState.WAITING
        self._n_kept = 0

    def _keep(self, frames: NDArray[np.float32]) -> None:
        room = len(self._kept) - self._n_kept
        if len(frames) > room:
            stays = 2 * (len(self._kept) // 3)
            self._kept[:stays] = self._kept[self._n_kept - stays : self._n_kept].copy()
            self._n_kept = stays
        self._kept[self._n_kept : self._n_kept + len(frames)] = frames
        self._n_kept += len(frames)

    def _sentence(self, state: SearchState) -> Heard:
        found = self._search.result()
        evidence = None
        if found is not None:
            first = self._search.n_frames - self._n_kept
            evidence = self._finder.weigh(found, self._kept[: self._n_kept], first)
        refusal = Refusal.TIMED_OUT if state is SearchState.TIMED_OUT else self._judge(evidence)
        return Heard(found, evidence, self._n_frames - 1, refusal, self._n_frames - self._search.n_frames)

    def _judge(self, evidence: Evidence | None) -> Refusal | None:
        if evidence is None:
            return Refusal.NOISE
        if evidence.certainty < self.least_certainty:
            return Refusal.NOISE if evidence.score < _NOISE_SCORE else Refusal.UNCERTAIN
        if min(slot.margin for slot in evidence.slots.values()) < self.least_margin:
            return Refusal.AMBIGUOUS
        return None
