"""A grammar's automaton and a lexicon joined into the states that the decoder searches.

Every pronunciation of every arc becomes a chain of states, each phone as many as it must last frames. Chains lie one
after another, so that a state's predecessor is the one before it unless it begins a chain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgevc.errors import ConfigError
from edgevc.recognition.automaton import Automaton, Label
from edgevc.recognition.grammar import Meaning
from edgevc.recognition.lexicon import Lexicon
from edgevc.recognition.phones import SILENCE, minimum_frames


@dataclass(frozen=True)
class Network:
    """S states in C chains over N nodes; C = (arcs) x (their pronunciations)."""

    n_nodes: int
    start: int
    finals: Mapping[int, str]
    """Node to the group of sentences that end there."""
    labels: tuple[Label, ...]
    """(C,) each chain's word."""
    phone: NDArray[np.intp]
    """(S,) column of the posteriors that a state hears."""
    first: NDArray[np.intp]
    """(C,) the state that begins each chain."""
    last: NDArray[np.intp]
    """(C,) the state that ends it."""
    source: NDArray[np.intp]
    """(C,) node from which a chain is entered."""
    target: NDArray[np.intp]
    """(C,) node that it leads to; chains are sorted by it."""
    silence: int
    """Column of silence, which may lie at every node."""
    outcomes: Mapping[str, Meaning] = field(default_factory=dict)
    reported: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """As `Grammar` has them."""

    def penalties(self, slot_penalty: float) -> NDArray[np.float32]:
        """Return what entering each chain costs beside the word penalty, (C,): `slot_penalty` where a value begins."""
        begins = np.array([label.begins for label in self.labels], bool)
        penalties: NDArray[np.float32] = np.where(begins, np.float32(slot_penalty), np.float32(0))
        return penalties

    @property
    def n_states(self) -> int:
        """S, without the one state of silence at every node."""
        return len(self.phone)


def build_network(
    automaton: Automaton, lexicon: Lexicon, phones: Sequence[str], durations: Mapping[str, int] | None = None
) -> Network:
    """Return the states of an automaton.

    Args:
        automaton: from `compile_grammar`.
        lexicon: pronunciations of all its words.
        phones: names of the posteriors' columns.
        durations: phone to the least number of frames; None takes `minimum_frames`.

    Raises:
        LexiconError: a word has no pronunciation.
        ConfigError: a pronunciation has a phone that the posteriors lack, or they lack silence.
    """
    column = {phone: i for i, phone in enumerate(phones)}
    if SILENCE not in column:
        raise ConfigError(f"expected a model that hears {SILENCE}, got the phones {', '.join(phones) or 'none'}")
    durations = minimum_frames(phones) if durations is None else durations
    states: list[int] = []
    chains: list[tuple[int, int, int, int, Label]] = []
    ways: dict[str, list[list[int]]] = {}
    for arc in sorted(automaton.arcs, key=lambda arc: (arc.target, arc.source, arc.label)):
        word = arc.label.word
        # in a large house a word stands on hundreds of arcs
        if word not in ways:
            ways[word] = [_states(word, pronunciation, column, durations) for pronunciation in lexicon[word]]
        for way in ways[word]:
            first = len(states)
            states += way
            chains.append((first, len(states) - 1, arc.source, arc.target, arc.label))
    first, last, source, target = np.array([chain[:4] for chain in chains], np.intp).reshape(-1, 4).T.copy()
    return Network(
        n_nodes=automaton.n_nodes,
        start=0,
        finals=dict(automaton.finals),
        labels=tuple(chain[4] for chain in chains),
        phone=np.array(states, np.intp),
        first=first,
        last=last,
        source=source,
        target=target,
        silence=column[SILENCE],
        outcomes=automaton.outcomes,
        reported=automaton.reported,
    )


def _states(
    word: str, pronunciation: Sequence[str], column: Mapping[str, int], durations: Mapping[str, int]
) -> list[int]:
    found: list[int] = []
    for phone in pronunciation:
        if phone not in column:
            raise ConfigError(
                f"{word!r}: expected phones that the model tells apart, got {phone!r}; they are {', '.join(column)}"
            )
        found += [column[phone]] * durations[phone]
    return found
