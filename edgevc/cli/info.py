"""`edgevc info`: checks a model and shows what it is."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from edgevc.bundle import ModelBundle
from edgevc.cli.common import MODEL_HELP, add_json, help_text
from edgevc.cli.model_figures import model_figures, signature_text
from edgevc.errors import ConfigError, ModelError
from edgevc.live.settings import LIVE
from edgevc.text import printable

_EXAMPLES = """\
  edgevc info
  edgevc info my_model/
"""
HELP = help_text(_EXAMPLES, (ConfigError, ModelError))
_MARK_WORDS = {
    True: "on",
    False: "off in `edgevc live`, by the setting mark = false; on elsewhere",
    None: "on, unless the settings say otherwise, which cannot be read; see `edgevc doctor`",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("bundle", nargs="?", metavar="MODEL", help=MODEL_HELP)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check the model and print what it is."""
    bundle = ModelBundle.find(arguments.bundle)
    model, rate = model_figures(bundle), bundle.features.sample_rate
    latency_ms, gmac_per_second = model["algorithmic_latency_ms"], model["gmac_per_second"]
    graphs = {
        name: {
            "n_parameters": graph.n_parameters,
            "macs_per_hop": graph.macs_per_hop,
            "chunk_hops": list(graph.chunk_hops),
            "bytes": {engine: len(bundle.read(path)) for engine, path in graph.files.items()},
            "quantization": {engine: dict(figures) for engine, figures in graph.quantization.items()},
        }
        for name, graph in bundle.graphs.items()
    }
    mark = _mark_of_live()
    if arguments.json:
        figures = {
            "name": bundle.name,
            "version": bundle.version,
            "description": bundle.description,
            "licence": bundle.licence,
            "sha256": bundle.sha256,
            "signature": None if bundle.signer is None else asdict(bundle.signer),
            "sample_rate": rate,
            "algorithmic_latency_ms": latency_ms,
            "gmac_per_second": gmac_per_second,
            "graphs": graphs,
            "voices": [voice.name for voice in bundle.voices],
            "training_data": [asdict(entry) for entry in bundle.training_data],
            "training_commit": bundle.training_commit,
            "mark": mark,
        }
        print(json.dumps(figures, indent=1))
        return 0
    print(f"{bundle.name} {bundle.version}: {bundle.description}")
    print(f"{printable(str(bundle.path))}, licence {bundle.licence}")
    print(f"algorithmic latency {latency_ms:.1f} ms at 1 hop per call, {gmac_per_second:.3f} GMAC/s")
    for name, graph in bundle.graphs.items():
        sizes = ", ".join(f"{engine} {len(bundle.read(path)) / 1e6:.2f} MB" for engine, path in graph.files.items())
        print(f"{name}: {graph.n_parameters / 1e6:.2f} M parameters, {sizes}")
    print(f"voices: {', '.join(voice.name for voice in bundle.voices)}")
    for entry in bundle.training_data:
        print(f"trained on {entry.name} ({entry.licence}), {entry.source}")
    print("every file matches its sha256")
    print(signature_text(bundle.signer))
    print(f"watermark in what it says: {_MARK_WORDS[mark]}")
    return 0


def _mark_of_live() -> bool | None:
    """Return whether `edgevc live` marks what it says, by its settings here; None where they cannot be read."""
    try:
        return LIVE.resolve(argparse.Namespace()).mark
    except ConfigError:
        return None
