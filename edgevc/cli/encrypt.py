"""`edgevc encrypt`: encrypts a model, for makers who must protect a voice."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgevc.cli.common import help_text, say
from edgevc.errors import ConfigError, MissingPackageError, ModelError, OutputError

_EXAMPLES = """\
  edgevc encrypt model.zip -o model.zip.age --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
  edgevc encrypt model.zip -o model.zip.age --passphrase-file secret.txt
"""
_NOTES = """
It is opened with --identity FILE or --passphrase-file FILE, or the same keys below [trust] in the settings file, and
decrypted in memory only. Who can read that file or the memory of the process has the model: docs/signing.md.
"""
HELP = help_text(_EXAMPLES, (ConfigError, ModelError, OutputError, MissingPackageError), notes=_NOTES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("model", type=Path, metavar="MODEL.zip", help="a zipped model")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.age", help="the encrypted file")
    parser.add_argument(
        "--recipient",
        action="append",
        default=[],
        metavar="AGE1...",
        help="a public key, as age-keygen -y prints it",
    )
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="the passphrase is its first line")


def run(arguments: argparse.Namespace) -> int:
    """Encrypt the model."""
    from edgevc.bundle import ModelBundle
    from edgevc.bundle.encryption import encrypt
    from edgevc.files import refuse_shared_files

    refuse_shared_files([("the model", arguments.model)], [("the output", arguments.output)])
    if arguments.output.suffix != ".age":
        raise ConfigError(f"the output must be an .age file, got {arguments.output}; name it {arguments.output}.age")
    if arguments.model.is_dir():
        raise ConfigError(f"{arguments.model} is a folder; zip it first, and sign it before that if you do")
    bundle = ModelBundle.open(arguments.model)
    encrypt(arguments.model, arguments.output, arguments.recipient, arguments.passphrase_file)
    say(f"{bundle.name} {bundle.version} encrypted: {arguments.output}")
    return 0
