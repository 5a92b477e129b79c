"""Streaming sample rate conversion with a stated latency, and the offline helper made from it."""

from __future__ import annotations

from fractions import Fraction
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.arrays import as_mono_float32, require_finite
from edgevc.errors import ConfigError

MIN_RATE = 4_000
"""Hertz."""

MAX_RATE = 192_000
"""Hertz."""


_Core = TypeVar("_Core", _core.Resampler, _core.AdaptiveResampler)


class _Stream(Generic[_Core]):
    """What both resamplers offer."""

    _core: _Core

    @property
    def from_rate(self) -> int:
        """Rate of the input in hertz."""
        return self._core.from_rate

    @property
    def sample_rate(self) -> int:
        """Rate of the output in hertz."""
        return self._core.to_rate

    @property
    def latency(self) -> int:
        """Delay in output samples: input sample k comes out at output sample k * to_rate / from_rate + latency."""
        return self._core.latency

    @property
    def replaced_samples(self) -> int:
        """Input samples since the last reset that were not finite, or beyond 1e30, and were taken as 0."""
        return self._core.replaced_samples

    def max_output(self, n_in: int) -> int:
        """Return the most samples that one call gives for n_in samples.

        Raises:
            ConfigError: n_in is not in [0, 2**40].

        """
        try:
            return self._core.max_output(n_in)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def process(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add samples of shape (T,), float32, T >= 0; return those they complete, shape (T_out,), float32.

        Raises:
            TypeError: `samples` is not a float32 array.
            ConfigError: `samples` has not one axis.

        """
        return self._core.process(as_mono_float32(samples))

    def process_into(self, samples: NDArray[np.float32], out: NDArray[np.float32]) -> int:
        """Do as process(), but write into an array of the caller and return T_out.

        Args:
            samples: Shape (T,), float32, T >= 0.
            out: Shape (N,), float32, contiguous, not overlapping `samples`; max_output(T) samples always suffice.

        Raises:
            TypeError: `samples` or `out` is not a float32 array.
            ConfigError: One of them has not one axis, or `out` is strided, read-only, too short or overlaps `samples`.

        """
        as_mono_float32(out, "out")
        if not (out.flags.c_contiguous and out.flags.writeable):
            raise ConfigError("out must be contiguous and writeable; pass an array, not a strided or read-only view")
        try:
            return self._core.process_into(as_mono_float32(samples), out)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def reset(self) -> None:
        """Forget the past; the stream is then like new."""
        self._core.reset()


class Resampler(_Stream[_core.Resampler]):
    """Resamples a mono signal from one integer rate to another, in blocks of any length.

    A linear-phase polyphase filter: flat within 0.002 dB up to 0.9 of the lower rate's Nyquist frequency, at least
    70 dB down from the Nyquist frequency on (measured: 75.7 dB). Its delay is exactly `latency` output samples, which
    is 3.0 ms between 16 kHz and any higher rate, 6.0 ms between 16 kHz and 8 kHz. Equal rates copy: latency 0.

    However the input is cut, the output is the same bit for bit, and after n_in samples went in
    ceil(n_in * to_rate / from_rate) samples have come out.

    Samples that are not finite, or beyond 1e30, count as silence and in `replaced_samples`.
    One object serves one thread at a time.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        """Design the filter.

        Args:
            from_rate: Rate of the input in hertz, an integer in [4000, 192000].
            to_rate: Rate of the output in hertz, in the same range.

        Raises:
            TypeError: A rate is not an integer.
            ConfigError: A rate is out of range.

        """
        self._core = _core.Resampler(_checked_rate(from_rate, "from_rate"), _checked_rate(to_rate, "to_rate"))

    @property
    def input_latency(self) -> Fraction:
        """The same delay in input samples, which may have a fraction (21168/160 samples from 44.1 to 16 kHz)."""
        return Fraction(self._core.latency * self._core.down, self._core.up)

    def flush(self) -> NDArray[np.float32]:
        """End the signal and return what is left, at most `latency` samples; the stream is then like new.

        The input is continued with silence, so that all output together has round(n_in * to_rate / from_rate) +
        latency samples, halves rounded up. Without any input since the last flush or reset it has none.
        """
        return self._core.flush()


class AdaptiveResampler(_Stream[_core.AdaptiveResampler]):
    """A Resampler whose ratio can be moved by up to 2 % while it runs, without a click, for clocks that drift apart.

    The same filter with the same latency, interpolated (94 dB below the signal). Equal rates have the latency of the
    filter too, 3.0 ms at 16 kHz, because it must not change when the ratio moves; until then they come out bit for bit.
    With one clock take `Resampler`, whose latency is 0 at equal rates.

    A new ratio is reached in a straight line over 10 ms of output, at equal rates 10 ms later the first time. However
    the input is cut, the output is the same bit for bit, as long as the ratio is set after the same input sample.

    Samples that are not finite, or beyond 1e30, count as silence and in `replaced_samples`.
    One object serves one thread at a time.
    """

    MIN_RATIO = 0.98
    MAX_RATIO = 1.02

    def __init__(self, from_rate: int, to_rate: int) -> None:
        """Design the filter.

        Args:
            from_rate: Rate of the input in hertz, an integer in [4000, 192000].
            to_rate: Rate of the output in hertz, in the same range.

        Raises:
            TypeError: A rate is not an integer.
            ConfigError: A rate is out of range.

        """
        self._core = _core.AdaptiveResampler(_checked_rate(from_rate, "from_rate"), _checked_rate(to_rate, "to_rate"))

    @property
    def ratio(self) -> float:
        """Output samples per input sample, relative to to_rate / from_rate, as last set; 1.0 at the start."""
        return self._core.ratio

    def set_ratio(self, ratio: float) -> None:
        """Move the ratio, in [0.98, 1.02]; above 1 more samples come out.

        Raises:
            ConfigError: The ratio is out of range.

        """
        try:
            self._core.set_ratio(ratio)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def next_output(self, n_in: int) -> int:
        """Return how many samples the next n_in samples will give, if the ratio is not set before.

        Raises:
            ConfigError: n_in is not in [0, 2**40].

        """
        try:
            return self._core.next_output(n_in)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def flush(self) -> NDArray[np.float32]:
        """End the signal and return what is left; the stream is then like new, its ratio 1.

        The input is continued with silence. At ratio 1 all output together has round(n_in * to_rate / from_rate) +
        latency samples, halves rounded up. Without any input since the last flush or reset it has none.
        """
        return self._core.flush()


def resample(samples: NDArray[np.float32], from_rate: int, to_rate: int) -> NDArray[np.float32]:
    """Resample a whole signal; output sample n lies at the time of input sample n * from_rate / to_rate.

    Args:
        samples: Shape (T,), float32, finite.
        from_rate: Rate of `samples` in hertz, an integer in [4000, 192000].
        to_rate: Wanted rate in hertz, in the same range.

    Returns:
        Shape (round(T * to_rate / from_rate),), halves rounded up; float32. A new array also when the rates are equal.

    Raises:
        TypeError: `samples` is not a float32 array, or a rate is not an integer.
        ConfigError: A rate is out of range, `samples` has not one axis, or it holds NaN or infinity.

    """
    stream = Resampler(from_rate, to_rate)
    samples = as_mono_float32(samples)
    require_finite(samples)
    return np.concatenate((stream.process(samples), stream.flush()))[stream.latency :]


def _checked_rate(rate: int, name: str) -> int:
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)):
        raise TypeError(f"{name} must be an integer in hertz, got {rate!r}")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ConfigError(f"{name} must be in [{MIN_RATE}, {MAX_RATE}] Hz, got {rate}")
    return int(rate)
