"""A sound device, as PortAudio lists it, and how one side of a port opens it."""

from __future__ import annotations

from dataclasses import dataclass

INPUT, OUTPUT = "input", "output"


@dataclass(frozen=True)
class Device:
    """One device as PortAudio lists it."""

    index: int
    """PortAudio's; changes when devices come and go."""
    name: str
    """Host API and name, unique: "ALSA: USB Audio"."""
    host_api: str
    short_name: str
    """Without the host API; several devices may share it."""
    address: str
    """ALSA's "hw:1,0", or ""."""
    input_channels: int
    output_channels: int
    sample_rate: int
    """Hz, what the device calls its default."""
    input_latency: float
    """Seconds, the least that PortAudio advises."""
    output_latency: float
    is_default_input: bool
    is_default_output: bool

    def channels(self, direction: str) -> int:
        """Return how many channels the device has as input or output; 0: it is none."""
        return self.input_channels if direction == INPUT else self.output_channels


@dataclass(frozen=True)
class Endpoint:
    """One side of a port: a device and how it is opened."""

    device: Device
    channels: int
    sample_rate: int
    """Hz."""
    block_length: int
    """Samples."""
    latency: float
    """Seconds that PortAudio is asked for."""
    capacity: int
    """Samples of the queue, a power of two."""
