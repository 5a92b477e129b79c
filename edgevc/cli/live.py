"""The commands `edgevc live` and `edgevc control`."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from edgevc.errors import ConfigError
from edgevc.live import settings

if TYPE_CHECKING:
    from edgevc.devices.port import AudioPort
    from edgevc.live.config import LiveConfig
    from edgevc.live.session import LiveSession
    from edgevc.live.stats import LiveStats

_LOG = logging.getLogger(__name__)

_LIVE_EXAMPLES = """examples:
  edgevc live --voice kathleen
  edgevc live --input 'USB*' --output pulse --voice bdl --tui
  edgevc live --voice slt --overload batch --record me.wav other.wav --seconds 60
  edgevc live --virtual-mic
  edgevc live --json | jq .latency.total
  arecord -f S16_LE -r 16000 -t raw | edgevc live --raw --voice slt | aplay -f S16_LE -r 16000 -t raw

keys: m mute, b dry voice, v next voice, + and - gain, q quit

--overload says what happens when the machine is too slow:
  drop    input is skipped: gaps, but always in time
  bypass  the dry voice is let through for a while; not for who must not be recognised
  silence nothing is let through for a while
  batch   more hops per call, which is cheaper, until it holds: 10 or 30 ms more latency meanwhile
"""

_CONTROL_EXAMPLES = """examples:
  edgevc control status
  edgevc control mode mute
  edgevc control voice bdl
  edgevc control gain -3
  edgevc control --control 127.0.0.1:4010 stop
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser], epilog: str) -> None:
    """Add both commands; `epilog` lists the exit codes."""
    live = commands.add_parser(
        "live",
        help="microphone to speaker in real time",
        description="Microphone to speaker in real time, until q, Ctrl-C or SIGTERM.",
        epilog=f"{_LIVE_EXAMPLES}\n{epilog}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    live.set_defaults(run=run)
    settings.add_arguments(live)
    live.add_argument("--seconds", type=float, metavar="N", help="stop after so many seconds")
    view = live.add_mutually_exclusive_group()
    view.add_argument("--tui", action="store_true", help="full-screen view: levels, latency in its parts, load, voice")
    view.add_argument("--json", action="store_true", help="one line of JSON a second on stdout")
    view.add_argument("--quiet", action="store_true", help="show nothing but warnings")
    live.add_argument("--raw", action="store_true", help="raw 16-bit mono PCM from stdin to stdout instead of devices")
    live.add_argument("--raw-rate", type=int, default=16_000, metavar="HZ", help="of raw audio (default 16000)")

    control = commands.add_parser(
        "control",
        help="command a running live session",
        description="Commands a running live session over its control socket.",
        epilog=f"{_CONTROL_EXAMPLES}\n{epilog}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    control.set_defaults(run=run_control)
    control.add_argument("command", choices=("status", "mode", "voice", "gain", "pitch", "stop"))
    control.add_argument(
        "value", nargs="?", help="mode: convert, bypass or mute; voice: a name; gain: dB; pitch: semitones"
    )
    control.add_argument(
        "--control", metavar="ADDRESS", help="unix:PATH or 127.0.0.1:PORT (default: the user's session)"
    )
    control.add_argument("--json", action="store_true", help="print the answer as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run `edgevc live`."""
    from edgevc.live.session import LiveSession, load_converters
    from edgevc.monitoring.systemd import told_to_systemd
    from edgevc.terminal.view import run_view

    config = settings.resolve(arguments)
    if arguments.seconds is not None and not arguments.seconds > 0:
        raise ConfigError(f"--seconds must be above 0, got {arguments.seconds}")
    view = "tui" if arguments.tui else "json" if arguments.json else "none" if arguments.quiet else "line"
    # A thread that computes shall not keep the worker waiting for the interpreter for 5 ms.
    sys.setswitchinterval(0.0005)
    stop = threading.Event()
    with _stop_on_signals(stop), contextlib.ExitStack() as parts:
        # what can be refused is refused before the model is loaded
        open_port = _raw_ports(arguments, config) if arguments.raw else None
        if config.virtual_mic:
            config = _with_virtual_microphone(arguments, config, parts)
        converters, voices = load_converters(config)
        session = LiveSession(config, open_port or _device_ports(config), converters, voices)
        parts.callback(session.stop)
        session.start()
        _serve(config, session, stop, parts)
        if arguments.seconds is not None:
            timer = threading.Timer(arguments.seconds, stop.set)
            timer.daemon = True
            parts.callback(timer.cancel)
            timer.start()
        # last, so that it says stopping first
        parts.enter_context(told_to_systemd(session.stats))
        run_view(session, config, voices, view, stop, keys=not arguments.raw)
    if not arguments.quiet and sys.stderr is not None:
        # the terminal may have gone, which is why the session ends
        with contextlib.suppress(OSError, ValueError):
            print(f"edgevc: {_summary(session.stats())}", file=sys.stderr, flush=True)
    return 0


def _with_virtual_microphone(
    arguments: argparse.Namespace, config: LiveConfig, parts: contextlib.ExitStack
) -> LiveConfig:
    from edgevc.devices.virtual_mic import virtual_microphone

    if arguments.raw:
        raise ConfigError("--virtual-mic is an output and --raw another; leave one of them out")
    parts.enter_context(virtual_microphone(config.output))
    # feedback needs a way from the output to the microphone, which other programs do not give
    return dataclasses.replace(config, feedback_guard=False)


def _serve(config: LiveConfig, session: LiveSession, stop: threading.Event, parts: contextlib.ExitStack) -> None:
    """Open what other programs talk to."""
    from edgevc.control.server import ControlServer, default_address

    address = config.control or default_address()
    if address is not None:
        try:
            parts.callback(ControlServer(address, session, stop.set).close)
        except ConfigError as error:
            if config.control is not None:
                raise
            # nobody asked for it: a second session does without
            _LOG.info("%s", error)
    if config.metrics is not None:
        from edgevc.monitoring.metrics import MetricsServer

        server = MetricsServer(config.metrics, session.stats, any_interface=config.metrics_any_interface)
        parts.callback(server.close)


def _device_ports(config: LiveConfig) -> Callable[[], AudioPort]:
    from edgevc.devices.catalogue import open_port

    return lambda: open_port(config)


def _raw_ports(arguments: argparse.Namespace, config: LiveConfig) -> Callable[[], AudioPort]:
    from edgevc.devices.pipe import RawPort
    from edgevc.dsp.resample import MAX_RATE, MIN_RATE

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
def _stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C, a service manager and a terminal that goes away end the session as the key q does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    # nohup and a shell's background jobs ask for these to be ignored
    numbers += [n for n in (signal.SIGHUP, signal.SIGQUIT) if signal.getsignal(n) is not signal.SIG_IGN]
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


def run_control(arguments: argparse.Namespace) -> int:
    """Run `edgevc control`."""
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
