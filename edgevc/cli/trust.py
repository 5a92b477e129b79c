"""`edgevc trust`: the keys whose models are trusted."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgevc.cli.common import help_text, say
from edgevc.errors import ConfigError, OutputError
from edgevc.text import printable

_EXAMPLES = """\
  edgevc trust list
  edgevc trust add maker.pub
  edgevc trust add --rotation maker-2027.rotation
  edgevc trust remove E2F1B4C0A9D83756
"""
_NOTES = """
Compare a key with its maker's web page before you add it: a signature says that the holder of a key made a model, not
that the maker is who you think. With require_signature = true below [trust] in the settings file, or
--require-signature, models without a trusted signature are refused.
"""
HELP = help_text(_EXAMPLES, (ConfigError, OutputError), notes=_NOTES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("action", choices=("list", "add", "remove"))
    parser.add_argument("key", nargs="?", metavar="KEY", help="add: a .pub file; remove: the key's id")
    parser.add_argument("--rotation", type=Path, metavar="FILE", help="add the new key of a statement by a trusted one")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked."""
    from edgevc.signing import trusted
    from edgevc.signing.minisign import parse_public_key, read_small_file
    from edgevc.signing.rotation import read_rotation

    if arguments.action == "list":
        if arguments.key is not None or arguments.rotation is not None:
            raise ConfigError("list takes no key; leave it out")
        for one in trusted.trusted_keys():
            origin = "comes with edgevc" if one.built_in else printable(str(one.path))
            say(f"{one.key.name}  {printable(one.key.comment) or '(no comment)'}; {origin}")
        return 0
    if arguments.action == "remove":
        if arguments.key is None or arguments.rotation is not None:
            raise ConfigError("name the key to remove, as `edgevc trust list` shows it")
        say(f"{trusted.remove_key(arguments.key)} removed: models signed by {arguments.key} are not trusted any more")
        return 0
    if (arguments.key is None) == (arguments.rotation is None):
        raise ConfigError("name a .pub file to add, or --rotation FILE")
    if arguments.rotation is not None:
        key = read_rotation(arguments.rotation).new
    else:
        key = parse_public_key(read_small_file(Path(arguments.key), "the public key"), arguments.key)
    path = trusted.add_key(key)
    say(f"{key.name} is trusted from now on ({path})")
    return 0
