"""A simulated sound device in simulated time: two clocks, and faults on command."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.devices.port import AudioPort, PortCounters
from edgevc.errors import AudioDeviceError

Source = Callable[[int, int], NDArray[np.float32]]
"""Called with a position and a count, both in samples of the device; returns float32 (count,)."""
Sink = Callable[[int, NDArray[np.float32]], None]
"""Called with a position and what was played there, float32 (T,), silence included."""


class SimulatedClock:
    """Time that passes when somebody waits or works, and moves the devices that hang on it."""

    def __init__(self) -> None:
        """Time 0, no device."""
        self._now = 0.0
        self._ports: list[FakePort] = []

    def now(self) -> float:
        """Return seconds since the start."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass: what the devices do meanwhile happens in order."""
        self.advance_to(self._now + seconds)

    def advance_to(self, time: float) -> None:
        """Let time pass until `time`, unless that is past."""
        while (port := min(self._ports, key=FakePort.next_event, default=None)) and port.next_event() <= time:
            self._now = max(self._now, port.next_event())
            port.fire()
        self._now = max(self._now, time)

    def sleep(self, seconds: float, stop: threading.Event) -> bool:
        """Let time pass; return whether `stop` is set."""
        if not stop.is_set():
            self.advance(seconds)
        return stop.is_set()

    def add(self, port: FakePort) -> None:
        """Move this device from now on."""
        self._ports.append(port)

    def remove(self, port: FakePort) -> None:
        """Move this device no longer."""
        if port in self._ports:
            self._ports.remove(port)


class FakePort(AudioPort):
    """A full-duplex device whose queues are those of a real one.

    Every block it takes its output from the playback queue, then brings input to the capture queue, at one moment where
    both clocks are equal. With a skew the two sides go their own ways. `wait` lets the simulated time pass.
    """

    def __init__(
        self,
        clock: SimulatedClock,
        source: Source,
        sink: Sink,
        *,
        input_rate: int = 16_000,
        output_rate: int = 16_000,
        block_length: int = 160,
        input_skew: float = 0.0,
        output_skew: float = 0.0,
        shared_clock: bool = False,
        queue_seconds: float = 1.0,
        start_position: int = 0,
    ) -> None:
        """Plug the device in.

        Args:
            clock: moves it.
            source: gives the input.
            sink: takes the output.
            input_rate: Hz, nominal.
            output_rate: Hz, nominal.
            block_length: samples at `input_rate`.
            input_skew: 0.01 lets the input side run 1 % too fast.
            output_skew: same for the output.
            shared_clock: say that both sides hang on one clock.
            queue_seconds: room in each queue, rounded up to a power of two of samples.
            start_position: of the first sample on both sides, for a test of large positions.
        """
        self.clock = clock
        self.input_rate, self.output_rate = input_rate, output_rate
        self.block_length = block_length
        self.shared_clock = shared_clock
        # a sample waits for its block to be complete
        self.input_latency = block_length / input_rate
        self.output_latency = 0.0
        self._source, self._sink = source, sink
        self._input_period = block_length / input_rate / (1 + input_skew)
        self._output_block = round(block_length * output_rate / input_rate)
        self._output_period = self._output_block / output_rate / (1 + output_skew)
        self._capture = _core.RingBuffer(_power_of_two(queue_seconds * input_rate))
        self._playback = _core.RingBuffer(_power_of_two(queue_seconds * output_rate))
        self._start_position = start_position
        self._bad = 0
        self._frozen_until = 0.0
        self._reset()

    def _reset(self) -> None:
        self._blocks_in = self._blocks_out = 0
        self._started_at = 0.0
        self._running = False
        self._playing = False
        self._counters = PortCounters()
        self._failure: str | None = None

    # --- what a test does to the device

    def vanish(self, reason: str = "unplugged") -> None:
        """Fail for good, as when the plug is pulled."""
        self._failure = reason
        self.clock.remove(self)

    def complain(self, reason: str) -> None:
        """Go on, and say that it is of no use, as a driver does that spins."""
        self._failure = reason

    def slip(self, n: int) -> None:
        """Lose n samples of what waits to be played, or bring -n samples of silence too many, and count nothing."""
        if n > 0:
            self._playback.discard(n)
        else:
            self._capture.write(np.zeros(-n, np.float32))

    def burst(self, samples: NDArray[np.float32]) -> None:
        """Bring all of `samples` at once."""
        self._capture.write(samples)

    def spoil(self, n: int) -> None:
        """Bring NaN for the next n samples."""
        self._bad = n

    def freeze(self, seconds: float) -> None:
        """Neither bring nor take anything for a while, without a word."""
        self._frozen_until = self.clock.now() + seconds

    # --- the device's side

    def next_event(self) -> float:
        """Return when the device moves next."""
        return min(self._next_input(), self._next_output())

    def _next_input(self) -> float:
        return self._started_at + (self._blocks_in + 1) * self._input_period

    def _next_output(self) -> float:
        return self._started_at + (self._blocks_out + 1) * self._output_period

    def fire(self) -> None:
        """Move the blocks that are due."""
        now = self.next_event()
        # one moment, whatever the two products round to
        tolerance = 1e-9 * max(1.0, now)
        if self._next_output() <= now + tolerance:
            self._take(frozen=now < self._frozen_until)
        if self._next_input() <= now + tolerance:
            self._bring(frozen=now < self._frozen_until)

    def _take(self, *, frozen: bool) -> None:
        position = self._start_position + self._blocks_out * self._output_block
        self._blocks_out += 1
        if frozen:
            return
        block = np.zeros(self._output_block, np.float32)
        taken = self._playback.read_into(block)
        self._count(blocks=1)
        if self._playing and taken < len(block):
            self._count(output_underflows=1, silent_samples_played=len(block) - taken)
        self._sink(position, block)

    def _bring(self, *, frozen: bool) -> None:
        position = self._start_position + self._blocks_in * self.block_length
        self._blocks_in += 1
        if frozen:
            return
        block = self._source(position, self.block_length)
        if self._bad:
            n = min(self._bad, len(block))
            block = block.copy()
            block[:n] = np.nan
            self._bad -= n
        lost = len(block) - self._capture.write(block)
        if lost:
            self._count(input_overflows=1, captured_samples_lost=lost)

    def _count(self, **more: int) -> None:
        counts = self._counters
        self._counters = counts._replace(**{name: getattr(counts, name) + n for name, n in more.items()})

    # --- the scheduler's side

    def start(self) -> None:
        """Begin to exchange samples."""
        if self._failure is not None:
            raise AudioDeviceError(f"the simulated device is {self._failure}; plug it in again")
        self._started_at = self.clock.now()
        self._running = True
        self.clock.add(self)

    def stop(self) -> None:
        """Stop the exchange and empty both queues."""
        self.clock.remove(self)
        self._running = False
        self._capture.reset()
        self._playback.reset()

    def wait(self, n: int, timeout: float) -> bool:
        """Let time pass until `n` samples can be read; return False after `timeout` seconds or a failure."""
        deadline = self.clock.now() + timeout
        while self.available() < n:
            if self._failure is not None or not self._running:
                return False
            if self.clock.now() >= deadline:
                return False
            self.clock.advance_to(min(self.next_event(), deadline))
        return True

    def available(self) -> int:
        """Return the samples in the capture queue."""
        return self._capture.available()

    def read_into(self, out: NDArray[np.float32]) -> int:
        """Take the oldest samples."""
        return self._capture.read_into(out)

    def discard(self, n: int) -> int:
        """Drop the oldest samples."""
        return self._capture.discard(n)

    def write(self, samples: NDArray[np.float32]) -> int:
        """Append to the playback queue what has room."""
        if len(samples):
            self._playing = True
        return self._playback.write(samples)

    def playback_fill(self) -> int:
        """Return the samples in the playback queue."""
        return self._playback.available()

    def counters(self) -> PortCounters:
        """Return a snapshot."""
        return self._counters

    @property
    def failure(self) -> str | None:
        """Why the device no longer works, or None."""
        return self._failure


def _power_of_two(n: float) -> int:
    return 1 << (max(2, math.ceil(n)) - 1).bit_length()
