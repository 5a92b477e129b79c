"""Sound devices through PyAudio; its callback is Python, so a thread that holds the interpreter can hold it up."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.devices.device_port import DevicePort
from edgevc.devices.port import PortCounters
from edgevc.errors import AudioDeviceError
from edgevc.stderr import quiet_stderr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgevc.devices.endpoint import Endpoint

STALL_SECONDS = 1.0
"""A device that has not called for this long is gone."""
ASLEEP_SECONDS = 0.5
"""Who asks less often than this was itself asleep, and cannot blame the device."""
LONGEST_SLEEP = 0.1

_Answer = tuple["bytes | None", int]


class PyAudioPort(DevicePort):
    """The callback in Python."""

    def __init__(self, source: Endpoint, target: Endpoint) -> None:
        """Open the devices, which PortAudio must have listed; `start` begins to exchange samples.

        Raises:
            AudioDeviceError: a device refuses.
        """
        import pyaudio

        super().__init__(source, target)
        self._source, self._target = source, target
        self._captured, self._playback = _core.RingBuffer(source.capacity), _core.RingBuffer(target.capacity)
        self._block_came = threading.Event()
        self._playing = self._running = False
        self._blocks = self._overflows = self._underflows = self._lost = self._silent = 0
        self._last_input = self._last_output = self._last_look = self._blame_from = time.monotonic()
        self._flags: tuple[int, int] = (pyaudio.paInputOverflow, pyaudio.paOutputUnderflow)
        self._continue: int = pyaudio.paContinue
        self._streams: list[Any] = []
        self._audio: Any = None
        try:
            with quiet_stderr():
                self._audio = pyaudio.PyAudio()
                self._open(pyaudio)
        except (OSError, ValueError) as error:
            self.stop()
            raise self._refusal(error) from error
        self.input_latency = float(self._streams[0].get_input_latency())
        self.output_latency = float(self._streams[-1].get_output_latency())

    def _open(self, pyaudio: Any) -> None:
        source, target = self._source, self._target
        capture = {"input": True, "input_device_index": source.device.index}
        play = {"output": True, "output_device_index": target.device.index}
        if self.shared_clock and source.channels == target.channels:
            self._add(pyaudio, source, {**capture, **play, "stream_callback": self._duplex})
        else:
            self._add(pyaudio, source, {**capture, "stream_callback": self._input_only})
            self._add(pyaudio, target, {**play, "stream_callback": self._output_only})

    def _add(self, pyaudio: Any, side: Endpoint, arguments: dict[str, Any]) -> None:
        stream = self._audio.open(
            rate=side.sample_rate,
            channels=side.channels,
            format=pyaudio.paFloat32,
            frames_per_buffer=side.block_length,
            start=False,
            **arguments,
        )
        self._streams.append(stream)

    def start(self) -> None:
        """Begin to exchange samples. Raises AudioDeviceError if the device refuses."""
        if not self._streams:
            raise AudioDeviceError(f"{self._name} is closed; open it again")
        self._last_input = self._last_output = self._last_look = self._blame_from = time.monotonic()
        self._running = True
        try:
            for stream in self._streams:
                stream.start_stream()
        except OSError as error:
            raise AudioDeviceError(f"{self._name} does not start: {error}; choose another device") from error

    def stop(self) -> None:
        """Stop the exchange, empty both queues, release the device; may be called twice, never raises."""
        self._running = False
        streams, self._streams = self._streams, []
        for stream in streams:
            # PyAudio has no abort; close() aborts a stream that runs
            with contextlib.suppress(OSError, ValueError):
                stream.close()
        audio, self._audio = self._audio, None
        if audio is not None:
            audio.terminate()
        self._captured.reset()
        self._playback.reset()
        self._playing = False

    def wait(self, n: int, timeout: float) -> bool:
        """Sleep until `n` samples can be read; return False after `timeout` seconds or a failure."""
        deadline = time.monotonic() + timeout
        while True:
            # first forget the blocks that came before, then look: what comes after the look wakes the sleep
            self._block_came.clear()
            if self._captured.available() >= n:
                return True
            left = deadline - time.monotonic()
            if left <= 0 or not self._all_active():
                return False
            self._block_came.wait(min(left, LONGEST_SLEEP))

    def available(self) -> int:
        """Return the samples in the capture queue."""
        return self._captured.available()

    def read_into(self, out: NDArray[np.float32]) -> int:
        """Take the oldest min(len(out), available()) samples; return how many they were."""
        return self._captured.read_into(out)

    def discard(self, n: int) -> int:
        """Drop the oldest min(n, available()) captured samples; return how many they were."""
        return self._captured.discard(max(n, 0))

    def write(self, samples: NDArray[np.float32]) -> int:
        """Append to the playback queue what has room; return how many samples that were."""
        written = self._playback.write(samples)
        if written:
            self._playing = True
        return written

    def playback_fill(self) -> int:
        """Return the samples in the playback queue."""
        return self._playback.available()

    def counters(self) -> PortCounters:
        """Return a snapshot; may be called from any thread."""
        return PortCounters(self._blocks, self._overflows, self._underflows, self._lost, self._silent)

    @property
    def failure(self) -> str | None:
        """Why the device no longer works (unplugged, stalled), or None."""
        if not self._running:
            return None
        if not self._all_active():
            return f"{self._name}: the device ended the stream"
        now = time.monotonic()
        if now - self._last_look > ASLEEP_SECONDS:
            self._blame_from = now
        self._last_look = now
        last = max(self._blame_from, min(self._last_input, self._last_output))
        if now - last > STALL_SECONDS:
            return f"{self._name}: the device has exchanged no samples for {STALL_SECONDS:g} s"
        return None

    def _all_active(self) -> bool:
        try:
            return all(stream.is_active() for stream in self._streams)
        except OSError:
            return False

    # On a thread of PortAudio from here on.

    def _capture(self, data: bytes, lost: bool) -> None:
        self._last_input = time.monotonic()
        samples = np.frombuffer(data, np.float32)
        if self._source.channels > 1:
            samples = samples.reshape(-1, self._source.channels).mean(axis=1)
        missing = len(samples) - self._captured.write(samples)
        self._lost += missing
        self._overflows += missing > 0 or lost
        self._block_came.set()

    def _play(self, n: int, missed: bool) -> bytes:
        self._last_output = time.monotonic()
        # before the queue is read: a write in between is a start, not a gap
        playing = self._playing
        samples = np.zeros(n, np.float32)
        silent = n - self._playback.read_into(samples)
        if playing:
            self._silent += silent
            self._underflows += silent > 0 or missed
        if self._target.channels > 1:
            samples = np.repeat(samples, self._target.channels)
        return samples.tobytes()

    def _duplex(self, data: bytes | None, n: int, _: Mapping[str, float], flags: int) -> _Answer:
        self._blocks += 1
        # the output first: what is captured wakes the worker, which must find both queues as they are after the block
        output = self._play(n, bool(flags & self._flags[1]))
        self._capture(data or b"", bool(flags & self._flags[0]))
        return output, self._continue

    def _input_only(self, data: bytes | None, n: int, _: Mapping[str, float], flags: int) -> _Answer:
        self._blocks += 1
        self._capture(data or b"", bool(flags & self._flags[0]))
        return None, self._continue

    def _output_only(self, _: bytes | None, n: int, __: Mapping[str, float], flags: int) -> _Answer:
        return self._play(n, bool(flags & self._flags[1])), self._continue
