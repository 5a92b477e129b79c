"""`edgevc relay`: hears commands, and tells the house."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from edgevc.cli.common import ENDING_SIGNALS, complain, help_text, piped_bytes
from edgevc.cli.model_trust import add_trust_option
from edgevc.errors import (
    AudioDeviceError,
    AudioFileError,
    ConfigError,
    EngineError,
    MissingPackageError,
    ModelError,
    OutputError,
    SessionError,
)
from edgevc.relay.settings import TABLES, Settings

_EXAMPLES = """\
  edgevc relay --commands lamps.toml command.wav --dry-run
  edgevc relay --commands lamps.toml --listen microphone --lines
  edgevc relay --commands lamps.toml --mqtt-host 192.168.1.5
  arecord -f S16_LE -r 16000 -t raw | edgevc relay --commands lamps.toml --raw
"""
_NOTES = """
English only. Passwords and tokens have no flags: they stand in the settings' file (chmod 600), in files of their own,
or in variables; docs/relay-settings.md lists them.
"""
_ERRORS = (
    *(ConfigError, ModelError, EngineError, AudioFileError, AudioDeviceError, OutputError, SessionError),
    MissingPackageError,
)
HELP = help_text(_EXAMPLES, _ERRORS, notes=_NOTES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.usage = "edgevc relay [options] [RECORDING ...]"
    parser.add_argument("files", nargs="*", type=Path, metavar="RECORDING", help="heard instead of anything live")
    parser.add_argument("--raw", action="store_true", help="hear raw 16-bit mono PCM from stdin")
    parser.add_argument("--raw-rate", type=int, default=16_000, metavar="HZ", help="of raw audio (default 16000)")
    parser.add_argument(
        "--events", action="store_true", help="take sentences from stdin, lines of JSON as --lines writes them"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent, and send nothing")
    add_trust_option(parser)
    for table in TABLES:
        table.add_arguments(parser, config=table is TABLES[0])


def run(arguments: argparse.Namespace) -> int:
    """Run `edgevc relay`."""
    settings = Settings.resolve(arguments)
    if arguments.raw + arguments.events + bool(arguments.files) > 1:
        raise ConfigError("recordings, --raw and --events exclude each other; leave two of them out")
    return asyncio.run(_relay(arguments, settings))


async def _relay(arguments: argparse.Namespace, settings: Settings) -> int:
    from edgevc.relay.build import Input, claim_of, make_sinks, make_sources, vocabulary_of
    from edgevc.relay.controls import Controls
    from edgevc.relay.event import Event
    from edgevc.relay.hub import Relay
    from edgevc.relay.sinks.lines import DryRun

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, *ENDING_SIGNALS):
        # nohup and a shell's background jobs ask for these to be ignored
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stop.set)
    controls = Controls(settings.relay.sensitivity)
    vocabulary = vocabulary_of(settings.relay)
    sinks = make_sinks(settings, controls, vocabulary, _write)
    if arguments.dry_run:
        sinks = [DryRun(sinks, _write)]
    for sink in sinks:
        sink.prepare()
    claim = claim_of(sinks)
    relay = Relay(sinks, settings.relay.time_to_live, None if claim is None else claim.decide)

    def hear(event: Event) -> None:
        loop.call_soon_threadsafe(relay.hear, event)

    stdin = piped_bytes() if arguments.raw or arguments.events else None
    given = Input(
        arguments.files,
        stdin if arguments.raw else None,
        arguments.raw_rate,
        stdin if arguments.events else None,
    )
    for source in make_sources(settings.relay, given, controls, vocabulary, hear):
        relay.add(source)
    if vocabulary is not None:
        relay.help(vocabulary)
    await relay.run(stop)
    if not arguments.quiet:
        complain(relay.summary())
    return 0


def _write(line: str) -> None:
    print(line, flush=True)
