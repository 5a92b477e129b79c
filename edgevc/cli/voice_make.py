"""`edgevc voice make`: recordings to a voice's file."""

from __future__ import annotations

import argparse
import datetime
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from edgevc.cli.common import MODEL_HELP, say, termination_as_interrupt
from edgevc.cli.progress import Progress
from edgevc.errors import ConfigError, MissingPackageError
from edgevc.files import check_output

if TYPE_CHECKING:
    from edgevc.bundle import ConsentRecord
    from edgevc.voice_maker.make import Outcome

_STEPS = {
    "check": "looks at the recordings",
    "hear": "hears the recordings",
    "tune": "tunes the voice",
    "judge": "judges it by recordings that it was not tuned on",
    "write": "writes the file",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the action."""
    parser.add_argument("name", metavar="NAME", help="of the voice: letters, digits, dashes and underscores")
    parser.add_argument(
        "recordings",
        nargs="+",
        type=Path,
        metavar="RECORDING",
        help="WAV, FLAC or OGG files of one speaker, or folders of them; three minutes are good, one is enough",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="NAME.voice, written at the end"
    )
    parser.add_argument("--bundle", metavar="MODEL", help=f"that will speak: {MODEL_HELP}")
    parser.add_argument(
        "--i-have-written-consent",
        metavar="WHERE",
        help="the speaker has agreed in writing, see docs/consent.md; WHERE it can be read. It goes into the file",
    )
    parser.add_argument(
        "--consent",
        type=Path,
        metavar="FILE",
        help="recording of the speaker who reads what `edgevc voice consent NAME` shows, made within half an hour",
    )
    parser.add_argument("--description", default="", metavar="TEXT", help="for people")
    parser.add_argument(
        "--licence", default="not to be given to others", metavar="TEXT", help='default "not to be given to others"'
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed, the same voice (default 0)")
    parser.add_argument("--steps", type=int, default=300, metavar="N", help="of tuning, 50 to 5000 (default 300)")
    parser.add_argument("--anyway", action="store_true", help="go on with recordings that are not good enough")
    parser.add_argument(
        "--listen",
        action="store_true",
        help="also write a sentence that the voice says, beside its file as .wav, and its picture as .png",
    )
    parser.add_argument("--force", action="store_true", help="replace a file that exists")


def run(arguments: argparse.Namespace) -> int:
    """Make the voice; return 0."""
    plan_paths = _recordings(arguments.recordings)
    _check(arguments)
    consent = _consent(arguments)
    require_torch()
    from edgevc.bundle import ModelBundle
    from edgevc.voice_maker.make import Plan, make_voice
    from edgevc.voice_maker.tune import Recipe

    plan = Plan(
        arguments.name,
        tuple(plan_paths),
        arguments.output,
        consent,
        arguments.description,
        arguments.licence,
        Recipe(steps=arguments.steps, seed=arguments.seed),
        arguments.anyway,
    )
    progress = Progress(steps=True)

    def told(step: str, share: float) -> None:
        text = _STEPS[step]
        progress.show(f"{text}: {share:.0%}" if share else text, step=f"{text} {100 * share // 10 * 10:.0f} %")

    def noted(text: str) -> None:
        progress.close()
        say(text)

    try:
        with termination_as_interrupt():
            outcome = make_voice(ModelBundle.find(arguments.bundle), plan, told, noted)
    finally:
        progress.close()
    for line in report(outcome):
        say(line)
    if arguments.listen:
        _let_hear(arguments.output, arguments.bundle)
    return 0


def _let_hear(voice: Path, model: str | None) -> None:
    """Write a sentence that the voice says beside its file, and a picture where matplotlib is there."""
    from edgevc.audio.wav_writer import write_wav
    from edgevc.converter import VoiceConverter
    from edgevc.limits import SAMPLE_RATE
    from edgevc.plot import plot_comparison
    from edgevc.quantize.calibration_speech import held_out_clips

    source = held_out_clips()[0][1]
    sound = VoiceConverter(model or "default").convert(source, str(voice))
    write_wav(voice.with_suffix(".wav"), sound, SAMPLE_RATE)
    say(f"{voice.with_suffix('.wav')}: a sentence that it says")
    if importlib.util.find_spec("matplotlib") is not None:
        plot_comparison(voice.with_suffix(".png"), {"said": source, f"as {voice.stem}": sound})
        say(f"{voice.with_suffix('.png')}: its picture")


def require_torch() -> None:
    """Return if PyTorch is installed.

    Raises:
        MissingPackageError: it is not.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingPackageError("making a voice", "torch", "voices")


def report(outcome: Outcome) -> list[str]:
    """Return what is said at the end."""
    found = outcome.verdicts
    voice, start, speaker = found["voice"], found["start"], found["speaker"]
    lines = [
        f"{outcome.bundle.path}: {outcome.bundle.voices[0].name}, from {outcome.facts.speech_seconds:.0f} s of speech"
    ]
    if voice.similarity is not None and start.similarity is not None and speaker.similarity is not None:
        lines.append(
            f"similarity to the speaker {voice.similarity:.2f}; the nearest voice of the model, {outcome.start}, has "
            f"{start.similarity:.2f}, the recordings themselves {speaker.similarity:.2f}"
        )
    lines.append(
        f"by a measure that nothing was tuned on {voice.likeness:.2f}; {outcome.start} {start.likeness:.2f}, the "
        f"recordings {speaker.likeness:.2f}"
    )
    lines.append(f"phones that are heard again {voice.words:.0%}; of {outcome.start} {start.words:.0%}")
    return lines


def _recordings(paths: list[Path]) -> list[Path]:
    from edgevc.audio.folders import SUFFIXES, audio_files

    def refuse(error: OSError) -> None:
        raise ConfigError(f"cannot read {error.filename}: {error.strerror}")

    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += audio_files(path, refuse)
        elif path.exists():
            found.append(path)
        else:
            raise ConfigError(f"there is no recording {path}; check the path")
    if not found:
        raise ConfigError(f"there is no recording in {paths[0]}; put {', '.join(SUFFIXES)} files there")
    return found


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what can be refused before the work begins."""
    from edgevc.voices.library import SUFFIX, require_name

    require_name(arguments.name)
    if arguments.output.suffix != SUFFIX:
        raise ConfigError(f"the output must end in {SUFFIX}, got {arguments.output}; try -o {arguments.name}{SUFFIX}")
    if not 50 <= arguments.steps <= 5000:
        raise ConfigError(f"--steps must be within 50..5000, got {arguments.steps}")
    check_output(arguments.output, overwrite=arguments.force)
    for suffix in (".wav", ".png") if arguments.listen else ():
        check_output(arguments.output.with_suffix(suffix), overwrite=arguments.force)


def _consent(arguments: argparse.Namespace) -> ConsentRecord | Path:
    from edgevc.bundle import ConsentRecord

    where, spoken = arguments.i_have_written_consent, arguments.consent
    if (where is None) == (spoken is None):
        raise ConfigError(
            "whose voice it is must have agreed: either --consent FILE, the sentence that `edgevc voice consent "
            f"{arguments.name}` shows, read by the speaker; or --i-have-written-consent WHERE, which says where the "
            "agreement can be read; docs/consent.md has words for one"
        )
    if spoken is not None:
        if not spoken.is_file():
            raise ConfigError(f"there is no recording {spoken}; check the path")
        return Path(spoken)
    if not where:
        raise ConfigError("--i-have-written-consent must say where the agreement can be read")
    return ConsentRecord(
        "written",
        f"The maker states that the speaker has agreed in writing that this voice, {arguments.name}, is made.",
        datetime.date.today().isoformat(),
        where,
    )
