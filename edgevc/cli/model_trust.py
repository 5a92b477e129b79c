"""The setting that refuses models which nobody whom this machine trusts has signed; for all commands that open one."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from edgevc.settings.kinds import Switch
from edgevc.settings.table import Setting, SettingsTable
from edgevc.signing.policy import require_signatures


@dataclass(frozen=True)
class TrustConfig:
    """Which models may be opened."""

    require_signature: bool = False


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
    ),
    TrustConfig,
    {"trust": "whose models are opened"},
)


def add_trust_option(parser: argparse.ArgumentParser) -> None:
    """Add --require-signature; the setting also stands in the file of settings and in the environment."""
    TRUST.add_arguments(parser, config=False)


def apply_trust(arguments: argparse.Namespace) -> None:
    """Let the rule hold for this process.

    Raises:
        ConfigError: the file of settings or the variable cannot be understood: in doubt nothing is opened.
    """
    require_signatures(TRUST.resolve(arguments).require_signature)
