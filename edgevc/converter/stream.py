"""One speaker being converted: any number of samples in, the samples of every complete chunk out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.arrays import as_mono_float32
from edgevc.bundle import Voice
from edgevc.converter.voice_settings import VoiceSettings
from edgevc.errors import ConfigError
from edgevc.limits import LARGEST_SAMPLE, SAMPLE_RATE

if TYPE_CHECKING:
    from edgevc.converter.listener import Heard
    from edgevc.converter.model import VoiceConverter

BAD_CHUNKS = 5
"""A model that gives no usable filter in so many chunks on end is made to forget what it remembers: a NaN in that would
stay for ever."""
RESET_SAMPLES = SAMPLE_RATE
"""It is made to forget at most so often: a model that never gives sound need not be cleared at every frame."""
_NOTHING = np.zeros(0, np.float32)


class ConverterStream:
    """One speaker being converted, chunk by chunk; made by `VoiceConverter.stream`.

    Everything that the stream remembers is in this object: `copy.copy(stream)` forks it, `reset()` makes it fresh. One
    thread uses it at a time.

    Example:
        >>> import numpy, edgevc
        >>> stream = edgevc.VoiceConverter().stream("slt")
        >>> len(stream.process(numpy.zeros(400, numpy.float32)))
        320
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, converter: VoiceConverter, voice: Voice, settings: VoiceSettings, *, high_pass: bool) -> None:
        """Use `VoiceConverter.stream` instead."""
        self.converter = converter
        self.listener = converter.listener(high_pass=high_pass)
        """Hears."""
        self.speaker = converter.speaker(voice, settings)
        """Speaks."""
        self._chunk_samples = self.listener.chunk_samples
        self._start()

    def _start(self) -> None:
        self._heard: Heard | None = None
        self._pending = _NOTHING
        self._samples_in = 0
        self._samples_out = 0
        self._n_bad_samples = 0
        self._bad_frames_before = 0
        self._bad_chunks = 0
        self._n_model_resets = 0
        self._reset_at = -RESET_SAMPLES

    @property
    def latency(self) -> int:
        """Samples by which the output lags behind the input."""
        return self.converter.latency

    @property
    def voice(self) -> Voice:
        """Who speaks."""
        return self.speaker.voice

    @property
    def settings(self) -> VoiceSettings:
        """How the voice speaks; a new value holds from the next chunk on.

        Example:
            >>> import dataclasses, edgevc
            >>> stream = edgevc.VoiceConverter().stream("slt")
            >>> stream.settings = dataclasses.replace(stream.settings, semitones=3)
        """
        return self.speaker.settings

    @settings.setter
    def settings(self, settings: VoiceSettings) -> None:
        self.speaker.settings = settings

    @property
    def n_bad_samples(self) -> int:
        """Samples since the start or the last reset that were not finite or beyond 1e6, and were taken as silence."""
        return self._n_bad_samples

    @property
    def phones(self) -> NDArray[np.float32] | None:
        """Log-probabilities of the bundle's phones in the last chunk, float32 (hops, n_phones); None before the first.

        The array is written to again with the next chunk.
        """
        return None if self._heard is None else self._heard.phones

    @property
    def n_bad_frames(self) -> int:
        """Frames since the start or the last reset that are silent because the model gave no usable filter."""
        return self.speaker.bad_frames

    @property
    def n_model_resets(self) -> int:
        """How often the model was made to forget what it remembers, because it gave no usable filter any more."""
        return self._n_model_resets

    def reset(self) -> None:
        """Forget everything heard so far: the stream is like a new one."""
        self.listener.reset()
        self.speaker.reset()
        self._start()

    def __copy__(self) -> ConverterStream:
        """Return a fork: given the same input, both streams have the same future."""
        return self.fork()

    def __deepcopy__(self, memo: dict[int, Any]) -> ConverterStream:
        """Return a fork; the model is shared in any case."""
        return self.fork()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        raise TypeError("a stream cannot be pickled, its converter can; start a stream in each process")

    def fork(self, voice: str | Voice | None = None, converter: VoiceConverter | None = None) -> ConverterStream:
        """Return a stream that has heard the same and goes on from there on its own.

        Args:
            voice: speaks as another voice from here on.
            converter: of the same bundle and engine; goes on with its hops per call. States are the same for all.

        Raises:
            ConfigError: the converter has another bundle or engine.
            ModelError: the bundle has no such voice.
        """
        converter = converter or self.converter
        if converter.bundle.sha256 != self.converter.bundle.sha256 or converter.engine != self.converter.engine:
            raise ConfigError(
                f"a stream goes on with the bundle and engine that it began with, {self.converter.bundle.name} and "
                f"{self.converter.engine}, got {converter.bundle.name} and {converter.engine}; start a new stream"
            )
        target = self.voice if voice is None else converter.voice(voice)
        twin = ConverterStream.__new__(ConverterStream)
        # numbers and arrays that are never written to; the halves fork themselves
        twin.__dict__.update(self.__dict__)
        twin.converter = converter
        twin.listener = self.listener.fork(converter.encoder)
        twin.speaker = self.speaker.fork(converter.decoder_of(target), target)
        twin._heard = None
        twin._chunk_samples = twin.listener.chunk_samples
        return twin

    def process(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take any number of samples, float32 (T,), T >= 0; return the output of every chunk that they complete.

        The result is float32 (L,) within [-1, 1], L a multiple of the chunk, 0 while none is complete. Up to one chunk
        less one sample stays here. Samples that are not finite or beyond 1e6 are taken as silence and counted in
        `n_bad_samples`: a live stream must go on.

        Raises:
            TypeError: the samples are not float32.
            ConfigError: the samples are not one-dimensional.
        """
        samples = as_mono_float32(samples)
        self._samples_in += len(samples)
        samples, n_bad = without_bad(samples)
        self._n_bad_samples += n_bad
        joined = np.concatenate([self._pending, samples]) if len(self._pending) else samples
        n_chunks = len(joined) // self._chunk_samples
        output = np.empty(n_chunks * self._chunk_samples, np.float32)
        for start in range(0, len(output), self._chunk_samples):
            end = start + self._chunk_samples
            self._heard = self.listener.hear(joined[start:end])
            self.speaker.speak(self._heard, output[start:end])
            if self.speaker.bad_frames != self._bad_frames_before:
                self._judge_model(self._samples_out + end)
            elif self._bad_chunks:
                self._bad_chunks = 0
        # a copy: the caller may write into its array again
        self._pending = joined[len(output) :].copy() if len(output) < len(joined) else _NOTHING
        self._samples_out += len(output)
        return output

    def hear(self, samples: NDArray[np.float32]) -> None:
        """Take whole chunks and say nothing: `phones` go on, at the cost of the encoder alone.

        What `process` gives next is as after a pause, wrong for some 100 ms: the decoder has not heard these chunks.

        Args:
            samples: float32 (n * chunk_hops * 160,), finite; between two calls of `process` that left nothing here.
        """
        for start in range(0, len(samples), self._chunk_samples):
            self._heard = self.listener.hear(samples[start : start + self._chunk_samples])
            if np.isnan(self._heard.phones).any():
                self._judge_model(self._samples_out + start)
        self._samples_in += len(samples)
        self._samples_out += len(samples)

    def flush(self) -> NDArray[np.float32]:
        """Return what is still inside, so that samples out = samples in + latency; the stream is fresh after it.

        The input is continued with silence. float32 (L,); L is 0 where nothing came in since the start.
        """
        missing = self._samples_in + self.latency - self._samples_out if self._samples_in else 0
        chunks = []
        while missing > 0:
            chunk = self.process(np.zeros(self._chunk_samples, np.float32))[:missing]
            chunks.append(chunk)
            missing -= len(chunk)
        self.reset()
        return np.concatenate(chunks) if chunks else np.zeros(0, np.float32)

    def _judge_model(self, position: int) -> None:
        """Make a model that went wrong forget what it remembers; `position`: samples that came out by now."""
        self._bad_chunks += 1
        self._bad_frames_before = self.speaker.bad_frames
        if self._bad_chunks >= BAD_CHUNKS and position - self._reset_at >= RESET_SAMPLES:
            self._bad_chunks = 0
            self._reset_at = position
            self._n_model_resets += 1
            self.listener.reset_model()
            self.speaker.reset_model()


def without_bad(samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """Return contiguous float32 samples (T,), zeros for what is not finite or beyond 1e6, and how many those were."""
    n_bad = _core.count_beyond(samples, LARGEST_SAMPLE)
    if not n_bad:
        return samples, 0
    return np.where(np.abs(samples) <= LARGEST_SAMPLE, samples, np.float32(0)), n_bad
