"""The best sentence of a grammar for a stream of phone posteriors, and when it has ended.

Scores are natural logs. A path through the network pays, for each frame, the emission of the state that it is in,

    max(floor, log p(phone | sound) - prior_weight * log p(phone)) * acoustic_scale,

and `word_penalty` for each word, `slot_penalty` for each slot's value. A state is held or left for the next one at no
cost; between two words, before the first and behind the last one silence may lie, of any length. The best path is
Viterbi's, one frame at a time; the search runs in C++ (csrc/include/edgevc/command_search.h) and allocates nothing per
frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.recognition.automaton import meaning
from edgevc.recognition.emissions import SearchSettings
from edgevc.recognition.grammar import Meaning
from edgevc.recognition.network import Network


class SearchState(IntEnum):
    """Where a stream is."""

    WAITING = 0
    """Nothing was said yet."""
    SPEAKING = 1
    ENDED = 2
    """A sentence is over."""
    TIMED_OUT = 3
    """What began as a sentence goes on for too long."""


@dataclass(frozen=True)
class Recognition:
    """The best sentence."""

    meaning: Meaning
    words: tuple[str, ...]
    score: float
    """Of the whole path."""
    confidence: float
    """Score without word penalties less that of the best phone in every frame, per frame: 0 at best, low for what is
    not in the grammar."""
    chains: tuple[int, ...]
    """Chain of the network that each word was heard as."""
    ends: tuple[int, ...]
    """Frame with which each word ended."""


def recognition(
    network: Network,
    node: int,
    score: float,
    words: Iterable[tuple[int, int]],
    n_frames: int,
    best_phones: float,
    settings: SearchSettings,
) -> Recognition:
    """Return a path in words; `words` are (chain, last frame)."""
    chains, ends = zip(*words, strict=True)
    labels = [network.labels[chain] for chain in chains]
    penalties = settings.word_penalty * len(labels) + settings.slot_penalty * sum(label.begins for label in labels)
    return Recognition(
        meaning(network.finals[node], labels, network.outcomes, network.reported),
        tuple(label.word for label in labels),
        score,
        (score - penalties - best_phones) / n_frames,
        chains,
        ends,
    )


def core_settings(settings: SearchSettings) -> _core.CommandSearchSettings:
    """Return what the C++ search takes; ValueError where one is out of its range comes from there."""
    return _core.CommandSearchSettings(
        floor=settings.floor,
        acoustic_scale=settings.acoustic_scale,
        word_penalty=settings.word_penalty,
        beam=settings.beam,
        filler=settings.filler,
        closed_end_frames=settings.closed_end_frames,
        open_end_frames=settings.open_end_frames,
        unsure_end_frames=settings.unsure_end_frames,
        unsure_margin=settings.unsure_margin,
        max_sentence_frames=settings.max_sentence_frames,
    )


class CommandSearch:
    """One stream; the network may have many."""

    def __init__(
        self, network: Network, log_priors: NDArray[np.float64], settings: SearchSettings | None = None
    ) -> None:
        """Start a stream.

        Args:
            network: what to search.
            log_priors: natural logs of the phones' frequencies, (n_phones,), as `phones.log_priors`.
            settings: of the search; None takes the defaults.

        Raises:
            ValueError: a setting is out of its range.
        """
        self.network = network
        self.settings = chosen = settings if settings is not None else SearchSettings()
        self._core = _core.CommandSearch(
            n_phones=len(log_priors),
            n_nodes=network.n_nodes,
            start=network.start,
            silence=network.silence,
            phone=network.phone.tolist(),
            first=network.first.tolist(),
            last=network.last.tolist(),
            source=network.source.tolist(),
            target=network.target.tolist(),
            finals=list(network.finals),
            offsets=(chosen.prior_weight * log_priors).tolist(),
            settings=core_settings(chosen),
            penalty=network.penalties(chosen.slot_penalty).tolist(),
        )

    @property
    def n_frames(self) -> int:
        """Frames heard since the start or the last `reset`."""
        return self._core.n_frames

    @property
    def n_bytes(self) -> int:
        """Memory of the search; it never grows."""
        return self._core.bytes

    @property
    def dropped_words(self) -> int:
        """Words left out of results because too many paths were alive; 0 but for grammars out of proportion."""
        return self._core.dropped_words

    def process(self, log_posteriors: NDArray[np.float32]) -> tuple[int, SearchState]:
        """Hear frames (L, n_phones), any L, up to the end of a sentence.

        Returns:
            How many frames were heard, and the state after the last of them. Behind ENDED or TIMED_OUT comes `reset`.
        """
        taken, state = self._core.process(log_posteriors)
        return taken, SearchState(state)

    def result(self) -> Recognition | None:
        """Return the best sentence that may end here; None where there is none."""
        node, score, words = self._core.best()
        if node < 0 or not words:
            return None
        return recognition(self.network, node, score, words, self.n_frames, self._core.best_phones, self.settings)

    def decode(self, log_posteriors: NDArray[np.float32]) -> Recognition | None:
        """Return the best sentence for a whole recording, (L, n_phones): the one that ends with it."""
        self.reset()
        self._core.process(log_posteriors, to_the_end=True)
        return self.result()

    def reset(self) -> None:
        """Forget everything heard, like a new object."""
        self._core.reset()


def fully_right(found: Recognition | None, intent: str, slots: Mapping[str, str]) -> bool:
    """Whether the intent and every slot are as wanted, and no slot is there that is not."""
    return found is not None and found.meaning == Meaning(intent, {k: v.strip() for k, v in slots.items()})
