"""The voice chain of a live session: dry hops in, what is to be heard out, switched while it runs without a click."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.audio.backing import BackingTrack
from edgevc.bundle import Voice
from edgevc.converter import VoiceSettings
from edgevc.errors import AudioFileError
from edgevc.limits import HOP_LENGTH, SAMPLE_RATE
from edgevc.live.config import LiveConfig
from edgevc.live.meters import Level
from edgevc.live.mode_fades import FADE_LENGTH, ModeFades
from edgevc.live.model_guard import ModelGuard
from edgevc.live.rare_log import RareLog
from edgevc.live.taps import Chunk, Tap

_LOG = logging.getLogger(__name__)

VOICE_FADE_LENGTH = 800
"""Samples from one voice to another: 50 ms."""


class Stream(Protocol):
    """What the chain needs of `ConverterStream`."""

    def process(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `ConverterStream.process`."""
        ...

    def hear(self, samples: NDArray[np.float32]) -> None:
        """See `ConverterStream.hear`."""
        ...

    settings: VoiceSettings
    """See `ConverterStream.settings`."""

    @property
    def phones(self) -> NDArray[np.float32] | None:
        """See `ConverterStream.phones`."""
        ...

    @property
    def n_bad_frames(self) -> int:
        """See `ConverterStream.n_bad_frames`."""
        ...

    @property
    def n_model_resets(self) -> int:
        """See `ConverterStream.n_model_resets`."""
        ...

    def fork(self, voice: str | Voice | None = None, converter: Any = None) -> Stream:
        """See `ConverterStream.fork`."""
        ...


class Converter(Protocol):
    """What the chain needs of `VoiceConverter`."""

    chunk_hops: int

    @property
    def made_with(self) -> str:
        """See `VoiceConverter.made_with`."""
        ...

    @property
    def latency(self) -> int:
        """See `VoiceConverter.latency`."""
        ...

    @property
    def voices(self) -> tuple[str, ...]:
        """See `VoiceConverter.voices`."""
        ...

    def decoder_of(self, voice: Voice) -> object:
        """See `VoiceConverter.decoder_of`."""
        ...

    def stream(self, voice: str | Voice, settings: VoiceSettings = ...) -> Stream:
        """See `VoiceConverter.stream`."""
        ...


class VoiceChain:
    """Converter, modes, voices, gain, equaliser, limiter and feedback guard; one thread calls `process`.

    The dry voice is delayed by the converter's latency, so the two fade into each other in step. While nothing of the
    converter is to be heard it does not run, unless the session is `listening`: then its encoder does, for the taps.

    The attributes `mode`, `listening`, `voice`, `semitones` and `gain_db` are wishes: any thread may set them (to
    values that are known to be right), and the next chunk follows.
    """

    def __init__(
        self,
        converters: Mapping[int, Converter],
        chunk_hops: int,
        voice: str,
        config: LiveConfig,
        taps: Sequence[Tap] = (),
        introduced: Mapping[str, Voice] | None = None,
    ) -> None:
        """Start.

        Args:
            converters: hops per call to the converter that takes so many; `chunk_hops` must be one of them.
            chunk_hops: to begin with.
            voice: one of the bundle's, or of those that are introduced.
            config: mode, pitch, gain, equaliser, feedback guard and overload policy are taken from it.
            taps: are given every chunk.
            introduced: see `introduce`.
        """
        self._introduced: dict[str, Voice] = dict(introduced or {})
        self._converters = converters
        self._converter = converters[chunk_hops]
        self.voice = voice  # makes its decoder, where it is not the model's
        self.mode = config.mode
        self.listening = config.listening
        self.semitones = config.semitones
        self.gain_db = config.gain_db
        # the gain is the chain's own, behind the fades
        settings = VoiceSettings(config.semitones, config.formant_semitones, gate=config.gate, mark=config.mark)
        self._stream = self._converter.stream(self._introduced.get(voice, voice), settings)
        self._now_voice, self._now_semitones, self._now_gain_db = voice, config.semitones, config.gain_db
        # during a change of voice: who speaks less and less
        self._leaving: Stream | None = None
        self._arriving_fade, self._leaving_fade = _core.FadeGain(1), _core.FadeGain(1)

        self._fades = ModeFades(config.mode, "mute" if config.overload == "silence" else "bypass")
        self._model_guard = ModelGuard()
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
        self._log = RareLog(_LOG)
        self._guard = _core.FeedbackGuard() if config.feedback_guard else None
        self._guard_gain = _core.FadeGain(FADE_LENGTH)

        self._taps = tuple(taps)
        self._position = 0
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
    def marked(self) -> bool:
        """Whether the converted voice carries the watermark."""
        return self._stream.settings.mark

    @property
    def feedback_events(self) -> int:
        """Times that acoustic feedback was turned down."""
        return self._guard.events if self._guard is not None else 0

    @property
    def model_guard(self) -> ModelGuard:
        """Counts what the model does wrong."""
        return self._model_guard

    @property
    def converting(self) -> bool:
        """Whether the next chunk needs the converter."""
        return self.mode == "convert" or self.listening or self._fades.wet_needed

    @property
    def silent(self) -> bool:
        """Whether nothing is to be heard, nor still dying away, and nobody listens."""
        return self.mode == "mute" and not self.listening and self._fades.died_away and self._backing is None

    @property
    def voice(self) -> str:
        """The target voice; a new one is spoken from the next chunk on.

        Whoever sets one that has a decoder of its own waits until that is made, so that the worker need not.
        """
        return self._voice

    @voice.setter
    def voice(self, voice: str) -> None:
        target = self._introduced.get(voice)
        if target is not None and target.adapters is not None:
            for converter in self._converters.values():
                converter.decoder_of(target)
        self._voice = voice

    @property
    def introduced(self) -> Mapping[str, Voice]:
        """The voices that are not in the bundle, by name."""
        return self._introduced

    def introduce(self, voice: Voice) -> None:
        """Let the name of a voice that is not in the bundle mean it; from any thread."""
        self._introduced = {**self._introduced, voice.spec.name: voice}

    @property
    def taps(self) -> tuple[Tap, ...]:
        """Who is given every chunk."""
        return self._taps

    def add_tap(self, tap: Tap) -> None:
        """Give it every chunk from the next one on; from any thread."""
        self._taps = (*self._taps, tap)

    def remove_tap(self, tap: Tap) -> None:
        """Give it nothing more; from any thread. One that is not there is none's loss."""
        self._taps = tuple(other for other in self._taps if other is not tap)

    def close(self) -> None:
        """Close the accompaniment's file; may be called twice."""
        backing, self._backing = self._backing, None
        if backing is not None:
            backing.close()

    def rest(self, dry: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take any number of hops while `silent`, float32 (n * 160,); return as many zeros."""
        self.input_level.add(dry)
        self._delay = np.concatenate([self._delay, dry])[len(dry) :]
        output = np.zeros(len(dry), np.float32)
        self.output_level.add(output)
        self._tell(dry, output, heard=False)
        return output

    def stay_silent(self, hops: int) -> None:
        """Give zeros for so many hops, whatever is wanted."""
        self._fades.stay_silent(hops)

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
        # another thread may change it at any moment
        mode = self.mode
        speaking = mode == "convert" or self._fades.wet_needed
        hearing = convert and (speaking or self.listening)
        self._fades.choose(mode, len(dry) // HOP_LENGTH, converting=speaking, convert=convert)
        wet = None
        if convert and speaking:
            wet = self._convert(dry)
        elif hearing:
            self._stream.hear(dry)
            # who was leaving fades no more
            self._leaving = None
        output = self._after(dry, self._fades.mix(wet, late, convert=convert))
        self.output_level.add(output)
        self._tell(dry, output, heard=hearing)
        return output

    def _tell(self, dry: NDArray[np.float32], output: NDArray[np.float32], *, heard: bool) -> None:
        """Give the chunk to the taps; `heard`: the encoder ran."""
        if self._taps:
            # the engine writes into its own array again at the next call
            phones = self._stream.phones if heard else None
            chunk = Chunk(self._position, dry, output, None if phones is None else phones.copy(), self.mode)
            for tap in self._taps:
                try:
                    tap.on_chunk(chunk)
                except Exception:
                    _LOG.exception("%s hears no more: it failed", type(tap).__name__)
                    self.remove_tap(tap)
        self._position += len(dry)

    def _convert(self, dry: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.semitones != self._now_semitones:
            self._now_semitones = self.semitones
            self._stream.settings = dataclasses.replace(self._stream.settings, semitones=self._now_semitones)
        if self.voice != self._now_voice and self._leaving is None:
            self._now_voice = self.voice
            target = self._introduced.get(self._now_voice, self._now_voice)
            self._leaving, self._stream = self._stream, self._stream.fork(voice=target)
            self._arriving_fade = _core.FadeGain(VOICE_FADE_LENGTH, 0.0)
            self._leaving_fade = _core.FadeGain(VOICE_FADE_LENGTH, 1.0)
            self._arriving_fade.set_target(1.0)
            self._leaving_fade.set_target(0.0)
        wet = self._model_guard.judge(self._stream, dry, self._stream.process(dry))
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
            events = self._guard.events
            self._guard_gain.set_target(self._guard.process(dry, output))
            if self._guard.events != events:
                self._log.warn(
                    self._position / SAMPLE_RATE,
                    "acoustic feedback, the output is turned down; use headphones, or move the microphone away",
                )
        return output
