"""A grammar's automaton and a lexicon joined into the states that the decoder searches.

Every pronunciation of every arc becomes a chain of states, each phone as many as it must last frames. Chains lie one
after another, so that a state's predecessor is the one before it unless it begins a chain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vctrain.recognition.automaton import Automaton, Label
from vctrain.recognition.lexicon import Lexicon

SILENCE = "SIL"

_DIPHTHONGS_AND_SIBILANTS = frozenset("AW AY OY EY OW AO AA AE ER IY UW S SH CH JH".split())
_SHORT = frozenset("AH IH UH B D G DH T P K HH".split())


def minimum_frames(phones: Sequence[str], longest: int = 3) -> dict[str, int]:
    """Return how many frames of 10 ms each phone lasts at least.

    Full vowels, diphthongs and sibilants 3; weak vowels, stops and flaps, DH and HH 1; everything else 2; nothing more
    than `longest`.
    """
    return {
        phone: min(longest, 3 if phone in _DIPHTHONGS_AND_SIBILANTS else 1 if phone in _SHORT else 2)
        for phone in phones
    }


@dataclass(frozen=True)
class Network:
    """S states in C chains over N nodes; C = (arcs) x (their pronunciations)."""

    n_nodes: int
    start: int
    finals: Mapping[int, str]
    """Node to intent."""
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
        ValueError: a pronunciation has a phone that the posteriors lack.
    """
    column = {phone: i for i, phone in enumerate(phones)}
    durations = minimum_frames(phones) if durations is None else durations
    states: list[int] = []
    chains: list[tuple[int, int, int, int, Label]] = []
    for arc in sorted(automaton.arcs, key=lambda arc: (arc.target, arc.source, arc.label)):
        for pronunciation in lexicon[arc.label.word]:
            first = len(states)
            for phone in pronunciation:
                if phone not in column:
                    raise ValueError(f"{arc.label.word!r} has the phone {phone!r}, which the posteriors lack")
                states += [column[phone]] * durations[phone]
            chains.append((first, len(states) - 1, arc.source, arc.target, arc.label))
    numbers = np.array([chain[:4] for chain in chains], np.intp).reshape(-1, 4)
    return Network(
        automaton.n_nodes,
        0,
        dict(automaton.finals),
        tuple(chain[4] for chain in chains),
        np.array(states, np.intp),
        *numbers.T.copy(),
        silence=column[SILENCE],
    )
