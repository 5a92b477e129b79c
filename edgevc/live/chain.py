"""The voice chain of a live session: dry hops in, what is to be heard out, switched while it runs without a click."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.audio.backing import BackingTrack
from edgevc.converter import SAMPLE_RATE
from edgevc.errors import AudioFileError
from edgevc.live.config import LiveConfig
from edgevc.live.meters import Level
from edgevc.live.recorder import Recorder

_LOG = logging.getLogger(__name__)

FADE_LENGTH = 320
"""Samples from one mode to another: 20 ms."""
VOICE_FADE_LENGTH = 800
"""Samples from one voice to another: 50 ms."""
WARM_UP_HOPS = 10
"""The converter hears so much again after a rest before it is heard itself."""

_CUT_LENGTH = 64
# What the equaliser and the limiter still give after their input has ended is below hearing.
_QUIET_HOPS = 20


class Stream(Protocol):
    """What the chain needs of `ConverterStream`."""

    def process(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `ConverterStream.process`."""
        ...

    def set_semitones(self, semitones: float) -> None:
        """See `ConverterStream.set_semitones`."""
        ...

    def fork(self, voice: str | None = None, converter: Any = None) -> Stream:
        """See `ConverterStream.fork`."""
        ...


class Converter(Protocol):
    """What the chain needs of `VoiceConverter`."""

    chunk_hops: int

    @property
    def latency(self) -> int:
        """See `VoiceConverter.latency`."""
        ...

    def stream(
        self,
        voice: str,
        semitones: float = 0.0,
        gain_db: float = 0.0,
        formant_semitones: float = 0.0,
        gate: bool = True,
    ) -> Stream:
        """See `VoiceConverter.stream`."""
        ...


class VoiceChain:
    """Converter, modes, voices, gain, equaliser, limiter and feedback guard; one thread calls `process`.

    The dry voice is delayed by the converter's latency, so the two fade into each other in step. While nothing of the
    converter is to be heard it does not run.

    The attributes `mode`, `voice`, `semitones` and `gain_db` are wishes: any thread may set them (to values that are
    known to be right), and the next chunk follows.
    """

    def __init__(self, converters: Mapping[int, Converter], chunk_hops: int, voice: str, config: LiveConfig) -> None:
        """Start.

        Args:
            converters: hops per call to the converter that takes so many; `chunk_hops` must be one of them.
            chunk_hops: to begin with.
            voice: one of the bundle's.
            config: mode, pitch, gain, equaliser, feedback guard and overload policy are taken from it.
        """
        self._converters = converters
        self._converter = converters[chunk_hops]
        self.voice = voice
        self.mode = config.mode
        self.semitones = config.semitones
        self.gain_db = config.gain_db
        self._stream = self._converter.stream(
            voice, config.semitones, formant_semitones=config.formant_semitones, gate=config.gate
        )
        self._now_voice, self._now_semitones, self._now_gain_db = voice, config.semitones, config.gain_db
        # during a change of voice: who speaks less and less
        self._leaving: Stream | None = None
        self._arriving_fade, self._leaving_fade = _core.FadeGain(1), _core.FadeGain(1)

        wet = 1.0 if config.mode == "convert" else 0.0
        self._wet_fade = _core.FadeGain(FADE_LENGTH, wet)
        self._dry_fade = _core.FadeGain(FADE_LENGTH, 1.0 if config.mode == "bypass" else 0.0)
        self._cold_hops = 0 if wet else WARM_UP_HOPS
        # what is heard while the converter is not
        self._instead = config.mode if not wet else "mute"
        self._when_overloaded = "mute" if config.overload == "silence" else "bypass"
        # the converted voice alone is heard, and no fade is left
        self._settled = False
        self._last_wet = np.float32(0)
        self._delay = np.zeros(self._converter.latency, np.float32)

        self._gain = _core.FadeGain(FADE_LENGTH, 10 ** (config.gain_db / 20))
        self._eq = None
        if config.eq:
            self._eq = _core.PeakingEq(SAMPLE_RATE)
            for index, (centre, gain_db, quality) in enumerate(config.eq):
                self._eq.set(index, centre, gain_db, quality)
        # a singer hears the accompaniment while singing: it belongs to the voice that went in with it
        self._backing = None
        if config.backing is not None:
            self._backing = BackingTrack(config.backing, config.backing_gain_db, self._converter.latency)
        self._limiter = _core.Limiter(SAMPLE_RATE)
        self._guard = _core.FeedbackGuard() if config.feedback_guard else None
        self._guard_gain = _core.FadeGain(FADE_LENGTH)

        # since something was last to be heard, and until something may be
        self._silent_hops = 0
        self._hold_hops = 0
        self.recorder: Recorder | None = None
        self.input_level = Level()
        self.output_level = Level()

    @property
    def chunk_hops(self) -> int:
        """Hops that one call takes now."""
        return self._converter.chunk_hops

    @property
    def converter_latency(self) -> int:
        """Samples by which the voice, dry or not, lags behind."""
        return self._converter.latency

    @property
    def post_latency(self) -> int:
        """Samples that the limiter looks ahead."""
        return self._limiter.latency

    @property
    def latency(self) -> int:
        """Samples between `process`'s input and output."""
        return self.converter_latency + self.post_latency

    @property
    def feedback_events(self) -> int:
        """Howls that were turned down."""
        return self._guard.events if self._guard is not None else 0

    @property
    def converting(self) -> bool:
        """Whether the next chunk needs the converter."""
        return self.mode == "convert" or self._wet_fade.gain > 0

    @property
    def silent(self) -> bool:
        """Whether nothing is to be heard, nor still dying away."""
        return self.mode == "mute" and self._silent_hops >= _QUIET_HOPS and self._backing is None

    def rest(self, dry: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take any number of hops while `silent`, float32 (n * 160,); return as many zeros."""
        self.input_level.add(dry)
        self._delay = np.concatenate([self._delay, dry])[len(dry) :]
        output = np.zeros(len(dry), np.float32)
        self.output_level.add(output)
        if self.recorder is not None:
            self.recorder.put(dry, output)
        return output

    def stay_silent(self, hops: int) -> None:
        """Give zeros for so many hops, whatever is wanted."""
        self._hold_hops = hops

    def set_chunk_hops(self, chunk_hops: int) -> None:
        """Take so many hops per call from now on, without a seam: the streams' memory moves to the other graphs."""
        self._converter = self._converters[chunk_hops]
        self._stream = self._stream.fork(converter=self._converter)
        if self._leaving is not None:
            self._leaving = self._leaving.fork(converter=self._converter)

    def process(self, dry: NDArray[np.float32], convert: bool = True) -> NDArray[np.float32]:
        """Take one chunk, float32 (chunk_hops * 160,), finite; return as many samples, within [-1, 1].

        Args:
            dry: the chunk.
            convert: False where there is no time for the converter: the dry voice is heard, or nothing, by the policy.
        """
        self.input_level.add(dry)
        line = np.concatenate([self._delay, dry])
        late, self._delay = line[: len(dry)], line[len(dry) :]
        self._choose(convert, len(dry) // 160)
        output = self._voice(dry, late, convert)
        output = self._after(dry, output)
        self.output_level.add(output)
        if self.recorder is not None:
            self.recorder.put(dry, output)
        return output

    def _choose(self, convert: bool, hops: int) -> None:
        """Set what is to be heard, and for how long the converter has yet to warm up."""
        if self._settled and convert and self.mode == "convert" and self._hold_hops <= 0:
            return
        if not convert:
            self._instead = self._when_overloaded
            self._cold_hops = WARM_UP_HOPS
        elif self.mode != "convert":
            self._instead = self.mode
            if not self.converting:
                self._cold_hops = WARM_UP_HOPS
        held = self._hold_hops > 0
        self._hold_hops -= hops if held else 0
        wet = self.mode == "convert" and self._cold_hops <= 0 and not held
        dry = not wet and self._instead == "bypass" and not held
        self._wet_fade.set_target(1.0 if wet else 0.0)
        self._dry_fade.set_target(1.0 if dry else 0.0)
        self._settled = wet and not (self._wet_fade.remaining or self._dry_fade.gain)
        heard = wet or dry or self._wet_fade.gain > 0 or self._dry_fade.gain > 0
        self._silent_hops = 0 if heard else self._silent_hops + hops
        if self._cold_hops > 0 and convert and self.converting:
            self._cold_hops -= hops

    def _voice(self, dry: NDArray[np.float32], late: NDArray[np.float32], convert: bool) -> NDArray[np.float32]:
        """Mix the converted and the dry voice as the fades say."""
        wet = None
        if self._settled:
            wet = self._convert(dry)
            self._last_wet = wet[-1]
            return wet
        if not convert:
            wet = self._cut(len(dry))
        elif self.converting:
            wet = self._convert(dry)
            self._last_wet = wet[-1]
            wet = self._wet_fade.process(wet)
        if self._dry_fade.gain or self._dry_fade.target:
            output = self._dry_fade.process(late)
            return output if wet is None else output + wet
        return np.zeros(len(dry), np.float32) if wet is None else wet

    def _cut(self, n: int) -> NDArray[np.float32] | None:
        """Stop the converted voice where it is, rounded off, since there is no time to fade it out."""
        gain = self._wet_fade.gain
        if not gain:
            return None
        self._wet_fade = _core.FadeGain(FADE_LENGTH, 0.0)
        end = np.zeros(n, np.float32)
        end[:_CUT_LENGTH] = self._last_wet * gain * np.linspace(1, 0, _CUT_LENGTH, dtype=np.float32)
        return end

    def _convert(self, dry: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.semitones != self._now_semitones:
            self._now_semitones = self.semitones
            self._stream.set_semitones(self._now_semitones)
        if self.voice != self._now_voice and self._leaving is None:
            self._now_voice = self.voice
            self._leaving, self._stream = self._stream, self._stream.fork(voice=self._now_voice)
            self._arriving_fade = _core.FadeGain(VOICE_FADE_LENGTH, 0.0)
            self._leaving_fade = _core.FadeGain(VOICE_FADE_LENGTH, 1.0)
            self._arriving_fade.set_target(1.0)
            self._leaving_fade.set_target(0.0)
        wet = self._stream.process(dry)
        if self._leaving is not None:
            leaving = self._leaving.process(dry)
            wet = self._arriving_fade.process(wet) + self._leaving_fade.process(leaving)
            if self._leaving_fade.gain == 0:
                self._leaving = None
        return wet

    def _mix_backing(self, backing: BackingTrack, output: NDArray[np.float32]) -> None:
        try:
            backing.mix_into(output)
        except AudioFileError as error:
            _LOG.warning("the accompaniment ends here: %s", error)
            self._backing = None

    def _after(self, dry: NDArray[np.float32], output: NDArray[np.float32]) -> NDArray[np.float32]:
        """Gain, equaliser, accompaniment, limiter, and the guard behind them."""
        if self.gain_db != self._now_gain_db:
            self._now_gain_db = self.gain_db
            self._gain.set_target(10 ** (self._now_gain_db / 20))
        output = self._gain.process(output)
        if self._eq is not None:
            self._eq.process_into(output, output)
        if self._backing is not None:
            self._mix_backing(self._backing, output)
        self._limiter.process_into(output, output)
        if self._guard is not None:
            self._guard_gain.process_into(output, output)
            self._guard_gain.set_target(self._guard.process(dry, output))
        return output
