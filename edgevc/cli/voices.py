"""`edgevc voices`: the built-in models with their measured figures, and the voices of one."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from edgevc.bundle import ModelBundle, shipped_models
from edgevc.cli.common import MODEL_HELP, add_json, help_text
from edgevc.cli.model_figures import consent_text, model_figures, quality
from edgevc.cli.own_voices import own_figures, own_line
from edgevc.errors import ConfigError, ModelError
from edgevc.text import printable
from edgevc.voices.library import folder, installed

_EXAMPLES = """\
  edgevc voices
  edgevc voices --bundle low-latency
"""
HELP = help_text(_EXAMPLES, (ConfigError, ModelError))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--bundle", metavar="MODEL", help=MODEL_HELP)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """List models and voices."""
    bundle = ModelBundle.find(arguments.bundle)
    others = [] if arguments.bundle else [name for name in shipped_models() if name != "default"]
    models = [bundle, *map(ModelBundle.find, others)]
    if arguments.json:
        listed = {
            "models": [model_figures(model) | {"quality": dict(model.quality)} for model in models],
            "voices": [asdict(voice) for voice in bundle.voices],
            "own": [own_figures(path, bundle) for path in installed().values()],
        }
        print(json.dumps(listed, indent=1))
        return 0
    if len(models) > 1:
        print("models, the first unless --bundle NAME says otherwise:")
    for model in models:
        figures = model_figures(model)
        print(
            f"{model.name:12s} {figures['algorithmic_latency_ms']:g} ms, {figures['gmac_per_second']:.3f} GMAC/s, "
            f"{figures['bytes'] / 1e6:.1f} MB{quality(model)}"
        )
    print(f"\nvoices of {bundle.name}:")
    for voice in bundle.voices:
        print(f"{voice.name:10s} {voice.description}; mean F0 {2**voice.log2_f0_mean:.0f} Hz; {voice.licence}")
        print(f"{'':10s} consent: {printable(voice.consent)}")
        if voice.consent_record is not None:
            print(f"{'':10s} {consent_text(voice.consent_record)}")
    own = installed()
    if own:
        print(f"\nyour own voices, in {printable(str(folder()))}:")
    for path in own.values():
        print(own_line(path, bundle))
    return 0
