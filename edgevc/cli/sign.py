"""`edgevc sign`: signs a model."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgevc.cli.common import help_text, say
from edgevc.cli.secrets import add_passphrase_option, passphrase
from edgevc.errors import ConfigError, MissingPackageError, ModelError, OutputError

_EXAMPLES = """\
  edgevc sign my_model/ --key maker.key
  edgevc sign my_model.zip --key maker.key --comment "version 1.2"
"""
_NOTES = """
The signature, manifest.json.minisig, lies beside manifest.json, which holds the hash of every file; `minisign -V` reads
it too. A model that is changed after it was signed is refused wherever the key is trusted.
"""
HELP = help_text(_EXAMPLES, (ConfigError, ModelError, OutputError, MissingPackageError), notes=_NOTES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model folder or .zip")
    parser.add_argument("--key", type=Path, required=True, metavar="KEY", help="the secret key, from edgevc keygen")
    parser.add_argument("--comment", default="", metavar="TEXT", help="signed with the model, and shown")
    add_passphrase_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Sign the model."""
    from edgevc.bundle.sign import sign_bundle
    from edgevc.signing.keys import read_secret_key

    key = read_secret_key(
        arguments.key, lambda: passphrase(arguments.passphrase_file, f"passphrase of {arguments.key}")
    )
    bundle = sign_bundle(arguments.model, key, arguments.comment)
    say(f"{bundle.name} {bundle.version}, sha256 {bundle.sha256}, signed by key {key.public.name}")
    return 0
