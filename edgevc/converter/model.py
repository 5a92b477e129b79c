"""A bundle loaded into an inference engine: what all streams share."""

from __future__ import annotations

import os
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from edgevc.arrays import as_mono_float32, require_finite
from edgevc.bundle import ModelBundle, Voice
from edgevc.converter.fits import require_fit, require_speakable
from edgevc.converter.listener import Listener
from edgevc.converter.own_decoders import OwnDecoders
from edgevc.converter.speaker import Speaker, warn_unless_marked
from edgevc.converter.stream import ConverterStream
from edgevc.converter.voice_settings import VoiceSettings
from edgevc.dsp.resample import resample
from edgevc.engines import Graph, choose_engine, load_graph
from edgevc.errors import ConfigError, ModelError
from edgevc.limits import CHUNK_HOPS, LARGEST_SAMPLE, SAMPLE_RATE
from edgevc.voices.library import find_voice

_DEFAULT = VoiceSettings()


class VoiceConverter:
    """Speech in, the same words in another voice out. Immutable; every stream made from it shares the weights.

    It can be pickled: another process opens the same bundle again. It may be used in a `with` block, which says where
    it is no longer needed; nothing has to be closed.

    Example:
        >>> import edgevc
        >>> audio, rate = edgevc.read("examples/sentence.wav")
        >>> converter = edgevc.VoiceConverter("default")
        >>> converter.voices
        ('kathleen', 'slt', 'bdl', 'anon')
        >>> other = converter.convert(audio, "slt", sample_rate=rate)
        >>> len(other) == len(audio)
        True
    """

    sample_rate = SAMPLE_RATE

    def __init__(
        self, bundle: ModelBundle | str | os.PathLike[str] | None = None, engine: str = "auto", chunk_hops: int = 1
    ) -> None:
        """Load the bundle's graphs.

        Args:
            bundle: the model, a built-in model's name, or path to a model folder or .zip; None: "default".
            engine: "auto", "litert" or "onnx".
            chunk_hops: 1, 2 or 4 hops of 10 ms per call: more cost less CPU and add as much latency. A model that hears
                in blocks takes its own number, whatever is asked for.

        Raises:
            ConfigError: an argument is outside its range.
            EngineError: no engine is installed, or none computes this bundle correctly here.
            ModelError: the bundle does not exist, is damaged, or does not fit this runtime.
        """
        if not isinstance(bundle, ModelBundle):
            bundle = ModelBundle.find(bundle)
        block = bundle.block_hops
        if chunk_hops not in CHUNK_HOPS and chunk_hops != block:
            raise ConfigError(f"chunk_hops must be one of {CHUNK_HOPS}, got {chunk_hops!r}")
        require_fit(bundle)
        chunk_hops = block or chunk_hops
        chosen = choose_engine(bundle, engine)
        self._take(bundle, *(load_graph(bundle, name, chosen, chunk_hops) for name in ("encoder", "decoder")))

    @classmethod
    def of_graphs(cls, bundle: ModelBundle, encoder: Graph, decoder: Graph) -> VoiceConverter:
        """Return a converter of graphs that are loaded already, golden vectors or not: a candidate that is tried.

        Args:
            bundle: what its manifest says of features, voices and synthesis holds.
            encoder: of the same engine and hops per call as `decoder`.
            decoder: see `encoder`.
        """
        converter = cls.__new__(cls)
        converter._take(bundle, encoder, decoder)
        return converter

    def _take(self, bundle: ModelBundle, encoder: Graph, decoder: Graph) -> None:
        self.bundle, self.encoder, self.decoder = bundle, encoder, decoder
        self.engine, self.chunk_hops = encoder.engine, encoder.chunk_hops
        self._own = OwnDecoders(bundle, encoder.engine, encoder.chunk_hops)

    def __enter__(self) -> VoiceConverter:
        """Return the converter."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Do nothing: memory is given back when the last stream is gone."""

    def __reduce__(self) -> tuple[object, tuple[str, str, str, int]]:
        """Pickle where the bundle lies and what it is, not what was loaded."""
        return _open_again, (str(self.bundle.path), self.bundle.sha256, self.engine, self.chunk_hops)

    @property
    def made_with(self) -> str:
        """The model by which a sound was made, as files and logs call it."""
        return f"model {self.bundle.name} {self.bundle.version}, sha256 {self.bundle.sha256}"

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

    @property
    def latency_ms(self) -> float:
        """`algorithmic_latency` in milliseconds."""
        return 1000 * self.algorithmic_latency / SAMPLE_RATE

    @property
    def voices(self) -> tuple[str, ...]:
        """Names of the bundle's voices; the first is the default."""
        return tuple(voice.name for voice in self.bundle.voices)

    def voice(self, voice: str | Voice | None = None) -> Voice:
        """Return a voice by its name, the bundle's first where None; a `Voice` is taken as it is.

        A name may also be one of a voice of your own, which lies in `edgevc.voices.library.folder()`, or a path that
        ends in .voice.

        Raises:
            ModelError: there is no such voice, or it was made for another model.
        """
        if isinstance(voice, Voice):
            return voice
        found = find_voice(voice or self.voices[0], self.bundle)
        require_speakable(found)
        return found

    def decoder_of(self, voice: Voice) -> Graph:
        """Return the decoder that speaks as `voice`: the model's, or one with the voice's adapters.

        The latter is made at the first call, in a tenth of a second on a PC, and kept: a thread that must not wait asks
        for what another has asked for before.

        Raises:
            ModelError: the voice was made for another decoder.
        """
        return self.decoder if voice.adapters is None else self._own.decoder(voice.adapters)

    def listener(self, *, high_pass: bool = True) -> Listener:
        """Start the half that hears: samples to content, phones and pitch; see `Listener`."""
        return Listener(self.bundle, self.encoder, high_pass=high_pass)

    def speaker(self, voice: str | Voice | None = None, settings: VoiceSettings = _DEFAULT) -> Speaker:
        """Start the half that speaks: content and pitch to samples.

        Raises:
            ModelError: the bundle has no such voice.
        """
        found = self.voice(voice)
        speaker = Speaker(self.bundle, self.decoder_of(found), found, settings)
        warn_unless_marked(settings)
        return speaker

    def stream(
        self, voice: str | Voice | None = None, settings: VoiceSettings = _DEFAULT, *, high_pass: bool = True
    ) -> ConverterStream:
        """Start a stream that speaks as `voice`.

        Args:
            voice: a name from the bundle, a voice that did not come with it, or such a voice's name or path; None: the
                bundle's first. See `voice`.
            settings: pitch, formants, gain, gate and watermark.
            high_pass: False where the input has been through a high-pass already, see `Listener`.

        Raises:
            ModelError: the bundle has no such voice.
        """
        return ConverterStream(self, self.voice(voice), settings, high_pass=high_pass)

    def convert(
        self,
        samples: NDArray[np.float32],
        voice: str | Voice | None = None,
        settings: VoiceSettings = _DEFAULT,
        *,
        sample_rate: int = SAMPLE_RATE,
    ) -> NDArray[np.float32]:
        """Convert a whole recording; the result has the same rate and length, and lines up with it.

        Args:
            samples: float32 (T,), mono.
            voice: see `stream`.
            settings: see `stream`.
            sample_rate: of `samples` and of the result, 4000 to 192000 Hz; speech is converted at 16 kHz, so nothing
                above 8 kHz comes out.

        Raises:
            TypeError: the samples are not float32.
            ConfigError: the samples are not one-dimensional, not finite or beyond 1e6, or the rate is out of range.
            ModelError: the bundle has no such voice.
        """
        stream = self.stream(voice, settings)
        samples = as_mono_float32(samples)
        require_finite(samples, largest=LARGEST_SAMPLE)
        heard = samples if sample_rate == SAMPLE_RATE else resample(samples, sample_rate, SAMPLE_RATE)
        output = np.concatenate([stream.process(heard), stream.flush()])[self.latency : self.latency + len(heard)]
        if sample_rate == SAMPLE_RATE:
            return output
        back = resample(output, SAMPLE_RATE, sample_rate)[: len(samples)]
        return np.concatenate([back, np.zeros(len(samples) - len(back), np.float32)])


def _open_again(path: str, sha256: str, engine: str, chunk_hops: int) -> VoiceConverter:
    bundle = ModelBundle.open(path)
    if bundle.sha256 != sha256:
        raise ModelError(f"the model {path} has changed since the converter was pickled; load it again")
    return VoiceConverter(bundle, engine, chunk_hops)
