"""`edgevc verify`: says who signed a model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgevc.cli.common import MODEL_HELP, add_json, help_text, say
from edgevc.errors import ConfigError, ModelError

_EXAMPLES = """\
  edgevc verify my_model/
  edgevc verify my_model.zip --key maker.pub
"""
HELP = help_text(
    _EXAMPLES, (ConfigError, ModelError), {0: "signed by a trusted key", 1: "not signed, or by a key not trusted here"}
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--key", type=Path, metavar="PUB", help="take this public key alone for trusted")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check every file's hash and the signature."""
    from edgevc.bundle import ModelBundle
    from edgevc.bundle.sign import signed_by
    from edgevc.cli.model_figures import signature_text
    from edgevc.signing.minisign import parse_public_key, read_small_file

    bundle = ModelBundle.find(arguments.model)
    signer = bundle.signer
    if arguments.key is not None:
        key = parse_public_key(read_small_file(arguments.key, "the public key"), str(arguments.key))
        signer = signed_by(bundle, key)
    trusted = signer is not None and signer.trusted
    if arguments.json:
        found = None if signer is None else {"key": signer.key_name, "comment": signer.comment, "owner": signer.owner}
        print(json.dumps({"sha256": bundle.sha256, "trusted": trusted, "signature": found}, indent=1))
    else:
        say(f"{bundle.name} {bundle.version}, sha256 {bundle.sha256}: {signature_text(signer)}")
    return 0 if trusted else 1
