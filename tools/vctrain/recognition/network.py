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

_LONG = frozenset(("AW", "AY", "OY", "EY", "OW", "AO", "AA", "AE", "ER", "IY", "UW", "S", "SH", "CH", "JH"))
"""Full vowels, diphthongs, sibilants."""
_SHORT = frozenset(("AH", "IH", "UH", "B", "D", "G", "DH", "T", "P", "K", "HH"))
"""Weak vowels, stops, and what becomes a flap or a breath."""
_SHORT_FRAMES, _OTHER_FRAMES, _LONG_FRAMES = 3, 4, 5


def minimum_frames(phones: Sequence[str]) -> dict[str, int]:
    """Return how many frames of 10 ms each phone lasts at least.

    They say how fast speech may be, and are what keeps words from being read into noise: with 1, 2 and 3 frames
    "and some milk" finds room at the end of any sentence. Those of pocketsphinx's models are 3 for every phone.
    """
    return {
        phone: _LONG_FRAMES if phone in _LONG else _SHORT_FRAMES if phone in _SHORT else _OTHER_FRAMES
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
    )
