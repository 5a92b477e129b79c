"""Speech in, the same words in another voice out. Converting a file is streaming with a large input."""

from __future__ import annotations

import copy
import math

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.bundle import ModelBundle, Voice
from edgevc.converter.silence_gate import SilenceGate
from edgevc.dsp.features import LogMel
from edgevc.engines import Graph, choose_engine, load_graph
from edgevc.errors import ConfigError, ModelError

SAMPLE_RATE = 16_000
SILENCE = "SIL"
"""Name of the phone that stands for silence, breath and noise."""
CHUNK_HOPS = (1, 2, 4)
SEMITONE_RANGE = 24.0
FORMANT_RANGE = 12.0
GAIN_RANGE_DB = 40.0
LARGEST_SAMPLE = 1e6
"""Full scale is 1; what is beyond this, or not finite, is no sound and is taken as silence."""

_FLOAT32 = np.dtype(np.float32)
_LOG_PER_DB = math.log(10) / 20
_NOTHING = np.zeros(0, np.float32)


class VoiceConverter:
    """A bundle loaded into an engine. Immutable; every stream made from it shares the weights.

    Example:
        >>> converter = VoiceConverter(ModelBundle.default())
        >>> converted = converter.convert(samples, "kathleen")
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, bundle: ModelBundle, engine: str = "auto", chunk_hops: int = 1) -> None:
        """Load the bundle's graphs.

        Args:
            bundle: the model.
            engine: "auto", "litert" or "onnx".
            chunk_hops: 1, 2 or 4 hops of 10 ms per call: more cost less CPU and add as much latency.

        Raises:
            ConfigError: an argument is outside its range.
            EngineError: no engine is installed, or none computes this bundle correctly here.
            ModelError: the bundle does not fit this runtime.
        """
        if chunk_hops not in CHUNK_HOPS:
            raise ConfigError(f"chunk_hops must be one of {CHUNK_HOPS}, got {chunk_hops!r}")
        self.bundle = bundle
        self.chunk_hops = chunk_hops
        self.engine = choose_engine(bundle, engine)
        _require_front_end(bundle)
        self.encoder: Graph = load_graph(bundle, "encoder", self.engine, chunk_hops)
        self.decoder: Graph = load_graph(bundle, "decoder", self.engine, chunk_hops)

    @property
    def hop_length(self) -> int:
        """Samples of a hop."""
        return self.bundle.features.hop_length

    @property
    def latency(self) -> int:
        """Samples by which a stream's output lags behind its input."""
        return self.bundle.latency.latency_samples

    @property
    def algorithmic_latency(self) -> int:
        """Samples between a sound's arrival and its converted sound on an infinitely fast machine.

        The output's lag plus the samples of a chunk, which must be complete before it is converted.
        """
        return self.latency + self.hop_length * self.chunk_hops

    def stream(
        self,
        voice: str,
        semitones: float = 0.0,
        gain_db: float = 0.0,
        formant_semitones: float = 0.0,
        gate: bool = True,
    ) -> ConverterStream:
        """Start a stream that speaks as `voice`.

        Args:
            voice: a name from the bundle.
            semitones: raises or lowers the pitch, -24 to 24.
            gain_db: of the output, -40 to 40 dB.
            formant_semitones: raises or lowers the resonances and leaves the pitch, -12 to 12: above 0 sounds like a
                smaller head.
            gate: turns down by 30 dB what the encoder takes for no speech, after 0.2 s without any.

        Raises:
            ConfigError: an argument is outside its range.
            ModelError: the bundle has no such voice.
        """
        return ConverterStream(self, self.bundle.voice(voice), semitones, gain_db, formant_semitones, gate)

    def convert(
        self,
        samples: NDArray[np.float32],
        voice: str,
        semitones: float = 0.0,
        gain_db: float = 0.0,
        formant_semitones: float = 0.0,
        gate: bool = True,
    ) -> NDArray[np.float32]:
        """Convert a whole recording, float32 (T,) at 16 kHz; the result has the same length and lines up with it.

        Raises:
            TypeError: the samples are not float32.
            ConfigError: the samples are not one-dimensional, not finite or beyond 1e6, or an argument is outside its
                range.
            ModelError: the bundle has no such voice.
        """
        stream = self.stream(voice, semitones, gain_db, formant_semitones, gate)
        _check_samples(samples)
        sound = np.abs(samples) <= LARGEST_SAMPLE
        if not sound.all():
            index = int(np.argmin(sound))
            raise ConfigError(
                f"samples must be finite and within +-{LARGEST_SAMPLE:g}, got {samples[index]} at index {index}; "
                "repair the recording"
            )
        output = np.concatenate([stream.process(samples), stream.flush()])
        return output[self.latency : self.latency + len(samples)]


class ConverterStream:
    """One speaker being converted, chunk by chunk; made by `VoiceConverter.stream`.

    Everything that the stream remembers is in this object: `copy.copy(stream)` forks it, `reset()` makes it fresh.
    """

    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        converter: VoiceConverter,
        voice: Voice,
        semitones: float,
        gain_db: float,
        formant_semitones: float,
        gate: bool,
    ) -> None:
        """Use `VoiceConverter.stream` instead."""
        if not -GAIN_RANGE_DB <= gain_db <= GAIN_RANGE_DB:
            raise ConfigError(f"gain_db must be within -{GAIN_RANGE_DB:g}..{GAIN_RANGE_DB:g}, got {gain_db!r}")
        if not -FORMANT_RANGE <= formant_semitones <= FORMANT_RANGE:
            raise ConfigError(
                f"formant_semitones must be within -{FORMANT_RANGE:g}..{FORMANT_RANGE:g}, got {formant_semitones!r}"
            )
        self.converter = converter
        self.voice = voice
        self._semitones = _checked_semitones(semitones)
        self._gain = 10 ** (gain_db / 20)
        hops = converter.chunk_hops
        features = converter.bundle.features
        self._chunk_samples = hops * features.hop_length
        self._front_end = LogMel(primed=True)
        pitch = converter.bundle.pitch
        self._tracker = _core.PitchTracker(
            features.sample_rate, features.hop_length, pitch.f0_min, pitch.f0_max, pitch.latency_samples
        )
        self._encoder_state = converter.encoder.new_state()
        self._decoder_state = converter.decoder.new_state()
        self._synthesis = _core.SourceFilter()
        self._synthesis.set_formant_ratio(2 ** (formant_semitones / 12))
        # a model whose phones are not named cannot say what is silence
        self._silence = converter.bundle.phones.index(SILENCE) if gate and SILENCE in converter.bundle.phones else None
        self._start()
        # buffers of one chunk, written anew at every call
        self._log_mel = np.zeros((hops, features.n_mels), np.float32)
        self._pitch = np.zeros((hops, _core.PitchMapper.n_features), np.float32)
        self._f0 = np.zeros(hops, np.float32)
        self._gated = np.zeros((hops, 3, converter.bundle.synthesis.n_fft // 2 + 1), np.float32)

    def _start(self) -> None:
        """Set what Python remembers of a stream; the parts in C++ and in the engine have a reset of their own."""
        self._mapper = _core.PitchMapper(self.voice.spec.log2_f0_mean, self._semitones)
        self._gate = SilenceGate()
        self._pending = np.zeros(0, np.float32)
        self._samples_in = 0
        self._samples_out = 0
        self._n_bad_samples = 0
        self._phones: NDArray[np.float32] | None = None

    @property
    def latency(self) -> int:
        """Samples by which the output lags behind the input."""
        return self.converter.latency

    @property
    def n_bad_samples(self) -> int:
        """Samples since the start or the last reset that were not finite or beyond 1e6, and were taken as silence."""
        return self._n_bad_samples

    @property
    def n_bad_frames(self) -> int:
        """Frames since the start or the last reset in which the model gave no sound; they are silent."""
        return int(self._synthesis.bad_frames)

    @property
    def phones(self) -> NDArray[np.float32] | None:
        """Log-probabilities of the bundle's phones in the last chunk, float32 (hops, n_phones); None before the first.

        The array is written to again with the next chunk.
        """
        return self._phones

    def reset(self) -> None:
        """Forget everything heard so far: the stream is like a new one."""
        for part in (self._front_end, self._tracker, self._encoder_state, self._decoder_state, self._synthesis):
            part.reset()
        self._start()

    def __copy__(self) -> ConverterStream:
        """Return a fork: given the same input, both streams have the same future."""
        return self.fork()

    def fork(self, voice: str | None = None, converter: VoiceConverter | None = None) -> ConverterStream:
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
        target = self.voice if voice is None else converter.bundle.voice(voice)
        twin = ConverterStream(converter, target, self._semitones, 0.0, 0.0, self._silence is not None)
        twin._gain = self._gain
        twin._front_end = copy.copy(self._front_end)
        twin._tracker = copy.copy(self._tracker)
        twin._mapper = copy.copy(self._mapper)
        twin._mapper.retarget(target.spec.log2_f0_mean, self._semitones)
        twin._gate = copy.copy(self._gate)
        twin._encoder_state.load(self._encoder_state.arrays())
        twin._decoder_state.load(self._decoder_state.arrays())
        twin._synthesis = copy.copy(self._synthesis)
        twin._pending = self._pending.copy()
        twin._samples_in, twin._samples_out = self._samples_in, self._samples_out
        twin._n_bad_samples = self._n_bad_samples
        return twin

    @property
    def semitones(self) -> float:
        """By which the pitch is raised."""
        return self._semitones

    def set_semitones(self, semitones: float) -> None:
        """Raise or lower the pitch from the next chunk on, -24 to 24.

        Raises:
            ConfigError: outside the range.
        """
        self._semitones = _checked_semitones(semitones)
        self._mapper.retarget(self.voice.spec.log2_f0_mean, semitones)

    def process(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take any number of samples, float32 (T,), T >= 0; return the output of every chunk that they complete.

        The result is float32 (L,) within [-1, 1], L a multiple of the chunk, 0 while none is complete. Up to one chunk
        less one sample stays here. Samples that are not finite or beyond 1e6 are taken as silence and counted in
        `n_bad_samples`: a live stream must go on.

        Raises:
            TypeError: the samples are not float32.
            ConfigError: the samples are not one-dimensional.
        """
        _check_samples(samples)
        self._samples_in += len(samples)
        samples, n_bad = without_bad(np.ascontiguousarray(samples))
        self._n_bad_samples += n_bad
        joined = np.concatenate([self._pending, samples]) if len(self._pending) else samples
        n_chunks = len(joined) // self._chunk_samples
        output = np.empty(n_chunks * self._chunk_samples, np.float32)
        for start in range(0, len(output), self._chunk_samples):
            end = start + self._chunk_samples
            self._process_chunk(joined[start:end], output[start:end])
        # a copy: the caller may write into its array again
        self._pending = joined[len(output) :].copy() if len(output) < len(joined) else _NOTHING
        self._samples_out += len(output)
        return output

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

    def _process_chunk(self, chunk: NDArray[np.float32], output: NDArray[np.float32]) -> None:
        self._front_end.process_into(chunk, self._log_mel)
        self._mapper.process_into(self._tracker.process(chunk), self._pitch, self._f0)
        content, phones = self.converter.encoder.run(self._encoder_state, self._log_mel)
        self._phones = phones
        filters = self.converter.decoder.run(self._decoder_state, content, self._pitch, self.voice.conditioning)[0]
        if self._silence is not None:
            filters = self._gate_filters(filters, phones[:, self._silence].tolist())
        self._synthesis.process_into(filters, self._f0, output)
        _core.scale_and_clip(output, self._gain)

    def _gate_filters(self, filters: NDArray[np.float32], log_silence: list[float]) -> NDArray[np.float32]:
        """Turn the frames' filters down as the gate says; log-probabilities of silence, one per hop."""
        gains = [self._gate.process(math.exp(value)) for value in log_silence]
        if not any(gains):
            return filters
        # the engine's buffer stays as it is; log-magnitudes of harmonics and of noise, the phases between them
        gated = self._gated
        np.copyto(gated.reshape(filters.shape), filters)
        for i, gain in enumerate(gains):
            gated[i, ::2] += np.float32(gain * _LOG_PER_DB)
        return gated.reshape(filters.shape)


def without_bad(samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """Return contiguous float32 samples (T,), zeros for what is not finite or beyond 1e6, and how many those were."""
    n_bad = _core.count_beyond(samples, LARGEST_SAMPLE)
    if not n_bad:
        return samples, 0
    return np.where(np.abs(samples) <= LARGEST_SAMPLE, samples, np.float32(0)), n_bad


def _checked_semitones(semitones: float) -> float:
    if not -SEMITONE_RANGE <= semitones <= SEMITONE_RANGE:
        raise ConfigError(f"semitones must be within -{SEMITONE_RANGE:g}..{SEMITONE_RANGE:g}, got {semitones!r}")
    return semitones


def _require_front_end(bundle: ModelBundle) -> None:
    found = LogMel().filterbank_sha256
    if bundle.features.filterbank_sha256 != found:
        raise ModelError(
            f"the bundle was trained on another front end: filterbank_sha256 must be {found}, got "
            f"{bundle.features.filterbank_sha256}; export the model again with this version of edgevc"
        )


def _check_samples(samples: NDArray[np.float32]) -> None:
    if not isinstance(samples, np.ndarray) or samples.dtype != _FLOAT32:
        found = samples.dtype if isinstance(samples, np.ndarray) else type(samples).__name__
        raise TypeError(f"samples: expected a float32 array, got {found}; use samples.astype(np.float32)")
    if samples.ndim != 1:
        raise ConfigError(f"samples must have shape (T,), mono, got {samples.shape}; average the channels first")
