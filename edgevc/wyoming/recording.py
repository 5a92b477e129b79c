"""A recording that comes in pieces, in another voice."""

from __future__ import annotations

from dataclasses import dataclass

from edgevc.audio.rates import resampler_to_16k
from edgevc.audio.wav_writer import encode_pcm16
from edgevc.bundle import Voice
from edgevc.converter import VoiceConverter, VoiceSettings
from edgevc.converter.aligned import AlignedStream
from edgevc.limits import SAMPLE_RATE
from edgevc.wyoming.sound import AudioFormat

_AS_IT_IS = VoiceSettings()


@dataclass(frozen=True)
class VoiceChange:
    """What is made of every voice."""

    converter: VoiceConverter
    voice: str | Voice | None = None
    settings: VoiceSettings = _AS_IT_IS


class ChangedRecording:
    """One recording. What goes out is made by the converter alone; a call that fails gives nothing.

    One thread uses it at a time.
    """

    def __init__(self, change: VoiceChange, form: AudioFormat) -> None:
        """Begin.

        Raises:
            AudioFileError: the rate cannot be resampled.
            ModelError: there is no such voice.
        """
        self.format = form
        resampler = None if form.rate == SAMPLE_RATE else resampler_to_16k(form.rate, "audio-chunk")
        stream = change.converter.stream(change.voice, change.settings)
        self._aligned = AlignedStream(stream, form.rate, resampler)
        self._rest = b""

    def convert(self, raw: bytes) -> bytes:
        """Take bytes of the recording, cut anywhere; return what they complete, 16-bit mono at 16 kHz."""
        raw = self._rest + raw
        whole = len(raw) // self.format.frame_bytes * self.format.frame_bytes
        self._rest = raw[whole:]
        return encode_pcm16(self._aligned.process(self.format.decode(raw[:whole])))

    def end(self) -> bytes:
        """Return the end, so that as much sound has come out as went in; nothing is taken any more."""
        return encode_pcm16(self._aligned.finish())
