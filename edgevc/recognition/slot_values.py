"""Values of a slot: words, words that are reported under another name, and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgevc.recognition.grammar import Choice, Node
from edgevc.recognition.number_words import MAX_NUMBER, number_words, ways_to_say
from edgevc.recognition.sentences import Rule, SentenceReader, phrases, sequence_of, spoken_words

MAX_PHRASES = 1000
"""Ways of saying one value."""
MAX_NUMBERS = 2001
"""Numbers of one range."""


@dataclass
class ListValues:
    """What a slot accepts, and what is reported for it."""

    accepted: list[Node] = field(default_factory=list)
    reported: dict[str, str] = field(default_factory=dict)
    """Spoken words, separated by spaces, to what is reported; what is not in it is reported as it was spoken."""

    def add(self, reader: SentenceReader, rule: Rule, out: str | None = None) -> None:
        """Add a value; `out` is what it is reported as, None: as it was spoken.

        Raises:
            GrammarError: the value is no sentence, has too many ways of being said, or one of them is reported
                as something else already.
        """
        node = reader.read(rule)
        self.accepted.append(node)
        if out is None:
            return
        spoken = phrases(node, MAX_PHRASES)
        if spoken is None:
            raise rule.error(f"expected at most {MAX_PHRASES} ways of saying one value")
        for text in spoken:
            self._report(rule, text, out)

    def add_name(self, rule: Rule, name: str) -> None:
        """Add a name as it is written, whatever signs are in it; it is reported as it is written."""
        words = spoken_words(name)
        if not words:
            raise rule.error(f"expected a name that can be said, got {name!r}")
        self.accepted.append(sequence_of(words))
        self._report(rule, " ".join(words), name)

    def add_range(self, rule: Rule, first: int, last: int, step: int = 1, factor: float = 1.0, tenth: int = 0) -> None:
        """Add whole numbers from `first` to `last`, reported as digits, `factor` times as many.

        `tenth`, 1 to 9, is a digit behind the point that all of them have.

        Raises:
            GrammarError: the range is empty or too long.
        """
        if not (-MAX_NUMBER <= first <= last <= MAX_NUMBER and step >= 1):
            raise rule.error(f"expected from <= to, both within {MAX_NUMBER}, and step >= 1")
        if (last - first) // step >= MAX_NUMBERS:
            raise rule.error(f"expected at most {MAX_NUMBERS} numbers; make step larger")
        for number in range(first, last + 1, step):
            point = f" point {number_words(tenth)}" if tenth else ""
            for text in ways_to_say(number):
                self.accepted.append(sequence_of(f"{text}{point}".split()))
                self._report(rule, f"{text}{point}", f"{(number + (tenth if number >= 0 else -tenth) / 10) * factor:g}")

    def node(self, rule: Rule) -> Node:
        """Return one node for all values; GrammarError where there is none."""
        if not self.accepted:
            raise rule.error("expected at least one value")
        return Choice(tuple(self.accepted))

    def _report(self, rule: Rule, text: str, out: str) -> None:
        if self.reported.setdefault(text, out) != out:
            raise rule.error(f"{text!r} is reported as {self.reported[text]!r} and as {out!r}")


Reported = Mapping[str, Mapping[str, str]]
"""Name of a list to `ListValues.reported`."""


def whole_number(rule: Rule, name: str, value: object) -> int:
    """Return a whole number of a range.

    Raises:
        GrammarError: it is none.
    """
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise rule.error(f"expected a whole number for {name}, got {value!r}") from None
    if isinstance(value, bool) or not isinstance(value, int):
        raise rule.error(f"expected a whole number for {name}, got {value!r}")
    return value
