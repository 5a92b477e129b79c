"""Reads the project's own grammars: commands in TOML.

    [[command]]
    name = "light"
    say = ["turn <onoff> [the] {room} light[s]", "{room} light[s] <onoff>"]
    room = ["kitchen", { in = "living room|lounge", out = "living_room" }]

    [[command]]
    name = "brightness"
    say = ["(set|dim) [the] {room} light to {percent}%"]
    percent = { from = 0, to = 100, step = 5 }

    [lists]
    room = ["kitchen", "bed room"]

    [rules]
    onoff = "(on|off)"

A phrase that must come before a command, or several, stands above all of that:

    wake = ["hey computer", "(ok|okay) house"]

Every key of a command other than name, say and slots is a list that only it knows; `slots` holds what is reported with
every one of its sentences. Sentences are those of Home Assistant (`sentences`).
"""

from __future__ import annotations

import re
import sys
from typing import Any

from edgevc.errors import MissingPackageError
from edgevc.recognition.grammar import Choice, Grammar, GrammarError, Meaning, Node
from edgevc.recognition.sentences import Rule, SentenceReader, no_lists
from edgevc.recognition.slot_values import ListValues, whole_number
from edgevc.recognition.wake import wake_phrases

MAX_CHARACTERS = 1_000_000
_OWN_KEYS = ("name", "say", "slots")


def parse_toml(text: str) -> Grammar:
    """Return the grammar of a TOML document.

    Raises:
        GrammarError: no such document; names the line and the rule.
    """
    return _Reader(text).grammar()


class _Reader:
    def __init__(self, text: str) -> None:
        if len(text) > MAX_CHARACTERS:
            raise GrammarError(f"line 1, TOML: expected at most {MAX_CHARACTERS} characters, got {len(text)}")
        self._document = _document(text)
        self._lines = text.splitlines()
        self._reported: dict[str, dict[str, str]] = {}
        self._lists: dict[str, Node] = {}
        for key in self._document:
            if key not in ("command", "lists", "rules", "wake"):
                raise GrammarError(f"line {self._line(key)}, {key}: expected [[command]], [lists], [rules] and wake")
        self._rules = {name: self._rule(name, value, "a rule's text") for name, value in self._table("rules").items()}

    def grammar(self) -> Grammar:
        commands = self._document.get("command")
        if not isinstance(commands, list) or not all(isinstance(command, dict) for command in commands):
            raise GrammarError(f"line {self._line('command')}, command: expected [[command]] at least once")
        shared = self._table("lists")
        intents: dict[str, Node] = {}
        outcomes: dict[str, Meaning] = {}
        for number, command in enumerate(commands, 1):
            key = f"{command.get('name')} {number}"
            outcomes[key], intents[key] = self._command(number, command, shared)
        return Grammar(intents, outcomes, self._reported, self._wake())

    def _wake(self) -> dict[str, Node]:
        texts = self._document.get("wake", [])
        texts = texts if isinstance(texts, list) else [texts]
        return wake_phrases([self._rule("wake", text, "a phrase") for text in texts], self._rules)

    def _command(self, number: int, command: dict[str, Any], shared: dict[str, Any]) -> tuple[Meaning, Node]:
        name = command.get("name")
        if not isinstance(name, str) or not name:
            raise GrammarError(f'line {self._nth_command(number)}, command: expected name = "...", got {name!r}')
        say = command.get("say")
        if not isinstance(say, list) or not say:
            raise GrammarError(f'line {self._nth_command(number)}, {name}: expected say = ["..."], got {say!r}')
        slots = command.get("slots", {})
        if not isinstance(slots, dict) or not all(isinstance(value, str) for value in slots.values()):
            raise GrammarError(f'line {self._nth_command(number)}, {name}: expected slots = {{ name = "text" }}')
        own = {key: value for key, value in command.items() if key not in _OWN_KEYS}

        def values(rule: Rule, wanted: str) -> tuple[str, Node]:
            for key, lists, start in (
                (f"{name} {number}.{wanted}", own, self._nth_command(number)),
                (wanted, shared, self._line("[lists]")),
            ):
                if wanted in lists:
                    return key, self._list(key, wanted, lists[wanted], self._key_line(wanted, start))
            known = ", ".join([*own, *shared]) or "none"
            raise rule.error(f"no list {wanted!r}; defined are {known}")

        reader = SentenceReader(self._rules, values)
        sentences = tuple(reader.read(self._rule(name, text, "a sentence")) for text in say)
        return Meaning(name, slots), Choice(sentences)

    def _list(self, key: str, name: str, values: Any, line: int) -> Node:
        if key not in self._lists:
            found = ListValues()
            reader = SentenceReader(self._rules, no_lists)
            for value in values if isinstance(values, list) else [values]:
                self._add(found, reader, name, value, line)
            self._lists[key] = found.node(Rule(name, line, repr(values)[:80]))
            self._reported[key] = found.reported
        return self._lists[key]

    def _add(self, found: ListValues, reader: SentenceReader, name: str, value: Any, line: int) -> None:
        if isinstance(value, dict):
            rule = Rule(name, line, str(value))
            if set(value) == {"in", "out"}:
                found.add(reader, self._rule(name, value["in"], "in"), str(value["out"]))
                return
            if {"from", "to"} <= set(value) <= {"from", "to", "step"}:
                numbers = [whole_number(rule, part, value.get(part, 1)) for part in ("from", "to", "step")]
                found.add_range(rule, *numbers)
                return
            raise rule.error("expected { in, out } or { from, to, step }")
        found.add(reader, self._rule(name, value, "a value"))

    def _rule(self, name: str, text: Any, what: str) -> Rule:
        if not isinstance(text, str):
            raise GrammarError(f"line {self._key_line(name, 1)}, {name}: expected {what} as text, got {text!r}")
        return Rule(name, self._line(text), text)

    def _table(self, name: str) -> dict[str, Any]:
        found = self._document.get(name, {})
        if not isinstance(found, dict):
            raise GrammarError(f"line {self._line(name)}, {name}: expected a table [{name}]")
        return found

    def _line(self, text: str) -> int:
        """The first line that holds a text; TOML's reader does not say where its values stood."""
        for wanted in (f'"{text}"', f"'{text}'", text):
            for number, line in enumerate(self._lines, 1):
                if wanted in line:
                    return number
        return 1

    def _key_line(self, key: str, start: int) -> int:
        """The line that sets a key, at `start` or behind it."""
        setting = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""")
        return next(
            (number for number in range(start, len(self._lines) + 1) if setting.match(self._lines[number - 1])), start
        )

    def _nth_command(self, number: int) -> int:
        lines = [i for i, line in enumerate(self._lines, 1) if line.replace(" ", "").startswith("[[command]]")]
        return lines[number - 1] if number <= len(lines) else 1


def _document(text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError:
            raise MissingPackageError("reading a grammar in TOML", "tomli", "recognition") from None
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # TOMLDecodeError says line and column
        raise GrammarError(f"TOML: {error}; correct that place") from None
