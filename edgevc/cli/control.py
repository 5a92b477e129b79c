"""`edgevc control`: controls a running live session over its control socket."""

from __future__ import annotations

import argparse
import json
from typing import Any

from edgevc.cli.common import add_json, help_text
from edgevc.control.controls import BY_NAME, CONTROLS
from edgevc.errors import ConfigError, SessionError

_EXAMPLES = """\
  edgevc control status
  edgevc control mode mute
  edgevc control voice bdl
  edgevc control gain -3
  edgevc control subscribe
  edgevc control --control 127.0.0.1:4010 stop
"""
HELP = help_text(_EXAMPLES, (ConfigError, SessionError))
_REQUESTS = ("status", "subscribe", "stop")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    rules = (f"{control.name}: {control.kind.rule}" for control in CONTROLS)
    events = "subscribe: state (the default) or phones, separated by commas"
    parser.add_argument("command", choices=(*_REQUESTS, *BY_NAME), help="what to ask for, or what to change")
    parser.add_argument("value", nargs="?", help="; ".join([*rules, events]))
    parser.add_argument(
        "--control", metavar="ADDRESS", help="unix:PATH or 127.0.0.1:PORT (default: the user's session)"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Send the command; print the answer where it has one."""
    from edgevc.control.address import default_address
    from edgevc.control.client import Connection

    address = arguments.control or default_address()
    if address is None:
        raise ConfigError("there is no XDG_RUNTIME_DIR to find the session in; give its address with --control")
    value = _value(arguments.command, arguments.value)
    with Connection(address) as connection:
        if arguments.command == "subscribe":
            for event in connection.subscribe(*(value or ())):
                print(json.dumps(event), flush=True)
            return 0
        answer = connection.ask(arguments.command, value)
    if arguments.json:
        print(json.dumps(answer))
    elif arguments.command == "status":
        _print_status(answer)
    return 0


def _value(command: str, text: str | None) -> Any:
    """Return what the session is sent; the session itself checks what only it can know.

    Raises:
        ConfigError: the command takes no value, needs one, or has a rule that this one breaks.
    """
    if command == "subscribe":
        return None if text is None else [event for event in text.split(",") if event]
    if command in _REQUESTS:
        if text is not None:
            raise ConfigError(f"{command} takes no value, got {text!r}; leave it out")
        return None
    if text is None:
        raise ConfigError(f"{command} needs a value, {BY_NAME[command].kind.rule}; see `edgevc control --help`")
    return BY_NAME[command].from_text(text)


def _print_status(answer: dict[str, Any]) -> None:
    from edgevc.text import printable

    for part in ("stats", "settings"):
        values = answer.get(part)
        for name, value in values.items() if isinstance(values, dict) else ():
            print(printable(f"{name:18s} {_shown(value)}"))


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.2f}" if isinstance(value, float) else str(value)
