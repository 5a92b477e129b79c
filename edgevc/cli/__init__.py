"""The command line of edgevc: one subcommand for each thing that it does."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgevc
from edgevc.bundle import CHUNK_HOPS, ENGINES, ModelBundle, shipped_models
from edgevc.cli import doctor as doctor_command
from edgevc.cli import latency as latency_command
from edgevc.cli import live as live_command
from edgevc.cli import service as service_command
from edgevc.cli import tune as tune_command
from edgevc.cli.devices import add_parser as add_devices
from edgevc.cli.quantize import add_parser as add_quantize
from edgevc.errors import (
    AudioDeviceError,
    AudioFileError,
    ConfigError,
    EdgevcError,
    EngineError,
    GateError,
    ModelError,
)

if TYPE_CHECKING:
    from edgevc.audio.backing import BackingTrack
    from edgevc.converter import ConverterStream

# The rest is imported by the command that needs it: `edgevc --help` shall not wait for it on a slow card.

EXIT_CODES = {
    ConfigError: 2,
    ModelError: 3,
    EngineError: 4,
    AudioFileError: 5,
    AudioDeviceError: 6,
    GateError: 7,
}
_INTERRUPTED = 130

_EPILOG = """exit codes:
  0 done   2 wrong arguments   3 damaged or unknown model or voice   4 no usable inference engine
  5 audio cannot be read or written   6 no usable sound device   7 quantized model below its gate   130 interrupted
"""

_MODEL_HELP = "a model that comes with edgevc (edgevc voices lists them), or a folder or .zip of one"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    try:
        arguments = _parser().parse_args(argv)
        code = int(arguments.run(arguments))
        sys.stdout.flush()
    except EdgevcError as error:
        _complain(str(error))
        return _exit_code(error)
    except KeyboardInterrupt:
        _complain("interrupted")
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away; there is nobody left to tell.
        _abandon_stdout()
        return 0
    except OSError as error:
        _complain(str(error))
        _abandon_stdout()
        return EXIT_CODES[AudioFileError]
    return code


def _complain(message: str) -> None:
    print(f"edgevc: {message}", file=sys.stderr)


def _abandon_stdout() -> None:
    """Keep Python from failing once more when it empties its buffer at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _exit_code(error: EdgevcError) -> int:
    return error.exit_code


class _VersionAction(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"edgevc {edgevc.__version__}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgevc",
        description="Changes the voice and keeps the words, on small boards.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_VersionAction, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    command = _command(
        commands,
        "convert",
        _convert,
        "convert a file, a folder of files, or raw audio from a pipe",
        "  edgevc convert me.wav other.wav --voice kathleen\n"
        "  edgevc convert recordings/ converted/ --voice bdl --force\n"
        "  edgevc convert me.wav other.wav --voice anon --plot both.png\n"
        "  edgevc convert singing.wav song.wav --voice slt --formant 2 --backing band.flac --backing-gain -6\n"
        "  arecord -f S16_LE -r 16000 -t raw | edgevc convert - - --voice slt | aplay -f S16_LE -r 16000 -t raw",
    )
    command.add_argument(
        "input", help="WAV, FLAC or OGG file of any rate and channel count, a folder, or - for raw 16-bit mono PCM"
    )
    command.add_argument("output", help=".wav file (16 kHz mono), a folder, or - for raw 16-bit mono PCM at 16 kHz")
    command.add_argument("--voice", required=True, metavar="NAME", help="target voice; `edgevc voices` lists them")
    command.add_argument(
        "--pitch", type=float, default=0.0, metavar="SEMITONES", help="raise or lower the pitch, -24 to 24 (default 0)"
    )
    command.add_argument(
        "--formant",
        type=float,
        default=0.0,
        metavar="SEMITONES",
        help="raise or lower the resonances and leave the pitch, -12 to 12 (default 0)",
    )
    command.add_argument(
        "--gain", type=float, default=0.0, metavar="DB", help="make the output louder or softer, -40 to 40 (default 0)"
    )
    command.add_argument("--no-gate", action="store_true", help="leave what is no speech as loud as the model makes it")
    command.add_argument(
        "--backing",
        type=Path,
        metavar="FILE",
        help="mix an accompaniment in, WAV, FLAC or OGG of any rate, in time with the converted voice",
    )
    command.add_argument(
        "--backing-gain", type=float, default=0.0, metavar="DB", help="of the accompaniment, -60 to 20 (default 0)"
    )
    command.add_argument("--force", action="store_true", help="replace files that exist")
    command.add_argument(
        "--plot", type=Path, metavar="PNG", help="draw spectrogram and F0 of input and output, one above the other"
    )
    command.add_argument("--raw-rate", type=int, metavar="HZ", help="rate of raw input (default 16000)")
    _add_model_options(command)

    command = _command(
        commands,
        "voices",
        _voices,
        "list the models that come along with their measured figures, and the voices of one",
        "  edgevc voices\n  edgevc voices --bundle low-latency",
    )
    command.add_argument("--bundle", metavar="MODEL", help=_MODEL_HELP)
    command.add_argument("--json", action="store_true", help="print JSON")

    command = _command(
        commands, "info", _info, "check a model and show what it is", "  edgevc info\n  edgevc info my_model/"
    )
    command.add_argument("bundle", nargs="?", metavar="MODEL", help=_MODEL_HELP)
    command.add_argument("--json", action="store_true", help="print JSON")

    command = _command(
        commands,
        "bench",
        _bench,
        "measure speed and memory on this machine",
        "  edgevc bench\n  edgevc bench --engine onnx --chunk-hops 4",
    )
    command.add_argument("--voice", metavar="NAME", help="target voice (default: the model's first)")
    command.add_argument("--seconds", type=float, default=20.0, help="of audio to convert, 1 to 3600 (default 20)")
    command.add_argument("--json", action="store_true", help="print JSON")
    _add_model_options(command)
    live_command.add_parser(commands, _EPILOG)
    doctor_command.add_parser(commands)
    latency_command.add_parser(commands, _EPILOG)
    service_command.add_parser(commands)
    tune_command.add_parser(commands)
    add_devices(commands)
    add_quantize(commands)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
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
    command.add_argument("--bundle", metavar="MODEL", help=_MODEL_HELP)
    command.add_argument(
        "--engine",
        choices=("auto", *ENGINES),
        default="auto",
        help="inference engine (default auto: LiteRT where it is installed, else ONNX Runtime)",
    )
    command.add_argument(
        "--chunk-hops",
        type=int,
        choices=CHUNK_HOPS,
        default=1,
        help="hops of 10 ms per call: more cost less CPU and add as much latency (default 1)",
    )


def _convert(arguments: argparse.Namespace) -> int:
    if (arguments.input == "-") != (arguments.output == "-"):
        raise ConfigError("raw audio goes from - to -; give files for both or - for both")
    if arguments.input == "-":
        return _convert_raw(arguments)
    if arguments.raw_rate is not None:
        raise ConfigError("--raw-rate is for raw input (-); a file's header says its rate")
    from edgevc.convert import check_target, describe_latency, list_jobs
    from edgevc.converter import VoiceConverter

    # All that can be refused is refused before the first second of work.
    source, target = Path(arguments.input), Path(arguments.output)
    jobs = list_jobs(source, target)
    if not source.is_dir() and arguments.output.endswith(os.sep):
        jobs = [(source, target / f"{source.stem}.wav")]
    for job in jobs:
        check_target(*job, overwrite=arguments.force)
    if arguments.plot is not None:
        if len(jobs) > 1:
            raise ConfigError(f"--plot draws one conversion, got {len(jobs)} files; convert one file")
        from edgevc.plot import check_plot

        check_plot(arguments.plot, overwrite=arguments.force)
    backing = _open_backing(arguments)
    converter = VoiceConverter(ModelBundle.find(arguments.bundle), arguments.engine, arguments.chunk_hops)
    stream = converter.stream(
        arguments.voice, arguments.pitch, arguments.gain, arguments.formant, not arguments.no_gate
    )
    print(f"{arguments.voice} with {converter.engine}, latency {describe_latency(converter)}")
    with backing or contextlib.nullcontext(), _termination_as_interrupt():
        failures = [
            code for job in jobs if (code := _convert_job(*job, stream, backing, arguments.force, alone=len(jobs) == 1))
        ]
    if failures:
        _complain(f"{len(failures)} of {len(jobs)} files could not be converted")
        return failures[0]
    if arguments.plot is not None:
        _plot(arguments.plot, *jobs[0], arguments.voice)
    return 0


def _open_backing(arguments: argparse.Namespace) -> BackingTrack | None:
    if arguments.backing is None:
        if arguments.backing_gain:
            raise ConfigError("--backing-gain needs --backing FILE")
        return None
    from edgevc.audio.backing import BackingTrack

    return BackingTrack(arguments.backing, arguments.backing_gain)


def _convert_job(
    source: Path,
    target: Path,
    stream: ConverterStream,
    backing: BackingTrack | None,
    overwrite: bool,
    *,
    alone: bool,
) -> int:
    """Convert one file; return an exit code where it fails and others are waiting."""
    from edgevc.convert import convert_file

    bar = ProgressBar(source.name)
    try:
        _make_folder(target.parent)
        report = convert_file(source, target, stream, overwrite=overwrite, progress=bar, backing=backing)
    except EdgevcError as error:
        if alone:
            raise
        bar.close()
        _complain(str(error))
        return _exit_code(error)
    finally:
        bar.close()
    print(
        f"{target}: {report.seconds:.2f} s, RTF {report.rtf:.4f} "
        f"({report.processing_seconds:.3f} s / {report.seconds:.2f} s), "
        f"level {report.level_in_db:.1f} -> {report.level_out_db:.1f} dBFS",
        flush=True,
    )
    return 0


@contextlib.contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let a service manager's SIGTERM unwind like Ctrl-C, so that it leaves no half-written file either."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioFileError(f"cannot make the folder {folder}: {error.strerror}; choose another output") from error


def _plot(path: Path, source: Path, target: Path, voice: str) -> None:
    from edgevc.audio.reader import read_audio
    from edgevc.dsp.feature_config import SAMPLE_RATE
    from edgevc.dsp.resample import resample
    from edgevc.plot import plot_comparison

    samples, rate, _ = read_audio(source)
    plot_comparison(path, {source.name: resample(samples, rate, SAMPLE_RATE), voice: read_audio(target)[0]})
    print(f"{path}: spectrograms and F0")


def _convert_raw(arguments: argparse.Namespace) -> int:
    from edgevc.convert import convert_raw, describe_latency
    from edgevc.converter import SAMPLE_RATE, VoiceConverter

    if arguments.plot is not None:
        raise ConfigError("--plot draws files; convert a file")
    if sys.stdin is None or sys.stdout is None or sys.stdin.isatty() or sys.stdout.isatty():
        raise ConfigError("raw audio comes and goes through pipes, not a terminal; see `edgevc convert --help`")
    converter = VoiceConverter(ModelBundle.find(arguments.bundle), arguments.engine, arguments.chunk_hops)
    stream = converter.stream(
        arguments.voice, arguments.pitch, arguments.gain, arguments.formant, not arguments.no_gate
    )
    backing = _open_backing(arguments)
    where = f"{arguments.voice} with {converter.engine}, latency {describe_latency(converter)}"
    print(f"edgevc: {where}", file=sys.stderr, flush=True)
    with backing or contextlib.nullcontext():
        report = convert_raw(
            sys.stdin.buffer, sys.stdout.buffer, stream, arguments.raw_rate or SAMPLE_RATE, backing=backing
        )
    print(
        f"edgevc: {report.seconds:.2f} s, RTF {report.rtf:.4f} "
        f"({report.processing_seconds:.3f} s / {report.seconds:.2f} s)",
        file=sys.stderr,
    )
    return 0


class ProgressBar:
    """One line on a terminal that grows with the work; silent elsewhere."""

    def __init__(self, name: str) -> None:
        """`name` of the file stands in front."""
        self._name = name
        self._shown = 0.0
        self._visible = sys.stderr is not None and sys.stderr.isatty()

    def __call__(self, seconds: float, total: float | None) -> None:
        """Show the seconds converted so far, of the whole where that is known, at most ten times a second."""
        now = time.monotonic()
        if not self._visible or now - self._shown < 0.1:
            return
        self._shown = now
        if total:
            filled = round(30 * min(1.0, seconds / total))
            bar = f"[{'#' * filled}{'.' * (30 - filled)}] {seconds:.1f} / {total:.1f} s"
        else:
            bar = f"{seconds:.1f} s"
        print(f"\r\033[K{self._name}: {bar}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Clear the line."""
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self._shown = 0.0


def _voices(arguments: argparse.Namespace) -> int:
    bundle = ModelBundle.find(arguments.bundle)
    others = [] if arguments.bundle else [name for name in shipped_models() if name != "default"]
    models = [bundle, *map(ModelBundle.find, others)]
    if arguments.json:
        listed = {
            "models": [_model_figures(model) | {"quality": dict(model.quality)} for model in models],
            "voices": [asdict(voice) for voice in bundle.voices],
        }
        print(json.dumps(listed, indent=1))
        return 0
    if len(models) > 1:
        print("models, the first unless --bundle NAME says otherwise:")
    for model in models:
        figures = _model_figures(model)
        print(
            f"{model.name:12s} {figures['algorithmic_latency_ms']:g} ms, {figures['gmac_per_second']:.3f} GMAC/s, "
            f"{figures['bytes'] / 1e6:.1f} MB{_quality(model)}"
        )
    print(f"\nvoices of {bundle.name}:")
    for voice in bundle.voices:
        print(f"{voice.name:10s} {voice.description}; mean F0 {2**voice.log2_f0_mean:.0f} Hz; {voice.licence}")
        print(f"{'':10s} {voice.consent}")
    return 0


def _model_figures(bundle: ModelBundle) -> dict[str, Any]:
    """Name, algorithmic latency at 1 hop per call, work, and bytes of the graphs of the larger engine."""
    rate, hop = bundle.features.sample_rate, bundle.latency.hop_samples
    return {
        "name": bundle.name,
        "description": bundle.description,
        "algorithmic_latency_ms": 1000 * (bundle.latency.latency_samples + hop) / rate,
        "gmac_per_second": sum(graph.macs_per_hop for graph in bundle.graphs.values()) * rate / hop / 1e9,
        "bytes": max(
            sum(len(bundle.read(graph.files[engine])) for graph in bundle.graphs.values() if engine in graph.files)
            for engine in ENGINES
        ),
    }


def _quality(bundle: ModelBundle) -> str:
    """What was measured of the model's speech, in a few words."""
    texts = {
        "similarity": "similarity {:.2f}",
        "wer_minus_source": "word errors {:+.1%}",
        "ovrl": "DNSMOS {:.2f}",
    }
    found = [text.format(bundle.quality[key]) for key, text in texts.items() if _is_number(bundle.quality.get(key))]
    return f"; {', '.join(found)}" if found else ""


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _info(arguments: argparse.Namespace) -> int:
    bundle = ModelBundle.find(arguments.bundle)
    model, rate = _model_figures(bundle), bundle.features.sample_rate
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
    if arguments.json:
        figures = {
            "name": bundle.name,
            "version": bundle.version,
            "description": bundle.description,
            "licence": bundle.licence,
            "sha256": bundle.sha256,
            "sample_rate": rate,
            "algorithmic_latency_ms": latency_ms,
            "gmac_per_second": gmac_per_second,
            "graphs": graphs,
            "voices": [voice.name for voice in bundle.voices],
            "training_data": [asdict(entry) for entry in bundle.training_data],
            "training_commit": bundle.training_commit,
        }
        print(json.dumps(figures, indent=1))
        return 0
    print(f"{bundle.name} {bundle.version}: {bundle.description}")
    print(f"{bundle.path}, licence {bundle.licence}")
    print(f"algorithmic latency {latency_ms:.1f} ms at 1 hop per call, {gmac_per_second:.3f} GMAC/s")
    for name, graph in bundle.graphs.items():
        sizes = ", ".join(f"{engine} {len(bundle.read(path)) / 1e6:.2f} MB" for engine, path in graph.files.items())
        print(f"{name}: {graph.n_parameters / 1e6:.2f} M parameters, {sizes}")
    print(f"voices: {', '.join(voice.name for voice in bundle.voices)}")
    for entry in bundle.training_data:
        print(f"trained on {entry.name} ({entry.licence}), {entry.source}")
    print("every file matches its sha256")
    return 0


def _bench(arguments: argparse.Namespace) -> int:
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
        print(f"{name:12s} {p.p50:8.3f} {p.p95:8.3f} {p.p99:8.3f} {p.maximum:8.3f}")
    print(f"RTF {report.rtf:.4f} (processing time / audio time), peak memory {report.peak_rss_mb:.0f} MB resident")
    return 0
