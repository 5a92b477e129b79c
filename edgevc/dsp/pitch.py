"""Streaming F0, periodicity and level of speech."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.arrays import as_mono_float32, require_finite
from edgevc.errors import ConfigError


class PitchTracker:
    """Tracks F0 and voicing, one frame each 160 samples at 16 kHz, with any number of samples per call.

    The frame with index m (0-based, since the start or the last reset) is centred at sample
    `160 * (m + 1) - latency`; samples before the start count as zeros. It is returned by the call that brings sample
    `160 * (m + 1) - 1`.

    Source of the method: csrc/include/edgevc/pitch_tracker.h; accuracy against pyworld: docs/f0.md.
    """

    def __init__(
        self,
        sample_rate: int = 16_000,
        hop_length: int = 160,
        f0_min: float = 60.0,
        f0_max: float = 500.0,
        latency: int = 480,
    ) -> None:
        """Make a tracker at the start of a stream.

        Args:
            sample_rate: Hertz; only 16000.
            hop_length: Samples between frames; only 160.
            f0_min: Lowest F0 in hertz, at least 60.
            f0_max: Highest F0 in hertz, above f0_min and at most 500.
            latency: Samples from the newest one to the centre of the frame that comes with it: 480, or 240, which hears
                less and errs more.

        Raises:
            ConfigError: An argument is outside its range.
        """
        try:
            self._core = _core.PitchTracker(sample_rate, hop_length, f0_min, f0_max, latency)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self.sample_rate = sample_rate
        """Hertz."""
        self.hop_length = hop_length
        """Samples between frames."""
        self.latency: int = self._core.latency
        """Samples from the newest sample to the centre of the frame that comes with it."""
        self._pending = np.zeros(0, np.float32)
        self._has_input = False

    def process(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add samples and return the frames that they complete.

        Args:
            samples: (T,) float32, T >= 0, finite; full scale is 1.

        Returns:
            (L, 3) float32: F0 in hertz, 0 when unvoiced; periodicity, 0 to 1; level in dB, -100 in digital silence.
            L is 0 while no hop is complete; up to 159 samples stay here until the next call.

        Raises:
            TypeError: samples is not a float32 array.
            ConfigError: samples is not one-dimensional, or holds NaN or infinity; the stream is unchanged.
        """
        samples = as_mono_float32(samples)
        require_finite(samples)
        if len(samples):
            self._has_input = True
        joined = np.concatenate((self._pending, samples))
        complete = len(joined) // self.hop_length * self.hop_length
        self._pending = joined[complete:].copy()
        return self._track(joined[:complete])

    def flush(self) -> NDArray[np.float32]:
        """Return the frames that remain, up to the first one centred at or after the end, and start anew.

        After T > 0 samples, process() and flush() together have returned ceil((T + latency) / 160) frames. The samples
        after the end count as zeros.

        Returns:
            (L, 3) float32 as process(); L is 0 when nothing was processed since the start.
        """
        frames = np.zeros((0, 3), np.float32)
        if self._has_input:
            n_hops = -(-(len(self._pending) + self.latency) // self.hop_length)
            padded = np.zeros(n_hops * self.hop_length, np.float32)
            padded[: len(self._pending)] = self._pending
            frames = self._track(padded)
        self.reset()
        return frames

    def reset(self) -> None:
        """Make the tracker equal to a new one."""
        self._core.reset()
        self._pending = np.zeros(0, np.float32)
        self._has_input = False

    def _track(self, hops: NDArray[np.float32]) -> NDArray[np.float32]:
        frames: NDArray[np.float32] = self._core.process(hops)
        return frames
