"""`edgevc voice`: a voice of your own: made, looked at, installed, exported, removed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgevc.cli import voice_make, voice_record
from edgevc.cli.common import MODEL_HELP, add_json, help_text, say
from edgevc.cli.model_trust import add_trust_option
from edgevc.errors import (
    AudioDeviceError,
    AudioFileError,
    ConfigError,
    EngineError,
    GateError,
    MissingPackageError,
    ModelError,
    OutputError,
)

_EXAMPLES = """\
  edgevc voice record recordings/
  edgevc voice make me recordings/ -o me.voice --i-have-written-consent 'signed on 2026-11-30, in my desk'
  edgevc voice add me.voice
  edgevc voice info me
  edgevc convert meeting.wav other.wav --voice me
  edgevc voice mix me.voice=0.6 anon=0.4 -o mixed.voice
  edgevc voice export me copy.voice
  edgevc voice remove me
"""
HELP = help_text(
    _EXAMPLES,
    (ConfigError, ModelError, EngineError, AudioDeviceError, AudioFileError, OutputError, MissingPackageError),
    {GateError.exit_code: "the recordings are not good enough"},
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    make = actions.add_parser("make", help="make a voice from recordings of a minute or more; needs the extra `voices`")
    voice_make.add_arguments(make)
    consent = actions.add_parser("consent", help="show a sentence with which the speaker agrees, to be read at once")
    consent.add_argument("name", metavar="NAME", help="of the voice that will be made")
    record = actions.add_parser("record", help="show sentences, record them, and have bad ones read again")
    voice_record.add_arguments(record)
    info = actions.add_parser("info", help="check a voice and show what it is")
    info.add_argument("voice", metavar="NAME|FILE")
    add_json(info)
    add = actions.add_parser("add", help="copy a voice's file into your folder, so that its name is enough")
    add.add_argument("file", type=Path, metavar="FILE")
    add.add_argument("--name", help="to be called by (default: the file's)")
    add.add_argument("--force", action="store_true", help="replace a voice of that name")
    add.add_argument("--bundle", metavar="MODEL", help=f"whose voices' names are taken: {MODEL_HELP}")
    mix = actions.add_parser("mix", help="make a voice of several, each with a share; one of them a voice's file")
    mix.add_argument("parts", nargs="+", metavar="VOICE=SHARE", help="a file, or a name of your folder or of the model")
    mix.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="a .voice file")
    mix.add_argument("--name", help="of the mixture (default: the file's)")
    mix.add_argument("--force", action="store_true", help="replace a file that exists")
    mix.add_argument("--bundle", metavar="MODEL", help=f"that the voices belong to: {MODEL_HELP}")
    export = actions.add_parser("export", help="copy a voice out of your folder")
    export.add_argument("voice", metavar="NAME")
    export.add_argument("output", type=Path, metavar="FILE")
    export.add_argument("--force", action="store_true", help="replace a file that exists")
    remove = actions.add_parser("remove", help="delete a voice from your folder")
    remove.add_argument("voice", metavar="NAME")
    for action in (make, info, add, mix, export):
        add_trust_option(action)


def run(arguments: argparse.Namespace) -> int:
    """Do the action."""
    return _ACTIONS[arguments.action](arguments)


def _ask(arguments: argparse.Namespace) -> int:
    voice_make.require_torch()
    from edgevc.voice_maker.consent import VALID_SECONDS, ask
    from edgevc.voices.library import require_name

    require_name(arguments.name)
    challenge = ask(arguments.name)
    say(challenge.sentence)
    say(
        f"The speaker of the recordings reads this aloud; record it within {VALID_SECONDS // 60} minutes and give the "
        "file to `edgevc voice make` as --consent."
    )
    return 0


def _info(arguments: argparse.Namespace) -> int:
    from edgevc.cli.own_voices import fact_lines, facts
    from edgevc.voices.library import open_voice, path_of

    bundle = open_voice(path_of(arguments.voice) or arguments.voice)
    if arguments.json:
        print(json.dumps(facts(bundle), indent=1))
        return 0
    for line in fact_lines(bundle):
        print(line)
    return 0


def _add(arguments: argparse.Namespace) -> int:
    from edgevc.bundle import ModelBundle
    from edgevc.voices.library import install

    name = arguments.name or arguments.file.name.partition(".")[0]
    path = install(arguments.file, name, ModelBundle.find(arguments.bundle), overwrite=arguments.force)
    say(f"{path}: may be called {name} from now on")
    return 0


def _mix(arguments: argparse.Namespace) -> int:
    from edgevc.bundle import ModelBundle
    from edgevc.files import check_output
    from edgevc.voices.library import SUFFIX
    from edgevc.voices.mix import mix_voices, shares_of

    output: Path = arguments.output
    if output.suffix != SUFFIX:
        raise ConfigError(f"the output must end in {SUFFIX}, got {output}; try -o {output.with_suffix(SUFFIX)}")
    check_output(output, overwrite=arguments.force)
    name = arguments.name or output.name.partition(".")[0]
    made, kept = mix_voices(output, ModelBundle.find(arguments.bundle), shares_of(arguments.parts), name)
    say(f"{output}: {made.voices[0].description}")
    if kept < 1 - 1e-6:
        say(f"it keeps {kept:.1%} of what its voices change, so that the file is not too large")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from edgevc.files import check_output, write_atomic
    from edgevc.voices.library import installed_path, open_voice

    path = installed_path(arguments.voice)
    open_voice(path)
    check_output(arguments.output, overwrite=arguments.force)
    write_atomic(arguments.output, path.read_bytes())
    say(f"{arguments.output}: a copy of {path}")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    from edgevc.voices.library import installed_path

    path = installed_path(arguments.voice)
    try:
        path.unlink()
    except OSError as error:
        raise OutputError(f"cannot delete {path}: {error.strerror}; delete it yourself") from error
    say(f"{path} is deleted; ask those who have a copy to delete it, too")
    return 0


_ACTIONS = {
    "make": voice_make.run,
    "record": voice_record.run,
    "consent": _ask,
    "info": _info,
    "add": _add,
    "mix": _mix,
    "export": _export,
    "remove": _remove,
}
