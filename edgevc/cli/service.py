"""`edgevc service`: installs, shows and removes the service that runs `edgevc live`."""

from __future__ import annotations

import argparse
import os
import sys

from edgevc.cli.common import complain, help_text
from edgevc.errors import ConfigError, OutputError, ServiceError
from edgevc.live.settings import LIVE

_EXAMPLES = """\
  edgevc service install --user --voice slt --input 'USB*'
  sudo edgevc service install --system
  edgevc service install --print
  edgevc service status
  edgevc service remove
"""
_NOTES = """
Settings are best kept in the settings file, which `edgevc tune` writes (docs/live-settings.md). A user's service uses
that user's PulseAudio or PipeWire and runs while the user is logged in, or always after `loginctl enable-linger`. The
machine's service opens the sound card itself, with a user of its own.
"""
HELP = help_text(
    _EXAMPLES,
    (ConfigError, OutputError, ServiceError),
    {0: "done; status: it runs", 1: "status: it does not run"},
    _NOTES,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options, and after them those of `edgevc live`, with which the service is to run."""
    # every setting is listed below it
    parser.usage = "edgevc service {install,status,remove} [options]"
    parser.add_argument("action", choices=("install", "status", "remove"))
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--user", action="store_true", help="your own service (default unless you are root)")
    whose.add_argument("--system", action="store_true", help="the machine's service (default for root)")
    parser.add_argument("--print", action="store_true", dest="show", help="show the unit and install nothing")
    parser.add_argument("--no-start", action="store_true", help="install and enable, but do not start now")
    LIVE.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked."""
    from edgevc.board import service

    scope = service.Scope(user=arguments.user or (not arguments.system and os.geteuid() != 0))
    flags = LIVE.given_flags(arguments)
    if flags and arguments.action != "install":
        raise ConfigError(f"settings belong to install, got {' '.join(flags)}; leave them out")
    if arguments.action == "status":
        running, said = service.status(scope)
        print(said)
        return 0 if running else 1
    if arguments.action == "remove":
        removed, trouble = service.remove(scope)
        print(f"{scope.path} removed" if removed else f"no service is installed ({scope.path})")
        if trouble is not None:
            complain(f"systemd could not be told, so a service that runs goes on until the next boot: {trouble}")
        return 0
    # what live would refuse at every start is refused now
    config = LIVE.resolve(arguments)
    text = service.unit_text(scope, flags, network=config.metrics_any_interface)
    if arguments.show:
        sys.stdout.write(text)
        return 0
    path = service.install(scope, text, start=not arguments.no_start)
    print(f"{path} written, enabled{'' if arguments.no_start else ' and started'}")
    print(f"its words: journalctl {scope.option} -u {service.UNIT}")
    if scope.user:
        print("to run it without a login: loginctl enable-linger")
    return 0
