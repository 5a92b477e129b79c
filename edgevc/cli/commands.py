"""`edgevc commands`: is a grammar of spoken commands good, and are its sentences heard."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevc.audio.folders import audio_files
from edgevc.audio.reader import read_audio
from edgevc.bundle import ModelBundle
from edgevc.cli import commands_from_ha
from edgevc.cli.commands_page import page
from edgevc.cli.common import add_json, add_model_options, complain, help_text, say
from edgevc.cli.progress import Progress
from edgevc.dsp.resample import resample
from edgevc.errors import (
    AudioFileError,
    ConfigError,
    EngineError,
    MissingPackageError,
    ModelError,
    OutputError,
    SessionError,
)
from edgevc.files import check_output, write_atomic
from edgevc.limits import SAMPLE_RATE
from edgevc.recognition.check import Check, check_grammar
from edgevc.recognition.command_set import CommandSet, read_grammar
from edgevc.recognition.lexicon import read_dictionary
from edgevc.recognition.sentence_list import SentenceList
from edgevc.recognition.spoken_commands import SpokenCommands
from edgevc.recognition.trial import Expected, Tally, Trial, Verdict, expected_by_name, hear, read_expected, tally
from edgevc.text import first_line, printable

_EXAMPLES = """\
  edgevc commands check home.toml
  edgevc commands say home.toml --limit 50
  edgevc commands test home.toml --audio recordings --expected labels.csv --report page.html
  edgevc commands from-ha http://homeassistant.local:8123 --token-file token --output house.yaml
"""
_OTHERWISE = 1
HELP = help_text(
    _EXAMPLES,
    (ConfigError, ModelError, EngineError, AudioFileError, OutputError, SessionError, MissingPackageError),
    {_OTHERWISE: "a word has no pronunciation, or a recording was not heard as expected"},
)
_MAX_LABEL_BYTES = 16_000_000
_MAX_SECONDS = 600
_SPEAK_SECONDS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    check = actions.add_parser("check", help="what may be said, words without pronunciation, what sounds alike")
    _add_grammar(check)
    check.add_argument("--bundle", metavar="MODEL", help="model that will hear (default: default)")
    check.add_argument("--examples", type=_whole(0, 100), default=3, metavar="N", help="sentences to show (default 3)")
    check.add_argument("--phones", action="store_true", help="show every word's pronunciations")
    add_json(check)
    test = actions.add_parser("test", help="hear recordings of which it is known what they say")
    _add_grammar(test)
    test.add_argument("--audio", type=Path, required=True, metavar="DIR", help="folder of recordings")
    test.add_argument(
        "--expected", type=Path, metavar="FILE", help="CSV or JSONL of file, command and slots (default: by file names)"
    )
    test.add_argument("--report", type=Path, metavar="PAGE", help="write a page of HTML, which may not exist yet")
    add_model_options(test)
    add_json(test)
    speak = actions.add_parser("say", help="let espeak-ng speak every sentence, and hear it back")
    _add_grammar(speak)
    speak.add_argument(
        "--limit", type=_whole(1, 100_000), default=100, metavar="N", help="most sentences (default 100)"
    )
    speak.add_argument("--voice", default="en-us", help="of espeak-ng, such as en-us+f3 (default en-us)")
    speak.add_argument("--report", type=Path, metavar="PAGE", help="write a page of HTML, which may not exist yet")
    add_model_options(speak)
    add_json(speak)
    house = actions.add_parser("from-ha", help="write the grammar of what a Home Assistant exposes")
    commands_from_ha.add_arguments(house)


def _add_grammar(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="grammar: .toml, or .yaml of Home Assistant or Rhino")
    parser.add_argument(
        "--dictionary", type=Path, action="append", default=[], metavar="FILE", help="pronunciations, may be repeated"
    )


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {most}, got {text!r}")
        return number

    return read


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked."""
    actions = {"check": _check, "test": _test, "say": _say, "from-ha": commands_from_ha.run}
    return actions[arguments.action](arguments)


def _check(arguments: argparse.Namespace) -> int:
    bundle = ModelBundle.find(arguments.bundle)
    dictionaries = [read_dictionary(path) for path in arguments.dictionary]
    found = check_grammar(read_grammar(arguments.file), bundle.phones, dictionaries, arguments.examples)
    if arguments.json:
        print(json.dumps(asdict(found), indent=1))
    else:
        for line in _check_lines(found, phones=arguments.phones):
            print(printable(line))
    return _OTHERWISE if found.missing else 0


def _check_lines(found: Check, *, phones: bool) -> Iterator[str]:
    for command in found.commands:
        yield f"{command.name}: {command.n_sentences:,} sentence{'s' * (command.n_sentences != 1)}"
        yield from (f"  {example}" for example in command.examples)
    for wake in found.wake:
        advice = "; take a longer one, of two or three words: it will be heard in other words" if wake.weak else ""
        yield f"wake phrase {wake.phrase!r}: {wake.n_phones} phones{advice}"
    if phones:
        for word, ways in found.pronunciations.items():
            yield f"{word:20s} {', '.join(' '.join(way) for way in ways)}"
    for pair in found.alike:
        where = f"slot {pair.where}" if pair.where else "the same place"
        yield f"sounds alike: {pair.one!r} and {pair.other!r}, {where}, {pair.distance:.0%} of the phones differ"
    yield from _guessed_lines(found)
    for missing in found.missing:
        nearest = f"; written alike: {', '.join(missing.nearest)}" if missing.nearest else ""
        yield f"no pronunciation: {missing.word!r}{nearest}; add it to a dictionary and name that with --dictionary"
    if found.n_states:
        yield f"{len(found.pronunciations)} words, {found.n_nodes} nodes, {found.n_states} states"


def _guessed_lines(found: Check) -> Iterator[str]:
    for word, parts in found.guessed.items():
        said = ", ".join(" ".join(way) for way in found.pronunciations[word])
        how = f"as {' + '.join(parts)}" if parts else "by its letters"
        yield f"guessed: {word!r} {how}, {said}; if it is said otherwise, add it to a dictionary"


def _test(arguments: argparse.Namespace) -> int:
    spoken = _loaded(arguments)
    sentences = SentenceList(spoken.commands.automaton)
    known = _expected(arguments.expected) if arguments.expected else None
    unreadable: list[OSError] = []
    files = audio_files(arguments.audio, unreadable.append)
    if unreadable or not files:
        reason = first_line(unreadable[0]) if unreadable else "no recordings in it"
        raise ConfigError(f"{arguments.audio}: {reason}; name a folder of recordings")
    chosen: list[tuple[Path, Expected]] = []
    for path in files:
        name = path.relative_to(arguments.audio).as_posix()
        expected = expected_by_name(path.stem, sentences) if known is None else known.get(name, known.get(path.name))
        if expected is None:
            complain(f"{name}: what it should say is not known; it is left out")
        else:
            chosen.append((path, expected))
    if not chosen:
        raise ConfigError(
            f"{arguments.audio}: of no recording it is known what it says; give --expected a CSV or JSONL"
        )

    def trials() -> Iterator[Trial]:
        for path, expected in chosen:
            yield hear(path.relative_to(arguments.audio).as_posix(), _read(path), expected, spoken.stream())

    return _report(arguments, trials(), len(chosen))


def _say(arguments: argparse.Namespace) -> int:
    program = shutil.which("espeak-ng")
    if program is None:
        raise ConfigError("espeak-ng is not installed; install it, such as by `sudo apt install espeak-ng`")
    spoken = _loaded(arguments)
    sentences = SentenceList(spoken.commands.automaton)
    counts = {name: sentences.count(name) for name in sentences.commands}
    # each command its share of the limit, and one at least
    shares = {name: max(1, arguments.limit * n // max(1, sum(counts.values()))) for name, n in counts.items()}
    chosen = [one for name, share in shares.items() for one in sentences.some(name, share)]

    def trials() -> Iterator[Trial]:
        for one in chosen:
            text = " ".join(one.words)
            expected = Expected(one.meaning.intent, one.meaning.slots)
            yield hear(text, _spoken(program, arguments.voice, text), expected, spoken.stream())

    return _report(arguments, trials(), len(chosen))


def _loaded(arguments: argparse.Namespace) -> SpokenCommands:
    if arguments.report is not None:
        check_output(arguments.report)
    bundle = ModelBundle.find(arguments.bundle)
    commands = CommandSet.read(arguments.file, bundle.phones, arguments.dictionary)
    # what is tested is the grammar: wake phrases are not in the recordings
    commands = CommandSet(commands.automaton, commands.network, commands.phones)
    return SpokenCommands(commands, bundle, arguments.engine, arguments.chunk_hops)


def _expected(path: Path) -> dict[str, Expected]:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_LABEL_BYTES + 1)
        if len(content) > _MAX_LABEL_BYTES:
            raise ConfigError(f"{path}: expected at most {_MAX_LABEL_BYTES} bytes; split it")
        return read_expected(content.decode("utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {first_line(error)}; name a CSV or JSONL in UTF-8") from error


def _read(source: Path | BytesIO) -> NDArray[np.float32]:
    samples, rate, _ = read_audio(source)
    if len(samples) > _MAX_SECONDS * rate:
        raise AudioFileError(f"{source}: expected at most {_MAX_SECONDS} s of sound; cut it")
    return samples if rate == SAMPLE_RATE else resample(samples, rate, SAMPLE_RATE)


def _spoken(program: str, voice: str, text: str) -> NDArray[np.float32]:
    command = [program, "-v", voice, "--stdin", "--stdout"]
    try:
        done = subprocess.run(  # noqa: S603
            command, input=text.encode(), capture_output=True, timeout=_SPEAK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"espeak-ng: {first_line(error)}; try it in a shell") from error
    if done.returncode != 0 or not done.stdout:
        said = done.stderr.decode(errors="replace").strip() or f"ended with {done.returncode}"
        raise ConfigError(f"espeak-ng --voice {voice}: {said}; `espeak-ng --voices` lists voices")
    return _read(BytesIO(done.stdout))


def _report(arguments: argparse.Namespace, trials: Iterable[Trial], n_trials: int) -> int:
    progress = Progress()
    done: list[Trial] = []
    try:
        for trial in trials:
            done.append(trial)
            progress.show(f"{len(done)} of {n_trials}: {trial.name}")
    finally:
        progress.close()
    result = tally(done)
    if arguments.report is not None:
        write_atomic(arguments.report, page(str(arguments.file), result).encode())
    if arguments.json:
        print(json.dumps([_as_json(trial) for trial in result.trials], indent=1))
    else:
        for line in _result_lines(result):
            say(line)
    return 0 if result.share_right == 1.0 else _OTHERWISE


def _result_lines(result: Tally) -> Iterator[str]:
    for trial in result.trials:
        if trial.verdict is not Verdict.RIGHT:
            yield f"{trial.name}: {trial.verdict.value}{_heard_words(trial)}"
    counts = ", ".join(f"{verdict.value} {n}" for verdict, n in result.counts.items() if n)
    yield f"{len(result.trials)} recordings, {result.share_right:.1%} right: {counts}"


def _heard_words(trial: Trial) -> str:
    """Return what was heard, for a line; empty where that was nothing."""
    recognition = trial.sentence.heard.recognition if trial.sentence else None
    return f": {' '.join(recognition.words)!r}" if recognition else ""


def _as_json(trial: Trial) -> dict[str, object]:
    heard = trial.sentence.heard if trial.sentence else None
    recognition = heard.recognition if heard else None
    return {
        "file": trial.name,
        "verdict": trial.verdict.name.lower(),
        "expected": {"command": trial.expected.command, "slots": trial.expected.slots},
        "heard": recognition and {"command": recognition.meaning.intent, "slots": dict(recognition.meaning.slots)},
        "words": list(recognition.words) if recognition else [],
        "certainty": heard.evidence.certainty if heard and heard.evidence else None,
    }
