"""Reads sentences in the syntax of Home Assistant (hassil), from which the project's own grammars borrow it.

    turn (on|off) [the] {room} light[s]

`[a]` may be left out, `(a|b)` is a choice, `(a;b)` both in any order, `{list}` or `{list:slot}` one value of a list,
`<rule>` what a rule says. What touches belongs to one word: `light[s]` is "light" or "lights". `%` is read as percent,
digits as the number's words. https://github.com/OHF-Voice/hassil
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgevc.recognition.grammar import Choice, GrammarError, Node, Sequence, Slot, Word
from edgevc.recognition.number_words import MAX_NUMBER, number_words

MAX_DEPTH = 50
"""Brackets and rules inside one another."""
MAX_PERMUTED = 4
"""Parts of a permutation; more have hundreds of orders."""
MAX_JOINED = 200
"""Ways of saying one word that is made of parts."""
MAX_LENGTH = 500
"""Characters of a list's value, or of what touches."""

_TOKEN = re.compile(r"\s+|[\[\]()|;]|\{[^{}<>\[\]()]*\}|<[^<>{}\[\]()]*>|(?:\\.|[^\s\[\](){}<>|;\\])+")
_CLOSING = {"[": "]", "(": ")"}
_SPOKEN = {"%": " percent ", "°": " degrees ", "&": " and "}
_PUNCTUATION = re.compile(r"[^\w'\s]|_")


@dataclass(frozen=True)
class Rule:
    """A sentence: where it stands, for messages, and its text."""

    name: str
    line: int
    text: str

    def error(self, problem: str) -> GrammarError:
        """What is wrong with it."""
        return GrammarError(f"line {self.line}, {self.name}: {problem}; got {self.text!r}")


@dataclass(frozen=True)
class _Text:
    text: str


@dataclass(frozen=True)
class _Space:
    pass


@dataclass(frozen=True)
class _List:
    name: str
    slot: str


@dataclass(frozen=True)
class _Group:
    alternatives: tuple[tuple[_Item, ...], ...]
    permuted: bool = False


_Item = _Text | _Space | _List | _Group
Lists = Callable[[Rule, str], tuple[str, Node]]
"""Gives a list's key, by which its values are reported, and its values; GrammarError where it may not be used."""


class SentenceReader:
    """Sentences of one grammar, with its rules and lists."""

    def __init__(self, rules: dict[str, Rule], lists: Lists) -> None:
        """`rules`: by name, read where they are used."""
        self._rules = rules
        self._lists = lists
        self._read: dict[str, _Group] = {}
        self._nodes: dict[int, Node] = {}
        self._open: list[str] = []

    def read(self, rule: Rule) -> Node:
        """Return what a sentence accepts.

        Raises:
            GrammarError: brackets that do not match, a list or rule that is not defined, a rule that contains itself,
                a sentence without words, too many parts in a permutation.
        """
        node = self._node(rule, self._parsed(rule))
        if may_be_empty(node):
            raise rule.error("expected at least one word that may not be left out")
        return node

    def _parsed(self, rule: Rule) -> _Group:
        tokens = _tokens(rule)
        group = self._alternatives(rule, tokens, "", 0)
        if tokens:
            raise rule.error(f"{tokens[0]!r} closes nothing")
        return group

    def _alternatives(self, rule: Rule, tokens: list[str], closing: str, depth: int) -> _Group:
        if depth > MAX_DEPTH:
            raise rule.error(f"expected at most {MAX_DEPTH} brackets inside one another")
        found: list[list[_Item]] = [[]]
        separators = set()
        while tokens and tokens[-1] not in ("]", ")"):
            part = tokens.pop()
            if part in ("|", ";"):
                separators.add(part)
                found.append([])
            elif part in _CLOSING:
                group = self._alternatives(rule, tokens, _CLOSING[part], depth + 1)
                found[-1].append(group if part == "(" else _Group(((group,), ())))
            else:
                found[-1].append(self._single(rule, part))
        if closing and (not tokens or tokens.pop() != closing):
            raise rule.error(f"expected {closing!r} to close what was opened")
        if len(separators) == 2:
            raise rule.error("expected either '|' or ';' between brackets")
        if separators == {";"} and len(found) > MAX_PERMUTED:
            raise rule.error(f"expected at most {MAX_PERMUTED} parts in any order, got {len(found)}")
        return _Group(tuple(tuple(items) for items in found), separators == {";"})

    def _single(self, rule: Rule, token: str) -> _Item:
        if token.isspace():
            return _Space()
        if token[0] == "{":
            name, _, slot = token[1:-1].partition(":")
            if not name.strip():
                raise rule.error("expected the name of a list between '{' and '}'")
            return _List(name.strip(), slot.strip() or name.strip())
        if token[0] == "<":
            return self._rule(rule, token[1:-1].strip())
        return _Text(re.sub(r"\\(.)", r"\1", token))

    def _rule(self, rule: Rule, name: str) -> _Group:
        if name not in self._rules:
            raise rule.error(f"no rule {name!r}; defined are {', '.join(self._rules) or 'none'}")
        if name in self._open or len(self._open) > MAX_DEPTH:
            raise rule.error(f"rule {name!r} contains itself")
        # once for each rule: rules of rules would otherwise double with every level
        if name not in self._read:
            self._open.append(name)
            self._read[name] = self._parsed(self._rules[name])
            self._open.pop()
        return self._read[name]

    def _node(self, rule: Rule, group: _Group) -> Node:
        # by identity: a rule is one group wherever it is used, and kept in _read
        shared = any(group is known for known in self._read.values())
        if shared and id(group) in self._nodes:
            return self._nodes[id(group)]
        parts = [self._sequence(rule, items) for items in group.alternatives]
        if group.permuted:
            parts = [Sequence(tuple(order)) for order in itertools.permutations(parts)]
        node = parts[0] if len(parts) == 1 else Choice(tuple(parts))
        if shared:
            self._nodes[id(group)] = node
        return node

    def _sequence(self, rule: Rule, items: tuple[_Item, ...]) -> Node:
        parts: list[Node] = []
        for touching, run in itertools.groupby(items, lambda item: not isinstance(item, _Space)):
            if touching:
                parts += self._run(rule, list(run))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _run(self, rule: Rule, run: list[_Item]) -> list[Node]:
        """What stands together without a space: one word of several parts, or a list with something attached."""
        together = _Group((tuple(run),))
        if len(run) > 1 and not _has_lists(together):
            texts = _texts(together)
            if texts is None:
                raise rule.error(
                    f"expected at most {MAX_JOINED} ways of saying what touches, none longer than {MAX_LENGTH} "
                    "characters; put spaces between words"
                )
            return [_choice(_words(text) for text in texts)]
        return [self._item(rule, item) for item in run]

    def _item(self, rule: Rule, item: _Item) -> Node:
        if isinstance(item, _Group):
            return self._node(rule, item)
        if isinstance(item, _List):
            key, values = self._lists(rule, item.name)
            return Slot(item.slot, values, key)
        return _words(item.text) if isinstance(item, _Text) else Sequence(())


def may_be_empty(node: Node) -> bool:
    """Whether a node accepts the empty sentence."""
    known: dict[int, bool] = {}

    def empty(node: Node) -> bool:
        if id(node) not in known:
            if isinstance(node, Sequence):
                known[id(node)] = all(map(empty, node.parts))
            elif isinstance(node, Choice):
                known[id(node)] = any(map(empty, node.alternatives))
            else:
                known[id(node)] = isinstance(node, Slot) and empty(node.value)
        return known[id(node)]

    return empty(node)


def phrases(node: Node, limit: int) -> list[str] | None:
    """Return every sentence of a node, words separated by spaces; None where there are more than `limit`, or long ones.

    Nodes may share their parts as often as they like.
    """
    known: dict[int, list[str] | None] = {}

    def say(node: Node) -> list[str] | None:
        if isinstance(node, Word):
            return [node.text]
        if isinstance(node, Slot):
            return say(node.value)
        if id(node) not in known:
            known[id(node)] = choose(node) if isinstance(node, Choice) else join(node)
        return known[id(node)]

    def choose(node: Choice) -> list[str] | None:
        found: dict[str, None] = {}
        for part in node.alternatives:
            inner = say(part)
            if inner is None or len(found) + len(inner) > limit:
                return None
            found.update(dict.fromkeys(inner))
        return list(found)

    def join(node: Sequence) -> list[str] | None:
        found = [""]
        for part in node.parts:
            inner = say(part)
            if inner is None or len(found) * len(inner) > limit:
                return None
            found = list(dict.fromkeys(f"{left} {right}".strip() for left in found for right in inner))
            if any(len(text) > MAX_LENGTH for text in found):
                return None
        return found

    return say(node)


def no_lists(rule: Rule, name: str) -> tuple[str, Node]:
    """Refuse lists: for the values of lists."""
    raise rule.error("a list's values cannot contain lists")


def _has_lists(item: _Item, known: dict[int, bool] | None = None) -> bool:
    known = {} if known is None else known
    if not isinstance(item, _Group):
        return isinstance(item, _List)
    # rules of rules share their groups
    if id(item) not in known:
        known[id(item)] = any(_has_lists(part, known) for items in item.alternatives for part in items)
    return known[id(item)]


def _texts(item: _Item, known: dict[int, list[str] | None] | None = None) -> list[str] | None:
    """Every way of writing an item; None where it has lists, or too many or too long ways."""
    known = {} if known is None else known
    if isinstance(item, _Text):
        return [item.text]
    if isinstance(item, _Space):
        return [" "]
    if isinstance(item, _List) or item.permuted:
        return None
    # rules of rules share their groups
    if id(item) not in known:
        known[id(item)] = None
        found: list[str] = []
        for items in item.alternatives:
            ways = _ways(items, known)
            if ways is None or len(found) + len(ways) > MAX_JOINED:
                return None
            found += ways
        known[id(item)] = found
    return known[id(item)]


def _ways(items: Iterable[_Item], known: dict[int, list[str] | None]) -> list[str] | None:
    """Every way of writing items behind one another, as `_texts`."""
    ways = [""]
    for part in items:
        inner = _texts(part, known)
        if inner is None or len(ways) * len(inner) > MAX_JOINED:
            return None
        ways = [left + right for left in ways for right in inner]
        if any(len(way) > MAX_LENGTH for way in ways):
            return None
    return ways


def _choice(nodes: Iterable[Node]) -> Node:
    different = tuple(dict.fromkeys(nodes))
    return different[0] if len(different) == 1 else Choice(different)


def _words(text: str) -> Node:
    """The words of a text as they are spoken."""
    return sequence_of(spoken_words(text))


def sequence_of(words: Iterable[str]) -> Node:
    """Return the words in their order."""
    parts = tuple(Word(word) for word in words)
    return parts[0] if len(parts) == 1 else Sequence(parts)


def spoken_words(text: str) -> list[str]:
    """Return the words of a written text: lower case, digits and signs as they are read, no punctuation."""
    for sign, words in _SPOKEN.items():
        text = text.replace(sign, words)
    text = text.replace("\u2019", "'")
    text = re.sub(r"\d+", lambda digits: f" {_digits(digits[0])} ", text)
    return [word.strip("'") for word in _PUNCTUATION.sub(" ", text.lower()).split() if word.strip("'")]


def _digits(text: str) -> str:
    if len(text) > len(str(MAX_NUMBER)) or int(text) > MAX_NUMBER:
        return " ".join(number_words(int(digit)) for digit in text)
    return number_words(int(text))


def _tokens(rule: Rule) -> list[str]:
    """The tokens, last one first."""
    tokens, at = [], 0
    text = rule.text.strip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise rule.error(f"cannot read from {text[at:]!r} on")
        tokens.append(found[0])
        at = found.end()
    return tokens[::-1]
