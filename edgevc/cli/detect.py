"""`edgevc detect`: looks for the watermark in files, folders and streams."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevc.cli.common import add_json, complain, help_text, say
from edgevc.errors import NO_MARK, AudioFileError, ConfigError, EdgevcError
from edgevc.limits import SAMPLE_RATE
from edgevc.text import printable

if TYPE_CHECKING:
    from edgevc.mark import Detection, Window

_EXAMPLES = """\
  edgevc detect voice.wav
  edgevc detect recordings/ other.flac --json
  edgevc detect --search slowed-down.ogg
  parec --raw --channels=1 --rate=16000 | edgevc detect --raw
"""
_NOTES = """
"no mark found" does not mean that a sound is natural: a mark can be lost on the way, and anybody can take it away.
"marked" is no evidence either: anybody can put it on any sound. docs/mark.md says how often it is found after what.
"""
HELP = help_text(
    _EXAMPLES, (ConfigError, AudioFileError), {0: "marked, all of them", NO_MARK: "no mark found"}, notes=_NOTES
)

_BLOCK_SAMPLES = 32_768


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "paths", nargs="*", metavar="FILE", help="WAV, FLAC or OGG files of any rate, or folders of them"
    )
    parser.add_argument(
        "--search",
        action="store_true",
        help="look for changed speed (up to 7 %%) and pitch (up to a semitone), too; slow",
    )
    parser.add_argument("--raw", action="store_true", help="raw 16-bit mono PCM from stdin, judged while it comes")
    parser.add_argument("--raw-rate", type=int, metavar="HZ", help="of raw audio (default 16000)")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Look; return 0 where all are marked, NO_MARK where one is not, or the exit code of the first failure."""
    if arguments.raw:
        if arguments.paths:
            raise ConfigError("--raw reads stdin; leave the files out")
        return _listen(arguments)
    if arguments.raw_rate is not None:
        raise ConfigError("--raw-rate is for --raw; a file's header says its rate")
    from edgevc.mark.detect_files import detect_file

    if not arguments.paths:
        raise ConfigError("give a file or a folder, for example `edgevc detect voice.wav`")
    results: list[dict[str, Any]] = []
    failures: list[int] = []
    for path in _files(arguments.paths, failures):
        try:
            detection = detect_file(path, search=arguments.search)
        except EdgevcError as error:
            complain(str(error))
            failures.append(error.exit_code)
            continue
        results.append({"file": os.fspath(path), **_figures(detection)})
        if not arguments.json:
            say(f"{path}: {_words(detection)}")
    if arguments.json:
        print(json.dumps(results, indent=1))
    if failures:
        return failures[0]
    return 0 if all(result["marked"] for result in results) else NO_MARK


def _files(paths: list[str], failures: list[int]) -> Iterator[Path]:
    from edgevc.audio.folders import SUFFIXES, audio_files

    def unreadable(error: OSError) -> None:
        complain(f"the folder {error.filename} cannot be read: {error.strerror}; its files are left out")
        failures.append(AudioFileError.exit_code)

    for name in paths:
        path = Path(name)
        if not path.is_dir():
            yield path
            continue
        found = audio_files(path, unreadable)
        if not found and not failures:
            raise AudioFileError(f"{path} holds no {', '.join(SUFFIXES)} file; check the path")
        yield from found


def _figures(detection: Detection) -> dict[str, Any]:
    return {
        "marked": detection.marked,
        "score": round(detection.score, 2),
        "threshold": detection.threshold,
        "seconds": round(detection.seconds, 2),
        "spans": [[round(start, 1), round(end, 1)] for start, end in detection.spans],
    }


def _words(detection: Detection) -> str:
    if not detection.marked:
        return f"no mark found, score {detection.score:.1f}, must be above {detection.threshold:g}"
    spans = ", ".join(f"{start:.1f} to {end:.1f} s" for start, end in detection.spans)
    return f"marked, {spans} of {detection.seconds:.1f} s, score {detection.score:.1f}, above {detection.threshold:g}"


def _listen(arguments: argparse.Namespace) -> int:
    from edgevc.audio.pcm import pcm16_blocks
    from edgevc.mark import MarkDetector

    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigError("raw audio comes through a pipe, not a terminal; see `edgevc detect --help`")
    detector = MarkDetector(arguments.raw_rate or SAMPLE_RATE, search=arguments.search)
    for samples in pcm16_blocks(sys.stdin.buffer, _BLOCK_SAMPLES):
        for window in detector.process(samples):
            _say_window(window, as_json=arguments.json)
    detection = detector.finish()
    if arguments.json:
        print(json.dumps(_figures(detection)), flush=True)
    else:
        say(f"in all: {_words(detection)}")
    return 0 if detection.marked else NO_MARK


def _say_window(window: Window, *, as_json: bool) -> None:
    if as_json:
        figures = {
            "start": window.start,
            "end": window.end,
            "marked": window.marked,
            "score": round(window.score, 2),
            "span": None if window.span is None else [round(second, 1) for second in window.span],
        }
        print(json.dumps(figures), flush=True)
    else:
        word = "marked" if window.marked else "no mark found"
        say(printable(f"{window.start:.0f} to {window.end:.0f} s: {word}, score {window.score:.1f}"))
