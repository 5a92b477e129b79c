"""The command line: edgevc convert | voices | info | bench."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from edgevc import __version__
from edgevc.bench import bench
from edgevc.bundle import ENGINES, ModelBundle
from edgevc.convert import ProgressBar, convert_file, convert_raw, describe_latency, list_jobs
from edgevc.converter import CHUNK_HOPS, SAMPLE_RATE, VoiceConverter
from edgevc.errors import AudioFileError, ConfigError, EngineError, ModelError
from edgevc.plot import plot_comparison
from edgevc.resample import resample
from edgevc.wavfile import read_audio

EXIT_CODES = {ConfigError: 2, ModelError: 3, EngineError: 4, AudioFileError: 5}
_INTERRUPTED = 130

_EPILOG = """exit codes:
  0 done   2 wrong arguments   3 damaged or unknown model   4 no usable inference engine
  5 audio file cannot be read or written   130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except tuple(EXIT_CODES) as error:
        print(f"edgevc: {error}", file=sys.stderr)
        return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    except KeyboardInterrupt:
        print("edgevc: interrupted; nothing half-written was left", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # the reader of our output went away; there is nobody left to tell
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgevc",
        description="Changes the voice and keeps the words, on small boards.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"edgevc {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    command = _command(
        commands,
        "convert",
        _convert,
        "convert a file, a folder of files, or raw audio from a pipe",
        "  edgevc convert me.wav other.wav --voice kathleen\n"
        "  edgevc convert recordings/ converted/ --voice bdl --force\n"
        "  edgevc convert me.wav other.wav --voice anon --plot both.png\n"
        "  arecord -f S16_LE -r 16000 -t raw | edgevc convert - - --voice slt | aplay -f S16_LE -r 16000 -t raw",
    )
    command.add_argument("input", help="WAV, FLAC or OGG file of any rate, a folder, or - for raw 16-bit mono PCM")
    command.add_argument("output", help=".wav file (16 kHz mono), a folder, or - for raw 16-bit PCM at 16 kHz")
    command.add_argument("--voice", required=True, help="target voice; `edgevc voices` lists them")
    command.add_argument("--pitch", type=float, default=0.0, metavar="SEMITONES", help="raise or lower the pitch")
    command.add_argument("--gain", type=float, default=0.0, metavar="DB", help="make the output louder or softer")
    command.add_argument("--force", action="store_true", help="replace files that exist")
    command.add_argument("--plot", type=Path, metavar="PNG", help="draw input and output, spectrogram and F0")
    command.add_argument("--raw-rate", type=int, default=SAMPLE_RATE, metavar="HZ", help="rate of raw input")
    _add_model_options(command)

    command = _command(commands, "voices", _voices, "list the voices of a model", "  edgevc voices")
    command.add_argument("--bundle", type=Path, help="folder or .zip of a model; default: the one that comes along")
    command.add_argument("--json", action="store_true", help="for machines")

    command = _command(
        commands, "info", _info, "check a model and show what it is", "  edgevc info\n  edgevc info my_model/"
    )
    command.add_argument("bundle", type=Path, nargs="?", help="folder or .zip; default: the one that comes along")
    command.add_argument("--json", action="store_true", help="for machines")

    command = _command(
        commands,
        "bench",
        _bench,
        "measure speed and memory on this machine",
        "  edgevc bench\n  edgevc bench --engine onnx --chunk-hops 4",
    )
    command.add_argument("--voice", help="default: the model's first")
    command.add_argument("--seconds", type=float, default=20.0, help="of audio to convert (default 20)")
    command.add_argument("--json", action="store_true", help="for machines")
    _add_model_options(command)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: object,
    text: str,
    examples: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"examples:\n{examples}\n\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def _add_model_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--bundle", type=Path, help="folder or .zip of a model; default: the one that comes along")
    command.add_argument("--engine", choices=("auto", *ENGINES), default="auto", help="inference engine")
    command.add_argument(
        "--chunk-hops",
        type=int,
        choices=CHUNK_HOPS,
        default=1,
        help="hops of 10 ms per call: more cost less CPU and add as much latency (default 1)",
    )


def _open(path: Path | None) -> ModelBundle:
    return ModelBundle.default() if path is None else ModelBundle.open(path)


def _convert(arguments: argparse.Namespace) -> int:
    if (arguments.input == "-") != (arguments.output == "-"):
        raise ConfigError("raw audio goes from - to -; give files for both or - for both")
    converter = VoiceConverter(_open(arguments.bundle), arguments.engine, arguments.chunk_hops)
    stream = converter.stream(arguments.voice, arguments.pitch, arguments.gain)
    where = f"{converter.engine}, latency {describe_latency(converter)}"
    if arguments.input == "-":
        print(f"edgevc: {arguments.voice} with {where}", file=sys.stderr)
        convert_raw(sys.stdin.buffer, sys.stdout.buffer, stream, arguments.raw_rate)
        return 0
    jobs = list_jobs(Path(arguments.input), Path(arguments.output))
    if arguments.plot is not None and len(jobs) > 1:
        raise ConfigError(f"--plot draws one conversion, got {len(jobs)} files; convert one file")
    print(f"{arguments.voice} with {where}")
    for source, target in jobs:
        target.parent.mkdir(parents=True, exist_ok=True)
        bar = ProgressBar(source.name, None)
        try:
            report = convert_file(source, target, stream, overwrite=arguments.force, progress=bar)
        finally:
            bar.close()
        print(
            f"{target}: {report.seconds:.2f} s, RTF {report.rtf:.4f} "
            f"({report.processing_seconds:.3f} s / {report.seconds:.2f} s), "
            f"level {report.level_in_db:.1f} -> {report.level_out_db:.1f} dBFS"
        )
    if arguments.plot is not None:
        source, target = jobs[0]
        samples, rate, _ = read_audio(source)
        plot_comparison(
            arguments.plot,
            {f"{source.name}": resample(samples, rate, SAMPLE_RATE), f"{arguments.voice}": read_audio(target)[0]},
        )
        print(f"{arguments.plot}: spectrograms and F0")
    return 0


def _voices(arguments: argparse.Namespace) -> int:
    bundle = _open(arguments.bundle)
    if arguments.json:
        print(json.dumps([asdict(voice) for voice in bundle.voices], indent=1))
        return 0
    for voice in bundle.voices:
        print(f"{voice.name:10s} {voice.description}; mean F0 {2**voice.log2_f0_mean:.0f} Hz; {voice.licence}")
        print(f"{'':10s} {voice.consent}")
    return 0


def _info(arguments: argparse.Namespace) -> int:
    bundle = _open(arguments.bundle)
    figures = {
        "name": bundle.name,
        "version": bundle.version,
        "description": bundle.description,
        "licence": bundle.licence,
        "sample_rate": bundle.features.sample_rate,
        "algorithmic_latency_ms": 1000
        * (bundle.latency.latency_samples + bundle.latency.hop_samples)
        / bundle.features.sample_rate,
        "gmac_per_second": sum(graph.macs_per_hop for graph in bundle.graphs.values())
        * bundle.features.sample_rate
        / bundle.latency.hop_samples
        / 1e9,
        "graphs": {
            name: {
                "n_parameters": graph.n_parameters,
                "macs_per_hop": graph.macs_per_hop,
                "bytes": {engine: len(bundle.read(path)) for engine, path in graph.files.items()},
                "quantization": {engine: dict(figures) for engine, figures in graph.quantization.items()},
            }
            for name, graph in bundle.graphs.items()
        },
        "voices": [voice.name for voice in bundle.voices],
        "training_data": [asdict(entry) for entry in bundle.training_data],
        "training_commit": bundle.training_commit,
    }
    if arguments.json:
        print(json.dumps(figures, indent=1))
        return 0
    print(f"{bundle.name} {bundle.version}: {bundle.description}")
    print(f"licence {bundle.licence}, algorithmic latency {figures['algorithmic_latency_ms']:.1f} ms at 1 hop per call")
    print(f"{figures['gmac_per_second']:.3f} GMAC/s")
    for name, graph in bundle.graphs.items():
        sizes = ", ".join(f"{engine} {len(bundle.read(path)) / 1e6:.2f} MB" for engine, path in graph.files.items())
        print(f"{name}: {graph.n_parameters / 1e6:.2f} M parameters, {sizes}")
    print(f"voices: {', '.join(voice.name for voice in bundle.voices)}")
    for entry in bundle.training_data:
        print(f"trained on {entry.name} ({entry.licence}), {entry.source}")
    print("every file matches its sha256")
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    if not 1.0 <= arguments.seconds <= 3600.0:
        raise ConfigError(f"--seconds must be within 1..3600, got {arguments.seconds}")
    converter = VoiceConverter(_open(arguments.bundle), arguments.engine, arguments.chunk_hops)
    report = bench(converter, arguments.voice or converter.bundle.voices[0].name, arguments.seconds)
    if arguments.json:
        print(json.dumps(asdict(report), indent=1))
        return 0
    print(f"{report.engine}, {report.chunk_hops} hop(s) per call, latency {describe_latency(converter)}")
    print(f"{'ms per call':12s} {'p50':>8s} {'p95':>8s} {'p99':>8s} {'max':>8s}")
    for name, p in {**report.parts, "whole chain": report.chunk}.items():
        print(f"{name:12s} {p.p50:8.3f} {p.p95:8.3f} {p.p99:8.3f} {p.maximum:8.3f}")
    print(f"RTF {report.rtf:.4f} (processing time / audio time), peak memory {report.peak_rss_mb:.0f} MB resident")
    return 0
