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

LISTENING = SearchSettings(filler=3.0)
"""The search's numbers for a stream: noise is no word."""
LEAST_CERTAINTY = -2.0
"""Sentences below it are refused: 2 of 100 good ones of the recordings on which it was chosen (docs/commands.md)."""


class Refusal(Enum):
    """Why a sentence is no command."""

    UNCERTAIN = "sounds like something that the grammar does not contain"
    TIMED_OUT = "went on for too long"


@dataclass(frozen=True)
class Heard:
    """A sentence that has ended."""

    recognition: Recognition | None
    """Best sentence of the grammar; frames count from the last sentence's end. None where there is none."""
    evidence: Evidence | None
    end: int
    """Frame of the stream with which the end was noticed."""
    refusal: Refusal | None
    """None: it is a command."""


class CommandRecognizer:
    """Hears one stream and goes on after every sentence."""

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
        self._least_certainty = least_certainty
        # of a sentence, with room for the wait before it; moved to the front when it is full
        self._kept = np.empty((3 * settings.max_sentence_frames, len(phones)), np.float32)
        self._n_kept = 0
        self._n_frames = 0

    def process(self, log_posteriors: NDArray[np.float32]) -> list[Heard]:
        """Hear frames (L, n_phones), any L; return the sentences that ended in them."""
        heard: list[Heard] = []
        start = 0
        # not more at once than what a sentence may need of the past leaves room for
        step = len(self._kept) // 3
        while start < len(log_posteriors):
            taken, state = self._search.process(log_posteriors[start : start + step])
            self._keep(log_posteriors[start : start + taken])
            start += taken
            self._n_frames += taken
            if state in (SearchState.ENDED, SearchState.TIMED_OUT):
                heard.append(self._sentence(state))
                self._search.reset()
                self._n_kept = 0
        return heard

    def reset(self) -> None:
        """Forget everything heard, like a new object."""
        self._search.reset()
        self._n_kept = 0
        self._n_frames = 0

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
        refusal = None
        if state is SearchState.TIMED_OUT:
            refusal = Refusal.TIMED_OUT
        elif evidence is None or evidence.certainty < self._least_certainty:
            refusal = Refusal.UNCERTAIN
        return Heard(found, evidence, self._n_frames - 1, refusal)
