"""The search of `search` in NumPy: slower, easy to read, and what the C++ one must equal.

Method: S. J. Young, N. H. Russell, J. H. S. Thornton, "Token passing: a simple conceptual model for connected speech
recognition systems", 1989.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevc.recognition.emissions import SearchSettings, emissions
from edgevc.recognition.network import Network
from edgevc.recognition.search import Recognition, SearchState, recognition

IMPOSSIBLE = np.float32(-1e30)
"""Score of what no path has reached."""
_REACHED = IMPOSSIBLE / 2
_RESCALE = 256.0
"""Scores are moved up by multiples of this, a power of two, so that nothing is rounded."""


class ReferenceSearch:
    """As `edgevc.recognition.search.CommandSearch`, with every token kept."""

    def __init__(
        self, network: Network, log_priors: NDArray[np.float64], settings: SearchSettings | None = None
    ) -> None:
        self.network = network
        self.settings = settings if settings is not None else SearchSettings()
        self._log_priors = log_priors
        arrivals = [np.flatnonzero(network.target == node) for node in range(network.n_nodes)]
        self._with_arrivals = np.array([n for n, chains in enumerate(arrivals) if len(chains)], np.intp)
        # chains into each node, padded by repeating one: a maximum does not mind
        width = max((len(chains) for chains in arrivals), default=0)
        self._arrivals = np.array([np.resize(chains, width) for chains in arrivals if len(chains)], np.intp)
        self._entry = np.float32(self.settings.word_penalty) + network.penalties(self.settings.slot_penalty)
        self._unfinished = [n for n in range(network.n_nodes) if n not in network.finals and n != network.start]
        self._open = set(network.source.tolist())
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
        self._offset = 0.0
        self._began: int | None = None

    def process(self, log_posteriors: NDArray[np.float32]) -> tuple[int, SearchState]:
        """Hear frames (L, n_phones) up to the end of a sentence; return how many, and the state behind them."""
        state = SearchState.WAITING
        for taken, frame in enumerate(emissions(log_posteriors, self._log_priors, self.settings), 1):
            state = self._step(frame)
            if state in (SearchState.ENDED, SearchState.TIMED_OUT):
                return taken, state
        return len(log_posteriors), state

    def decode(self, log_posteriors: NDArray[np.float32]) -> Recognition | None:
        """Return the best sentence for a whole recording, (L, n_phones)."""
        self.reset()
        for frame in emissions(log_posteriors, self._log_priors, self.settings):
            self._step(frame)
        return self.result()

    def _step(self, frame: NDArray[np.float32]) -> SearchState:
        network = self.network
        # into each state: from itself, from the one before it, or, where a chain begins, from a node
        entering = np.empty_like(self._scores)
        entering[1:] = self._scores[:-1]
        entering[network.first] = self._nodes[network.source] + self._entry
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
        self._silence += self._silence_emission(frame)

        best = max(self._scores.max(), self._silence.max())
        limit = best - np.float32(self.settings.beam)
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
        if best < -_RESCALE:
            self._rescale(float(best))
        return self._decide()

    def _silence_emission(self, frame: NDArray[np.float32]) -> np.float32:
        silence: np.float32 = frame[self.network.silence]
        if self.settings.filler == 0:
            return silence
        noise: np.float32 = frame.max() - np.float32(self.settings.filler)
        return max(silence, noise)

    def _rescale(self, best: float) -> None:
        up = _RESCALE * np.floor(-best / _RESCALE)
        for scores in (self._scores, self._silence, self._nodes):
            scores[scores > _REACHED] += np.float32(up)
        self._offset += up

    def _decide(self) -> SearchState:
        settings, n_frames = self.settings, len(self._words)
        unfinished = max(self._scores.max(), self._silence[self._unfinished].max(initial=IMPOSSIBLE))
        node = max(self.network.finals, key=lambda n: self._nodes[n])
        finished = self._nodes[node]
        if self._silence[self.network.start] >= max(finished, unfinished):
            self._began = None
            return SearchState.WAITING
        if self._began is None:
            self._began = n_frames - 1
        token = int(self._node_tokens[node])
        if finished > _REACHED and token >= 0:
            over = n_frames - 1 - token // self.network.n_nodes
            needed = settings.open_end_frames if node in self._open else settings.closed_end_frames
            if over >= needed and finished >= unfinished:
                return SearchState.ENDED
            if over >= settings.unsure_end_frames and finished >= unfinished - np.float32(settings.unsure_margin):
                return SearchState.ENDED
        too_long = n_frames - self._began >= settings.max_sentence_frames
        return SearchState.TIMED_OUT if too_long else SearchState.SPEAKING

    def result(self) -> Recognition | None:
        """Return the best sentence that may end here; None where there is none."""
        node = max(self.network.finals, key=lambda n: self._nodes[n])
        token = int(self._node_tokens[node])
        if self._nodes[node] <= _REACHED or token < 0:
            return None
        words: list[tuple[int, int]] = []
        while token >= 0:
            frame, at = divmod(token, self.network.n_nodes)
            words.append((int(self._words[frame][at]), frame))
            token = int(self._before[frame][at])
        score = float(self._nodes[node]) - self._offset
        return recognition(self.network, node, score, words[::-1], len(self._words), self._best_phones, self.settings)
