"""Voices that are nobody's: mixtures of a model's voices, drawn by a key, always the same for the same key.

`pseudo-KEY` names one wherever a voice is named. The voices' conditioning is a table that the decoder looks up and
scales its layers by; between its rows it is smooth, so a mixture speaks as clearly as they do. The weights are drawn
from a flat Dirichlet distribution and then stretched away from the mean of the rows by STRETCH, so that the voices
differ more; the mean F0 is the mixture's, up to F0_OCTAVES higher or lower.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgevc.bundle.specs import ConsentRecord, Voice, VoiceSpec

PREFIX = "pseudo-"
_KEY = re.compile(r"[0-9a-z]{1,64}")
STRETCH = 1.25
F0_OCTAVES = 0.2


def is_pseudo(name: str) -> bool:
    """Return whether a name means a voice of this kind: `pseudo-` and 1 to 64 of a-z and 0-9."""
    return name.startswith(PREFIX) and _KEY.fullmatch(name[len(PREFIX) :]) is not None


def pseudo_name(seed: str, speaker: str) -> str:
    """Return the name of a speaker's pseudo-voice; without the seed nobody can tell whose it is.

    Args:
        seed: any text; another one gives other voices.
        speaker: what the speaker is called; the same name always gets the same voice.
    """
    # BLAKE2's key keeps seed and speaker apart, and takes 64 bytes at most
    key = hashlib.sha256(seed.encode("utf-8", "surrogateescape")).digest()
    speaker_bytes = speaker.encode("utf-8", "surrogateescape")
    return PREFIX + hashlib.blake2b(speaker_bytes, key=key, digest_size=8).hexdigest()


def pseudo_voice(name: str, voices: Sequence[VoiceSpec], table: NDArray[np.float32]) -> Voice:
    """Return the voice of a name that `is_pseudo`.

    Args:
        name: of the voice.
        voices: of the model, at least one.
        table: their conditioning, float32 (R, V).
    """
    rows = table[[voice.row for voice in voices]].astype(np.float64)
    draw = _uniform(name, len(voices) + 1)
    # exponential variables, divided by their sum, are flat on the simplex (Devroye 1986, chapter XI.4)
    weights = -np.log(draw[:-1])
    weights /= weights.sum()
    weights = (1 - STRETCH) / len(voices) + STRETCH * weights
    means = np.array([voice.log2_f0_mean for voice in voices])
    spreads = np.array([voice.log2_f0_std for voice in voices])
    licences = dict.fromkeys(voice.licence for voice in voices)
    statement = f"A mixture of the voices {', '.join(voice.name for voice in voices)}; no person speaks like this."
    spec = VoiceSpec(
        name=name,
        description="nobody: a mixture that its name draws",
        licence="; ".join(licences),
        consent="no person speaks like this; made of consenting voices",
        log2_f0_mean=float(weights @ means + F0_OCTAVES * (2 * draw[-1] - 1)),
        log2_f0_std=float(spreads.mean()),
        row=-1,
        consent_record=ConsentRecord(basis="nobody", statement=statement),
    )
    conditioning = (weights @ rows).astype(np.float32)[None]
    conditioning.flags.writeable = False
    return Voice(spec, conditioning)


def _uniform(name: str, count: int) -> NDArray[np.float64]:
    """Numbers within (0, 1) that are the same on every machine and with every version of NumPy."""
    digest = hashlib.shake_256(name.encode()).digest(8 * count)
    return (np.frombuffer(digest, "<u8").astype(np.float64) + 0.5) / 2.0**64
