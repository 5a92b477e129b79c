"""`edgevc commands from-ha`: the grammar of what a Home Assistant exposes."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

from edgevc.cli.common import ENDING_SIGNALS, complain
from edgevc.errors import ConfigError
from edgevc.files import write_atomic
from edgevc.house.connection import HouseConnection
from edgevc.house.follow import follow
from edgevc.house.grammar import house_grammar
from edgevc.house.house import House, read_house
from edgevc.recognition.grammar import GrammarError
from edgevc.recognition.lexicon import lexicon_of, read_dictionary
from edgevc.relay.settings import check_url
from edgevc.settings.secret import SecretText, secret_of

TOKEN_VARIABLE = "EDGEVC_HOME_ASSISTANT_TOKEN"  # noqa: S105 (a variable's name)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action's options."""
    parser.add_argument("url", metavar="URL", help="of Home Assistant, such as http://homeassistant.local:8123")
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"holds a long-lived access token of an administrator (else the variable {TOKEN_VARIABLE})",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="grammar to write, .yaml (default: to stdout)")
    parser.add_argument("--follow", action="store_true", help="go on, and write it anew whenever the house changes")
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="who signs its certificate")
    parser.add_argument(
        "--dictionary", type=Path, action="append", default=[], metavar="FILE", help="pronunciations, may be repeated"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the grammar once, or until it is told to end."""
    check_url(arguments.url, "URL", shown=arguments.url)
    if arguments.follow and arguments.output is None:
        raise ConfigError("--follow writes a file again and again; name it with --output")
    if arguments.output is not None and arguments.output.suffix.lower() not in (".yaml", ".yml"):
        raise ConfigError(f"--output must be a .yaml file, got {arguments.output}")
    given = os.environ.get(TOKEN_VARIABLE) if arguments.token_file is None else None
    token = secret_of(SecretText(given) if given else None, arguments.token_file, "token of Home Assistant")
    if token is None:
        raise ConfigError(f"Home Assistant asks for a token; name its file with --token-file, or set {TOKEN_VARIABLE}")
    chosen = token
    writer = _Writer(arguments)

    def connect() -> HouseConnection:
        return HouseConnection(arguments.url, chosen, arguments.ca_file)

    if not arguments.follow:
        with connect() as home:
            writer.write(read_house(home))
        return 0
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    for number in (signal.SIGINT, *ENDING_SIGNALS):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)
    follow(connect, writer.follow, stop)
    return 0


class _Writer:
    """Writes what has changed, and says what is left out, once."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._dictionaries = [read_dictionary(path) for path in arguments.dictionary]
        self._known: dict[str, bool] = {}
        self._said: set[str] = set()
        self._written: str | None = None

    def follow(self, house: House) -> None:
        """Write it, or say why the file stays as it is."""
        try:
            self.write(house)
        except GrammarError as error:
            complain(f"{error}; {self._arguments.output} stays as it is")

    def write(self, house: House) -> None:
        """Write it."""
        grammar = house_grammar(house, self._arguments.url, self._unknown)
        for line in grammar.left_out:
            if line not in self._said:
                self._said.add(line)
                complain(f"left out: {line}")
        if self._arguments.output is None:
            print(grammar.text, end="")
        elif grammar.text != self._written:
            write_atomic(self._arguments.output, grammar.text.encode())
            self._written = grammar.text
            if not self._arguments.quiet:
                n = len(house.entities)
                complain(f"{self._arguments.output}: {n} entit{'y' if n == 1 else 'ies'}, {len(house.areas)} areas")

    def _unknown(self, words: Iterable[str]) -> set[str]:
        wanted = set(words)
        new = wanted - self._known.keys()
        if new:
            lexicon = lexicon_of(new, self._dictionaries)
            self._known |= {word: word in lexicon for word in new}
        return {word for word in wanted if not self._known[word]}
