"""The command line of edgevc: one module for each command, found by name and imported when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple, NoReturn, Protocol

from edgevc.cli.common import (
    AnyOrderParser,
    abandon_stdout,
    add_verbosity,
    complain,
    configure_logging,
    exit_codes_text,
    prepare_streams,
    traceback_wanted,
)
from edgevc.errors import ALL, INTERRUPTED, EdgevcError, OutputError


class Command(NamedTuple):
    """One subcommand: what `edgevc --help` says of it without importing it."""

    name: str
    summary: str


class CommandModule(Protocol):
    """What a module of this folder offers; its name is the command's."""

    HELP: str
    """Below the options: examples, and what the command's own exit codes mean."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do what was asked; return the exit code."""
        ...


GROUPS: dict[str, tuple[Command, ...]] = {
    "recordings": (
        Command("convert", "convert files, a folder of files, or raw audio from a pipe"),
        Command("detect", "look for the watermark that edgevc puts into all that it says"),
        Command("voices", "list the built-in models with their measured figures, the voices of one, and yours"),
        Command("voice", "a voice of your own: make it from recordings, install, look at, export or remove it"),
    ),
    "live": (
        Command("live", "microphone to speaker in real time"),
        Command("control", "command a running live session"),
        Command("devices", "list input and output devices"),
        Command("latency", "measure the time from mouth to ear: a test sound goes out and is heard back"),
    ),
    "at home": (
        Command("relay", "hear spoken commands and tell the house: MQTT, Home Assistant, a webhook, a program"),
        Command("wyoming", "services for Home Assistant: spoken commands, and a privacy proxy before others"),
        Command("commands", "check a grammar of spoken commands, and hear recordings of it or what espeak-ng says"),
    ),
    "this machine": (
        Command("doctor", "check everything that a live session needs, and say what to type where something is wrong"),
        Command("tune", "measure this board and write the settings that suit it to the file that `edgevc live` reads"),
        Command("service", "let systemd run `edgevc live`: install, status, remove"),
        Command("bench", "measure speed and memory on this machine"),
    ),
    "models": (
        Command("info", "check a model and show what it is"),
        Command("quantize", "make a float model int8, proven smaller, faster and as good, or refuse"),
        Command("keygen", "make a key pair that signs models, or replace an old one"),
        Command("sign", "sign a model, so that others can tell who made it"),
        Command("encrypt", "encrypt a model, to be opened with a key or a passphrase"),
        Command("verify", "say who signed a model"),
        Command("trust", "list, add and remove the keys whose models are trusted"),
    ),
}
COMMANDS = {command.name: command for group in GROUPS.values() for command in group}
_GENERAL = "edgevc changes the voice and keeps the words, live, on small boards."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (`edgevc.errors` has the table)."""
    prepare_streams()
    try:
        arguments = parser_for(sys.argv[1:] if argv is None else argv).parse_args(argv)
        configure_logging(arguments.verbose - arguments.quiet, session=arguments.command_name in ("live", "relay"))
        if getattr(arguments, "opens_models", False):
            from edgevc.cli.model_trust import apply_trust

            apply_trust(arguments)
        code = int(arguments.run(arguments))
        sys.stdout.flush()
    except EdgevcError as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of our output went away; there is nobody left to tell
        abandon_stdout()
        return 0
    except OSError as error:
        complain(str(error))
        abandon_stdout()
        return OutputError.exit_code
    except Exception as error:
        if traceback_wanted():
            raise
        complain(f"internal error, {type(error).__name__}: {error}; run it again with -vv and report what it prints")
        return EdgevcError.exit_code
    return code


def program() -> NoReturn:
    """Run the command line and end the process with its exit code; see `edgevc.children.edgevc_command`."""
    # behind -c and the request for this function
    sys.exit(main(sys.argv[2:]))


class _VersionAction(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import edgevc

        print(f"edgevc {edgevc.__version__}")
        parser.exit()


def parser_for(argv: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser; only the module of the command that `argv` names is imported."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="edgevc",
        usage="edgevc [-h] [--version] [-v] [-q] COMMAND ...",
        description=f"{_GENERAL}\n\n{_overview()}",
        epilog=f"edgevc COMMAND --help shows examples.\n\n{exit_codes_text(ALL)}",
        formatter_class=raw,
    )
    parser.add_argument("--version", action=_VersionAction, nargs=0, help="show the version and exit")
    add_verbosity(parser, defaults=True)
    commands = parser.add_subparsers(
        metavar="COMMAND",
        required=True,
        prog="edgevc",
        dest="command_name",
        help=argparse.SUPPRESS,
        parser_class=AnyOrderParser,
    )
    chosen = next((word for word in argv if not word.startswith("-")), None)
    for command in COMMANDS.values():
        if command.name != chosen:
            commands.add_parser(command.name)
            continue
        module: CommandModule = importlib.import_module(f"edgevc.cli.{command.name}")
        text = command.summary
        sub = commands.add_parser(
            command.name, description=f"{text[0].upper()}{text[1:]}.", epilog=module.HELP, formatter_class=raw
        )
        add_verbosity(sub, defaults=False)
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


def _overview() -> str:
    lines = []
    for title, group in GROUPS.items():
        lines.append(f"{title}:")
        lines += [f"  {command.name:10s} {command.summary}" for command in group]
    return "\n".join(lines)
