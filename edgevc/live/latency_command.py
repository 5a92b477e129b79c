"""`edgevc latency`: measures the time from mouth to ear instead of claiming it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from edgevc.errors import AudioDeviceError, ConfigError
from edgevc.live import settings

if TYPE_CHECKING:
    from edgevc.live.config import LiveConfig
    from edgevc.live.latency import FloatArray, Found, Latency, ProbePort
    from edgevc.live.stats import LatencyParts

_EPILOG = """examples:
  edgevc latency
  edgevc latency --through-converter
  edgevc latency --through-converter --mode bypass --input 'USB*' --output 'USB*' --block-ms 20
  edgevc latency --repetitions 20 --json

Output and input must hear each other: a cable from the speaker's plug to the microphone's, a virtual device, or the
microphone held to the speaker (then each 34 cm of air add 1 ms). The test sound is loud: take headphones off.

Without --through-converter it is the devices' own share: what comes in goes out again, with one block in reserve.
With it the whole of `edgevc live` is measured, with the settings that it would use.

"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser], epilog: str) -> None:
    """Add the command; `epilog` lists the exit codes."""
    text = "measure the time from mouth to ear: a test sound goes out and is heard back"
    command = commands.add_parser(
        "latency",
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=_EPILOG + epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--through-converter", action="store_true", help="measure all of `edgevc live`")
    command.add_argument("--repetitions", type=int, default=5, metavar="N", help="1 to 100 (default 5)")
    command.add_argument(
        "--level", type=float, default=-12.0, metavar="DB", help="of the sound, -60 to 0 (default -12)"
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    settings.add_arguments(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    if not 1 <= arguments.repetitions <= 100:
        raise ConfigError(f"--repetitions must be within 1..100, got {arguments.repetitions}; see --help")
    if not -60.0 <= arguments.level <= 0.0:
        raise ConfigError(f"--level must be within -60..0 dB, got {arguments.level:g}; see --help")
    config = settings.resolve(arguments)
    if arguments.through_converter and config.mode == "mute":
        raise ConfigError("a muted session cannot be heard; use --mode convert or --mode bypass")
    # nothing of the session comes out, so nothing can howl; recordings and songs are not asked for here
    config = dataclasses.replace(config, feedback_guard=False, backing=None, record=None)
    device: Latency | None
    try:
        device = measure_device(config, arguments.level, arguments.repetitions)
    except AudioDeviceError as error:
        # two rates, or a device that is heard only by the session's way of driving it: say so and go on
        if not arguments.through_converter or "one rate" not in str(error):
            raise
        device = None
        print(f"edgevc: {error}", file=sys.stderr)
    whole, parts = None, None
    if arguments.through_converter:
        whole, parts = measure_session(config, arguments.level, arguments.repetitions)
    if arguments.json:
        print(json.dumps(as_json(config, device, whole, parts), indent=1))
    else:
        print("\n".join(report(config, device, whole, parts)))
    return 0


def measure_device(config: LiveConfig, level_db: float, repetitions: int) -> Latency:
    """Measure the devices' own share.

    Raises:
        AudioDeviceError: a device is missing or fails, or nothing is heard.
    """
    import threading

    from edgevc.live.devices import open_port
    from edgevc.live.latency import PassThrough, ProbePort, chirp, find_sound, measure

    probe = ProbePort(open_port(config))
    stop = threading.Event()
    failures: list[AudioDeviceError] = []
    try:
        through = PassThrough(probe)

        def work() -> None:
            if config.realtime:
                from edgevc.live.realtime import prefer_this_thread

                prefer_this_thread()
            try:
                while not stop.is_set():
                    through.step()
            except AudioDeviceError as error:
                failures.append(error)

        worker = threading.Thread(target=work, name="edgevc-latency", daemon=True)
        worker.start()
        try:
            rate = probe.output_rate
            sound = chirp(rate)
            loud = sound * 10 ** (level_db / 20)

            def find(recording: FloatArray) -> Found:
                return find_sound(recording, sound, rate)

            def wait(seconds: float) -> None:
                time.sleep(seconds)
                if failures:
                    raise failures[0]

            return measure(lambda: probe, loud, find, wait, repetitions, _progress("devices"))
        finally:
            stop.set()
            worker.join()
            _progress("")(0)
    finally:
        probe.stop()


def measure_session(config: LiveConfig, level_db: float, repetitions: int) -> tuple[Latency, LatencyParts]:
    """Measure all of a live session, and return also what the session itself says of its parts.

    Raises:
        AudioDeviceError: a device is missing or fails, or nothing is heard.
    """
    from edgevc.live.devices import open_port
    from edgevc.live.latency import ProbePort, measure
    from edgevc.live.session import LiveSession, load_converters

    ports: list[ProbePort] = []

    def opened() -> ProbePort:
        ports.append(ProbePort(open_port(config)))
        return ports[-1]

    converters, voices = load_converters(config)
    session = LiveSession(config, opened, converters, voices)
    session.start()
    try:
        rate = ports[-1].output_rate
        sound, find = _test_sound(config, converters[config.chunk_hops], session.voice, rate)

        def wait(seconds: float) -> None:
            time.sleep(seconds)
            if session.wait(0.0):
                raise AudioDeviceError("the session ended while it was measured; see `edgevc doctor`")

        loud = sound * 10 ** (level_db / 20)
        found = measure(lambda: ports[-1], loud, find, wait, repetitions, _progress("edgevc live"))
        return found, session.stats().latency
    finally:
        session.stop()
        _progress("")(0)


def _test_sound(
    config: LiveConfig, converter: Any, voice: str, rate: int
) -> tuple[FloatArray, Callable[[FloatArray], Found]]:
    """Return what is played at `rate`, and what finds the session's copy of it."""
    from edgevc.bench import speech_like
    from edgevc.config import SAMPLE_RATE
    from edgevc.live.latency import chirp, find_by_envelope, find_sound
    from edgevc.resample import resample

    if config.mode == "bypass":
        sound = chirp(rate)
        return sound, lambda recording: find_sound(recording, sound, rate)
    speech = 2.0 * speech_like(1.2)
    expected = converter.convert(speech, voice, config.semitones)
    played = resample(speech, SAMPLE_RATE, rate) if rate != SAMPLE_RATE else speech
    expected = resample(expected, SAMPLE_RATE, rate) if rate != SAMPLE_RATE else expected
    return played, lambda recording: find_by_envelope(recording, expected, rate)


def report(config: LiveConfig, device: Latency | None, whole: Latency | None, parts: LatencyParts | None) -> list[str]:
    """Return what is printed."""
    lines = []
    if whole is not None and parts is not None:
        what = "converted" if config.mode == "convert" else "dry, delayed like the converted voice"
        lines.append(f"mouth to ear, {what}: {_words(whole)}")
        if device is not None:
            lines.append(f"  devices' own share  {device.milliseconds:7.1f} ms, measured")
            lines.append(f"  edgevc's share      {whole.milliseconds - device.milliseconds:7.1f} ms, the difference")
        lines.append("  what the session says of its parts:")
        for part in fields(parts):
            lines.append(f"    {part.name.replace('_', ' '):17s} {getattr(parts, part.name):7.1f} ms")
        difference = parts.total - whole.milliseconds
        lines.append(f"    {'sum':17s} {parts.total:7.1f} ms, {difference:+.1f} ms from what was measured")
    elif device is not None:
        lines.append(f"devices' own share, blocks of {config.block_ms:g} ms: {_words(device)}")
        lines.append("add --through-converter for all of `edgevc live`")
    return lines


def _words(latency: Latency) -> str:
    discarded = f", {latency.discarded} discarded" if latency.discarded else ""
    return (
        f"{latency.milliseconds:.1f} ms (median of {latency.repetitions}, {latency.least:.1f} to {latency.most:.1f}"
        f"{discarded}; peak to side {latency.confidence_db:.0f} dB)"
    )


def as_json(
    config: LiveConfig, device: Latency | None, whole: Latency | None, parts: LatencyParts | None
) -> dict[str, Any]:
    """Return what is printed with --json."""
    return {
        "block_ms": config.block_ms,
        "mode": config.mode,
        "device": None if device is None else asdict(device),
        "mouth_to_ear": None if whole is None else asdict(whole),
        "parts": None if parts is None else {**asdict(parts), "total": parts.total},
    }


def _progress(what: str) -> Callable[[int], None]:
    def show(number: int) -> None:
        if sys.stderr is not None and sys.stderr.isatty():
            text = f"{what}, repetition {number}" if what else ""
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    return show
