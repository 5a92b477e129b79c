"""`edgevc keygen`: makes a key pair that signs models."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgevc.cli.common import help_text, say
from edgevc.cli.secrets import add_passphrase_option, passphrase
from edgevc.errors import ConfigError, MissingPackageError, OutputError

_EXAMPLES = """\
  edgevc keygen maker --comment "Maker of voices"
  edgevc keygen ci --no-passphrase
  edgevc keygen maker-2027 --replaces maker.key
"""
_NOTES = """
It writes NAME.key, which stays with you, and NAME.pub, which others need: `edgevc trust add NAME.pub`. Both are as
minisign has them. --replaces also writes NAME.rotation, signed by the old and the new key: who trusts the old one types
`edgevc trust add --rotation NAME.rotation` and trusts the new one as well.
"""
HELP = help_text(_EXAMPLES, (ConfigError, OutputError, MissingPackageError), notes=_NOTES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("name", type=Path, metavar="NAME", help="of the two files, without .key and .pub")
    parser.add_argument("--comment", default="", metavar="TEXT", help="whose key it is; others see it")
    parser.add_argument("--no-passphrase", action="store_true", help="let the secret key lie openly, for programs")
    parser.add_argument("--replaces", type=Path, metavar="OLD.key", help="write a statement that OLD.key hands over")
    add_passphrase_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make the keys."""
    from edgevc.files import check_output
    from edgevc.signing.keys import generate, read_secret_key, write_pair
    from edgevc.signing.rotation import write_rotation

    if arguments.no_passphrase and arguments.passphrase_file is not None:
        raise ConfigError("--no-passphrase and --passphrase-file exclude each other; leave one out")
    secret, public, rotation = (_beside(arguments.name, suffix) for suffix in (".key", ".pub", ".rotation"))
    for path in (secret, public, *([rotation] if arguments.replaces else [])):
        check_output(path)
    old = None
    if arguments.replaces is not None:
        old = read_secret_key(
            arguments.replaces, lambda: passphrase(arguments.passphrase_file, f"passphrase of {arguments.replaces}")
        )
    key = generate(arguments.comment)
    hidden = b""
    if not arguments.no_passphrase:
        hidden = passphrase(arguments.passphrase_file, f"new passphrase for {secret}", twice=True)
        if not hidden:
            raise ConfigError("an empty passphrase hides nothing; give one, or --no-passphrase")
    write_pair(key, secret, public, hidden)
    if old is not None:
        write_rotation(old, key, rotation)
    say(f"key {key.public.name}")
    say(f"{secret}: keep it to yourself, and a copy in a safe place")
    say(f"{public}: give it to everybody; they type `edgevc trust add {public}`")
    if old is not None:
        say(f"{rotation}: for those who trust {old.public.name}; with its two signatures, .minisig and .new.minisig")
    return 0


def _beside(name: Path, suffix: str) -> Path:
    if not name.name:
        raise ConfigError(f"a key's files need a name, got {str(name)!r}; give one, such as maker")
    return name.with_name(name.name + suffix)
