"""What may be said, as a tree: the same for every syntax that grammars are written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgevc.errors import ConfigError


class GrammarError(ConfigError):
    """A grammar that does not say what may be said; names the line and the rule."""


@dataclass(frozen=True)
class Word:
    """One spoken word, in lower case."""

    text: str


@dataclass(frozen=True)
class Sequence:
    """Parts in their order; none is the empty sentence."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """One of the alternatives."""

    alternatives: tuple[Node, ...]


@dataclass(frozen=True)
class Slot:
    """One of a list's values, reported as `name`."""

    name: str
    value: Node
    kind: str = ""
    """Key of the list in `Grammar.reported`."""


Node = Word | Sequence | Choice | Slot


@dataclass(frozen=True)
class Meaning:
    """What a sentence asks for."""

    intent: str
    slots: Mapping[str, str]


@dataclass(frozen=True)
class Grammar:
    """All that may be said, in groups that are reported alike."""

    groups: Mapping[str, Node]
    """By a key of the reader's own; where `outcomes` does not have it, it is the intent."""
    outcomes: Mapping[str, Meaning] = field(default_factory=dict)
    """Key to the intent, and to the slots that all its sentences have."""
    reported: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Key of a list to what is reported for spoken words; what is not in it is reported as it was spoken."""
    wake: Mapping[str, Node] = field(default_factory=dict)
    """Phrases as they are written, to what may be said for each: one of them must be heard before a command."""
