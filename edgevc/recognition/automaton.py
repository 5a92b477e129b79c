"""Grammars as minimal deterministic finite-state automata over words.

An arc carries a `Label`: the word, and the slot that it belongs to, so that a path's words alone say which intent and
which slot values were spoken. Expressions share their beginnings (subset construction) and their ends (partition
refinement), which makes the 78 sentences of a coffee machine as small as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from edgevc.recognition.grammar import Choice, Grammar, GrammarError, Meaning, Node, Sequence, Slot, Word

MAX_WORDS = 300_000
"""Words of all expressions, with every macro and list written out; a large house's grammar has a tenth."""
MAX_NODES = 50_000
"""Of the deterministic automaton."""


class Label(NamedTuple):
    """A word on an arc; a tuple, as compiling a large grammar compares hundreds of thousands."""

    word: str
    slot: str = ""
    """Name of the slot whose value the word belongs to; empty outside slots."""
    begins: bool = False
    """Whether it is the first word of the slot's value."""
    kind: str = ""
    """Key of the list that the value is from."""


@dataclass(frozen=True)
class Arc:
    """From one node to another by one word."""

    source: int
    target: int
    label: Label


@dataclass(frozen=True)
class Automaton:
    """Node 0 is the start; no node has two arcs with the same label."""

    n_nodes: int
    arcs: tuple[Arc, ...]
    finals: dict[int, str]
    """Node at which a sentence may end, to the group that it belongs to."""
    outcomes: Mapping[str, Meaning] = field(default_factory=dict)
    reported: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """As `Grammar` has them."""


def meaning(
    group: str,
    labels: Iterable[Label],
    outcomes: Mapping[str, Meaning] | None = None,
    reported: Mapping[str, Mapping[str, str]] | None = None,
) -> Meaning:
    """Return what a path asks for; of two values of one slot the later one counts.

    Args:
        group: of the node that the path ends at.
        labels: of its arcs.
        outcomes: of the grammar.
        reported: of the grammar.
    """
    outcome = (outcomes or {}).get(group, Meaning(group, {}))
    spoken: dict[str, tuple[str, str]] = {}
    for label in labels:
        if label.slot:
            words = label.word if label.begins else f"{spoken[label.slot][1]} {label.word}"
            spoken[label.slot] = label.kind, words
    names = {slot: (reported or {}).get(kind, {}).get(words, words) for slot, (kind, words) in spoken.items()}
    return Meaning(outcome.intent, {**outcome.slots, **names})


def compile_grammar(grammar: Grammar) -> Automaton:
    """Return the smallest automaton that accepts the grammar's sentences.

    Where a sentence belongs to two intents, the one that stands first in the grammar gets it.

    Raises:
        GrammarError: it has more than MAX_WORDS words or MAX_NODES nodes.
    """
    builder = _Builder()
    start = builder.new_node()
    ends: dict[int, str] = {}
    for intent, node in grammar.groups.items():
        try:
            ends[builder.add(start, node)] = intent
        except _TooLargeError:
            raise GrammarError(
                f"{intent}: with it the grammar has more than {MAX_WORDS} words; put long lists into slots, and use "
                "fewer macros and brackets inside one another"
            ) from None
    order = list(grammar.groups)
    arcs, accepted = _determinise(builder, start, {end: order.index(intent) for end, intent in ends.items()})
    smallest = _minimise(arcs, {node: order[rank] for node, rank in accepted.items()})
    return replace(smallest, outcomes=grammar.outcomes, reported=grammar.reported)


class _TooLargeError(Exception):
    """More words than MAX_WORDS."""


class _Builder:
    """Thompson's construction: a nondeterministic automaton with empty moves."""

    def __init__(self) -> None:
        self.moves: list[list[tuple[Label, int]]] = []
        self.empty_moves: list[list[int]] = []
        self._values: dict[tuple[str, str, int], tuple[list[dict[Label, int]], list[int]]] = {}

    def new_node(self) -> int:
        # every word and every choice makes one
        if len(self.moves) > MAX_WORDS:
            raise _TooLargeError
        self.moves.append([])
        self.empty_moves.append([])
        return len(self.moves) - 1

    def add(self, start: int, node: Node) -> int:
        """Add what `node` accepts behind `start`; return where it ends."""
        if isinstance(node, Word):
            return self._step(start, Label(node.text))
        if isinstance(node, Sequence):
            for part in node.parts:
                start = self.add(start, part)
            return start
        end = self.new_node()
        if isinstance(node, Choice):
            for alternative in node.alternatives:
                self.empty_moves[self.add(start, alternative)].append(end)
            return end
        # a slot's values stand in many expressions: their small automaton is made once and copied
        table, finals = self._slot(node)
        nodes = [start if i == 0 else self.new_node() for i in range(len(table))]
        for i, moves in enumerate(table):
            self.moves[nodes[i]] += [(label, nodes[target]) for label, target in moves.items()]
        for final in finals:
            self.empty_moves[nodes[final]].append(end)
        return end

    def _step(self, start: int, label: Label) -> int:
        end = self.new_node()
        self.moves[start].append((label, end))
        return end

    def _slot(self, slot: Slot) -> tuple[list[dict[Label, int]], list[int]]:
        # by identity: comparing a tree with shared branches would walk through each of them again
        key = slot.name, slot.kind, id(slot.value)
        if key not in self._values:
            inner = _Builder()
            end = inner.add(inner.new_node(), slot.value)
            words = _minimise(*_reindex(_determinise(inner, 0, {end: 0})))
            table: list[dict[Label, int]] = [{} for _ in range(words.n_nodes)]
            for arc in words.arcs:
                table[arc.source][Label(arc.label.word, slot.name, arc.source == 0, slot.kind)] = arc.target
            self._values[key] = (table, list(words.finals))
        return self._values[key]


def _reindex(result: tuple[list[dict[Label, int]], dict[int, int]]) -> tuple[list[dict[Label, int]], dict[int, str]]:
    table, finals = result
    return table, dict.fromkeys(finals, "")


def _determinise(builder: _Builder, start: int, ranks: dict[int, int]) -> tuple[list[dict[Label, int]], dict[int, int]]:
    """Moves of each node, and the lowest rank of an accepting node in it."""

    def closure(nodes: Iterable[int]) -> frozenset[int]:
        reached, todo = set(nodes), list(nodes)
        while todo:
            for target in builder.empty_moves[todo.pop()]:
                if target not in reached:
                    reached.add(target)
                    todo.append(target)
        # only nodes with a future or a verdict tell sets apart
        return frozenset(n for n in reached if builder.moves[n] or n in ranks)

    first = closure([start])
    index, todo = {first: 0}, [first]
    table: list[dict[Label, int]] = [{}]
    finals: dict[int, int] = {}
    while todo:
        nodes = todo.pop()
        here = index[nodes]
        if accepted := [ranks[n] for n in nodes if n in ranks]:
            finals[here] = min(accepted)
        targets: dict[Label, set[int]] = {}
        for node in nodes:
            for label, target in builder.moves[node]:
                targets.setdefault(label, set()).add(target)
        for label, reached in sorted(targets.items()):
            closed = closure(reached)
            if closed not in index:
                if len(table) >= MAX_NODES:
                    raise GrammarError(
                        f"the grammar has more than {MAX_NODES} nodes; put what is said alike into one expression, and "
                        "fewer optional words behind one another"
                    )
                index[closed] = len(table)
                table.append({})
                todo.append(closed)
            table[here][label] = index[closed]
    return table, finals


def _minimise(table: list[dict[Label, int]], finals: dict[int, str]) -> Automaton:
    """Join nodes with the same future: partition refinement (E. F. Moore, 1956), node 0's class first."""
    names = sorted(set(finals.values()))
    classes = [names.index(finals[n]) + 1 if n in finals else 0 for n in range(len(table))]
    n_classes = len(set(classes))
    while True:
        keys: dict[tuple[int, tuple[tuple[Label, int], ...]], int] = {}
        refined = [
            keys.setdefault((classes[n], tuple((label, classes[t]) for label, t in sorted(moves.items()))), len(keys))
            for n, moves in enumerate(table)
        ]
        if len(keys) == n_classes:
            break
        classes, n_classes = refined, len(keys)
    # the last round only renamed the classes, in the order of their first nodes: node 0's is 0
    classes = refined
    arcs = {(classes[n], classes[t], label) for n, moves in enumerate(table) for label, t in moves.items()}
    return Automaton(
        n_classes, tuple(Arc(*arc) for arc in sorted(arcs)), {classes[n]: intent for n, intent in finals.items()}
    )
