"""Reads Home Assistant's sentences: its own intents and the custom_sentences of a house, in hassil's YAML.

    language: en
    intents:
      HassTurnOn:
        data:
          - sentences: ["turn on [the] {name}"]
            slots: { domain: light }          # reported with every one of these sentences
    lists:
      name: { values: ["desk lamp", { in: "tele(vision|phone)", out: tv }] }
      brightness: { range: { from: 0, to: 100, step: 5 } }
    expansion_rules:
      what_is: "(what is|what's)"

What concerns answers and contexts is passed over. Lists that are wildcards have no words that could be heard: their
sentences are refused by name, or left out where that is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from edgevc.recognition.grammar import Choice, Grammar, GrammarError, Meaning, Node
from edgevc.recognition.sentences import Rule, SentenceReader, no_lists
from edgevc.recognition.slot_values import ListValues, whole_number
from edgevc.recognition.yaml_tree import YamlList, YamlMapping, YamlNode, YamlText, read_yaml

SENTENCE_COMMAND = "conversation"
"""Name of a command that is no intent: Home Assistant shall be told its words, which trigger an automation there."""
_INLINE_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:,(\d+))?")
_FRACTIONS = {"halves": (5,), "tenths": tuple(range(1, 10))}


class WildcardError(GrammarError):
    """A sentence with a list of which any word may be a value."""


def parse_home_assistant(
    text: str, names: Mapping[str, Iterable[str]] | None = None, skip_wildcards: bool = False
) -> Grammar:
    """Return the grammar of a YAML document.

    Args:
        text: the document.
        names: lists that Home Assistant fills in, such as "name", "area" and "floor", with their names as written.
        skip_wildcards: leave sentences with wildcard lists out instead of refusing them.

    Raises:
        WildcardError: a sentence has a wildcard list.
        GrammarError: no such document; names the line and the rule.
    """
    return _Reader(text, names or {}, skip_wildcards).grammar()


class _Reader:
    def __init__(self, text: str, names: Mapping[str, Iterable[str]], skip_wildcards: bool) -> None:
        document = _entries(read_yaml(text), "document")
        self._intents = document.get("intents")
        if self._intents is None:
            raise GrammarError("line 1, document: expected `intents:` and, where used, `lists:`, `expansion_rules:`")
        self._lists = _entries(document["lists"], "lists") if "lists" in document else {}
        self._rules = _rules(document.get("expansion_rules"))
        self._names = names
        self._skip_wildcards = skip_wildcards
        self._known: dict[str, Node] = {}
        self._reported: dict[str, dict[str, str]] = {}

    def grammar(self) -> Grammar:
        intents: dict[str, Node] = {}
        outcomes: dict[str, Meaning] = {}
        for name, intent in _entries(self._intents, "intents").items():
            blocks = _entries(intent, name).get("data")
            if not isinstance(blocks, YamlList):
                raise GrammarError(f"line {intent.line}, {name}: expected data: with a list of sentences")
            for number, block in enumerate(blocks.items, 1):
                sentences = self._block(name, _entries(block, name), block.line)
                if sentences:
                    key = f"{name} {number}"
                    intents[key] = Choice(tuple(sentences))
                    outcomes[key] = Meaning(name, _constants(name, _entries(block, name).get("slots")))
        if not intents:
            raise GrammarError("line 1, intents: expected at least one sentence without wildcard lists")
        return Grammar(intents, outcomes, self._reported)

    def _block(self, intent: str, block: dict[str, YamlNode], line: int) -> list[Node]:
        sentences = block.get("sentences")
        if not isinstance(sentences, YamlList):
            raise GrammarError(f"line {line}, {intent}: expected sentences: with a list of texts")
        own = _entries(block["lists"], "lists") if "lists" in block else {}
        rules = self._rules | _rules(block.get("expansion_rules"))

        def values(rule: Rule, name: str) -> tuple[str, Node]:
            if name in own:
                key = f"{name} of line {line}"
                return key, self._list(rule, key, name, own[name])
            return name, self._list(rule, name, name, self._lists.get(name))

        reader = SentenceReader(rules, values)
        found = []
        for sentence in sentences.items:
            try:
                found.append(reader.read(_rule(intent, sentence)))
            except WildcardError:
                if not self._skip_wildcards:
                    raise
        return found

    def _list(self, rule: Rule, key: str, name: str, content: YamlNode | None) -> Node:
        if key not in self._known:
            values = ListValues()
            if name in self._names:
                for written in self._names[name]:
                    values.add_name(rule, written)
            elif content is not None:
                self._fill(values, rule, name, content)
            elif (inline := _INLINE_RANGE.fullmatch(name)) is not None:
                values.add_range(rule, int(inline[1]), int(inline[2]), int(inline[3] or 1))
            else:
                known = ", ".join([*self._lists, *self._names]) or "none"
                raise rule.error(f"no list {name!r}; defined are {known}")
            self._known[key] = values.node(rule)
            self._reported[key] = values.reported
        return self._known[key]

    def _fill(self, values: ListValues, rule: Rule, name: str, content: YamlNode) -> None:
        entries = _entries(content, name)
        if "wildcard" in entries:
            raise WildcardError(
                str(rule.error(f"list {name!r} is a wildcard, which has no words to listen for; give it values"))
            )
        if "range" in entries:
            _add_range(values, rule, name, _entries(entries["range"], name))
            return
        items = entries.get("values")
        if not isinstance(items, YamlList):
            raise GrammarError(f"line {content.line}, {name}: expected values:, range: or wildcard:")
        reader = SentenceReader(self._rules, no_lists)
        for item in items.items:
            if isinstance(item, YamlMapping):
                if "in" not in item.entries:
                    raise GrammarError(f"line {item.line}, {name}: expected in: and out:")
                out = item.entries.get("out")
                values.add(reader, _rule(name, item.entries["in"]), out.text if isinstance(out, YamlText) else None)
            else:
                values.add(reader, _rule(name, item))


def _add_range(values: ListValues, rule: Rule, name: str, entries: dict[str, YamlNode]) -> None:
    def number(key: str, default: str | None = None) -> str:
        value = entries.get(key)
        if isinstance(value, YamlText):
            return value.text
        if value is None and default is not None:
            return default
        raise rule.error(f"list {name!r}: expected {key}: with a number")

    first, last = (whole_number(rule, key, number(key)) for key in ("from", "to"))
    step = whole_number(rule, "step", number("step", "1"))
    try:
        factor = float(number("multiplier", "1"))
    except ValueError:
        raise rule.error(f"list {name!r}: expected multiplier: with a number") from None
    values.add_range(rule, first, last, step, factor)
    fractions = number("fractions", "")
    if fractions and fractions not in _FRACTIONS:
        raise rule.error(f"list {name!r}: expected fractions: halves or tenths, got {fractions!r}")
    for tenth in _FRACTIONS.get(fractions, ()):
        values.add_range(rule, first, last - 1, step, factor, tenth)


def _rules(node: YamlNode | None) -> dict[str, Rule]:
    return {} if node is None else {name: _rule(name, text) for name, text in _entries(node, "expansion_rules").items()}


def _constants(name: str, node: YamlNode | None) -> dict[str, str]:
    found = {}
    for slot, value in (_entries(node, name) if node is not None else {}).items():
        # a list of several is reported as Home Assistant writes it, separated by commas
        items = value.items if isinstance(value, YamlList) else (value,)
        found[slot] = ",".join(item.text for item in items if isinstance(item, YamlText))
    return found


def _rule(name: str, node: YamlNode) -> Rule:
    if not isinstance(node, YamlText):
        raise GrammarError(f"line {node.line}, {name}: expected text; put sentences with brackets in quotes")
    return Rule(name, node.line, node.text)


def _entries(node: YamlNode | None, name: str) -> dict[str, YamlNode]:
    if not isinstance(node, YamlMapping):
        raise GrammarError(f"line {node.line if node else 1}, {name}: expected names with what belongs to them")
    return node.entries
