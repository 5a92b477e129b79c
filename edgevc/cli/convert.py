"""`edgevc convert`: files, folders of files, or raw audio from a pipe."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgevc.cli.common import (
    add_model_options,
    add_voice_options,
    complain,
    help_text,
    say,
    termination_as_interrupt,
    traceback_wanted,
)
from edgevc.cli.progress import Progress, bar
from edgevc.errors import AudioFileError, ConfigError, EdgevcError, EngineError, ModelError, OutputError, SessionError
from edgevc.files import leftovers, refuse_shared_files
from edgevc.limits import SAMPLE_RATE

# The rest is imported where it is needed: `edgevc convert --help` shall not wait for NumPy on a slow card.

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevc.audio.backing import BackingTrack
    from edgevc.audio.content_credentials import ContentCredentials
    from edgevc.cli.jobs import Jobs
    from edgevc.convert import ConversionReport
    from edgevc.converter import ConverterStream, VoiceConverter
    from edgevc.dsp.resample import Resampler

_EXAMPLES = """\
  edgevc convert me.wav other.wav --voice kathleen
  edgevc convert one.wav two.flac converted/ --voice slt
  edgevc convert recordings/ converted/ --voice bdl --force
  edgevc convert me.wav other.wav --voice anon --plot both.png
  edgevc convert corpus/ anonymous/ --voice anon --jobs auto
  edgevc convert corpus/ others/ --voice anon --jobs 4 --voice-by 'speaker1/=slt' --voice-by 'speaker2/=bdl'
  edgevc convert corpus/ nobody/ --jobs auto --seed 'a secret' --speaker-by '/(speaker[0-9]+)/' --format flac
  edgevc convert s3://bucket/corpus s3://bucket/anonymous --voice anon --ray auto
  edgevc convert --verify anonymous/
  edgevc convert singing.wav song.wav --voice slt --formant 2 --backing band.flac --backing-gain -6
  arecord -f S16_LE -r 16000 -t raw | edgevc convert - - --voice slt | aplay -f S16_LE -r 16000 -t raw
"""
HELP = help_text(
    _EXAMPLES,
    (ConfigError, ModelError, EngineError, AudioFileError, OutputError, SessionError),
    {1: "--verify: the folder is not as it was written"},
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.usage = "edgevc convert [options] INPUT [INPUT ...] OUTPUT --voice NAME"
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="INPUT [INPUT ...] OUTPUT",
        help="WAV, FLAC or OGG files of any rate and channel count, or folders of them, and last where they go: a "
        ".wav, .flac or .opus file (mono, 16 kHz) or a folder; - - for raw 16-bit mono PCM from stdin to stdout "
        "(16 kHz)",
    )
    add_voice_options(parser)
    parser.add_argument(
        "--mark",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="put the watermark into the sound, which says that it was made (default: on)",
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
    parser.add_argument(
        "--jobs",
        metavar="N",
        help="many files: N processes, or auto for one for each core. Writes edgevc-convert.jsonl into the output "
        "folder: what was converted from what, with hashes. The same command again goes on where it stopped",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="many files, in place of --jobs: on a Ray cluster, at its address, or auto for this machine's, or "
        "local for this machine alone; INPUT and OUTPUT are folders that all machines reach, as s3://bucket/corpus",
    )
    parser.add_argument(
        "--voice-by",
        action="append",
        default=[],
        metavar="REGEX=VOICE",
        help="with --jobs: another voice for files whose path the expression finds; the first one counts",
    )
    parser.add_argument(
        "--voices-from",
        type=Path,
        metavar="CSV",
        help="with --jobs: a table file,voice[,pitch] with a voice for each file",
    )
    parser.add_argument(
        "--seed",
        metavar="TEXT",
        help="with --jobs, in place of --voice: every speaker gets a voice that is nobody's, drawn by this text and "
        "the speaker's name, so that one speaker always has the same",
    )
    parser.add_argument(
        "--seed-file",
        type=Path,
        metavar="FILE",
        help="--seed from the first line of FILE: who knows the text and a speaker's name can name their voice, and an "
        "argument can be read by every user of the machine",
    )
    parser.add_argument(
        "--speaker-by",
        metavar="REGEX",
        help="with --seed: the expression's group is the speaker's name in a file's path (default: the file's folder)",
    )
    parser.add_argument(
        "--format", choices=("wav", "flac", "opus"), help="with --jobs: kind of the outputs (default wav)"
    )
    parser.add_argument(
        "--verify", type=Path, metavar="FOLDER", help="compare a folder that --jobs has written with its manifest"
    )
    parser.add_argument(
        "--c2pa-cert",
        type=Path,
        metavar="PEM",
        help="add a C2PA manifest to WAV files, signed with this certificate and those behind it (docs/mark.md)",
    )
    parser.add_argument("--c2pa-key", type=Path, metavar="PEM", help="with --c2pa-cert: its private key, mode 600")
    parser.add_argument("--raw-rate", type=int, metavar="HZ", help="rate of raw input (default 16000)")
    add_model_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Convert; return the exit code, with several files that of the first that failed."""
    if arguments.verify is not None:
        if arguments.paths:
            raise ConfigError("--verify takes no other files; leave them out")
        from edgevc.cli.many import verify_folder

        return verify_folder(arguments.verify)
    _require_complete(arguments)
    if arguments.jobs is not None or arguments.ray is not None:
        if "-" in arguments.paths:
            raise ConfigError("--jobs and --ray are for files; raw audio from - is one stream")
        from edgevc.cli.many import convert_many_files

        return convert_many_files(arguments)
    for name in ("voice_by", "voices_from", "seed", "seed_file", "speaker_by", "format"):
        if getattr(arguments, name):
            raise ConfigError(f"--{name.replace('_', '-')} needs --jobs or --ray; add --jobs auto")
    *sources, output = arguments.paths
    if "-" in arguments.paths:
        if arguments.paths != ["-", "-"]:
            raise ConfigError("raw audio goes from - to -; give files for both or - for both")
        return _convert_raw(arguments)
    if arguments.raw_rate is not None:
        raise ConfigError("--raw-rate is for raw input (-); a file's header says its rate")
    from edgevc.cli.jobs import list_jobs
    from edgevc.convert import describe_latency

    jobs = list_jobs([Path(source) for source in sources], Path(output), into_folder=output.endswith(os.sep))
    _check_paths(jobs, arguments)
    credentials = _open_credentials(arguments)
    backing = _open_backing(arguments)
    converter, stream = _open_stream(arguments)
    say(f"{arguments.voice} with {converter.engine}, latency {describe_latency(converter)}")
    for problem in jobs.problems:
        complain(problem)
    with backing or contextlib.nullcontext(), termination_as_interrupt():
        return _convert_all(jobs, stream, backing, credentials, arguments)


def _require_complete(arguments: argparse.Namespace) -> None:
    """Say what is missing and how the command could go on.

    Raises:
        ConfigError: an input, the output or the voice is missing.
    """
    paths, voice = arguments.paths, arguments.voice
    seeded = _is_seeded(arguments)
    if "" in paths:
        # as a variable that is not set leaves; it would mean the current folder
        raise ConfigError("an input or output must have a name, got an empty one; is a variable of the shell not set?")
    if len(paths) >= 2 and (voice is not None or seeded):
        return
    from edgevc.bundle import ModelBundle

    voices = [found.name for found in ModelBundle.find(arguments.bundle).voices]
    known = f"voices: {', '.join(voices)}"
    if len(paths) >= 2:
        raise ConfigError(f"--voice NAME is missing; {known}")
    wanted = voice or voices[0]
    missing = [*([] if paths else ["an input"]), "an output", *([] if voice else ["--voice NAME"])]
    source = paths[0] if paths else "me.wav"
    example = shlex.join(["edgevc", "convert", source, _proposed_output(source, wanted), "--voice", wanted])
    raise ConfigError(f"give {' and '.join(missing)}, for example `{example}`" + ("" if voice else f"; {known}"))


def _is_seeded(arguments: argparse.Namespace) -> bool:
    """Return whether every speaker gets a voice of their own, in place of --voice.

    Raises:
        ConfigError: --voice or --speaker-by does not fit that.
    """
    seeded = arguments.seed is not None or arguments.seed_file is not None
    if seeded and arguments.voice is not None:
        raise ConfigError("--seed gives every speaker another voice; leave out --voice, or --seed")
    if arguments.speaker_by is not None and not seeded:
        raise ConfigError("--speaker-by needs --seed TEXT")
    return seeded


def _proposed_output(source: str, voice: str) -> str:
    """Return a name beside the source that is not taken."""
    if source == "-":
        return "-"
    path = Path(source)
    suffix = "" if path.is_dir() else ".wav"
    # the current folder, the one above it and the root have no name to begin with
    place, stem = (path.parent, path.stem) if path.name not in ("", "..") else (Path(), "converted")
    names = (place / f"{stem}-{voice}{number}{suffix}" for number in ("", *range(2, 100)))
    return str(next((name for name in names if not name.exists()), place / f"{stem}-{voice}{suffix}"))


def _check_paths(jobs: Jobs, arguments: argparse.Namespace) -> None:
    """Refuse all that can be refused before the first second of work, and name what a killed run has left.

    Raises:
        ConfigError: an output is no .wav file, or one of the inputs; or the plot cannot be meant.
        OutputError: an output or the plot exists, and --force is missing.
    """
    from edgevc.convert import check_target

    inputs = [("the input", source) for source, _ in jobs.pairs]
    outputs = [("the output", target) for _, target in jobs.pairs]
    if arguments.backing is not None:
        inputs.append(("the accompaniment", arguments.backing))
    if arguments.plot is not None:
        outputs.append(("the plot", arguments.plot))
    refuse_shared_files(inputs, outputs)
    for job in jobs.pairs:
        check_target(*job, overwrite=arguments.force)
    if arguments.plot is not None:
        if len(jobs.pairs) > 1:
            raise ConfigError(f"--plot draws one conversion, got {len(jobs.pairs)} files; convert one file")
        from edgevc.plot import check_plot

        check_plot(arguments.plot, overwrite=arguments.force)
    for folder in {target.parent for _, target in jobs.pairs}:
        for path in leftovers(folder):
            complain(f"{path} was left by a conversion that was killed; delete it")


def _open_backing(arguments: argparse.Namespace) -> BackingTrack | None:
    if arguments.backing is None:
        if arguments.backing_gain:
            raise ConfigError("--backing-gain needs --backing FILE")
        return None
    from edgevc.audio.backing import BackingTrack

    return BackingTrack(arguments.backing, arguments.backing_gain)


def _open_credentials(arguments: argparse.Namespace) -> ContentCredentials | None:
    if (arguments.c2pa_cert is None) != (arguments.c2pa_key is None):
        raise ConfigError("--c2pa-cert and --c2pa-key belong together; give both")
    if arguments.c2pa_cert is None:
        return None
    from edgevc.audio.content_credentials import ContentCredentials

    return ContentCredentials(arguments.c2pa_cert, arguments.c2pa_key)


def _open_stream(arguments: argparse.Namespace) -> tuple[VoiceConverter, ConverterStream]:
    from edgevc.converter import VoiceConverter, VoiceSettings

    converter = VoiceConverter(arguments.bundle, arguments.engine, arguments.chunk_hops)
    settings = VoiceSettings(arguments.pitch, arguments.formant, arguments.gain, arguments.gate, arguments.mark)
    return converter, converter.stream(arguments.voice, settings)


def _convert_all(
    jobs: Jobs,
    stream: ConverterStream,
    backing: BackingTrack | None,
    credentials: ContentCredentials | None,
    arguments: argparse.Namespace,
) -> int:
    """Convert one file after the other; return 0, or the exit code of the first failure."""
    alone = len(jobs.pairs) == 1 and not jobs.problems
    failures = [AudioFileError.exit_code for _ in jobs.problems]
    for source, target in jobs.pairs:
        try:
            _convert_job(source, target, stream, backing, credentials, arguments)
        except Exception as error:
            # one bad recording shall not keep the others waiting
            if alone or traceback_wanted():
                raise
            complain(str(error) if isinstance(error, EdgevcError) else f"{source}: {type(error).__name__}: {error}")
            failures.append(error.exit_code if isinstance(error, EdgevcError) else EdgevcError.exit_code)
    if failures:
        n_files = len(failures) - len(jobs.problems)
        complain(f"{n_files} of {len(jobs.pairs)} files could not be converted" + _folders(len(jobs.problems)))
    return failures[0] if failures else 0


def _folders(count: int) -> str:
    return "" if not count else f", {count} folder{'s' if count > 1 else ''} could not be read"


def _convert_job(
    source: Path,
    target: Path,
    stream: ConverterStream,
    backing: BackingTrack | None,
    credentials: ContentCredentials | None,
    arguments: argparse.Namespace,
) -> None:
    from edgevc.convert import convert_file

    progress = Progress()
    heard = None if arguments.plot is None else _Heard(source.name)

    def show(seconds: float, total: float | None) -> None:
        progress.show(f"{source.name}: {bar(seconds, total)}")

    if not arguments.mark:
        stream.settings = dataclasses.replace(stream.settings, mark=_is_marked(source))
    try:
        _make_folder(target.parent)
        report = convert_file(
            source,
            target,
            stream,
            overwrite=arguments.force,
            progress=show,
            backing=backing,
            listen=heard.add if heard else None,
            credentials=credentials,
        )
    finally:
        progress.close()
    say(f"{target}: {_figures(report)}, level {report.level_in_db:.1f} -> {report.level_out_db:.1f} dBFS")
    if not report.seconds:
        complain(f"{source} holds no sample, so that {target} is empty")
    if heard is not None:
        _plot(arguments.plot, source.name, heard, target, arguments.voice)


def _is_marked(source: Path) -> bool:
    """Return whether a recording carries the watermark, and say so: what came in as made shall not go out otherwise."""
    from edgevc.mark.detect_files import detect_file

    # a pipe can be read only once
    if not source.is_file():
        return False
    try:
        marked = detect_file(source).marked
    except AudioFileError:
        # too short, or the conversion itself will say why it cannot be read
        return False
    if marked:
        complain(f"{source} carries the watermark already, so the output is marked as well, in spite of --no-mark")
    return marked


def _figures(report: ConversionReport) -> str:
    return f"{report.seconds:.2f} s, RTF {report.rtf:.4f} ({report.processing_seconds:.3f} s / {report.seconds:.2f} s)"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}; choose another output") from error


class _Heard:
    """The recording at 16 kHz, kept while it is read: a pipe cannot be read a second time for the plot."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._parts: list[NDArray[np.float32]] = []
        self._resampler: Resampler | None = None

    def add(self, block: NDArray[np.float32], rate: int) -> None:
        from edgevc.audio.rates import resampler_to_16k

        if self._resampler is None:
            self._resampler = resampler_to_16k(rate, self._name)
        self._parts.append(self._resampler.process(block))

    def samples(self) -> NDArray[np.float32]:
        if self._resampler is not None:
            self._parts.append(self._resampler.flush())
        import numpy as np

        whole = np.concatenate([np.zeros(0, np.float32), *self._parts])
        return whole[self._resampler.latency :] if self._resampler else whole


def _plot(path: Path, name: str, heard: _Heard, target: Path, voice: str) -> None:
    from edgevc.audio.reader import read_audio
    from edgevc.plot import plot_comparison

    plot_comparison(path, {name: heard.samples(), voice: read_audio(target)[0]})
    say(f"{path}: spectrograms and F0")


def _convert_raw(arguments: argparse.Namespace) -> int:
    from edgevc.audio.source import MAX_RATE, MIN_RATE
    from edgevc.convert import convert_raw, describe_latency

    if arguments.plot is not None:
        raise ConfigError("--plot draws files; convert a file")
    if arguments.c2pa_cert is not None or arguments.c2pa_key is not None:
        raise ConfigError("raw audio has no place for a C2PA manifest; convert a file")
    if sys.stdin is None or sys.stdout is None or sys.stdin.isatty() or sys.stdout.isatty():
        raise ConfigError("raw audio comes and goes through pipes, not a terminal; see `edgevc convert --help`")
    rate = SAMPLE_RATE if arguments.raw_rate is None else arguments.raw_rate
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ConfigError(f"--raw-rate must be within {MIN_RATE}..{MAX_RATE} Hz, got {rate}")
    backing = _open_backing(arguments)
    converter, stream = _open_stream(arguments)
    complain(f"{arguments.voice} with {converter.engine}, latency {describe_latency(converter)}")
    with backing or contextlib.nullcontext():
        report = convert_raw(sys.stdin.buffer, sys.stdout.buffer, stream, rate, backing=backing)
    complain(_figures(report))
    if not report.seconds:
        complain("no sample came in; is the program before the pipe recording?")
    return 0
