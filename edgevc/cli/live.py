"""`edgevc live`: microphone to speaker in real time."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from edgevc.cli.common import ENDING_SIGNALS, complain, help_text
from edgevc.cli.model_trust import add_trust_option
from edgevc.errors import AudioDeviceError, ConfigError, EngineError, ModelError, OutputError, SessionError
from edgevc.live.settings import LIVE, with_hops_of
from edgevc.terminal.keys import keys_help

if TYPE_CHECKING:
    from edgevc.devices.port import AudioPort
    from edgevc.live.config import LiveConfig
    from edgevc.live.session import LiveSession
    from edgevc.live.stats import LiveStats

_LOG = logging.getLogger(__name__)

_EXAMPLES = """\
  edgevc live --voice kathleen
  edgevc live --input 'USB*' --output pulse --voice bdl --tui
  edgevc live --voice slt --overload batch --record me.wav other.wav --seconds 60
  edgevc live --virtual-mic
  edgevc live --json | jq .latency.total
  arecord -f S16_LE -r 16000 -t raw | edgevc live --raw --voice slt | aplay -f S16_LE -r 16000 -t raw
"""
_NOTES = f"""
keys: {keys_help(", ")}

--overload says what happens when the machine is too slow:
  drop    input is skipped: gaps, but always in time
  bypass  pass the unconverted voice through until the load falls; do not use it for anonymity
  silence play silence until the load falls
  batch   more hops per call, which is cheaper, until it holds: 10 or 30 ms more latency meanwhile
"""

_ERRORS = (ConfigError, ModelError, EngineError, AudioDeviceError, OutputError, SessionError)
HELP = help_text(_EXAMPLES, _ERRORS, notes=_NOTES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    # every setting is listed below it
    parser.usage = "edgevc live [options]"
    LIVE.add_arguments(parser)
    add_trust_option(parser)
    parser.add_argument("--seconds", type=float, metavar="N", help="stop after so many seconds")
    view = parser.add_mutually_exclusive_group()
    view.add_argument("--tui", action="store_true", help="full-screen view: levels, latency in its parts, load, voice")
    view.add_argument("--json", action="store_true", help="one line of JSON a second on stdout")
    parser.add_argument("--raw", action="store_true", help="raw 16-bit mono PCM from stdin to stdout, no devices")
    parser.add_argument("--raw-rate", type=int, default=16_000, metavar="HZ", help="of raw audio (default 16000)")


def run(arguments: argparse.Namespace) -> int:
    """Run `edgevc live`."""
    from edgevc.live.converters import load_converters
    from edgevc.live.session import LiveSession
    from edgevc.monitoring.systemd import told_to_systemd
    from edgevc.terminal.view import run_view

    config = LIVE.resolve(arguments)
    if arguments.seconds is not None and not arguments.seconds > 0:
        raise ConfigError(f"--seconds must be above 0, got {arguments.seconds}")
    view = "tui" if arguments.tui else "json" if arguments.json else "none" if arguments.quiet else "line"
    stop = threading.Event()
    with stop_on_signals(stop), contextlib.ExitStack() as parts:
        # what can be refused is refused before the model is loaded
        open_port = _raw_ports(arguments, config) if arguments.raw else None
        converters = load_converters(config)
        config = with_hops_of(config, converters)
        session = LiveSession(config, open_port=open_port, converters=converters)
        parts.callback(session.stop)
        session.start()
        _serve(config, session, converters[config.chunk_hops].bundle.phones, stop, parts)
        if arguments.seconds is not None:
            timer = threading.Timer(arguments.seconds, stop.set)
            timer.daemon = True
            parts.callback(timer.cancel)
            timer.start()
        # last, so that it says stopping first
        parts.enter_context(told_to_systemd(session.stats))
        run_view(session, config, view, stop, keys=not arguments.raw)
    if not arguments.quiet:
        complain(_summary(session.stats()))
    return 0


def _serve(
    config: LiveConfig,
    session: LiveSession,
    phones: Sequence[str],
    stop: threading.Event,
    parts: contextlib.ExitStack,
) -> None:
    """Open what other programs talk to."""
    from edgevc.control.address import default_address
    from edgevc.control.server import ControlServer

    address = config.control or default_address()
    if address is not None:
        try:
            parts.callback(ControlServer(address, session, stop.set, phones).close)
        except SessionError as error:
            if config.control is not None:
                raise
            # nobody asked for it: a second session does without, and says so
            _LOG.warning("%s; this session runs without a control socket", error)
    if config.metrics is not None:
        from edgevc.monitoring.metrics import MetricsServer

        server = MetricsServer(config.metrics, session.stats, any_interface=config.metrics_any_interface)
        parts.callback(server.close)


def _raw_ports(arguments: argparse.Namespace, config: LiveConfig) -> Callable[[], AudioPort]:
    from edgevc.devices.pipe import RawPort
    from edgevc.dsp.resample import MAX_RATE, MIN_RATE

    if config.virtual_mic:
        raise ConfigError("--virtual-mic is an output and --raw another; leave one of them out")
    if arguments.json or arguments.tui:
        raise ConfigError("stdout carries the sound with --raw; ask `edgevc control status`, or serve --metrics")
    if not MIN_RATE <= arguments.raw_rate <= MAX_RATE:
        raise ConfigError(f"--raw-rate must be within {MIN_RATE}..{MAX_RATE}, got {arguments.raw_rate}")
    if sys.stdin is None or sys.stdout is None or sys.stdin.isatty() or sys.stdout.isatty():
        raise ConfigError("raw audio comes and goes through pipes, not a terminal; see `edgevc live --help`")
    source, target = sys.stdin.buffer, sys.stdout.buffer
    block = round(config.block_ms * arguments.raw_rate / 1000)
    return lambda: RawPort(source, target, arguments.raw_rate, block)


@contextlib.contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C, a service manager and a terminal that goes away set `stop`, as the key q does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # nohup and a shell's background jobs ask for these to be ignored
    ending = [number for number in ENDING_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    numbers = [signal.SIGINT, *ending]
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _summary(stats: LiveStats) -> str:
    xruns = stats.input_overflows + stats.output_underflows
    return (
        f"{stats.seconds:.1f} s, {stats.hops} hops, load {100 * stats.load:.0f} %, xruns {xruns}, "
        f"missed deadlines {stats.deadlines_missed}, dropped hops {stats.hops_dropped}"
    )
