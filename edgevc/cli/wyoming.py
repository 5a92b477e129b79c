"""`edgevc wyoming`: services for Home Assistant and its satellites."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgevc.cli.common import ENDING_SIGNALS, add_model_options, add_voice_options, help_text, say
from edgevc.errors import ConfigError, EngineError, MissingPackageError, ModelError, SessionError

if TYPE_CHECKING:
    from edgevc.wyoming.address import Address
    from edgevc.wyoming.link import Link
    from edgevc.wyoming.server import Session

_EXAMPLES = """\
  edgevc wyoming serve --commands home.toml --wake 'hey computer'
  edgevc wyoming proxy --upstream tcp://127.0.0.1:10300 --voice anon
  edgevc wyoming proxy --upstream tcp://server.lan:10300 --listen tcp://0.0.0.0:10301 --any-interface --zeroconf
"""
_NOTES = """
serve   hears the commands of a grammar and knows at once when one has ended; English only
proxy   passes speech on to another Wyoming service in a voice that is not its owner's (--voice, or anon); where it
        cannot be converted the session ends, and the original goes nowhere

Wyoming has no password and no encryption: listen where only those reach it who may speak.
"""
_ANONYMOUS = "anon"
"""The voice that is nobody's: what a privacy proxy is for."""
HELP = help_text(_EXAMPLES, (ConfigError, ModelError, EngineError, SessionError, MissingPackageError), notes=_NOTES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    serve = actions.add_parser("serve", help="speech-to-text, wake phrases and intents for the sentences of a grammar")
    serve.add_argument("--commands", type=Path, required=True, metavar="FILE", help="what may be said: .toml or .yaml")
    serve.add_argument(
        "--wake",
        action="append",
        default=[],
        metavar="PHRASE",
        help="a wake phrase, in place of the grammar's; repeatable",
    )
    serve.add_argument(
        "--dictionary", type=Path, action="append", default=[], metavar="FILE", help="more pronunciations; repeatable"
    )
    serve.add_argument(
        "--timeout", type=float, default=15.0, metavar="S", help="seconds without a sentence, 1 to 300 (default 15)"
    )
    _add_listening(serve, "tcp://127.0.0.1:10300")
    add_model_options(serve)
    serve.set_defaults(serve=_commands)
    proxy = actions.add_parser("proxy", help="a privacy proxy before another service")
    proxy.add_argument("--upstream", required=True, metavar="tcp://HOST:PORT", help="the service that gets the speech")
    _add_listening(proxy, "tcp://127.0.0.1:10301")
    add_voice_options(proxy)
    add_model_options(proxy)
    proxy.set_defaults(serve=_proxy)


def _add_listening(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--listen", default=default, metavar="tcp://HOST:PORT", help=f"where clients connect (default {default})"
    )
    parser.add_argument(
        "--any-interface",
        action="store_true",
        help="let --listen be where other machines reach it; Wyoming has no password",
    )
    parser.add_argument("--name", default="edgevc", help="what Home Assistant shows (default edgevc)")
    parser.add_argument("--zeroconf", action="store_true", help="announce the service, so that Home Assistant finds it")


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    serve: Callable[[argparse.Namespace, Address], int] = arguments.serve
    from edgevc.wyoming.address import read_address, require_loopback

    address = read_address(arguments.listen, "--listen")
    require_loopback(address, "--listen", any_interface=arguments.any_interface)
    if not arguments.name.strip() or not arguments.name.isprintable() or len(arguments.name) > 50:
        raise ConfigError(f"--name must be a line of 1 to 50 characters, got {arguments.name!r}; choose another")
    return serve(arguments, address)


def _commands(arguments: argparse.Namespace, address: Address) -> int:
    import edgevc
    from edgevc.bundle import ModelBundle
    from edgevc.recognition.command_set import CommandSet
    from edgevc.recognition.spoken_commands import SpokenCommands
    from edgevc.wyoming.service import CommandService

    if not 1 <= arguments.timeout <= 300:
        raise ConfigError(f"--timeout must be within 1..300 s, got {arguments.timeout}; leave it out for 15")
    bundle = ModelBundle.find(arguments.bundle)
    commands = CommandSet.read(arguments.commands, bundle.phones, arguments.dictionary, wake=arguments.wake)
    spoken = SpokenCommands(commands, bundle, arguments.engine, arguments.chunk_hops)
    service = CommandService(spoken, arguments.name, arguments.timeout, edgevc.__version__)
    try:
        _serve(service.converse, address, arguments, f"{len(commands.commands)} commands of {arguments.commands}")
    finally:
        service.close()
    return 0


def _proxy(arguments: argparse.Namespace, address: Address) -> int:
    from edgevc.converter import VoiceConverter, VoiceSettings
    from edgevc.wyoming.address import read_address
    from edgevc.wyoming.proxy import Proxy
    from edgevc.wyoming.recording import VoiceChange

    upstream = read_address(arguments.upstream, "--upstream")
    converter = VoiceConverter(arguments.bundle, arguments.engine, arguments.chunk_hops)
    settings = VoiceSettings(arguments.pitch, arguments.formant, arguments.gain, arguments.gate)
    # a voice that there is not is refused now, not when somebody speaks
    voice = converter.voice(arguments.voice or (_ANONYMOUS if _ANONYMOUS in converter.voices else None))
    proxy = Proxy(upstream, VoiceChange(converter, voice, settings), arguments.name)
    try:
        _serve(proxy.converse, address, arguments, f"speech goes on to {upstream} as {voice.spec.name}")
    finally:
        proxy.close()
    return 0


def _serve(converse: Callable[[Link], Session], address: Address, arguments: argparse.Namespace, what: str) -> None:
    """Serve until a signal comes, from a terminal or a service manager."""
    from edgevc.wyoming.address import Address
    from edgevc.wyoming.announce import announced
    from edgevc.wyoming.server import Server

    async def serve() -> None:
        server = Server(converse)
        listening = await server.listen(*address)
        with contextlib.closing(listening):
            bound = Address(address.host, listening.sockets[0].getsockname()[1])
            async with announced(bound, arguments.name) if arguments.zeroconf else contextlib.nullcontext():
                task = asyncio.ensure_future(server.run(listening))
                _end_on_signals(task)
                say(f"listening on {bound}; {what}")
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    asyncio.run(serve())


def _end_on_signals(task: asyncio.Future[None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, *ENDING_SIGNALS):
        # nohup and a shell's background jobs ask for these to be ignored
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, task.cancel)
