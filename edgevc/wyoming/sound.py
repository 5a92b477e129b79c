"""The sound in Wyoming's audio events: any rate, width and number of channels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevc.audio.pcm import decode_pcm, mean_of_channels
from edgevc.audio.source import MAX_RATE, MIN_RATE
from edgevc.limits import SAMPLE_RATE
from edgevc.text import shortened
from edgevc.wyoming.frames import Frame, FrameError

WIDTHS = (1, 4)
"""Bytes of a sample; signed little-endian integers."""
CHANNELS = (1, 32)
PIECE_SECONDS = 0.5
"""Of sound that is worked on at once: a client that sends minutes in one event does not keep the others waiting."""


@dataclass(frozen=True)
class AudioFormat:
    """How sound is written."""

    rate: int
    """Hertz."""
    width: int
    channels: int

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> AudioFormat:
        """Read it from the data of an audio event.

        Raises:
            FrameError: a number is missing or outside its range.
        """
        bounds = {"rate": (MIN_RATE, MAX_RATE), "width": WIDTHS, "channels": CHANNELS}
        for name, (low, high) in bounds.items():
            value = data.get(name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise FrameError(f"{name} of sound must be within {low}..{high}, got {shortened(value)}")
        return cls(data["rate"], data["width"], data["channels"])

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return self.width * self.channels

    def decode(self, raw: bytes) -> NDArray[np.float32]:
        """Return the mean of all channels, float32 (T,), of whole frames."""
        return mean_of_channels(decode_pcm(raw, self.width).reshape(-1, self.channels))

    def pieces(self, raw: bytes) -> Iterator[bytes]:
        """Yield the bytes in pieces of PIECE_SECONDS at most."""
        size = max(1, int(self.rate * PIECE_SECONDS)) * self.frame_bytes
        for start in range(0, len(raw), size):
            yield raw[start : start + size]


SPEECH = AudioFormat(SAMPLE_RATE, 2, 1)
"""What leaves this program, and what nearly every service asks for."""


def timestamp_of(frame: Frame) -> int | None:
    """Return an audio event's time in milliseconds, None where it has none."""
    value = frame.data().get("timestamp")
    return value if isinstance(value, int) and not isinstance(value, bool) else None
