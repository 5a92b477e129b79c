"""What may be said, as a tree: the same for every syntax that grammars are written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
    """One of a slot type's values, reported as `name`."""

    name: str
    value: Node


Node = Word | Sequence | Choice | Slot


@dataclass(frozen=True)
class Grammar:
    """Intent to all that may be said for it."""

    intents: Mapping[str, Node]
