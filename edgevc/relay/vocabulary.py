"""What may be said: the grammar's file, and again when it has changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgevc.errors import EdgevcError
from edgevc.recognition.command_set import CommandSet, read_grammar
from edgevc.recognition.grammar import Grammar
from edgevc.recognition.lexicon import read_dictionary
from edgevc.recognition.spoken_commands import SpokenCommands
from edgevc.relay.threads import in_thread

_LOG = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""So often the file is looked at."""


class Vocabulary:
    """A grammar that follows its file. Read in any thread; changed in the relay's loop."""

    name = "grammar"

    def __init__(self, path: Path, dictionary: Path | None) -> None:
        """Read it.

        Raises:
            ConfigError: a file cannot be read.
            GrammarError: the grammar is none.
        """
        self._path, self._dictionary = path, dictionary
        # before it is read: what changes meanwhile is read again
        self._stamp = self._look()
        self.grammar = read_grammar(path)
        self.version = 0
        """Goes up with each change."""
        self._spoken: list[SpokenCommands] = []
        self._phones: dict[tuple[str, ...], None] = {}
        """Of every encoder that it was compiled for."""
        self._watchers: list[Callable[[tuple[str, ...]], None]] = []

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all commands, each once."""
        outcomes = self.grammar.outcomes
        return tuple(dict.fromkeys(outcomes[key].intent if key in outcomes else key for key in self.grammar.groups))

    def compiled(self, phones: Sequence[str]) -> CommandSet:
        """Compile it for an encoder's phones.

        Raises:
            GrammarError: it is too large, or a word has no pronunciation.
            MissingPackageError: the extra `recognition` is not installed.
        """
        found = self._compile(self.grammar, phones)
        self._phones[tuple(phones)] = None
        return found

    def _compile(self, grammar: Grammar, phones: Sequence[str]) -> CommandSet:
        own = [] if self._dictionary is None else [read_dictionary(self._dictionary)]
        return CommandSet.of_grammar(grammar, phones, own)

    def follow(self, spoken: SpokenCommands) -> None:
        """Let an encoder's streams hear what may be said by now."""
        self._spoken.append(spoken)

    def watch(self, changed: Callable[[tuple[str, ...]], None]) -> None:
        """Call `changed` with the commands' names after each change, in the loop."""
        self._watchers.append(changed)

    async def run(self) -> None:
        """Look at the file until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            stamp = self._look()
            if stamp is None or stamp == self._stamp:
                continue
            self._stamp = stamp
            try:
                grammar, sets = await in_thread(lambda _: self._read(), "edgevc-grammar")
            except EdgevcError as error:
                _LOG.warning("the grammar stays as it was: %s", error)
                continue
            self._change(grammar, sets)

    def _read(self) -> tuple[Grammar, dict[tuple[str, ...], CommandSet]]:
        """Read and compile it anew; nothing has changed if that fails."""
        grammar = read_grammar(self._path)
        return grammar, {phones: self._compile(grammar, phones) for phones in list(self._phones)}

    def _change(self, grammar: Grammar, sets: Mapping[tuple[str, ...], CommandSet]) -> None:
        self.grammar = grammar
        self.version += 1
        for spoken in self._spoken:
            spoken.commands = sets[spoken.commands.phones]
        _LOG.warning("the grammar has changed: %d commands", len(self.names))
        for changed in self._watchers:
            changed(self.names)

    def _look(self) -> tuple[int, int, int] | None:
        """What tells a file from its next version; None where it is not there."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
