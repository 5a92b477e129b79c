"""What can be known of a grammar before anybody speaks: its sentences, unknown words, what sounds alike."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgevc.recognition.automaton import Arc, Automaton, compile_grammar
from edgevc.recognition.evidence import edit_distance
from edgevc.recognition.grammar import Grammar
from edgevc.recognition.lexicon import Lexicon, Pronunciation, known_words, lexicon_of
from edgevc.recognition.network import build_network
from edgevc.recognition.sentence_list import SentenceList

ALIKE = 0.34
"""Two things to say of which no more than this share of phones differs are easily taken for one another."""
FEW_PHONES = 6
"""A wake phrase with fewer phones is heard in many words."""
MAX_VALUES = 300
"""Values of one list that are compared with each other."""


@dataclass(frozen=True)
class CommandSummary:
    """What may be said for one command."""

    name: str
    n_sentences: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Missing:
    """A word that no dictionary has."""

    word: str
    nearest: tuple[str, ...]
    """Known words that are written alike, the nearest first."""


@dataclass(frozen=True)
class Alike:
    """Two things that may be said in the same place."""

    one: str
    other: str
    where: str
    """The slot; empty for words outside slots."""
    distance: float
    """Share of phones that differ, 0: none."""


@dataclass(frozen=True)
class WakeSummary:
    """One wake phrase."""

    phrase: str
    n_phones: int
    """Of its shortest form."""

    @property
    def weak(self) -> bool:
        """Whether it is too short to be heard for what it is."""
        return self.n_phones < FEW_PHONES


@dataclass(frozen=True)
class Check:
    """All of it."""

    commands: tuple[CommandSummary, ...]
    pronunciations: Mapping[str, tuple[Pronunciation, ...]]
    guessed: Mapping[str, tuple[str, ...]]
    """Words that no dictionary has, to the parts that their pronunciation was put together from; none where it was
    guessed by their letters."""
    missing: tuple[Missing, ...]
    alike: tuple[Alike, ...]
    wake: tuple[WakeSummary, ...]
    n_nodes: int
    n_states: int
    """Of the search; 0 where a word has no pronunciation."""


def check_grammar(
    grammar: Grammar,
    phones: Sequence[str],
    dictionaries: Iterable[Mapping[str, Iterable[str]]] = (),
    n_examples: int = 3,
) -> Check:
    """Look at a grammar.

    Args:
        grammar: from `read_grammar`.
        phones: of the encoder that will hear.
        dictionaries: pronunciations beside the CMU dictionary's.
        n_examples: sentences to give of each command.

    Raises:
        GrammarError: it is too large.
        MissingPackageError: the extra `recognition` is not installed.
    """
    automaton = compile_grammar(grammar)
    sentences = SentenceList(automaton)
    wake = {phrase: compile_grammar(Grammar({phrase: node})) for phrase, node in grammar.wake.items()}
    words = sorted({arc.label.word for part in (automaton, *wake.values()) for arc in part.arcs})
    lexicon = lexicon_of(words, dictionaries)
    missing = [word for word in words if word not in lexicon]
    commands = tuple(
        CommandSummary(
            name,
            sentences.count(name),
            tuple(" ".join(spoken.words) for spoken in sentences.some(name, n_examples)),
        )
        for name in sentences.commands
    )
    return Check(
        commands,
        {word: lexicon[word] for word in words if word in lexicon},
        lexicon.guessed,
        tuple(Missing(word, nearest_words(word)) for word in missing),
        tuple(sorted(_alike(automaton, lexicon), key=lambda pair: (pair.distance, pair.one, pair.other))),
        tuple(WakeSummary(phrase, _fewest_phones(part, lexicon)) for phrase, part in wake.items()),
        automaton.n_nodes,
        0 if missing else build_network(automaton, lexicon, phones).n_states,
    )


def nearest_words(word: str, n: int = 3) -> tuple[str, ...]:
    """Return the words of the CMU dictionary that are written most like one that it lacks, the nearest first."""
    near = [known for known in known_words() if known[0] == word[0] and abs(len(known) - len(word)) <= 2]
    return tuple(difflib.get_close_matches(word, near, n, cutoff=0.7))


def _fewest_phones(automaton: Automaton, lexicon: Lexicon) -> int:
    """Phones of the shortest sentence; words without pronunciation count as their letters."""
    fewest = {0: 0}
    todo = [0]
    while todo:
        node = todo.pop(0)
        for arc in automaton.arcs:
            if arc.source == node:
                word = arc.label.word
                n = min(map(len, lexicon[word])) if word in lexicon else len(word)
                if fewest[node] + n < fewest.get(arc.target, 1 << 30):
                    fewest[arc.target] = fewest[node] + n
                    todo.append(arc.target)
    return min(fewest[node] for node in automaton.finals)


def _alike(automaton: Automaton, lexicon: Lexicon) -> Iterable[Alike]:
    yield from _alike_values(automaton, lexicon)
    seen = set()
    for arcs in _by_source(automaton):
        plain = [arc for arc in arcs if not arc.label.slot and arc.label.word in lexicon]
        for one, other in itertools.combinations(plain[:MAX_VALUES], 2):
            # words that lead on in the same way ask for the same
            pair = tuple(sorted((one.label.word, other.label.word)))
            if one.target == other.target or pair in seen:
                continue
            seen.add(pair)
            distance = _distance(lexicon[pair[0]], lexicon[pair[1]])
            if distance <= ALIKE:
                yield Alike(pair[0], pair[1], "", distance)


def _alike_values(automaton: Automaton, lexicon: Lexicon) -> Iterable[Alike]:
    by_source = _by_source(automaton)
    values: dict[tuple[str, str], dict[str, list[Pronunciation]]] = {}
    for arc in automaton.arcs:
        if arc.label.begins:
            found = values.setdefault((arc.label.slot, arc.label.kind), {})
            for text in _values(by_source, arc, arc.label.word):
                if len(found) < MAX_VALUES and text not in found and all(w in lexicon for w in text.split()):
                    found[text] = _spoken_as(text, lexicon)
    for (slot, kind), found in values.items():
        reported = automaton.reported.get(kind, {})
        for one, other in itertools.combinations(sorted(found), 2):
            if reported.get(one, one) == reported.get(other, other):
                continue
            distance = _distance(found[one], found[other])
            if distance <= ALIKE:
                yield Alike(one, other, slot, distance)


def _by_source(automaton: Automaton) -> list[list[Arc]]:
    arcs: list[list[Arc]] = [[] for _ in range(automaton.n_nodes)]
    for arc in automaton.arcs:
        arcs[arc.source].append(arc)
    return arcs


def _values(by_source: list[list[Arc]], arc: Arc, text: str) -> Iterable[str]:
    """A slot's values that begin with an arc."""
    goes_on = [
        following
        for following in by_source[arc.target]
        if following.label.slot == arc.label.slot and not following.label.begins
    ]
    # a value that another one goes on from may end here too
    if not goes_on or len(goes_on) < len(by_source[arc.target]) or not by_source[arc.target]:
        yield text
    for following in goes_on:
        yield from _values(by_source, following, f"{text} {following.label.word}")


def _spoken_as(text: str, lexicon: Lexicon) -> list[Pronunciation]:
    """Pronunciations of a phrase, a few where its words have several each."""
    ways = itertools.islice(itertools.product(*(lexicon[word] for word in text.split())), 4)
    return [tuple(itertools.chain.from_iterable(way)) for way in ways]


def _distance(one: Iterable[Pronunciation], other: Iterable[Pronunciation]) -> float:
    least = 1.0
    for a, b in itertools.product(one, other):
        longest = max(len(a), len(b))
        # what differs in length alone needs no comparison
        if abs(len(a) - len(b)) <= ALIKE * longest:
            least = min(least, edit_distance(a, b) / longest)
    return least
