"""The voices of a bundle: each is a trained voice or a mixture of some."""

from __future__ import annotations

from vctrain.data.corpora import VOICES

MIXTURES = {
    "kathleen": {"kathleen": 1.0},
    "slt": {"slt": 0.75, "kathleen": 0.10, "bdl": 0.15},
    "bdl": {"bdl": 1.0},
    "anon": {"kathleen": 0.3, "slt": 0.25, "bdl": 0.45},
}
"""Shipped voice to the weights of the trained voices whose conditioning makes it up. slt alone was the least
intelligible; tools/try_mixtures.py on 16 LibriSpeech speakers outside the test list (words changed, similarity to
her): 0.85 slt and 0.15 bdl 0.290 and 0.809, 0.75 slt, 0.10 kathleen and 0.15 bdl 0.264 and 0.796, 0.75 slt and 0.25
bdl 0.252 and 0.785. The decoder's last training heard the first of them."""

SPOKEN_LOWER = {"slt": 2.0}
"""Semitones below her recordings' mean at which a voice speaks: for slt a change of 0.36 instead of 0.47 over nine
LibriSpeech speakers, at 0.02 less similarity."""


def weights(name: str) -> list[float]:
    """Share of each trained voice, in the order of VOICES."""
    return [MIXTURES[name].get(part, 0.0) for part in VOICES]


def spoken_f0(name: str, trained: dict[str, tuple[float, float]]) -> tuple[float, float]:
    """Mean and standard deviation of log2(F0 / Hz), from those of the trained voices.

    A voice of somebody speaks at this person's pitch, nobody's at the mixture's.
    """
    parts = {name: 1.0} if name in trained else MIXTURES[name]
    mean, std = (sum(share * trained[part][i] for part, share in parts.items()) for i in range(2))
    return mean - SPOKEN_LOWER.get(name, 0.0) / 12, std
