"""What may be said, read from a file and ready to be listened for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgevc.errors import ConfigError
from edgevc.recognition.armed import ArmedRecognizer, WakeSettings
from edgevc.recognition.automaton import Automaton, compile_grammar
from edgevc.recognition.emissions import SearchSettings
from edgevc.recognition.grammar import Grammar, GrammarError
from edgevc.recognition.home_assistant import parse_home_assistant
from edgevc.recognition.lexicon import Lexicon, lexicon_of, read_dictionary
from edgevc.recognition.network import Network, build_network
from edgevc.recognition.recognizer import LEAST_CERTAINTY, LISTENING, CommandRecognizer
from edgevc.recognition.rhino import parse_rhino
from edgevc.recognition.sentences import Rule
from edgevc.recognition.toml_grammar import parse_toml
from edgevc.recognition.wake import wake_phrases

MAX_BYTES = 4_000_000
"""Of a grammar file; Home Assistant's own English sentences have a tenth."""
SUFFIXES = (".toml", ".yaml", ".yml")


def read_grammar(path: Path, names: Mapping[str, Iterable[str]] | None = None) -> Grammar:
    """Return the grammar of a file: .toml is the project's own, .yaml Home Assistant's or Rhino's.

    Args:
        path: of the file; `intents:` at the top of a YAML file makes it Home Assistant's, `context:` Rhino's.
        names: as `parse_home_assistant` takes them.

    Raises:
        ConfigError: the file cannot be read, is too large, or its suffix is none of SUFFIXES.
        GrammarError: it does not say what may be said; names file, line and rule.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: a grammar is a file {', '.join(SUFFIXES)}; give it one of these names")
    text = _text_of(path)
    try:
        if path.suffix.lower() == ".toml":
            return parse_toml(text)
        if _is_home_assistant(text):
            return parse_home_assistant(text, names)
        return parse_rhino(text)
    except GrammarError as error:
        raise GrammarError(f"{path}: {error}") from None


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{path}: a grammar has at most {MAX_BYTES} bytes; split it")
        return content.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name a grammar that can be read") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error


def _is_home_assistant(text: str) -> bool:
    return any(line.startswith("intents:") for line in text.splitlines())


@dataclass(frozen=True)
class CommandSet:
    """A compiled grammar. Immutable: any number of streams may listen for it at once."""

    automaton: Automaton
    network: Network
    phones: tuple[str, ...]
    """Names of the posteriors' columns."""
    wake: CommandSet | None = None
    """Phrases of which one must be heard before a command; None: commands are always heard."""

    @classmethod
    def read(
        cls,
        path: Path,
        phones: Sequence[str],
        dictionaries: Iterable[Path] = (),
        names: Mapping[str, Iterable[str]] | None = None,
        wake: Sequence[str] = (),
    ) -> CommandSet:
        """Compile a grammar file.

        Args:
            path: see `read_grammar`.
            phones: of the encoder that will hear, `ModelBundle.phones`.
            dictionaries: files of pronunciations beside the CMU dictionary's.
            names: as `read_grammar`.
            wake: phrases in place of those that the file names.

        Raises:
            ConfigError: a file cannot be read.
            GrammarError: the grammar or a dictionary is none, or a word has no pronunciation.
            MissingPackageError: the extra `recognition` is not installed.
        """
        grammar = read_grammar(path, names)
        if wake:
            grammar = replace(grammar, wake=wake_phrases([Rule("wake", 1, phrase) for phrase in wake]))
        return cls.of_grammar(grammar, phones, [read_dictionary(one) for one in dictionaries])

    @classmethod
    def of_grammar(
        cls, grammar: Grammar, phones: Sequence[str], dictionaries: Iterable[Mapping[str, Iterable[str]]] = ()
    ) -> CommandSet:
        """Compile a grammar; see `read`."""
        dictionaries = tuple(dictionaries)
        automaton = compile_grammar(grammar)
        lexicon: Lexicon = lexicon_of({arc.label.word for arc in automaton.arcs}, dictionaries)
        wake = cls.of_grammar(Grammar(grammar.wake), phones, dictionaries) if grammar.wake else None
        return cls(automaton, build_network(automaton, lexicon, phones), tuple(phones), wake)

    @property
    def commands(self) -> tuple[str, ...]:
        """Names of all commands (intents), in the grammar's order, each once."""
        groups = dict.fromkeys(self.automaton.finals.values())
        outcomes = self.automaton.outcomes
        named = (outcomes[group].intent if group in outcomes else group for group in [*outcomes, *groups])
        return tuple(dict.fromkeys(named))

    def recognizer(
        self, settings: SearchSettings = LISTENING, least_certainty: float = LEAST_CERTAINTY
    ) -> CommandRecognizer:
        """Return what hears commands in one stream of posteriors, always."""
        return CommandRecognizer(self.network, self.phones, settings, least_certainty)

    def armed_recognizer(
        self, least_certainty: float = LEAST_CERTAINTY, settings: WakeSettings | None = None
    ) -> ArmedRecognizer:
        """Return what hears one stream of posteriors: commands behind a wake phrase, or always where there is none."""
        chosen = settings if settings is not None else WakeSettings()
        wake = None if self.wake is None else self.wake.recognizer(least_certainty=chosen.least_certainty)
        return ArmedRecognizer(self.recognizer(least_certainty=least_certainty), wake, chosen)
