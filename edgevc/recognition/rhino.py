"""Reads command grammars in the YAML and expression syntax of Picovoice Rhino.

    context:
      expressions:
        orderDrink:                       # an intent, with what may be said for it
          - "[get, give] me (a, an) $size:size @drink"
      slots:
        size: ["small", "very large"]     # an expression without slots each
      macros:
        drink: ["coffee", "(green) tea"]

Words stand for themselves; `[a, b]` is a choice, `(a, b)` a choice that may be left out, `$type:name` one value of a
slot type, reported under a name, and `@name` a macro. https://picovoice.ai/docs/tips/syntax-cheat-sheet
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgevc.recognition.grammar import Choice, Grammar, GrammarError, Node, Sequence, Slot, Word
from edgevc.recognition.yaml_tree import YamlList, YamlMapping, YamlNode, YamlText, read_yaml

_TOKEN = re.compile(r"\s*(?:([\[\](),])|(\$[\w.]+:\w+)|(@\w+)|([^\W_](?:[\w'\-]*\w)?(?:'(?!\w))?))")

MAX_DEPTH = 50
"""Brackets and macros inside one another."""


@dataclass(frozen=True)
class _Rule:
    """A line of the file: where it stands, for messages, and its expression."""

    name: str
    line: int
    text: str

    def error(self, problem: str) -> GrammarError:
        return GrammarError(f"line {self.line}, {self.name}: {problem}; got {self.text!r}")


def parse_rhino(text: str) -> Grammar:
    """Return the grammar of a YAML document.

    Raises:
        GrammarError: no such document, an expression that cannot be read, a slot or macro that is not defined, a macro
            that contains itself, a slot within a slot.
    """
    sections = _sections(text)
    parser = _Parser(sections["slots"], sections["macros"])
    if not sections["expressions"]:
        raise GrammarError("line 1, context: expected expressions of at least one intent")
    return Grammar(
        {name: Choice(tuple(parser.parse(rule) for rule in rules)) for name, rules in sections["expressions"].items()}
    )


_Rules = dict[str, list[_Rule]]


def _sections(text: str) -> dict[str, _Rules]:
    context = _mapping(read_yaml(text), "document").get("context")
    if context is None:
        raise GrammarError(
            "line 1, document: expected `context:` with `expressions:` and, where used, `slots:`, `macros:`"
        )
    found = _mapping(context, "context")
    unknown = set(found) - {"expressions", "slots", "macros"}
    if unknown:
        raise GrammarError(f"line {context.line}, context: expected expressions, slots, macros; got {min(unknown)!r}")
    return {section: _rules(found.get(section), section) for section in ("expressions", "slots", "macros")}


def _rules(node: YamlNode | None, section: str) -> _Rules:
    rules: _Rules = {}
    for name, values in (_mapping(node, section) if node is not None else {}).items():
        if not isinstance(values, YamlList) or not values.items:
            raise GrammarError(f"line {values.line}, {name}: expected a list of expressions in {section}")
        rules[name] = []
        for value in values.items:
            if not isinstance(value, YamlText):
                raise GrammarError(f"line {value.line}, {name}: expected text; put expressions with brackets in quotes")
            rules[name].append(_Rule(name, value.line, value.text))
    return rules


def _mapping(node: YamlNode, name: str) -> dict[str, YamlNode]:
    if not isinstance(node, YamlMapping):
        raise GrammarError(f"line {node.line}, {name}: expected names with what belongs to them")
    return node.entries


class _Parser:
    """Recursive descent over one expression's tokens; macros are read where they are used."""

    def __init__(self, slots: _Rules, macros: _Rules) -> None:
        self._slots = slots
        self._macros = macros
        self._values: dict[str, Node] = {}
        self._expanded: dict[tuple[str, bool], Node] = {}
        self._open: list[str] = []
        self._in_slot = False
        self._depth = 0

    def parse(self, rule: _Rule) -> Node:
        tokens = _tokens(rule)
        node = self._sequence(rule, tokens)
        if tokens:
            raise rule.error(
                f"{tokens[0]!r} closes nothing" if tokens[0] in ("]", ")") else "',' stands outside brackets"
            )
        if isinstance(node, Sequence) and not node.parts:
            raise rule.error("expected at least one word")
        return node

    def _sequence(self, rule: _Rule, tokens: list[str]) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise rule.error(f"expected at most {MAX_DEPTH} brackets and macros inside one another")
        parts: list[Node] = []
        while tokens and tokens[0] not in ("]", ")", ","):
            token = tokens.pop(0)
            if token in ("[", "("):
                parts.append(self._brackets(rule, token, tokens))
            elif token[0] == "$":
                kind, _, name = token[1:].partition(":")
                parts.append(Slot(name, self._slot_values(rule, kind)))
            elif token[0] == "@":
                parts.append(self._macro(rule, token[1:]))
            else:
                parts.append(Word(token.lower()))
        self._depth -= 1
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _brackets(self, rule: _Rule, opening: str, tokens: list[str]) -> Choice:
        closing = "]" if opening == "[" else ")"
        alternatives = []
        while True:
            alternative = self._sequence(rule, tokens)
            if isinstance(alternative, Sequence) and not alternative.parts:
                raise rule.error(f"expected words between {opening!r}, ',' and {closing!r}")
            alternatives.append(alternative)
            if not tokens or tokens[0] not in (",", closing):
                raise rule.error(f"{opening!r} is not closed by {closing!r}")
            if tokens.pop(0) == closing:
                break
        if opening == "(":
            alternatives.append(Sequence(()))
        return Choice(tuple(alternatives))

    def _slot_values(self, rule: _Rule, kind: str) -> Node:
        if self._in_slot:
            raise rule.error("a slot's values cannot contain slots")
        if kind not in self._slots:
            raise rule.error(f"no slot type {kind!r}; defined are {', '.join(self._slots) or 'none'}")
        if kind not in self._values:
            self._in_slot = True
            self._values[kind] = Choice(tuple(self.parse(value) for value in self._slots[kind]))
            self._in_slot = False
        return self._values[kind]

    def _macro(self, rule: _Rule, name: str) -> Node:
        if name not in self._macros:
            raise rule.error(f"no macro {name!r}; defined are {', '.join(self._macros) or 'none'}")
        if name in self._open:
            raise rule.error(f"macro {name!r} contains itself")
        # once for each macro: macros of macros of macros would otherwise double with every level
        key = name, self._in_slot
        if key not in self._expanded:
            self._open.append(name)
            self._expanded[key] = Choice(tuple(self.parse(alternative) for alternative in self._macros[name]))
            self._open.pop()
        return self._expanded[key]


def _tokens(rule: _Rule) -> list[str]:
    text = rule.text.replace("\u2019", "'").rstrip()
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise rule.error(f"cannot read from {text[at:].strip()!r} on")
        tokens.append(found[0].strip())
        at = found.end()
    return tokens
