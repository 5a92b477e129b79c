"""Voices, unseen speakers and splits: what tools/data/speakers.toml says, as constants, and the voices of a bundle."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import tomllib

from vctrain.errors import UserError

FILE = Path(__file__).resolve().parents[2] / "data" / "speakers.toml"

with FILE.open("rb") as _file:
    _TABLE = tomllib.load(_file)


@dataclass(frozen=True)
class Voice:
    """A voice of a bundle: a trained voice, or a mixture of some."""

    trained: bool
    mixture: dict[str, float]
    """Trained voice to its share; the shares add up to one."""
    description: str
    licence: str
    consent: str
    consent_record: dict[str, str]
    """As docs/model-format.md has it."""
    lower: float = 0.0
    """Semitones below its recordings' mean pitch at which it speaks."""


BUNDLE_VOICES = {name: Voice(**entry) for name, entry in _TABLE["voices"].items()}
VOICES = tuple(name for name, voice in BUNDLE_VOICES.items() if voice.trained)
"""Trained voices, in the order of the decoder's embeddings."""

LIBRISPEECH: str = _TABLE["librispeech"]
SPEECHOCEAN: str = _TABLE["speechocean"]
"""What the names of speechocean762's speakers begin with."""
SYNTHESISERS: tuple[str, ...] = tuple(_TABLE["synthesisers"])
TRANSCRIBED: tuple[str, ...] = tuple(_TABLE["transcribed"])
"""LibriSpeech speakers with many utterances and transcripts."""

UNSEEN: dict[str, str] = _TABLE["unseen"]
"""Speakers that no training hears, and who they are."""
UNSEEN_SPEAKERS = tuple(UNSEEN)
TEST_PROMPTS = frozenset(
    f"{_TABLE['test_prompts']['prefix']}{number:04d}"
    for number in range(_TABLE["test_prompts"]["first"], _TABLE["test_prompts"]["last"] + 1)
)
"""CMU ARCTIC prompts that no training hears from anybody."""
HELD_OUT_NOISES = re.compile(_TABLE["held_out_noises"])
"""Names of the ESC-10 recordings that no training hears: the fifth of its five folds, 8 of 40 in each class."""

PAIRS: tuple[tuple[str, str], ...] = tuple((source, voice) for source, voice in _TABLE["evaluation"]["pairs"])
"""Trained speakers and the voice they are converted to, on prompts that no training heard."""
PHONE_TESTS: dict[str, str] = _TABLE["evaluation"]["phones"]
"""Speakers whose phones are recognised, and what tables call them."""
PICTURED: tuple[str, ...] = tuple(_TABLE["evaluation"]["pictured"])

ENCODER_WEIGHTS: dict[str, float] = _TABLE["encoder_weights"]
"""How often the encoder's training draws a speaker or a group of them."""


def group(speaker: str) -> str:
    """The name in ENCODER_WEIGHTS under which a speaker counts."""
    for several in ("espeak", "kokoro", SPEECHOCEAN):
        if speaker.startswith(several):
            return several
    return speaker if speaker in ENCODER_WEIGHTS else "others"


def weights(name: str) -> list[float]:
    """Share of each trained voice in a voice of the bundle, in the order of VOICES."""
    return [BUNDLE_VOICES[name].mixture.get(part, 0.0) for part in VOICES]


def target_f0(name: str, trained: dict[str, tuple[float, float]]) -> tuple[float, float]:
    """Mean and standard deviation of log2(F0 / Hz) of a voice, from those of the trained voices.

    A trained voice has its speaker's pitch, a mixture that of its parts.
    """
    voice = BUNDLE_VOICES[name]
    parts = {name: 1.0} if name in trained else voice.mixture
    mean, std = (sum(share * trained[part][i] for part, share in parts.items()) for i in range(2))
    return mean - voice.lower / 12, std


def _check() -> None:
    """Refuse a table that cannot be trained on."""
    for name, voice in BUNDLE_VOICES.items():
        if unknown := voice.mixture.keys() - set(VOICES):
            raise UserError(f"{FILE}: the mixture of {name} names {', '.join(sorted(unknown))}, no trained voice")
        if abs(sum(voice.mixture.values()) - 1) > 1e-6:
            raise UserError(f"{FILE}: the shares of {name} must add up to 1, got {sum(voice.mixture.values()):g}")


_check()
