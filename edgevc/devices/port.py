"""What the scheduler needs of a sound device, whoever drives it: PortAudio from C++, PyAudio, pipes or a simulation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

BACKENDS = ("auto", "portaudio", "pyaudio")
"""Who drives a device: a callback in C++ or in Python; auto takes the first that is there."""


class DeviceSettings(Protocol):
    """What opening a port needs of the settings."""

    @property
    def backend(self) -> str:
        """One of BACKENDS."""
        ...

    @property
    def input(self) -> str | None:
        """Name or glob of the input device; None: the system's default."""
        ...

    @property
    def output(self) -> str | None:
        """Name or glob of the output device; None: the system's default."""
        ...

    @property
    def block_ms(self) -> float:
        """Of the device."""
        ...


class PortCounters(NamedTuple):
    """What went wrong at the device since the port was made; none of these ever falls."""

    blocks: int = 0
    """Blocks exchanged with the device."""
    input_overflows: int = 0
    """Times the device reported lost input, or input found no room in the capture queue."""
    output_underflows: int = 0
    """Times the device reported missing output, or the playback queue was empty once it had been filled."""
    captured_samples_lost: int = 0
    """Input samples that found no room in the capture queue."""
    silent_samples_played: int = 0
    """Output samples that were played as silence because the playback queue was empty after playback had begun."""


class AudioPort(ABC):
    """A capture queue that a device fills and a playback queue that it empties, mono float32 at the device's rates.

    The device's side runs in a callback that only moves samples; the scheduler's side is one thread. Channels are
    averaged on the way in and repeated on the way out. While nothing has been written to the playback queue since
    `start`, the device plays silence and counts nothing.
    """

    input_rate: int
    """Hz, the device's own."""
    output_rate: int
    """Hz, the device's own."""
    block_length: int
    """Samples that the device exchanges at once, at `input_rate`; a hint, callbacks may differ."""
    input_latency: float
    """Seconds from the air to the capture queue, as the device reports it; 0 where unknown."""
    output_latency: float
    """Seconds from the playback queue to the air, as the device reports it; 0 where unknown."""
    paced: bool = True
    """Whether a clock moves the samples; a pipe gives and takes them as fast as they come."""
    shared_clock: bool = False
    """Whether input and output are one device with one clock, so that there is no drift to follow."""
    ended: bool = False
    """Whether the input is over for good, as a pipe's may be; what was captured can still be read."""

    @abstractmethod
    def start(self) -> None:
        """Begin to exchange samples. Raises AudioDeviceError if the device refuses."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the exchange, empty both queues, release the device; may be called twice, never raises."""

    @abstractmethod
    def wait(self, n: int, timeout: float) -> bool:
        """Sleep, without spinning, until `n` samples can be read; return False after `timeout` seconds or a failure."""

    @abstractmethod
    def available(self) -> int:
        """Return the samples in the capture queue."""

    @abstractmethod
    def read_into(self, out: NDArray[np.float32]) -> int:
        """Take the oldest min(len(out), available()) samples; return how many they were."""

    @abstractmethod
    def discard(self, n: int) -> int:
        """Drop the oldest min(n, available()) captured samples; return how many they were."""

    @abstractmethod
    def write(self, samples: NDArray[np.float32]) -> int:
        """Append to the playback queue what has room; return how many samples that were."""

    @abstractmethod
    def playback_fill(self) -> int:
        """Return the samples in the playback queue."""

    @abstractmethod
    def counters(self) -> PortCounters:
        """Return a snapshot; may be called from any thread."""

    @property
    @abstractmethod
    def failure(self) -> str | None:
        """Why the device no longer works (unplugged, stalled), or None."""
