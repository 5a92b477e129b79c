"""`edgevc voice record`: sentences are shown, read, judged, and kept as recordings for `edgevc voice make`."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgevc.cli.common import piped_bytes, say, termination_as_interrupt
from edgevc.errors import AudioDeviceError, ConfigError, OutputError

if TYPE_CHECKING:
    from edgevc.voice_maker.record import Reader

FloatArray = NDArray[np.float32]

_TRIES = 3
"""Readings of a sentence before the next one is shown."""
_BLOCK_SECONDS = 0.02
_WAIT_SECONDS = 2.0


@dataclass(frozen=True)
class _Devices:
    """See `edgevc.devices.port.DeviceSettings`."""

    backend: str = "auto"
    input: str | None = None
    output: str | None = None
    block_ms: float = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the action."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="for the recordings; those that are there stay")
    parser.add_argument("--input", metavar="NAME", help="microphone, see `edgevc devices` (default: the system's)")
    parser.add_argument("--output", metavar="NAME", help="output that is opened beside it (default: the system's)")
    parser.add_argument("--minutes", type=float, default=3.0, metavar="M", help="of speech that are wanted (default 3)")
    parser.add_argument("--raw", action="store_true", help="raw 16-bit mono PCM from stdin, as `arecord` gives it")
    parser.add_argument("--raw-rate", type=int, default=48_000, metavar="HZ", help="of raw audio (default 48000)")


def run(arguments: argparse.Namespace) -> int:
    """Record until there is enough; return 0."""
    from edgevc.dsp.resample import MAX_RATE, MIN_RATE
    from edgevc.voice_maker.record import Reader

    if not 0 < arguments.minutes <= 30:
        raise ConfigError(f"--minutes must be above 0 and at most 30, got {arguments.minutes:g}")
    if arguments.raw and not MIN_RATE <= arguments.raw_rate <= MAX_RATE:
        raise ConfigError(f"--raw-rate must be within {MIN_RATE}..{MAX_RATE}, got {arguments.raw_rate}")
    try:
        arguments.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {arguments.folder}: {error.strerror}") from error
    with termination_as_interrupt(), contextlib.ExitStack() as parts:
        if arguments.raw:
            blocks, rate = _piped(arguments.raw_rate), arguments.raw_rate
        else:
            blocks, rate = _heard(arguments, parts)
        say("be silent for a second")
        reader = Reader(blocks, rate)
        say(f"the room has {reader.noise_db:.0f} dBFS; now read each sentence, and pause for a second behind it")
        with contextlib.suppress(KeyboardInterrupt):
            _all(reader, arguments.folder, 60 * arguments.minutes)
    return 0


def _all(reader: Reader, folder: Path, wanted: float) -> None:
    from edgevc.audio.reader import read_audio
    from edgevc.voice_maker.record import sentences

    seconds = 0.0
    for number, sentence in enumerate(sentences(), 1):
        path = folder / f"{number:02d}.wav"
        if path.exists():
            samples, rate, _ = read_audio(path)
            seconds += len(samples) / rate
            continue
        if seconds >= wanted:
            break
        found = _one(reader, sentence, path)
        if found is None:
            say("the microphone has ended")
            break
        seconds += found
    say(f"{folder}: {seconds:.0f} s of speech; make a voice of it with `edgevc voice make NAME {folder} -o NAME.voice`")


def _one(reader: Reader, sentence: str, path: Path) -> float | None:
    """Let a sentence be read until it is good; return its seconds, 0 where it never was, None at the end."""
    from edgevc.audio.wav_writer import write_wav

    for left in range(_TRIES - 1, -1, -1):
        say(f"{path.stem}  {sentence}")
        take = reader.take(sentence)
        if take is None:
            return None
        if not take.problems:
            write_wav(path, take.samples, reader.rate)
            say(f"    good: {take.level_db:.0f} dBFS, {take.snr_db:.0f} dB above the room")
            return len(take.samples) / reader.rate
        say("    " + "; ".join(take.problems) + ("; once more" if left else "; left out"))
    return 0.0


def _piped(rate: int) -> Iterator[FloatArray]:
    n = 2 * round(rate * _BLOCK_SECONDS)
    stdin = piped_bytes()
    while len(data := stdin.read(n)) == n:
        yield np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)


def _heard(arguments: argparse.Namespace, parts: contextlib.ExitStack) -> tuple[Iterator[FloatArray], int]:
    from edgevc.devices.catalogue import open_port

    port = open_port(_Devices(input=arguments.input, output=arguments.output))
    parts.callback(port.stop)
    port.start()
    n = round(port.input_rate * _BLOCK_SECONDS)

    def blocks() -> Iterator[FloatArray]:
        while port.wait(n, _WAIT_SECONDS):
            block = np.empty(n, np.float32)
            port.read_into(block)
            yield block
        if port.failure is not None:
            raise AudioDeviceError(f"the microphone does not answer: {port.failure}; see `edgevc devices`")

    return blocks(), port.input_rate
