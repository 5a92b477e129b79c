"""How sure a recognised sentence is, slot by slot.

The search always finds the best sentence of its grammar, also where a sentence was spoken that the grammar does not
contain. Three figures tell these apart, for the value of each slot (for the whole sentence where it has no slots):

- its **score**: the mean over its phones of each phone's mean emission per frame, less that of the best phone of each
  frame (goodness of pronunciation; S. M. Witt, S. J. Young, 2000, with the best phone in place of a phone loop). 0 at
  best.
- **replaced**: what the sentence pays around the value, less what it would pay with one or more unknown words in the
  value's place, per frame of the value. Below 0 an unknown word fits better.
- **inserted**: the same with an unknown word in front of the value, in all; 20 and more is no doubt at all.

Beside them stands the slot's **rival**: which other value of the grammar fits best in its place, and by how much less.

Unknown words are those of decoys.dict that sound like no word of the grammar. They are weighed after a sentence has
ended, over the stretch around each value: an arc with 240 words beside every slot would make the search ten times as
large for the same answer.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.recognition.emissions import SearchSettings, emissions
from edgevc.recognition.lexicon import Pronunciation, read_dictionary
from edgevc.recognition.network import Network
from edgevc.recognition.phones import minimum_frames
from edgevc.recognition.search import Recognition, core_settings

_BEFORE = 60
_BEHIND = 30
"""Frames before a sentence's first word and behind its last that an unknown word may take."""
_NO_DOUBT = 20.0
_NO_RIVAL = 40.0
"""A margin to the next best value that leaves no doubt."""
_MAX_RIVALS = 300
"""Values of a slot that are weighed against the one that was heard."""
_NEAR = 0.34
"""A decoy is left out where no more than this share of its phones differs from a word of the grammar."""


@dataclass(frozen=True)
class SlotEvidence:
    """Of one slot's value; the module says what the figures are."""

    score: float
    replaced: float
    inserted: float
    value: str = ""
    """The words that were heard."""
    rival: str = ""
    """Words of the grammar's next best value; empty where it has no other."""
    margin: float = float("inf")
    """By how much the sentence pays more with `value` than with `rival`."""

    @property
    def certainty(self) -> float:
        """The four in one: about 3 where a value was clearly spoken, below 0 where it was not."""
        inserted = min(self.inserted, _NO_DOUBT) / _NO_DOUBT
        return self.score + self.replaced + inserted + min(self.margin, _NO_RIVAL) / _NO_DOUBT


@dataclass(frozen=True)
class Evidence:
    """Of a sentence."""

    score: float
    """Mean over all phones, 0 at best."""
    slots: Mapping[str, SlotEvidence]
    """By the slot's name; a sentence without slots has one, named "", that is all of it."""

    @property
    def certainty(self) -> float:
        """That of the least certain slot."""
        return min(slot.certainty for slot in self.slots.values())


@functools.cache
def _decoys() -> tuple[Pronunciation, ...]:
    entries = read_dictionary(Path(__file__).with_name("decoys.dict"))
    return tuple(tuple(ways[0].split()) for ways in entries.values())


def edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Return how many phones must be changed, added or taken away to make one of the other."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]


def _sounds_like(decoy: Sequence[str], word: Sequence[str]) -> bool:
    most = _NEAR * len(decoy)
    # cheap bounds of the distance first: a large grammar has thousands of words
    if abs(len(decoy) - len(word)) > most or sum(phone not in word for phone in decoy) > most:
        return False
    return edit_distance(decoy, word) <= most


class EvidenceFinder:
    """Weighs sentences of one network."""

    def __init__(
        self,
        network: Network,
        phones: Sequence[str],
        log_priors: NDArray[np.float64],
        settings: SearchSettings | None = None,
    ) -> None:
        """Choose the unknown words: those that sound like no word of the grammar.

        Args:
            network: that the sentences were found in.
            phones: names of the posteriors' columns.
            log_priors: as the search has them, (n_phones,).
            settings: as the search has them.
        """
        self._network = network
        self._log_priors = log_priors
        self._settings = settings if settings is not None else SearchSettings()
        self._core_settings = core_settings(self._settings)
        self._values_of: dict[tuple[int, str], list[tuple[str, list[list[int]]]]] = {}
        known = {tuple(phones[column] for column in states) for states in self._pronunciations()}
        durations = minimum_frames(phones)
        column = {phone: i for i, phone in enumerate(phones)}
        self.decoys = [
            [column[phone] for phone in decoy for _ in range(durations[phone])]
            for decoy in _decoys()
            if all(phone in column for phone in decoy) and not any(_sounds_like(decoy, word) for word in known)
        ]

    def _states(self, chain: int) -> list[int]:
        states: list[int] = self._network.phone[self._network.first[chain] : self._network.last[chain] + 1].tolist()
        return states

    def _pronunciations(self) -> list[list[int]]:
        """The phones of all chains, each pronunciation once, each phone once."""
        network = self._network
        different = {
            network.phone[first : last + 1].tobytes(): first
            for first, last in zip(network.first.tolist(), network.last.tolist(), strict=True)
        }
        found = []
        for states, first in different.items():
            columns = network.phone[first : first + len(states) // network.phone.itemsize].tolist()
            found.append([column for i, column in enumerate(columns) if i == 0 or column != columns[i - 1]])
        return found

    def weigh(self, found: Recognition, log_posteriors: NDArray[np.float32], first: int = 0) -> Evidence:
        """Return the evidence for a sentence.

        Args:
            found: the sentence; its `ends` count frames from where the search began.
            log_posteriors: what the search heard, (L, n_phones), and as much of what follows as is there.
            first: frame of the search that `log_posteriors` begins with. Words that ended before it count as perfect.
        """
        emitted = emissions(log_posteriors, self._log_priors, self._settings)
        best = emitted.max(axis=1)
        ends = [end - first for end in found.ends]
        starts, scores = [], []
        for i, chain in enumerate(found.chains):
            begin = ends[i - 1] + 1 if i else max(0, ends[0] - 300)
            if begin < 0:
                starts.append(begin)
                scores.append([0.0])
                continue
            start, score = self._phone_scores(chain, emitted[begin : ends[i] + 1], best[begin : ends[i] + 1])
            starts.append(begin + start)
            scores.append(score)
        slots: dict[str, SlotEvidence] = {}
        for name, i, j in self._values(found):
            goodness = float(np.mean(np.concatenate(scores[i : j + 1])))
            replaced, inserted = self._rivals(found.chains, starts, ends, i, j, log_posteriors)
            n_frames = sum(ends[k] - starts[k] + 1 for k in range(i, j + 1))
            value = " ".join(found.words[i : j + 1])
            rival, margin = self._rival(found.chains, value, starts, ends, i, j, log_posteriors)
            slots[name] = SlotEvidence(goodness, replaced / n_frames, inserted, value, rival, margin)
        return Evidence(float(np.mean(np.concatenate(scores))), slots)

    def _values(self, found: Recognition) -> list[tuple[str, int, int]]:
        """Name, first word and last word of every slot's value."""
        values: list[tuple[str, int, int]] = []
        for i, chain in enumerate(found.chains):
            label = self._network.labels[chain]
            if label.slot and label.begins:
                values.append((label.slot, i, i))
            elif label.slot:
                values[-1] = (label.slot, values[-1][1], i)
        return values or [("", 0, len(found.chains) - 1)]

    def _phone_scores(
        self, chain: int, emitted: NDArray[np.float32], best: NDArray[np.float32]
    ) -> tuple[int, list[float]]:
        """Align a word that ends with the last frame; return its first frame and each phone's score."""
        states = self._states(chain)
        # state 0 is the silence in front
        quiet = emitted[:, self._network.silence]
        if self._settings.filler > 0:
            quiet = np.maximum(quiet, best - np.float32(self._settings.filler))
        paid = np.concatenate([quiet[:, None], emitted[:, states]], axis=1)
        scores = np.full(len(states) + 1, -1e30, np.float32)
        scores[:2] = paid[0, :2]
        moved = np.zeros(paid.shape, bool)
        for t in range(1, len(paid)):
            moved[t, 1:] = scores[:-1] > scores[1:]
            scores[1:] = np.maximum(scores[1:], scores[:-1])
            scores += paid[t]
        path = np.empty(len(paid), np.intp)
        at = len(states)
        for t in range(len(paid) - 1, -1, -1):
            path[t] = at
            at -= int(moved[t, at])
        start = int(np.argmax(path > 0))
        columns = np.array(states)[path[start:] - 1]
        below = emitted[np.arange(start, len(emitted)), columns] - best[start:]
        cuts = np.flatnonzero(np.diff(columns)) + 1
        return start, [float(piece.mean()) for piece in np.split(below, cuts)]

    def _rivals(
        self,
        chains: Sequence[int],
        starts: Sequence[int],
        ends: Sequence[int],
        i: int,
        j: int,
        log_posteriors: NDArray[np.float32],
    ) -> tuple[float, float]:
        """Score around words i to j, less the best with unknown words in their place, and with one in front of them."""
        before, value, behind, frames = self._around(chains, starts, ends, i, j, log_posteriors)
        if len(frames) == 0:
            return 0.0, 0.0
        claimed = _Paths()
        claimed.end(claimed.line(0, [*before, *value, *behind]))
        replaced = _Paths()
        unknown = replaced.unknown_word(replaced.line(0, before), self.decoys)
        replaced.more_unknown_words(unknown, self.decoys)
        replaced.end(replaced.line(unknown, behind))
        inserted = _Paths()
        unknown = inserted.unknown_word(inserted.line(0, before), self.decoys)
        inserted.end(inserted.line(unknown, [*value, *behind]))
        score = self._best(claimed, frames)[0]
        return score - self._best(replaced, frames)[0], score - self._best(inserted, frames)[0]

    def _around(
        self,
        chains: Sequence[int],
        starts: Sequence[int],
        ends: Sequence[int],
        i: int,
        j: int,
        log_posteriors: NDArray[np.float32],
    ) -> tuple[list[list[int]], list[list[int]], list[list[int]], NDArray[np.float32]]:
        """States of the word before words i to j, of these and of the one behind, and the frames of all of them."""
        before = [self._states(chains[i - 1])] if i else []
        value = [self._states(chain) for chain in chains[i : j + 1]]
        behind = [self._states(chains[j + 1])] if j + 1 < len(chains) else []
        begin = max(0, starts[i - 1] if i else starts[0] - _BEFORE)
        stop = ends[j + 1] + 1 if behind else min(len(log_posteriors), ends[j] + 1 + _BEHIND)
        return before, value, behind, np.ascontiguousarray(log_posteriors[begin : max(begin, stop)])

    def _rival(
        self,
        chains: Sequence[int],
        value: str,
        starts: Sequence[int],
        ends: Sequence[int],
        i: int,
        j: int,
        log_posteriors: NDArray[np.float32],
    ) -> tuple[str, float]:
        """The best other value in the place of words i to j, and by how much it is worse."""
        network = self._network
        label = network.labels[chains[i]]
        reported = network.reported.get(label.kind, {})
        others = [
            (text, states)
            for text, states in self._values_at(int(network.source[chains[i]]), label.slot)
            if reported.get(text, text) != reported.get(value, value)
        ]
        before, own, behind, frames = self._around(chains, starts, ends, i, j, log_posteriors)
        if not others or len(frames) == 0:
            return "", float("inf")
        claimed = _Paths()
        claimed.end(claimed.line(0, [*before, *own, *behind]))
        rivals = _Paths()
        start = rivals.line(0, before)
        end = rivals.node()
        texts = [""] * len(rivals.first)
        for text, states in others:
            rivals.word(rivals.line(start, states[:-1]), end, states[-1])
            texts += [text] * len(states)
        rivals.end(rivals.line(end, behind))
        texts += [""] * len(behind)
        score, heard = self._best(rivals, frames)
        return next((texts[chain] for chain in heard if texts[chain]), ""), self._best(claimed, frames)[0] - score

    def _values_at(self, node: int, slot: str) -> list[tuple[str, list[list[int]]]]:
        """Values of a slot that may begin at a node: words, and the states of each."""
        if slot and (node, slot) not in self._values_of:
            found: list[tuple[str, list[list[int]]]] = []
            self._add_values(found, node, slot, [])
            self._values_of[node, slot] = found
        return self._values_of.get((node, slot), [])

    def _add_values(self, found: list[tuple[str, list[list[int]]]], node: int, slot: str, chains: list[int]) -> None:
        if len(found) >= _MAX_RIVALS:
            return
        labels = self._network.labels
        leaving = self._by_source.get(node, [])
        going_on = [c for c in leaving if labels[c].slot == slot and labels[c].begins == (not chains)]
        # a value ends where something else may follow, or nothing
        if chains and (len(going_on) < len(leaving) or node in self._network.finals or not leaving):
            words = " ".join(labels[chain].word for chain in chains)
            found.append((words, [self._states(chain) for chain in chains]))
        for chain in going_on:
            self._add_values(found, int(self._network.target[chain]), slot, [*chains, chain])

    @functools.cached_property
    def _by_source(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for chain, node in enumerate(self._network.source.tolist()):
            found.setdefault(node, []).append(chain)
        return found

    def _best(self, paths: _Paths, frames: NDArray[np.float32]) -> tuple[float, list[int]]:
        """Score and words of the best path."""
        search = _core.CommandSearch(
            n_phones=len(self._log_priors),
            n_nodes=paths.n_nodes,
            start=0,
            silence=self._network.silence,
            phone=paths.phone,
            first=paths.first,
            last=paths.last,
            source=paths.source,
            target=paths.target,
            finals=paths.finals,
            offsets=(self._settings.prior_weight * self._log_priors).tolist(),
            settings=self._core_settings,
        )
        search.process(frames, to_the_end=True)
        node, score, words = search.best()
        # what cannot be said in so few frames is worse than anything that can
        if node < 0:
            return -self._settings.beam - 10.0 * len(frames), []
        return score, [chain for chain, _ in words]


class _Paths:
    """A small network, word by word."""

    def __init__(self) -> None:
        self.n_nodes = 1
        self.phone: list[int] = []
        self.first: list[int] = []
        self.last: list[int] = []
        self.source: list[int] = []
        self.target: list[int] = []
        self.finals: list[int] = []

    def node(self) -> int:
        self.n_nodes += 1
        return self.n_nodes - 1

    def word(self, source: int, target: int, states: Sequence[int]) -> None:
        self.first.append(len(self.phone))
        self.phone += states
        self.last.append(len(self.phone) - 1)
        self.source.append(source)
        self.target.append(target)

    def line(self, node: int, words: Sequence[Sequence[int]]) -> int:
        """Words behind a node; the node that they end at."""
        for states in words:
            target = self.node()
            self.word(node, target, states)
            node = target
        return node

    def unknown_word(self, node: int, decoys: Sequence[Sequence[int]]) -> int:
        """One of many words behind a node; the node that it ends at."""
        target = self.node()
        for states in decoys:
            self.word(node, target, states)
        return target

    def more_unknown_words(self, node: int, decoys: Sequence[Sequence[int]]) -> None:
        """Any number of words between a node and itself."""
        for states in decoys:
            self.word(node, node, states)

    def end(self, node: int) -> None:
        self.finals.append(node)
