"""What the ports of both PortAudio backends know of the devices that they open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevc.devices.port import AudioPort
from edgevc.errors import AudioDeviceError

if TYPE_CHECKING:
    from edgevc.devices.endpoint import Endpoint


class DevicePort(AudioPort):
    """One device for both directions (one stream, one clock), or two devices with a clock each."""

    def __init__(self, source: Endpoint, target: Endpoint) -> None:
        """Take over rates and names; whoever inherits opens the devices, which PortAudio must have listed."""
        self.input_rate, self.output_rate = source.sample_rate, target.sample_rate
        self.block_length = source.block_length
        self.shared_clock = source.device.index == target.device.index and source.sample_rate == target.sample_rate
        self._name = " and ".join(dict.fromkeys((source.device.name, target.device.name)))

    def _refusal(self, error: Exception) -> AudioDeviceError:
        return AudioDeviceError(
            f"{self._name} cannot be opened: {error}; close the program that uses it, or choose another device "
            "(`edgevc devices`)"
        )
