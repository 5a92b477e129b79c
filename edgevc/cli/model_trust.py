"""The settings of all commands that open a model: whose signature it needs, and what opens an encrypted one."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from edgevc.settings.kinds import FilePath, Switch
from edgevc.settings.table import Setting, SettingsTable
from edgevc.signing.policy import require_signatures


@dataclass(frozen=True)
class TrustConfig:
    """Which models may be opened."""

    require_signature: bool = False
    identity: Path | None = None
    passphrase_file: Path | None = None


TRUST = SettingsTable(
    "trust",
    (
        Setting(
            "require_signature",
            "--require-signature",
            Switch(),
            "trust",
            "open only models that a trusted key has signed; `edgevc trust list` shows the keys",
        ),
        Setting("identity", "--identity", FilePath(), "trust", "file of age identities that open encrypted models"),
        Setting(
            "passphrase_file",
            "--passphrase-file",
            FilePath(),
            "trust",
            "file whose first line opens models that were encrypted with a passphrase",
        ),
    ),
    TrustConfig,
    {"trust": "which models are opened"},
)


def add_trust_option(parser: argparse.ArgumentParser) -> None:
    """Add the flags; the settings also stand in the file of settings and in the environment."""
    TRUST.add_arguments(parser, config=False)
    parser.set_defaults(opens_models=True)


def apply_trust(arguments: argparse.Namespace) -> None:
    """Let the settings hold for this process.

    Raises:
        ConfigError: the file of settings or a variable cannot be understood: in doubt nothing is opened.
    """
    config = TRUST.resolve(arguments)
    require_signatures(config.require_signature)
    if config.identity is not None or config.passphrase_file is not None:
        from edgevc.bundle.encryption import unlock_with

        unlock_with(config.identity, config.passphrase_file)
