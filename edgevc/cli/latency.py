"""`edgevc latency`: measures the time from mouth to ear instead of claiming it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from edgevc.cli.common import add_json, complain, help_text
from edgevc.cli.progress import Progress
from edgevc.errors import AudioDeviceError, ConfigError, EngineError, ModelError
from edgevc.live.settings import LIVE

if TYPE_CHECKING:
    from edgevc.converter import VoiceConverter
    from edgevc.devices.round_trip import FloatArray, Found, Latency, ProbePort
    from edgevc.live.config import LiveConfig
    from edgevc.live.stats import LatencyParts

_EXAMPLES = """\
  edgevc latency
  edgevc latency --through-converter
  edgevc latency --through-converter --mode bypass --input 'USB*' --output 'USB*' --block-ms 20
  edgevc latency --repetitions 20 --json
"""
_NOTES = """
Output and input must hear each other: a cable from the speaker's plug to the microphone's, a virtual device, or the
microphone held to the speaker (then each 34 cm of air add 1 ms). The test sound is loud: take headphones off.

Without --through-converter it is the devices' own share: what comes in goes out again, with one block in reserve.
With it the whole of `edgevc live` is measured, with the settings that it would use.
"""
HELP = help_text(_EXAMPLES, (ConfigError, ModelError, EngineError, AudioDeviceError), notes=_NOTES)
_ATTEMPTS = 3
_STEADY_MS = 1.0
_LOOK_S = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    # every setting is listed below it
    parser.usage = "edgevc latency [options]"
    parser.add_argument("--through-converter", action="store_true", help="measure all of `edgevc live`")
    parser.add_argument("--repetitions", type=int, default=5, metavar="N", help="1 to 100 (default 5)")
    parser.add_argument("--level", type=float, default=-12.0, metavar="DB", help="of the sound, -60 to 0 (default -12)")
    add_json(parser)
    LIVE.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    if not 1 <= arguments.repetitions <= 100:
        raise ConfigError(f"--repetitions must be within 1..100, got {arguments.repetitions}; see --help")
    if not -60.0 <= arguments.level <= 0.0:
        raise ConfigError(f"--level must be within -60..0 dB, got {arguments.level:g}; see --help")
    config = LIVE.resolve(arguments)
    if arguments.through_converter and config.mode == "mute":
        raise ConfigError("a muted session cannot be heard; use --mode convert or --mode bypass")
    # nothing of the session comes out, so nothing can howl; recordings and songs are not asked for here, and the test
    # sound is no speech, so the gate would take it away
    config = dataclasses.replace(config, feedback_guard=False, gate=False, backing=None, record=None)
    found = measure_all(config, arguments.level, arguments.repetitions, through_converter=arguments.through_converter)
    if arguments.json:
        print(json.dumps(as_json(config, *found), indent=1))
    else:
        print("\n".join(report(config, *found)))
    return 0


def measure_all(
    config: LiveConfig, level_db: float, repetitions: int, *, through_converter: bool
) -> tuple[Latency, Latency | None, LatencyParts | None]:
    """Measure the devices' own share and, through the same opened devices, all of a live session.

    Returns:
        What a bare pass-through took; what the session took, and what it says of its parts, with the devices' share as
        it was measured in the place of what the driver says.

    Raises:
        AudioDeviceError: a device is missing or fails, or nothing is heard.
    """
    from edgevc.devices.catalogue import open_port
    from edgevc.devices.round_trip import ProbePort

    converters = _load(config) if through_converter else None
    for attempt in range(_ATTEMPTS):
        probe = ProbePort(open_port(config))
        try:
            return _measure_once(probe, config, converters, level_db, repetitions, last=attempt == _ATTEMPTS - 1)
        except _UnsteadyError as error:
            # a sound server that ran dry keeps the extra delay, so that no part holds for the whole
            complain(f"{error}; once more")
        finally:
            probe.close()
    raise AudioDeviceError(
        f"the device changed or failed in each of {_ATTEMPTS} attempts; close other programs, set larger blocks "
        "(--block-ms), see `edgevc doctor`"
    )


class _UnsteadyError(AudioDeviceError):
    """The devices' own share changed while it was measured."""


def _measure_once(
    probe: ProbePort,
    config: LiveConfig,
    converters: dict[int, VoiceConverter] | None,
    level_db: float,
    repetitions: int,
    *,
    last: bool,
) -> tuple[Latency, Latency | None, LatencyParts | None]:
    device = measure_device(probe, config, level_db, repetitions)
    if converters is None:
        return device, None, None
    own = device.milliseconds - device.queue_ms
    whole, parts = measure_session(probe, config, converters, level_db, repetitions)
    after = measure_device(probe, config, level_db, 2)
    change = after.milliseconds - after.queue_ms - own
    if abs(change) > _STEADY_MS and not last:
        raise _UnsteadyError(f"the devices' own share changed by {change:+.1f} ms meanwhile")
    reported = parts.input_device + parts.output_device
    share = parts.input_device / reported if reported > 0 else 0.5
    return device, whole, dataclasses.replace(parts, input_device=own * share, output_device=own * (1 - share))


def _load(config: LiveConfig) -> dict[int, VoiceConverter]:
    from edgevc.live.converters import load_converters

    return load_converters(config)


def measure_device(probe: ProbePort, config: LiveConfig, level_db: float, repetitions: int) -> Latency:
    """Measure a bare pass-through.

    Raises:
        AudioDeviceError: a device fails, or nothing is heard.
    """
    from edgevc.devices.round_trip import PassThrough, chirp, find_sound, measure

    stop = threading.Event()
    failures: list[AudioDeviceError] = []
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

    def wait(seconds: float) -> None:
        time.sleep(seconds)
        if failures:
            raise failures[0]

    worker = threading.Thread(target=work, name="edgevc-latency", daemon=True)
    worker.start()
    try:
        sound = chirp(probe.output_rate)
        loud = sound * np.float32(10 ** (level_db / 20))
        return measure(
            probe,
            loud,
            lambda recording: find_sound(recording, sound, probe.output_rate),
            wait,
            repetitions,
            _counting("devices"),
        )
    finally:
        stop.set()
        worker.join()


def measure_session(
    probe: ProbePort, config: LiveConfig, converters: dict[int, VoiceConverter], level_db: float, repetitions: int
) -> tuple[Latency, LatencyParts]:
    """Measure all of a live session, and return also what the session itself says of its parts.

    Raises:
        AudioDeviceError: a device fails, or nothing is heard.
    """
    from edgevc.devices.round_trip import measure
    from edgevc.live.session import LiveSession

    probe.stop()
    ports = [probe]

    def opened() -> ProbePort:
        if not ports:
            raise AudioDeviceError("the device is measured as it was opened; start again")
        return ports.pop()

    session = LiveSession(config, open_port=opened, converters=converters)
    session.start()
    try:
        sound, find = sound_and_finder(config, converters[min(converters)], session.voice, probe.output_rate)

        said: list[LatencyParts] = []

        def wait(seconds: float) -> None:
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0:
                if session.wait(min(left, _LOOK_S)) or session.stats().state != "running":
                    raise _UnsteadyError("the device failed while the session was measured")
                said.append(session.stats().latency)

        loud = sound * np.float32(10 ** (level_db / 20))
        found = measure(probe, loud, find, wait, repetitions, _counting("edgevc live"))
        # a snapshot between two blocks of the device is a block off
        parts = {part.name: statistics.median(getattr(one, part.name) for one in said) for part in fields(said[0])}
        return found, type(said[0])(**parts)
    finally:
        session.stop()


def sound_and_finder(
    config: LiveConfig, converter: VoiceConverter, voice: str, rate: int
) -> tuple[FloatArray, Callable[[FloatArray], Found]]:
    """Return what is played at `rate`, full scale, and what finds the session's copy of it."""
    from edgevc.converter import VoiceSettings
    from edgevc.devices.round_trip import chirp, find_by_envelope, find_sound, syllables
    from edgevc.dsp.resample import resample
    from edgevc.limits import SAMPLE_RATE

    if config.mode == "bypass":
        sound = chirp(rate)
        return sound, lambda recording: find_sound(recording, sound, rate)
    speech = 0.25 * syllables(SAMPLE_RATE)
    copies = []
    for shift in (0, 40, 80, 120):
        shifted = np.concatenate([np.zeros(shift, np.float32), speech])
        copy = converter.convert(shifted, voice, VoiceSettings(config.semitones))[shift:]
        copies.append(resample(copy, SAMPLE_RATE, rate) if rate != SAMPLE_RATE else copy)
    played = syllables(rate)
    return played, lambda recording: find_by_envelope(recording, copies, rate)


def report(config: LiveConfig, device: Latency, whole: Latency | None, parts: LatencyParts | None) -> list[str]:
    """Return what is printed."""
    own = device.milliseconds - device.queue_ms
    if whole is None or parts is None:
        return [
            f"bare pass-through, blocks of {config.block_ms:g} ms: {_words(device)}",
            f"  devices' own share  {own:6.1f} ms",
            f"  edgevc's queues     {device.queue_ms:6.1f} ms",
            "add --through-converter for all of `edgevc live`",
        ]
    what = "converted" if config.mode == "convert" else "dry, delayed like the converted voice"
    lines = [f"mouth to ear, {what}: {_words(whole)}"]
    for part in fields(parts):
        if part.name not in ("input_device", "output_device"):
            lines.append(f"  {part.name.replace('_', ' '):20s}{getattr(parts, part.name):6.1f} ms")
    difference = parts.total - whole.milliseconds
    return [
        *lines,
        f"  devices' own share  {own:6.1f} ms, measured by a bare pass-through",
        f"  sum                 {parts.total:6.1f} ms, {difference:+.1f} ms from what was measured as a whole",
    ]


def _words(latency: Latency) -> str:
    discarded = f", {latency.discarded} discarded" if latency.discarded else ""
    return (
        f"{latency.milliseconds:.1f} ms (median of {latency.repetitions}, {latency.least:.1f} to {latency.most:.1f}"
        f"{discarded}; peak to side {latency.confidence_db:.0f} dB)"
    )


def as_json(config: LiveConfig, device: Latency, whole: Latency | None, parts: LatencyParts | None) -> dict[str, Any]:
    """Return what is printed with --json."""
    return {
        "block_ms": config.block_ms,
        "mode": config.mode,
        "device": {**asdict(device), "own_share": device.milliseconds - device.queue_ms},
        "mouth_to_ear": None if whole is None else asdict(whole),
        "parts": None if parts is None else {**asdict(parts), "total": parts.total},
    }


def _counting(what: str) -> Callable[[int], None]:
    """Return what shows the number of each repetition."""
    progress = Progress()
    return lambda number: progress.show(f"{what}, repetition {number}")
