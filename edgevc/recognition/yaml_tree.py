"""YAML with the line of every value, for messages; small documents without anchors only."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

from edgevc.errors import MissingPackageError
from edgevc.recognition.grammar import GrammarError

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 32


@dataclass(frozen=True)
class YamlText:
    """A single value, as it is written."""

    line: int
    text: str


@dataclass(frozen=True)
class YamlList:
    """Values in their order."""

    line: int
    items: tuple[YamlNode, ...]


@dataclass(frozen=True)
class YamlMapping:
    """Names with what belongs to them."""

    line: int
    entries: dict[str, YamlNode]


YamlNode = YamlText | YamlList | YamlMapping


def read_yaml(text: str) -> YamlNode:
    """Return the document's tree.

    Raises:
        MissingPackageError: PyYAML is not installed.
        GrammarError: no YAML, an anchor or an alias, a name twice, a document that is too large or too deep.
    """
    try:
        import yaml
    except ImportError:
        raise MissingPackageError("reading a grammar in YAML", "PyYAML", "recognition") from None
    if len(text) > MAX_CHARACTERS:
        raise GrammarError(f"line 1, YAML: expected at most {MAX_CHARACTERS} characters, got {len(text)}")
    try:
        _check_events(yaml, text)
        document = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise GrammarError(f"line {line}, YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise GrammarError(f"line 1, YAML: {str(error).splitlines()[0]}") from None
    return YamlText(1, "") if document is None else _converted(yaml, document)


def _check_events(yaml: ModuleType, text: str) -> None:
    """Refuse what could grow without limit, before a tree is made of it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1
        if getattr(event, "anchor", None) is not None:
            raise GrammarError(f"line {line}, YAML: expected no anchors (&) and aliases (*), got {event.anchor!r}")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise GrammarError(f"line {line}, YAML: expected at most {MAX_DEPTH} levels")


def _converted(yaml: ModuleType, node: object) -> YamlNode:
    line: int = node.start_mark.line + 1  # type: ignore[attr-defined]
    value = node.value  # type: ignore[attr-defined]
    if isinstance(node, yaml.MappingNode):
        entries: dict[str, YamlNode] = {}
        for key, below in value:
            at = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise GrammarError(f"line {at}, YAML: expected a name, got a list or a mapping")
            if key.value in entries:
                raise GrammarError(f"line {at}, {key.value}: expected each name once in its section")
            entries[key.value] = _converted(yaml, below)
        return YamlMapping(line, entries)
    if isinstance(node, yaml.SequenceNode):
        return YamlList(line, tuple(_converted(yaml, item) for item in value))
    return YamlText(line, value)
