"""What became of a voice: how much it sounds like its speaker, and whether its words are still heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgevc.bundle import Voice
from edgevc.converter import VoiceConverter
from edgevc.voice_maker.check import Problem
from edgevc.voice_maker.material import Ear, FloatArray, normalised
from edgevc.voice_maker.mixture import Likeness
from edgevc.voice_maker.speaker import SpeakerEncoder

LEAST_WAY = 0.5
"""Of the way from the start's likeness to that of the speaker's own recordings."""
GOOD_WORDS, LEAST_WORDS = 0.85, 0.6
"""Share of the phones that the start keeps."""


@dataclass(frozen=True)
class Verdict:
    """One voice's figures."""

    similarity: float | None
    """Mean cosine of converted speech to the held-out recordings, by Resemblyzer; None where it is not installed."""
    likeness: float
    """Mean log-likelihood ratio in nats per frame, by a mixture that nothing was tuned on; see `Likeness`."""
    words: float
    """Share of frames with speech in which the model hears the same phone as in the source."""

    def figures(self) -> dict[str, Any]:
        """Return them rounded, for the file."""
        return {name: round(value, 3) for name, value in asdict(self).items() if value is not None}


class Judge:
    """Judges with recordings of the speaker that were not tuned on, and with speech of others to be converted."""

    def __init__(
        self,
        converter: VoiceConverter,
        held_out: Sequence[FloatArray],
        sources: Sequence[FloatArray],
        encoder: SpeakerEncoder | None,
    ) -> None:
        """Prepare what is compared with.

        Args:
            converter: speaks; of any engine.
            held_out: recordings of the speaker.
            sources: speech of others.
            encoder: of speakers, where there is one.
        """
        self._converter, self._ear = converter, Ear(converter)
        self._held_out = [normalised(samples) for samples in held_out]
        self._sources = [normalised(samples) for samples in sources]
        self._phones = [self._heard(samples) for samples in self._sources]
        self._likeness = Likeness(self._held_out)
        self._encoder = encoder
        self._centre = None if encoder is None else encoder.centre(self._held_out)

    def of_voice(self, voice: Voice) -> Verdict:
        """Judge a voice by what it makes of the sources."""
        sounds = [self._converter.convert(samples, voice) for samples in self._sources]
        agreed = [self._agreement(phones, sound) for phones, sound in zip(self._phones, sounds, strict=True)]
        return self._verdict(sounds, float(np.mean(agreed)))

    def of_speaker(self, recordings: Sequence[FloatArray]) -> Verdict:
        """Judge the speaker's own recordings: what no voice can surpass."""
        return self._verdict([normalised(samples) for samples in recordings], 1.0)

    def _verdict(self, sounds: Sequence[FloatArray], words: float) -> Verdict:
        similarity = None
        if self._encoder is not None and self._centre is not None:
            similarity = float(np.mean([self._encoder.of(sound) @ self._centre for sound in sounds]))
        likeness = float(np.mean([self._likeness.of(normalised(sound)) for sound in sounds]))
        return Verdict(similarity, likeness, words)

    def _heard(self, samples: FloatArray) -> FloatArray:
        return self._ear.hear(self._ear.padded(samples))[1]

    def _agreement(self, source: FloatArray, sound: FloatArray) -> float:
        heard = self._heard(normalised(sound))
        n = min(len(source), len(heard))
        wanted, found = source[:n].argmax(1), heard[:n].argmax(1)
        # phone 0 is silence
        speech = wanted != 0
        return float((wanted == found)[speech].mean()) if speech.any() else 1.0


def shortcomings(verdicts: Mapping[str, Verdict]) -> list[Problem]:
    """Return what is wrong with a voice beside the one that it began as; fatal: it is not worth keeping.

    Args:
        verdicts: "voice", "start" and "speaker".
    """
    voice, start, speaker = verdicts["voice"], verdicts["start"], verdicts["speaker"]
    found = []
    room = speaker.likeness - start.likeness
    way = (voice.likeness - start.likeness) / room if room > 0 else 0.0
    if way < LEAST_WAY:
        found.append(
            Problem(
                "unlike",
                way <= 0,
                f"the voice has come {max(way, 0):.0%} of the way from the model's nearest voice to the speaker, half "
                "is little; give more and cleaner recordings, or more --steps",
            )
        )
    words = voice.words / start.words if start.words else 1.0
    if words < GOOD_WORDS:
        found.append(
            Problem(
                "words",
                words < LEAST_WORDS,
                f"of the phones that the model's nearest voice keeps this one keeps {words:.0%}, {GOOD_WORDS:.0%} is "
                "little; give cleaner recordings",
            )
        )
    return found
