"""Token passing over a grammar's network: the best sentence for a sequence of phone posteriors.

Scores are natural logs. A path through the network pays, for each frame, the emission of the state that it is in,

    max(floor, log p(phone | sound) - prior_weight * log p(phone)) * acoustic_scale,

and `word_penalty` for each word. A state is held or left for the next one at no cost; between two words, before the
first and behind the last one silence may lie, of any length. The best path is Viterbi's, one frame at a time.

Method: S. J. Young, N. H. Russell, J. H. S. Thornton, "Token passing: a simple conceptual model for connected speech
recognition systems", 1989.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevc.recognition.automaton import Label, Meaning, meaning
from edgevc.recognition.network import Network

IMPOSSIBLE = np.float32(-1e30)
"""Score of what no path has reached."""


@dataclass(frozen=True)
class SearchSettings:
    """The few numbers of the search."""

    prior_weight: float = 0.8
    """How much of the phones' frequencies is divided out: 0 trusts the posteriors, 1 makes them likelihoods."""
    acoustic_scale: float = 1.0
    """Weight of a frame's emission against the word penalty."""
    floor: float = -7.0
    """Least emission of a frame: one misheard phone must not rule out a sentence."""
    word_penalty: float = -5.0
    """Added for each word; negative."""
    beam: float = 100.0
    """Paths that are worse than the best one by more are given up."""


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


def emissions(
    log_posteriors: NDArray[np.float32], log_priors: NDArray[np.float64], settings: SearchSettings
) -> NDArray[np.float32]:
    """Return what states pay, (L, n_phones), for log-posteriors of that shape and log-priors (n_phones,)."""
    scaled = log_posteriors - settings.prior_weight * log_priors
    return (np.maximum(scaled, settings.floor) * settings.acoustic_scale).astype(np.float32)


def phone_log_priors(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return logs of the phones' frequencies, from how often each was heard (n_phones,); one is added to each."""
    smoothed = counts.astype(np.float64) + 1.0
    logs: NDArray[np.float64] = np.log(smoothed / smoothed.sum())
    return logs


class GrammarDecoder:
    """Searches one network; a network may have many decoders, a decoder hears one stream at a time."""

    def __init__(self, network: Network, settings: SearchSettings | None = None) -> None:
        self.network = network
        self.settings = settings if settings is not None else SearchSettings()
        arrivals = [np.flatnonzero(network.target == node) for node in range(network.n_nodes)]
        self._with_arrivals = np.array([n for n, chains in enumerate(arrivals) if len(chains)], np.intp)
        # chains into each node, padded by repeating one: a maximum does not mind
        width = max((len(chains) for chains in arrivals), default=0)
        self._arrivals = np.array([np.resize(chains, width) for chains in arrivals if len(chains)], np.intp)
        self.reset()

    def reset(self) -> None:
        """Forget everything heard, like a new object."""
        network = self.network
        self._scores = np.full(network.n_states, IMPOSSIBLE)
        self._tokens = np.full(network.n_states, -1, np.int64)
        self._silence = np.full(network.n_nodes, IMPOSSIBLE)
        self._silence_tokens = np.full(network.n_nodes, -1, np.int64)
        self._nodes = np.full(network.n_nodes, IMPOSSIBLE)
        self._nodes[network.start] = 0
        self._node_tokens = np.full(network.n_nodes, -1, np.int64)
        # token t * nodes + n: a word ended at node n with frame t; what it was and what came before it
        self._words: list[NDArray[np.intp]] = []
        self._before: list[NDArray[np.int64]] = []
        self._best_phones = 0.0

    def process(self, emitted: NDArray[np.float32]) -> None:
        """Hear frames (L, n_phones) of `emissions`; any L."""
        for frame in emitted:
            self._step(frame)

    def _step(self, frame: NDArray[np.float32]) -> None:
        network, settings = self.network, self.settings
        # into each state: from itself, from the one before it, or, where a chain begins, from a node
        entering = np.empty_like(self._scores)
        entering[1:] = self._scores[:-1]
        entering[network.first] = self._nodes[network.source] + np.float32(settings.word_penalty)
        entering_tokens = np.empty_like(self._tokens)
        entering_tokens[1:] = self._tokens[:-1]
        entering_tokens[network.first] = self._node_tokens[network.source]
        moved = entering > self._scores
        np.copyto(self._scores, entering, where=moved)
        np.copyto(self._tokens, entering_tokens, where=moved)
        self._scores += frame[network.phone]
        quiet = self._nodes > self._silence
        np.copyto(self._silence, self._nodes, where=quiet)
        np.copyto(self._silence_tokens, self._node_tokens, where=quiet)
        self._silence += frame[network.silence]

        limit = max(self._scores.max(initial=IMPOSSIBLE), self._silence.max()) - settings.beam
        self._scores[self._scores < limit] = IMPOSSIBLE
        self._silence[self._silence < limit] = IMPOSSIBLE

        ended = self._scores[network.last]
        candidates = ended[self._arrivals]
        rows = np.arange(len(candidates))
        chosen = self._arrivals[rows, candidates.argmax(axis=1)]
        word = np.full(network.n_nodes, -1, np.intp)
        before = np.full(network.n_nodes, -1, np.int64)
        word[self._with_arrivals] = chosen
        before[self._with_arrivals] = self._tokens[network.last[chosen]]
        arrived = np.full(network.n_nodes, IMPOSSIBLE)
        arrived[self._with_arrivals] = ended[chosen]
        new_tokens = len(self._words) * network.n_nodes + np.arange(network.n_nodes)
        self._words.append(word)
        self._before.append(before)
        from_word = arrived > self._silence
        self._nodes = np.where(from_word, arrived, self._silence)
        self._node_tokens = np.where(from_word, new_tokens, self._silence_tokens)
        self._best_phones += float(frame.max())

    def result(self) -> Recognition | None:
        """Return the best sentence that may end here; None where there is none."""
        finals = self.network.finals
        node = max(finals, key=lambda n: self._nodes[n])
        score = float(self._nodes[node])
        if score <= IMPOSSIBLE / 2 or not self._words:
            return None
        labels: list[Label] = []
        token = int(self._node_tokens[node])
        while token >= 0:
            frame, at = divmod(token, self.network.n_nodes)
            labels.append(self.network.labels[self._words[frame][at]])
            token = int(self._before[frame][at])
        labels.reverse()
        return Recognition(
            meaning(finals[node], labels),
            tuple(label.word for label in labels),
            score,
            (score - self.settings.word_penalty * len(labels) - self._best_phones) / len(self._words),
        )

    def decode(self, emitted: NDArray[np.float32]) -> Recognition | None:
        """Return the best sentence for a whole recording's `emissions`, (L, n_phones)."""
        self.reset()
        self.process(emitted)
        return self.result()


def fully_right(found: Recognition | None, intent: str, slots: Mapping[str, str]) -> bool:
    """Whether the intent and every slot are as wanted, and no slot is there that is not."""
    return found is not None and found.meaning == Meaning(intent, {k: v.strip() for k, v in slots.items()})
