"""Streaming log-mel and MFCC: one class each for files and live streams."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from edgevc import _core
from edgevc.arrays import require_float32
from edgevc.dsp.feature_config import FeatureConfig, MfccConfig
from edgevc.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Stream = TypeVar("_Stream", bound="_FrameStream")


class _FrameStream:
    """What LogMel and Mfcc share: array checks around the C++ stream. One object serves one stream and one thread."""

    _stream: _core.LogMel | _core.Mfcc
    _features: FeatureConfig
    _primed: bool
    _width: int

    def __copy__(self: _Stream) -> _Stream:
        """Return a fork: given the same input, both streams have the same future."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._stream = copy.copy(self._stream)
        return twin

    @property
    def sample_rate(self) -> int:
        """Hertz."""
        return self._features.sample_rate

    @property
    def win_length(self) -> int:
        """Samples of a frame."""
        return self._features.win_length

    @property
    def hop_length(self) -> int:
        """Samples between frame starts."""
        return self._features.hop_length

    @property
    def primed(self) -> bool:
        """Whether win_length - hop_length zeros stand in front of the first sample."""
        return self._primed

    @property
    def latency(self) -> int:
        """Samples from an event to the call that brings the frame in whose middle it stands: win_length // 2."""
        return self._features.win_length // 2

    @property
    def samples_in(self) -> int:
        """Samples taken since the start or the last reset."""
        return self._stream.samples_in

    @property
    def n_bad_samples(self) -> int:
        """Samples that `process_into` took as zeros (NaN, infinite or beyond 1e6) since the start or the last reset."""
        return self._stream.n_bad_samples

    def frames_for(self, n_samples: int) -> int:
        """Return how many frames the next call would give for n_samples samples.

        Raises:
            ConfigError: n_samples is outside [0, 2**40].
        """
        try:
            return self._stream.frames_for(n_samples)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def process(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add samples of shape (T,), float32 in [-1, 1]; return the frames they complete, (L, width) float32.

        Any T, 0 included; L is 0 while no frame is complete. However the input is cut, the frames are the same.
        Frame k covers samples k * hop_length to k * hop_length + win_length - 1, counted from the zeros in front
        where the stream is primed, and comes with the call that brings its last sample. The last
        win_length - hop_length samples stay here, because the next frame starts inside them.

        Raises:
            TypeError: samples is not a float32 array.
            ConfigError: samples is not of rank 1, or holds NaN, infinity or values beyond 1e6; nothing was taken.
        """
        try:
            return self._stream.process(samples)
        except (TypeError, ValueError) as error:
            _require_array(samples, "samples")
            raise ConfigError(str(error)) from None

    def process_into(self, samples: NDArray[np.float32], out: NDArray[np.float32]) -> int:
        """Like `process`, for the live path: write the frames to the first rows of out and return their number.

        No array is made, and bad samples (NaN, infinite, beyond 1e6) are taken as zeros and counted in
        `n_bad_samples`: a live stream must go on, and nothing bad may reach a model's state.

        Args:
            samples: (T,) float32.
            out: (rows, width) float32, writable, not overlapping samples; rows at least `frames_for(T)`.

        Raises:
            TypeError: an argument is not a float32 array.
            ConfigError: a shape does not fit, or out is read-only; nothing was taken.
        """
        try:
            return self._stream.process_into(samples, out)
        except (TypeError, ValueError) as error:
            _require_array(samples, "samples")
            _require_array(out, "out")
            raise ConfigError(str(error)) from None

    def flush(self) -> NDArray[np.float32]:
        """End the stream: drop the incomplete frame's samples, return no frames, (0, width), and be like new."""
        self.reset()
        return np.zeros((0, self._width), np.float32)

    def reset(self) -> None:
        """Forget everything, like a new object."""
        self._stream.reset()


class LogMel(_FrameStream):
    """Natural log of the mel power of each frame.

    With n samples fed, max(0, (n - win_length) // hop_length + 1) frames have come; primed, n // hop_length.
    """

    _stream: _core.LogMel

    def __init__(self, config: FeatureConfig | None = None, *, primed: bool = False) -> None:
        """Build the window, the FFT plan and the filterbank.

        Args:
            config: None takes the preset `edgevc`.
            primed: start with win_length - hop_length zeros, so that every hop_length samples give one frame from the
                first on; the converter works so.

        Raises:
            ConfigError: the configuration does not make a filterbank (a triangle without any FFT bin).
        """
        self._features = config if config is not None else FeatureConfig()
        self._primed = primed
        self._width = self._features.n_mels
        try:
            self._stream = _core.LogMel(_options(self._features, primed))
        except ValueError as error:
            raise ConfigError(str(error)) from None

    @property
    def config(self) -> FeatureConfig:
        """The settings."""
        return self._features

    @property
    def n_mels(self) -> int:
        """Width of a frame of the output."""
        return self._width

    @property
    def filterbank(self) -> NDArray[np.float32]:
        """The mel weights in use, (n_mels, n_fft // 2 + 1), a copy."""
        return self._stream.filterbank

    @property
    def window(self) -> NDArray[np.float32]:
        """The window in use, (win_length,), a copy."""
        return self._stream.window

    @property
    def filterbank_sha256(self) -> str:
        """Hex sha256 over the filterbank and then the window, little-endian float32, row by row; for manifests."""
        digest = hashlib.sha256(self.filterbank.astype("<f4").tobytes())
        digest.update(self.window.astype("<f4").tobytes())
        return digest.hexdigest()


class Mfcc(_FrameStream):
    """Mel-frequency cepstral coefficients of each frame: orthonormal DCT-II of the log-mel, liftered."""

    def __init__(self, config: MfccConfig | None = None, *, primed: bool = False) -> None:
        """Build the front end; see `LogMel`. None takes the preset `edgevc`.

        Raises:
            ConfigError: the configuration does not make a filterbank (a triangle without any FFT bin).
        """
        self._config = config if config is not None else MfccConfig()
        self._features = self._config.features
        self._primed = primed
        self._width = self._config.n_mfcc
        try:
            self._stream = _core.Mfcc(
                _options(self._features, primed),
                n_mfcc=self._config.n_mfcc,
                lifter_type=self._config.lifter_type,
                lifter=self._config.lifter,
            )
        except ValueError as error:
            raise ConfigError(str(error)) from None

    @property
    def config(self) -> MfccConfig:
        """The settings."""
        return self._config

    @property
    def n_mfcc(self) -> int:
        """Width of a frame of the output."""
        return self._width


def _options(config: FeatureConfig, primed: bool) -> _core.LogMelOptions:
    return _core.LogMelOptions(**dataclasses.asdict(config), primed=primed)


def _require_array(value: NDArray[np.float32], name: str) -> None:
    """Raise TypeError, in words, for what the C++ border refuses: pybind11's own text names types only."""
    require_float32(value, name)
    if not value.flags.c_contiguous:
        raise TypeError(f"{name}: expected a C-contiguous array, got strides {value.strides}; use np.ascontiguousarray")
