"""Wake phrases by text: what must be heard before a command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgevc.recognition.grammar import GrammarError, Node
from edgevc.recognition.sentences import Rule, SentenceReader

MAX_PHRASES = 20


def wake_phrases(rules: Iterable[Rule], known: Mapping[str, Rule] | None = None) -> dict[str, Node]:
    """Return what may be said for each phrase, by its text.

    Args:
        rules: the phrases, in the syntax of `sentences`, without lists.
        known: rules that `<name>` stands for.

    Raises:
        GrammarError: a phrase is no sentence, or there are more than MAX_PHRASES.
    """
    reader = SentenceReader(dict(known or {}), _no_lists)
    found = {rule.text: reader.read(rule) for rule in rules}
    if len(found) > MAX_PHRASES:
        raise GrammarError(f"wake: expected at most {MAX_PHRASES} phrases, got {len(found)}")
    return found


def _no_lists(rule: Rule, name: str) -> tuple[str, Node]:
    raise rule.error("a wake phrase cannot contain lists")
