"""Sound devices through PortAudio with the callback in C++, which no Python thread can hold up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgevc.devices.device_port import DevicePort
from edgevc.devices.port import PortCounters
from edgevc.stderr import quiet_stderr

if TYPE_CHECKING:
    from edgevc._portaudio import Side
    from edgevc.devices.endpoint import Endpoint


class PortAudioPort(DevicePort):
    """The callback in C++; `core` is the extension's own object."""

    def __init__(self, source: Endpoint, target: Endpoint) -> None:
        """Open the devices, which PortAudio must have listed; `start` begins to exchange samples.

        Raises:
            AudioDeviceError: a device refuses.
        """
        from edgevc import _portaudio

        super().__init__(source, target)
        try:
            with quiet_stderr():
                self.core = _portaudio.Port(_side(source), _side(target))
        except RuntimeError as error:
            raise self._refusal(error) from error
        self.input_latency, self.output_latency = self.core.input_latency, self.core.output_latency

    def start(self) -> None:
        """Begin to exchange samples. Raises AudioDeviceError if the device refuses."""
        try:
            self.core.start()
        except RuntimeError as error:
            raise self._refusal(error) from error

    def stop(self) -> None:
        """Stop the exchange, empty both queues, release the device; may be called twice, never raises."""
        self.core.stop()

    def wait(self, n: int, timeout: float) -> bool:
        """Sleep until `n` samples can be read; return False after `timeout` seconds, a failure or a signal."""
        return self.core.wait(n, timeout)

    def available(self) -> int:
        """Return the samples in the capture queue."""
        return self.core.available()

    def read_into(self, out: NDArray[np.float32]) -> int:
        """Take the oldest min(len(out), available()) samples; return how many they were."""
        return self.core.read_into(out)

    def discard(self, n: int) -> int:
        """Drop the oldest min(n, available()) captured samples; return how many they were."""
        return self.core.discard(n)

    def write(self, samples: NDArray[np.float32]) -> int:
        """Append to the playback queue what has room; return how many samples that were."""
        return self.core.write(samples)

    def playback_fill(self) -> int:
        """Return the samples in the playback queue."""
        return self.core.playback_fill()

    def counters(self) -> PortCounters:
        """Return a snapshot; may be called from any thread."""
        return PortCounters._make(self.core.counters())

    @property
    def failure(self) -> str | None:
        """Why the device no longer works (unplugged, stalled), or None."""
        reason = self.core.failure()
        return f"{self._name}: {reason}" if reason else None


def _side(endpoint: Endpoint) -> Side:
    return {
        "device": endpoint.device.index,
        "channels": endpoint.channels,
        "sample_rate": endpoint.sample_rate,
        "block_length": endpoint.block_length,
        "latency": endpoint.latency,
        "capacity": endpoint.capacity,
    }
