"""How commands are given a passphrase: at the terminal, or in a file; never in an argument, which others can read."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

from edgevc.errors import ConfigError
from edgevc.files import require_private
from edgevc.signing.minisign import read_small_file


def add_passphrase_option(parser: argparse.ArgumentParser) -> None:
    """Add --passphrase-file."""
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="read the passphrase from the first line of FILE (default: ask at the terminal)",
    )


def passphrase(path: Path | None, prompt: str, *, twice: bool = False) -> bytes:
    """Return a passphrase.

    Args:
        path: of --passphrase-file.
        prompt: for the terminal.
        twice: ask again, since a slip would lock the key for ever.

    Raises:
        ConfigError: the file cannot be read, there is no terminal, or two answers differ.
    """
    if path is not None:
        require_private(path, "a passphrase")
        return read_small_file(path, "the passphrase").split("\n")[0].encode()
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask for the passphrase; give --passphrase-file FILE")
    answer = getpass.getpass(f"{prompt}: ")
    if twice and getpass.getpass(f"{prompt} again: ") != answer:
        raise ConfigError("the two passphrases differ; try again")
    return answer.encode()
