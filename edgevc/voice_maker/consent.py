"""Consent, spoken on the spot: a sentence with words that nobody could know before, in the voice of the recordings.

It stops the careless, not the criminal: who wants to can splice words together or convert a voice. docs/consent.md says
what was measured.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgevc.audio.reader import read_audio
from edgevc.bundle import ConsentRecord
from edgevc.converter import VoiceConverter
from edgevc.dsp.resample import resample
from edgevc.errors import ConfigError, GateError, OutputError
from edgevc.files import state_dir, write_atomic
from edgevc.limits import SAMPLE_RATE
from edgevc.voice_maker.hearing import read_words, word_scores
from edgevc.voice_maker.material import Ear, FloatArray, normalised
from edgevc.voice_maker.mixture import Likeness
from edgevc.voice_maker.speaker import SpeakerEncoder

N_WORDS = 4
VALID_SECONDS = 30 * 60
"""From the sentence being shown to its recording being checked."""
LEAST_HEARD = -0.75
"""Of the mean of the words' scores, see `word_scores`."""
LEAST_SAME = 0.8
"""Cosine of the reading to the recordings' centre, by the speaker's vector."""
LEAST_LIKENESS = 0.8
"""Nats per frame by which the reading sounds more like the speaker than like anybody."""
LONGEST_SECONDS = 40.0


@dataclass(frozen=True)
class Challenge:
    """A sentence to be read now."""

    name: str
    """Of the voice."""
    words: tuple[str, ...]
    made_at: float
    """Seconds since 1970."""

    @property
    def sentence(self) -> str:
        """What is to be read."""
        return (
            f"I agree that a synthetic voice, {self.name}, is made from my recordings, with which any words can be "
            f"spoken. {', '.join(self.words).capitalize()}."
        )


def _path(name: str) -> Path:
    folder = state_dir()
    if folder is None:
        raise ConfigError("there is no home folder to keep the words in; set XDG_STATE_HOME")
    return folder / "consent" / f"{name}.json"


def ask(name: str) -> Challenge:
    """Draw new words for a voice, remember them, and return the sentence.

    Raises:
        ConfigError: there is no home.
        OutputError: it cannot be remembered.
    """
    words = list(read_words())
    drawn = tuple(words.pop(secrets.randbelow(len(words))) for _ in range(N_WORDS))
    challenge = Challenge(name, drawn, time.time())
    path = _path(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path.parent}: {error.strerror}") from error
    write_atomic(path, json.dumps({"words": drawn, "made_at": challenge.made_at}).encode())
    return challenge


def asked(name: str, now: float | None = None) -> Challenge:
    """Return the sentence that was shown for a voice.

    Raises:
        ConfigError: none was, or it was too long ago.
    """
    path, again = _path(name), f"show a new sentence with `edgevc voice consent {name}`"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        challenge = Challenge(name, tuple(map(str, found["words"])), float(found["made_at"]))
        known = len(challenge.words) == N_WORDS and set(challenge.words) <= set(read_words())
    except (OSError, ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise ConfigError(f"no sentence was shown for the voice {name}; {again}")
    age = (time.time() if now is None else now) - challenge.made_at
    if not 0 <= age <= VALID_SECONDS:
        raise ConfigError(
            f"the sentence for the voice {name} was shown {age / 60:.0f} minutes ago, it holds for "
            f"{VALID_SECONDS // 60}; {again}"
        )
    return challenge


def check(
    challenge: Challenge,
    recording: Path,
    pieces: Sequence[FloatArray],
    converter: VoiceConverter,
    encoder: SpeakerEncoder | None,
) -> ConsentRecord:
    """Return the record of a reading that was heard to be this sentence, by the speaker of the recordings.

    The record has the reading's hash, not the reading.

    Args:
        challenge: that was shown.
        recording: of the reading.
        pieces: of the recordings that the voice is made of, at 16 kHz.
        converter: whose encoder hears.
        encoder: of speakers; None: the mixture alone decides, and a few more others pass.

    Raises:
        GateError: other words are heard, or another speaker.
        ConfigError, AudioFileError: the reading is too long or cannot be read.
    """
    samples, rate, _ = read_audio(recording)
    if rate != SAMPLE_RATE:
        samples = resample(samples, rate, SAMPLE_RATE)
    if not 2.0 <= len(samples) / SAMPLE_RATE <= LONGEST_SECONDS:
        raise ConfigError(
            f"{recording}: a reading has 2 to {LONGEST_SECONDS:g} s, got {len(samples) / SAMPLE_RATE:.1f}; record the "
            "sentence alone"
        )
    samples = normalised(samples)
    heard = heard_score(challenge.words, samples, converter)
    if heard < LEAST_HEARD:
        raise GateError(
            f"{recording}: the words {', '.join(challenge.words)} are not heard ({heard:.2f}, at least "
            f"{LEAST_HEARD:g}); read the sentence again, clearly and close to the microphone"
        )
    refused = other_speaker(samples, pieces, encoder)
    if refused is not None:
        raise GateError(f"{recording}: {refused}; the speaker of the recordings must read the sentence")
    today = datetime.date.today().isoformat()
    return ConsentRecord("spoken", challenge.sentence, today, None, hashlib.sha256(recording.read_bytes()).hexdigest())


def forget(name: str) -> None:
    """Let the words that were shown for a voice hold no more."""
    _path(name).unlink(missing_ok=True)


def heard_score(words: Sequence[str], samples: FloatArray, converter: VoiceConverter) -> float:
    """Return how well words are heard in a reading, in their order: 0 at best."""
    known, ear = read_words(), Ear(converter)
    phones = ear.hear(ear.padded(samples))[1]
    scores, _ = word_scores(phones, converter.bundle.phones, [known[word] for word in words])
    return float(np.mean(scores))


def other_speaker(samples: FloatArray, pieces: Sequence[FloatArray], encoder: SpeakerEncoder | None) -> str | None:
    """Return why a reading is another speaker's than the recordings; None where it is the same one's."""
    recordings = [normalised(piece) for piece in pieces]
    if encoder is not None:
        found = float(encoder.of(samples) @ encoder.centre(recordings))
        if found < LEAST_SAME:
            return f"it is another speaker's than the recordings (alike by {found:.2f}, at least {LEAST_SAME})"
    likeness = Likeness(recordings).of(samples)
    if likeness < LEAST_LIKENESS:
        return f"it is another speaker's than the recordings (likeness {likeness:.2f}, at least {LEAST_LIKENESS:g})"
    return None
