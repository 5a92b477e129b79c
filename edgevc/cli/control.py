"""`edgevc control`: commands a running live session over its control socket."""

from __future__ import annotations

import argparse
import json

from edgevc.cli.common import add_json, help_text
from edgevc.errors import ConfigError, SessionError

_EXAMPLES = """\
  edgevc control status
  edgevc control mode mute
  edgevc control voice bdl
  edgevc control gain -3
  edgevc control --control 127.0.0.1:4010 stop
"""
HELP = help_text(_EXAMPLES, (ConfigError, SessionError))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("command", choices=("status", "mode", "voice", "gain", "pitch", "stop"))
    parser.add_argument(
        "value", nargs="?", help="mode: convert, bypass or mute; voice: a name; gain: dB; pitch: semitones"
    )
    parser.add_argument(
        "--control", metavar="ADDRESS", help="unix:PATH or 127.0.0.1:PORT (default: the user's session)"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Send the command; print the answer where it has one."""
    from edgevc.control.server import default_address, send_command

    address = arguments.control or default_address()
    if address is None:
        raise ConfigError("there is no XDG_RUNTIME_DIR to find the session in; give its address with --control")
    value: str | float | None = arguments.value
    if arguments.command in ("status", "stop"):
        if value is not None:
            raise ConfigError(f"{arguments.command} takes no value, got {value!r}")
    elif value is None:
        raise ConfigError(f"{arguments.command} needs a value; see `edgevc control --help`")
    elif arguments.command in ("gain", "pitch"):
        try:
            value = float(value)
        except ValueError as error:
            raise ConfigError(f"{arguments.command} must be a number, got {value!r}") from error
    answer = send_command(address, arguments.command, value)
    if arguments.json:
        print(json.dumps(answer))
    elif arguments.command == "status":
        _print_status(answer)
    return 0


def _print_status(answer: dict[str, object]) -> None:
    for part in ("stats", "settings"):
        values = answer.get(part)
        for name, value in values.items() if isinstance(values, dict) else ():
            shown = ", ".join(f"{k} {v:.2f}" for k, v in value.items()) if isinstance(value, dict) else value
            print(f"{name:18s} {shown}")
