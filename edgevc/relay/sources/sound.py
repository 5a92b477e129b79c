"""Sound from a file, from a pipe, or from a microphone."""

from __future__ import annotations

import logging
import select
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from edgevc.audio.reader import AudioReader
from edgevc.devices.port import AudioPort
from edgevc.errors import AudioDeviceError
from edgevc.pipes import MAGIC_BYTES, read_some, refuse_container
from edgevc.relay.pauses import Pauses
from edgevc.relay.sources.hearing import Hearing
from edgevc.relay.threads import in_thread

_LOG = logging.getLogger(__name__)

BLOCK_SECONDS = 0.1
"""Of a file, at once."""
LOOK_SECONDS = 0.25
"""A thread that waits for sound looks up so often, to see whether it shall stop."""
SILENT_SECONDS = 2.0
"""A microphone that brings nothing for so long is opened again."""

NewHearing = Callable[[int, str], Hearing]
"""Makes what hears sound of a rate in Hz from a source of a name."""


class FileSource:
    """Recordings, one after the other, as fast as they can be heard."""

    def __init__(self, paths: list[Path], hearing: NewHearing) -> None:
        """Each recording is a stream of its own."""
        self.name = "recordings"
        self._paths, self._hearing = paths, hearing

    async def run(self) -> None:
        """Hear them all. Raises AudioFileError where one cannot be read."""
        await in_thread(self._work, "edgevc-recordings")

    def _work(self, stop: threading.Event) -> None:
        for path in self._paths:
            with AudioReader(path) as reader:
                hearing = self._hearing(reader.sample_rate, str(path))
                for block in reader.blocks(max(1, round(BLOCK_SECONDS * reader.sample_rate))):
                    if stop.is_set():
                        return
                    hearing.process(block)
            hearing.end()


class PipeSource:
    """Raw PCM, mono, 16 bit little-endian, from a pipe, in time with whoever writes it."""

    def __init__(self, file: BinaryIO, sample_rate: int, hearing: NewHearing) -> None:
        """`file` is read until its end; nobody else may."""
        self.name = "pipe"
        self._file: Any = file
        self._rate, self._hearing = sample_rate, hearing

    async def run(self) -> None:
        """Hear all of it. Raises AudioFileError where it begins as an audio file."""
        await in_thread(self._work, "edgevc-pipe")

    def _work(self, stop: threading.Event) -> None:
        hearing = self._hearing(self._rate, self.name)
        rest, judged = b"", False
        while not stop.is_set():
            if not select.select([self._file], [], [], LOOK_SECONDS)[0]:
                continue
            data = read_some(self._file, 1 << 16)
            rest += data
            if not judged and len(rest) >= MAGIC_BYTES:
                judged = True
                refuse_container(rest)
            whole = len(rest) // 2 * 2
            if whole:
                hearing.process((np.frombuffer(rest[:whole], "<i2") / np.float32(32768)).astype(np.float32))
                rest = rest[whole:]
            if not data:
                hearing.end()
                return


class MicrophoneSource:
    """A sound device; one that is lost is looked for until it is there again."""

    def __init__(self, open_port: Callable[[], AudioPort], hearing: NewHearing) -> None:
        """`open_port` opens the device anew at each call and raises AudioDeviceError where it is not there."""
        self.name = "microphone"
        self._open_port, self._hearing = open_port, hearing

    async def run(self) -> None:
        """Hear until it is cancelled. Raises AudioDeviceError where the device is not there at the start."""
        await in_thread(self._work, "edgevc-microphone")

    def _work(self, stop: threading.Event) -> None:
        pauses = Pauses()
        worked = False
        while not stop.is_set():
            port = None
            try:
                port = self._open_port()
                port.start()
                if worked:
                    _LOG.warning("the microphone works again")
                worked = True
                self._listen(port, stop)
                if port.ended:
                    return
                pauses.reset()
                _LOG.warning("the microphone stopped working (%s); it is tried again", port.failure or "it is silent")
            except AudioDeviceError as error:
                if not worked:
                    raise
                _LOG.debug("not yet: %s", error)
            finally:
                if port is not None:
                    port.stop()
            stop.wait(pauses.next())

    def _listen(self, port: AudioPort, stop: threading.Event) -> None:
        """Hear until the device fails, ends, or brings nothing any more."""
        hearing = self._hearing(port.input_rate, self.name)
        block = np.zeros(max(1, port.block_length), np.float32)
        quiet = 0.0
        while not stop.is_set() and quiet < SILENT_SECONDS and port.failure is None:
            if port.wait(1, LOOK_SECONDS):
                quiet = 0.0
                # what is there, without waiting for a whole block of ours
                count = port.read_into(block)
                hearing.process(block[:count].copy())
            elif port.ended:
                hearing.end()
                return
            else:
                quiet += LOOK_SECONDS
