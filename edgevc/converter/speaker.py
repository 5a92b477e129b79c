"""The half of a converter that speaks: what was heard in, samples in a voice out."""

from __future__ import annotations

import copy
import logging
import math

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.bundle import ModelBundle, Voice
from edgevc.converter.listener import Heard
from edgevc.converter.silence_gate import SilenceGate
from edgevc.converter.voice_settings import VoiceSettings
from edgevc.engines import Graph

_LOG = logging.getLogger(__name__)

FloatArray = NDArray[np.float32]

SILENCE = "SIL"
"""Name of the phone that stands for silence, breath and noise."""
_LOG_PER_DB = math.log(10) / 20


def warn_unless_marked(settings: VoiceSettings) -> None:
    """Log that a sound will carry no watermark, where it was turned off."""
    if not settings.mark:
        _LOG.warning("mark = false: the output does not carry the watermark that says that it was made")


def _require_settings(settings: VoiceSettings) -> None:
    if not isinstance(settings, VoiceSettings):
        raise TypeError(
            f"settings must be VoiceSettings, got {type(settings).__name__}; write VoiceSettings(semitones=...)"
        )


class Speaker:
    """Pitch mapping, decoder, silence gate and synthesis of one voice, chunk by chunk.

    Everything that it remembers is in this object: `copy.copy(speaker)` forks it, `reset()` makes it fresh. One thread
    uses it at a time.
    """

    def __init__(self, bundle: ModelBundle, decoder: Graph, voice: Voice, settings: VoiceSettings) -> None:
        """Use `VoiceConverter.speaker` instead.

        Args:
            bundle: whose decoder it is.
            decoder: loaded; its `chunk_hops` are the hops of a chunk.
            voice: speaks.
            settings: to begin with.
        """
        _require_settings(settings)
        self.bundle, self.decoder, self.voice = bundle, decoder, voice
        hops = decoder.chunk_hops
        self._state = decoder.new_state()
        self._synthesis = _core.SourceFilter()
        self._mapper = _core.PitchMapper(voice.spec.log2_f0_mean, settings.semitones)
        # no phone list: gate off
        self._silence_index = bundle.phones.index(SILENCE) if SILENCE in bundle.phones else None
        self._gate = SilenceGate()
        # written anew at every call
        self._pitch = np.zeros((hops, _core.PitchMapper.n_features), np.float32)
        self._f0 = np.zeros(hops, np.float32)
        self._gated = np.zeros((hops, 3, bundle.synthesis.n_fft // 2 + 1), np.float32)
        self._take(settings)

    @property
    def settings(self) -> VoiceSettings:
        """How it speaks; a new value holds from the next chunk on."""
        return self._settings

    @settings.setter
    def settings(self, settings: VoiceSettings) -> None:
        _require_settings(settings)
        if self._settings.mark:
            warn_unless_marked(settings)
        self._take(settings)

    def _take(self, settings: VoiceSettings) -> None:
        self._settings = settings
        self._gain = 10 ** (settings.gain_db / 20)
        self._silence = self._silence_index if settings.gate else None
        self._mapper.retarget(self.voice.spec.log2_f0_mean, settings.semitones)
        self._synthesis.set_formant_ratio(2 ** (settings.formant_semitones / 12))
        self._synthesis.set_marked(settings.mark)

    @property
    def bad_frames(self) -> int:
        """Frames since the start or the last reset for which the decoder gave no usable filter; they are silent."""
        return self._synthesis.bad_frames

    def speak(self, heard: Heard, output: FloatArray) -> None:
        """Say what was heard in one chunk.

        Args:
            heard: by a `Listener` of the same bundle, of as many hops as the decoder takes.
            output: float32 (hops * hop_length,), overwritten, within [-1, 1].
        """
        self._mapper.process_into(heard.pitch, self._pitch, self._f0)
        filters = self.decoder.run(self._state, heard.content, self._pitch, self.voice.conditioning)[0]
        if self._silence is not None:
            filters = self._gate_filters(filters, heard.phones[:, self._silence].tolist())
        self._synthesis.process_into(filters, self._f0, output)
        _core.scale_and_clip(output, self._gain)

    def _gate_filters(self, filters: FloatArray, log_silence: list[float]) -> FloatArray:
        """Turn the frames' filters down as the gate says; log-probabilities of silence, one per hop."""
        # a model may give what is no log-probability
        gains = [self._gate.process(math.exp(min(value, 0.0))) for value in log_silence]
        if not any(gains):
            return filters
        # the engine's buffer stays as it is; log-magnitudes of harmonics and of noise, the phases between them
        gated = self._gated
        np.copyto(gated.reshape(filters.shape), filters)
        for i, gain in enumerate(gains):
            gated[i, ::2] += np.float32(gain * _LOG_PER_DB)
        return gated.reshape(filters.shape)

    def reset(self) -> None:
        """Forget everything said so far."""
        self._state.reset()
        self._synthesis.reset()
        self._mapper = _core.PitchMapper(self.voice.spec.log2_f0_mean, self._settings.semitones)
        self._gate = SilenceGate()

    def reset_model(self) -> None:
        """Forget what the decoder remembers, and only that: a model that went wrong may recover."""
        self._state.reset()

    def __copy__(self) -> Speaker:
        """Return a fork that has said the same."""
        return self.fork(self.decoder, self.voice)

    def fork(self, decoder: Graph, voice: Voice) -> Speaker:
        """Return a speaker that has said the same and goes on as `voice`, at the hops per call of `decoder`."""
        twin = Speaker(self.bundle, decoder, voice, self._settings)
        twin._state.load(self._state.arrays())
        twin._synthesis = copy.copy(self._synthesis)
        twin._gate = copy.copy(self._gate)
        twin._mapper = copy.copy(self._mapper)
        twin._mapper.retarget(voice.spec.log2_f0_mean, self._settings.semitones)
        return twin
