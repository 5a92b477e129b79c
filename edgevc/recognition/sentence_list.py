"""The sentences of an automaton, counted and numbered, without ever being written out all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgevc.recognition.automaton import Arc, Automaton, Label, meaning
from edgevc.recognition.grammar import Meaning


@dataclass(frozen=True)
class Spoken:
    """A sentence and what it asks for."""

    words: tuple[str, ...]
    meaning: Meaning


class SentenceList:
    """Sentences of each command, in the order of the automaton's arcs; the automaton has no loops."""

    def __init__(self, automaton: Automaton) -> None:
        """Count them: paths behind every node, for each group of sentences."""
        self._automaton = automaton
        self._arcs: list[list[Arc]] = [[] for _ in range(automaton.n_nodes)]
        for arc in automaton.arcs:
            self._arcs[arc.source].append(arc)
        self._behind: list[dict[str, int]] = [{} for _ in range(automaton.n_nodes)]
        for node in self._last_first():
            counts = {automaton.finals[node]: 1} if node in automaton.finals else {}
            for arc in self._arcs[node]:
                for group, n in self._behind[arc.target].items():
                    counts[group] = counts.get(group, 0) + n
            self._behind[node] = counts
        self._groups: dict[str, list[str]] = {}
        order = [*automaton.outcomes, *dict.fromkeys(automaton.finals.values())]
        for group in dict.fromkeys(order):
            outcome = automaton.outcomes.get(group)
            self._groups.setdefault(outcome.intent if outcome else group, []).append(group)

    @property
    def commands(self) -> tuple[str, ...]:
        """Names of the commands, in the grammar's order."""
        return tuple(self._groups)

    def count(self, command: str) -> int:
        """Return how many different sentences a command has."""
        return sum(self._behind[0].get(group, 0) for group in self._groups[command])

    def sentence(self, command: str, number: int) -> Spoken:
        """Return one sentence; `number` is below `count`."""
        for group in self._groups[command]:
            n = self._behind[0].get(group, 0)
            if number < n:
                return self._numbered(group, number)
            number -= n
        raise IndexError(number)

    def some(self, command: str, n: int) -> list[Spoken]:
        """Return up to `n` sentences, spread evenly over all."""
        count = self.count(command)
        n = min(n, count)
        return [self.sentence(command, (2 * i + 1) * count // (2 * n)) for i in range(n)]

    def understood(self, words: Sequence[str]) -> list[Meaning]:
        """Return what the grammar makes of words: one meaning, none, or several where it leaves that open."""
        paths: list[tuple[int, tuple[Label, ...]]] = [(0, ())]
        for word in words:
            paths = [
                (arc.target, (*labels, arc.label))
                for node, labels in paths
                for arc in self._arcs[node]
                if arc.label.word == word
            ][:1000]
        found: list[Meaning] = []
        for node, labels in paths:
            if node in self._automaton.finals:
                one = self._meaning(self._automaton.finals[node], labels)
                if one not in found:
                    found.append(one)
        return found

    def _meaning(self, group: str, labels: Sequence[Label]) -> Meaning:
        return meaning(group, labels, self._automaton.outcomes, self._automaton.reported)

    def _numbered(self, group: str, number: int) -> Spoken:
        node = 0
        labels: list[Label] = []
        while True:
            if self._automaton.finals.get(node) == group:
                if number == 0:
                    return Spoken(tuple(label.word for label in labels), self._meaning(group, labels))
                number -= 1
            for arc in self._arcs[node]:
                n = self._behind[arc.target].get(group, 0)
                if number < n:
                    labels.append(arc.label)
                    node = arc.target
                    break
                number -= n
            else:
                raise IndexError(number)

    def _last_first(self) -> list[int]:
        """Every node behind those that its arcs lead to."""
        waiting = [len(arcs) for arcs in self._arcs]
        before: list[list[int]] = [[] for _ in waiting]
        for arc in self._automaton.arcs:
            before[arc.target].append(arc.source)
        order = [node for node, n in enumerate(waiting) if n == 0]
        for node in order:
            for source in before[node]:
                waiting[source] -= 1
                if waiting[source] == 0:
                    order.append(source)
        return order
