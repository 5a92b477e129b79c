"""From a stream's sentences to events: what a source of sound does in its thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgevc.dsp.resample import Resampler
from edgevc.limits import SAMPLE_RATE
from edgevc.recognition.recognizer import Heard
from edgevc.recognition.spoken_commands import SpokenCommands
from edgevc.relay.controls import Controls
from edgevc.relay.event import Event

Hear = Callable[[Event], None]
"""Takes an event in any thread."""


def phrase_of(woken: Sequence[Heard], before: str) -> str:
    """Return the last wake phrase that ended, or the one before."""
    for heard in woken:
        if heard.recognition is not None:
            before = heard.recognition.meaning.intent
    return before


def event_of(heard: Heard, source: str, time_to_live: float, wake: str = "") -> Event:
    """Return what sinks are told of a sentence; `wake` is the phrase that armed it."""
    found, evidence = heard.recognition, heard.evidence
    return Event(
        command="" if found is None else found.meaning.intent,
        slots={} if found is None else dict(found.meaning.slots),
        text="" if found is None else " ".join(found.words),
        certainty=0.0 if evidence is None else float(evidence.certainty),
        refusal="" if heard.refusal is None else heard.refusal.value,
        wake=wake,
        source=source,
        time_to_live=time_to_live,
    )


class Hearing:
    """One microphone's sound at any rate, until it ends; one thread uses it."""

    def __init__(
        self,
        commands: SpokenCommands,
        sample_rate: int,
        controls: Controls,
        hear: Hear,
        source: str,
        time_to_live: float,
    ) -> None:
        """Start a stream.

        Args:
            commands: what may be said, and the encoder.
            sample_rate: of the sound, Hz.
            controls: of the relay.
            hear: takes the events.
            source: what the events say that they are from.
            time_to_live: of the events, seconds.

        Raises:
            ConfigError: no stream can have this rate.
        """
        self._stream = commands.stream()
        self._resampler = None if sample_rate == SAMPLE_RATE else Resampler(sample_rate, SAMPLE_RATE)
        self._controls, self._hear = controls, hear
        self._source, self._time_to_live = source, time_to_live
        self._was_listening = True
        self._wake = ""

    def process(self, samples: NDArray[np.float32]) -> None:
        """Hear mono samples, float32 (T,), any T; nothing while the relay does not listen."""
        if not self._controls.listening:
            self._was_listening = False
            return
        if not self._was_listening:
            # what was said before is not continued
            self._was_listening = True
            self._stream.reset()
        if self._resampler is not None:
            samples = self._resampler.process(samples)
        self._stream.least_certainty = self._controls.least_certainty
        sentences = self._stream.process(np.nan_to_num(samples, copy=False))
        self._wake = phrase_of([sentence.heard for sentence in self._stream.woken], self._wake)
        for sentence in sentences:
            self._hear(event_of(sentence.heard, self._source, self._time_to_live, self._wake))

    def end(self) -> None:
        """Hear a second of silence, in which a sentence that the sound ends with comes to its end."""
        rate = SAMPLE_RATE if self._resampler is None else self._resampler.from_rate
        self.process(np.zeros(2 * rate, np.float32))
