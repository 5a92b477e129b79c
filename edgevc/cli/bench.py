"""`edgevc bench`: speed and memory on this machine."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from edgevc.bundle import ModelBundle
from edgevc.cli.common import add_json, add_model_options, help_text
from edgevc.errors import ConfigError, EngineError, ModelError

_EXAMPLES = """\
  edgevc bench
  edgevc bench --engine onnx --chunk-hops 4
"""
HELP = help_text(_EXAMPLES, (ConfigError, ModelError, EngineError))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--voice", metavar="NAME", help="target voice (default: the model's first)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of audio to convert, 1 to 3600 (default 20)")
    add_json(parser)
    add_model_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    from edgevc.convert import describe_latency
    from edgevc.converter import VoiceConverter
    from edgevc.converter.bench import bench

    if not 1.0 <= arguments.seconds <= 3600.0:
        raise ConfigError(f"--seconds must be within 1..3600, got {arguments.seconds}")
    converter = VoiceConverter(ModelBundle.find(arguments.bundle), arguments.engine, arguments.chunk_hops)
    report = bench(converter, arguments.voice or converter.bundle.voices[0].name, arguments.seconds)
    if arguments.json:
        print(json.dumps(asdict(report), indent=1))
        return 0
    hops = "1 hop" if report.chunk_hops == 1 else f"{report.chunk_hops} hops"
    print(f"{report.engine}, {hops} per call, latency {describe_latency(converter)}")
    print(f"{'ms per call':12s} {'p50':>8s} {'p95':>8s} {'p99':>8s} {'max':>8s}")
    for name, p in {**report.parts, "whole chain": report.chunk}.items():
        print(f"{name:12s} {p.p50:8.3f} {p.p95:8.3f} {p.p99:8.3f} {p.max:8.3f}")
    print(f"RTF {report.rtf:.4f} (processing time / audio time), peak memory {report.peak_rss_mb:.0f} MB resident")
    return 0
