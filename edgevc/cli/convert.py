"""`edgevc convert`: files, a folder of files, or raw audio from a pipe."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgevc.bundle import ModelBundle
from edgevc.cli.common import add_model_options, complain, help_text, termination_as_interrupt
from edgevc.cli.progress import Progress, bar
from edgevc.errors import AudioFileError, ConfigError, EdgevcError, EngineError, ModelError, OutputError
from edgevc.limits import SAMPLE_RATE

if TYPE_CHECKING:
    from edgevc.audio.backing import BackingTrack
    from edgevc.converter import ConverterStream

_EXAMPLES = """\
  edgevc convert me.wav other.wav --voice kathleen
  edgevc convert recordings/ converted/ --voice bdl --force
  edgevc convert me.wav other.wav --voice anon --plot both.png
  edgevc convert singing.wav song.wav --voice slt --formant 2 --backing band.flac --backing-gain -6
  arecord -f S16_LE -r 16000 -t raw | edgevc convert - - --voice slt | aplay -f S16_LE -r 16000 -t raw
"""
HELP = help_text(_EXAMPLES, (ConfigError, ModelError, EngineError, AudioFileError, OutputError))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "input", help="WAV, FLAC or OGG file of any rate and channel count, a folder, or - for raw 16-bit mono PCM"
    )
    parser.add_argument("output", help=".wav file (16 kHz mono), a folder, or - for raw 16-bit mono PCM at 16 kHz")
    parser.add_argument("--voice", required=True, metavar="NAME", help="target voice; `edgevc voices` lists them")
    parser.add_argument(
        "--pitch", type=float, default=0.0, metavar="SEMITONES", help="raise or lower the pitch, -24 to 24 (default 0)"
    )
    parser.add_argument(
        "--formant",
        type=float,
        default=0.0,
        metavar="SEMITONES",
        help="shift the formants, pitch unchanged, -12 to 12 (default 0)",
    )
    parser.add_argument(
        "--gain", type=float, default=0.0, metavar="DB", help="make the output louder or softer, -40 to 40 (default 0)"
    )
    parser.add_argument(
        "--gate",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="turn down what is no speech: room noise, breath, hum (default: on)",
    )
    parser.add_argument(
        "--backing",
        type=Path,
        metavar="FILE",
        help="mix an accompaniment in, WAV, FLAC or OGG of any rate, in time with the converted voice",
    )
    parser.add_argument(
        "--backing-gain", type=float, default=0.0, metavar="DB", help="of the accompaniment, -60 to 20 (default 0)"
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    parser.add_argument(
        "--plot", type=Path, metavar="PNG", help="draw spectrogram and F0 of input and output, one above the other"
    )
    parser.add_argument("--raw-rate", type=int, metavar="HZ", help="rate of raw input (default 16000)")
    add_model_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Convert; return the exit code, with several files that of the first that failed."""
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
    stream = converter.stream(arguments.voice, arguments.pitch, arguments.gain, arguments.formant, arguments.gate)
    print(f"{arguments.voice} with {converter.engine}, latency {describe_latency(converter)}")
    with backing or contextlib.nullcontext(), termination_as_interrupt():
        failures = [
            code for job in jobs if (code := _convert_job(*job, stream, backing, arguments.force, alone=len(jobs) == 1))
        ]
    if failures:
        complain(f"{len(failures)} of {len(jobs)} files could not be converted")
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

    progress = Progress()

    def show(seconds: float, total: float | None) -> None:
        progress.show(f"{source.name}: {bar(seconds, total)}")

    try:
        _make_folder(target.parent)
        report = convert_file(source, target, stream, overwrite=overwrite, progress=show, backing=backing)
    except EdgevcError as error:
        if alone:
            raise
        progress.close()
        complain(str(error))
        return error.exit_code
    finally:
        progress.close()
    print(
        f"{target}: {report.seconds:.2f} s, RTF {report.rtf:.4f} "
        f"({report.processing_seconds:.3f} s / {report.seconds:.2f} s), "
        f"level {report.level_in_db:.1f} -> {report.level_out_db:.1f} dBFS",
        flush=True,
    )
    return 0


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}; choose another output") from error


def _plot(path: Path, source: Path, target: Path, voice: str) -> None:
    from edgevc.audio.reader import read_audio
    from edgevc.dsp.resample import resample
    from edgevc.plot import plot_comparison

    samples, rate, _ = read_audio(source)
    plot_comparison(path, {source.name: resample(samples, rate, SAMPLE_RATE), voice: read_audio(target)[0]})
    print(f"{path}: spectrograms and F0")


def _convert_raw(arguments: argparse.Namespace) -> int:
    from edgevc.convert import convert_raw, describe_latency
    from edgevc.converter import VoiceConverter

    if arguments.plot is not None:
        raise ConfigError("--plot draws files; convert a file")
    if sys.stdin is None or sys.stdout is None or sys.stdin.isatty() or sys.stdout.isatty():
        raise ConfigError("raw audio comes and goes through pipes, not a terminal; see `edgevc convert --help`")
    converter = VoiceConverter(ModelBundle.find(arguments.bundle), arguments.engine, arguments.chunk_hops)
    stream = converter.stream(arguments.voice, arguments.pitch, arguments.gain, arguments.formant, arguments.gate)
    backing = _open_backing(arguments)
    where = f"{arguments.voice} with {converter.engine}, latency {describe_latency(converter)}"
    complain(where)
    with backing or contextlib.nullcontext():
        report = convert_raw(
            sys.stdin.buffer, sys.stdout.buffer, stream, arguments.raw_rate or SAMPLE_RATE, backing=backing
        )
    complain(
        f"{report.seconds:.2f} s, RTF {report.rtf:.4f} ({report.processing_seconds:.3f} s / {report.seconds:.2f} s)"
    )
    return 0
