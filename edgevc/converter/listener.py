"""The half of a converter that hears: samples in; what is said, and the pitch, out."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.bundle import ModelBundle
from edgevc.dsp.features import LogMel
from edgevc.engines import Graph

FloatArray = NDArray[np.float32]


class Heard(NamedTuple):
    """What a listener makes of one chunk; the next call overwrites the arrays."""

    content: FloatArray
    """(hops, C): what is said, freed of who says it; a decoder's input."""
    phones: FloatArray
    """(hops, P): log-probabilities of the bundle's `phones`."""
    pitch: FloatArray
    """(hops, 3) of `_core.PitchTracker`: F0 in hertz, voicing and level."""


class Listener:
    """Front end, pitch tracker and encoder of one speaker, chunk by chunk.

    It can be used without a `Speaker`: to spot commands, to learn a voice's pitch, to time the parts. All that it
    remembers is in this object: `copy.copy(listener)` forks it, `reset()` makes it fresh. One thread uses it at a time.

    Example:
        >>> import numpy, edgevc
        >>> listener = edgevc.VoiceConverter().listener()
        >>> heard = listener.hear(numpy.zeros(listener.chunk_samples, numpy.float32))
        >>> heard.phones.shape
        (1, 40)
    """

    def __init__(self, bundle: ModelBundle, encoder: Graph, *, high_pass: bool = True) -> None:
        """Use `VoiceConverter.listener` instead.

        Args:
            bundle: whose encoder it is.
            encoder: loaded; its `chunk_hops` are the hops of a chunk.
            high_pass: take away what lies below speech, as a microphone's offset and rumble, which would be heard as a
                louder voice; False where that has been done already.
        """
        features, pitch = bundle.features, bundle.pitch
        self.bundle, self.encoder = bundle, encoder
        self.chunk_samples = encoder.chunk_hops * features.hop_length
        """Samples that each call of `hear` takes."""
        self._front_end = LogMel(primed=True)
        self._tracker = _core.PitchTracker(
            features.sample_rate, features.hop_length, pitch.f0_min, pitch.f0_max, pitch.latency_samples
        )
        self._high_pass = _core.HighPass(features.sample_rate) if high_pass else None
        self._state = encoder.new_state()
        # written anew at every call
        self._filtered = np.zeros(self.chunk_samples, np.float32)
        self._log_mel = np.zeros((encoder.chunk_hops, features.n_mels), np.float32)

    def hear(self, chunk: FloatArray) -> Heard:
        """Take one chunk, float32 (chunk_samples,), finite; return what was heard in it."""
        if self._high_pass is not None:
            self._high_pass.process_into(chunk, self._filtered)
            chunk = self._filtered
        self._front_end.process_into(chunk, self._log_mel)
        # before the encoder: after it the tracker finds the caches full of weights and takes a seventh longer
        pitch = self._tracker.process(chunk)
        content, phones = self.encoder.run(self._state, self._log_mel)
        return Heard(content, phones, pitch)

    def reset(self) -> None:
        """Forget everything heard so far."""
        for part in (self._high_pass, self._front_end, self._tracker, self._state):
            if part is not None:
                part.reset()

    def reset_model(self) -> None:
        """Forget what the encoder remembers, and only that: a model that went wrong may recover."""
        self._state.reset()

    def __copy__(self) -> Listener:
        """Return a fork that has heard the same."""
        return self.fork(self.encoder)

    def fork(self, encoder: Graph) -> Listener:
        """Return a listener that has heard the same and goes on with the same graph at other hops per call."""
        twin = Listener(self.bundle, encoder)
        twin._high_pass = copy.copy(self._high_pass)
        twin._front_end = copy.copy(self._front_end)
        twin._tracker = copy.copy(self._tracker)
        twin._state.load(self._state.arrays())
        return twin
