"""A converter's output in line with its input: what is a recording must neither begin late nor lose its end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevc.converter.stream import ConverterStream
from edgevc.dsp.resample import Resampler
from edgevc.limits import SAMPLE_RATE


class AlignedStream:
    """Converts one recording of any rate, block by block; all that comes out lines up with all that went in."""

    def __init__(self, stream: ConverterStream, sample_rate: int, resampler: Resampler | None) -> None:
        """Begin a recording.

        Args:
            stream: fresh; it is fresh again after `finish`.
            sample_rate: of the recording, hertz.
            resampler: fresh, from that rate to 16 kHz; None where it is 16 kHz.
        """
        self._stream = stream
        self._rate = sample_rate
        self._resampler = resampler
        # what the resampler and the converter delay is dropped at the start and fetched by flushing at the end
        self._skip = stream.latency + (resampler.latency if resampler else 0)
        self._n_in = self._n_out = 0

    def process(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take samples, float32 (T,), any T; return the output that they complete, float32 (L,) at 16 kHz.

        Raises:
            TypeError, ConfigError: as `ConverterStream.process`.
        """
        output = self._stream.process(self._resampler.process(samples) if self._resampler else samples)
        dropped = min(self._skip, len(output))
        self._skip -= dropped
        self._n_in += len(samples)
        self._n_out += len(output) - dropped
        return output[dropped:]

    def finish(self) -> NDArray[np.float32]:
        """End the recording; return its end, so that the output is round(samples * 16000 / rate) samples in all."""
        tail = [self._stream.process(self._resampler.flush())] if self._resampler else []
        output = np.concatenate([*tail, self._stream.flush()])[self._skip :]
        return output[: round(self._n_in * SAMPLE_RATE / self._rate) - self._n_out]
