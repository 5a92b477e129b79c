"""Commands in the sound of one Wyoming client."""

from __future__ import annotations

import numpy as np

from edgevc.audio.rates import resampler_to_16k
from edgevc.limits import SAMPLE_RATE
from edgevc.recognition.spoken_commands import CommandStream, Sentence
from edgevc.wyoming.sound import AudioFormat

_SILENCE_AFTER = 2.0
"""Seconds of silence that stand for what comes behind the last sound: a sentence that is there has ended in them."""


class Hearing:
    """Hears one recording that comes in pieces. One thread uses it at a time."""

    def __init__(self, stream: CommandStream, form: AudioFormat) -> None:
        """Begin with a fresh stream.

        Raises:
            AudioFileError: the rate cannot be resampled.
        """
        self.format = form
        self._stream = stream
        self._resampler = None if form.rate == SAMPLE_RATE else resampler_to_16k(form.rate, "audio-chunk")
        self._rest = b""
        self.seconds = 0.0
        """Of sound that came."""
        self.woken: list[Sentence] = []
        """Wake phrases that ended in the last piece."""

    def hear(self, raw: bytes) -> list[Sentence]:
        """Take bytes of the recording, cut anywhere; return the sentences that ended in them."""
        raw = self._rest + raw
        whole = len(raw) // self.format.frame_bytes * self.format.frame_bytes
        self._rest = raw[whole:]
        samples = self.format.decode(raw[:whole])
        self.seconds += len(samples) / self.format.rate
        sentences = self._stream.process(self._resampler.process(samples) if self._resampler else samples)
        self.woken = self._stream.woken
        return sentences

    def end(self) -> list[Sentence]:
        """Return the sentences that are over because nothing more comes."""
        tail = [self._resampler.flush()] if self._resampler else []
        silence = np.zeros(round(SAMPLE_RATE * _SILENCE_AFTER), np.float32)
        sentences = self._stream.process(np.concatenate([*tail, silence]))
        self.woken = self._stream.woken
        return sentences
