"""Raw 16-bit PCM over pipes: `arecord | edgevc live --raw | aplay`, for machines without PortAudio."""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import select
import stat
import termios
import time
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgevc.devices.port import AudioPort, PortCounters
from edgevc.errors import AudioDeviceError
from edgevc.pipes import MAGIC_BYTES, refuse_container

_BYTES = 2
# Two pages hold 256 ms at 16 kHz; by default a pipe holds 2 s, and would fill up unnoticed.
_PIPE_BYTES = 4096
_WRITE_TIMEOUT_SECONDS = 5.0
_F_SETPIPE_SZ = getattr(fcntl, "F_SETPIPE_SZ", 1031)


class RawPort(AudioPort):
    """Reads and writes mono PCM, s16le, at one rate; the pipes are the queues.

    Nothing is read before somebody asks for it, so what waits in the pipe can be told, and a program that pushes faster
    than the sound is slowed down by the pipe instead of losing samples. On Linux the pipes are made as short as they
    get, one page (128 ms at 16 kHz): what is in them is latency.
    """

    paced = False
    shared_clock = True

    def __init__(self, source: BinaryIO, target: BinaryIO, sample_rate: int, block_length: int) -> None:
        """Take both pipes over; nobody else may read or write them.

        Args:
            source: of s16le.
            target: for s16le.
            sample_rate: of both, Hz.
            block_length: samples that the program behind `target` takes at once; a guess.

        Raises:
            AudioDeviceError: one of them is no descriptor that can be waited for.
        """
        self.input_rate = self.output_rate = sample_rate
        self.block_length = block_length
        self.input_latency = self.output_latency = 0.0
        try:
            self._in, self._out = source.fileno(), target.fileno()
        except (OSError, ValueError, AttributeError) as error:
            raise AudioDeviceError(
                f"raw audio needs pipes for input and output: {error}; see `edgevc live --help`"
            ) from error
        # a file object that nobody holds closes its descriptor
        self._files = (source, target)
        self._pending = b""
        self._judged = False
        self._failure: str | None = None
        self._blocks = 0
        self._blocking: list[tuple[int, bool]] = []
        self._is_pipe = {fd: stat.S_ISFIFO(os.fstat(fd).st_mode) for fd in (self._in, self._out)}

    def start(self) -> None:
        """Make the pipes short."""
        for descriptor, is_pipe in self._is_pipe.items():
            self._blocking.append((descriptor, os.get_blocking(descriptor)))
            if is_pipe:
                # more than that is waiting already, or this system has pipes of one size
                with contextlib.suppress(OSError):
                    fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE_BYTES)
        # A writer that waits for ever could not be stopped. Input is only read where there is some.
        os.set_blocking(self._out, False)

    def stop(self) -> None:
        """Leave the pipes as they were."""
        for descriptor, blocking in self._blocking:
            with contextlib.suppress(OSError):
                os.set_blocking(descriptor, blocking)
        self._blocking = []

    def wait(self, n: int, timeout: float) -> bool:
        """Sleep until `n` samples can be read; return False after `timeout` seconds or at the end of the input.

        Raises:
            AudioFileError: the input begins as an audio file does, whose header is no sound.
        """
        deadline = time.monotonic() + timeout
        while len(self._pending) < n * _BYTES:
            left = deadline - time.monotonic()
            if self.ended or self._failure is not None or left <= 0:
                return False
            try:
                if select.select([self._in], [], [], left)[0]:
                    data = os.read(self._in, n * _BYTES - len(self._pending))
                    self.ended = not data
                    self._pending += data
                    self._judge()
            except OSError as error:
                self._failure = f"the input cannot be read: {error.strerror}"
        return True

    def _judge(self) -> None:
        if not self._judged and len(self._pending) >= MAGIC_BYTES:
            self._judged = True
            refuse_container(self._pending)

    def available(self) -> int:
        """Return the samples that wait, those in the pipe included."""
        return (len(self._pending) + self._unread(self._in)) // _BYTES

    def read_into(self, out: NDArray[np.float32]) -> int:
        """Take the oldest samples that `wait` has fetched or the pipe holds."""
        data = self._take(len(out))
        samples = np.frombuffer(data, "<i2")
        np.multiply(samples, np.float32(1 / 32768), out=out[: len(samples)])
        return len(samples)

    def discard(self, n: int) -> int:
        """Drop the oldest samples."""
        return len(self._take(n)) // _BYTES

    def _take(self, n: int) -> bytes:
        if len(self._pending) < n * _BYTES:
            more = min(n * _BYTES - len(self._pending), self._unread(self._in))
            if more:
                self._pending += os.read(self._in, more)
        size = min(n, len(self._pending) // _BYTES) * _BYTES
        data, self._pending = self._pending[:size], self._pending[size:]
        return data

    def write(self, samples: NDArray[np.float32]) -> int:
        """Write all, waiting for room; a reader that takes nothing for 5 s, or went away, is a failure."""
        if self._failure is not None:
            return 0
        data = memoryview(np.rint(np.clip(samples, -1, 32767 / 32768) * 32768).astype("<i2").tobytes())
        self._blocks += 1
        while data:
            try:
                data = data[os.write(self._out, data) :]
            except BlockingIOError:
                if not select.select([], [self._out], [], _WRITE_TIMEOUT_SECONDS)[1]:
                    self._failure = f"the reader of the output took nothing for {_WRITE_TIMEOUT_SECONDS:g} s"
                    return 0
            except OSError as error:
                # the reader went away: nobody listens any more, which is an end like that of the input
                self.ended = error.errno == errno.EPIPE
                self._failure = f"the output cannot be written: {error.strerror}"
                return 0
        return len(samples)

    def playback_fill(self) -> int:
        """Return the samples that wait in the output pipe."""
        return self._unread(self._out) // _BYTES

    def counters(self) -> PortCounters:
        """Return a snapshot; what goes wrong at the devices at both ends is not known here."""
        return PortCounters(blocks=self._blocks)

    @property
    def failure(self) -> str | None:
        """Why the pipes no longer work, or None."""
        return self._failure

    def _unread(self, descriptor: int) -> int:
        """Return the bytes that wait in a pipe; 0 for anything else, where nothing waits."""
        if not self._is_pipe[descriptor]:
            return 0
        count = array.array("i", [0])
        try:
            fcntl.ioctl(descriptor, termios.FIONREAD, count)
        except OSError:
            return 0
        return count[0]
