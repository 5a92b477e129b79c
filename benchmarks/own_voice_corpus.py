"""Recordings that benchmarks/bench_own_voice.py makes voices of, and speech that those voices say.

`--clones` is a folder of clones, or of the parts that are named here; no training of edgevc hears what is taken:

    Deep_Speaker-speaker_recognition_system  github.com/Walleclipse/Deep_Speaker-speaker_recognition_system: speaker 19
                                             of LibriSpeech in audio/LibriSpeechSamples, CC BY 4.0
    npVCC2016Corpus                          github.com/tarepan/npVCC2016Corpus, CC BY 4.0
    speechocean762                           github.com/jimbozhang/speechocean762: the test half
    dataset-voice-flemishguy, dataset-voice-nathalie, dataset-voice-kerstin
                                             github.com/rhasspy/..., CC0: made at home; Dutch, Dutch and German
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mark_corpus import FloatArray, load

from edgevc.limits import SAMPLE_RATE


@dataclass(frozen=True)
class Target:
    """A speaker whose voice is made."""

    what: str
    """For people."""
    files: tuple[str, ...]
    """Patterns of recordings below the folder of clones."""


def _vcc(name: str) -> tuple[str, ...]:
    return (f"npVCC2016Corpus/npVCC2016/trains/{name}/**/*.wav",)


def _libri(number: str) -> tuple[str, ...]:
    folder = "Deep_Speaker-speaker_recognition_system/audio/LibriSpeechSamples/train-clean-100"
    return (f"{folder}/{number}/**/*.flac",)


def _mandarin(number: str) -> tuple[str, ...]:
    return (f"speechocean762/WAVE/SPEAKER{number}/*.WAV",)


TARGETS = {
    "ls19": Target("woman, native", _libri("19")),
    "SF1": Target("woman, native", _vcc("SF1")),
    "SM1": Target("man, native", _vcc("SM1")),
    "TF2": Target("woman, native", _vcc("TF2")),
    "TM3": Target("man, native", _vcc("TM3")),
    "flemishguy": Target("man, in Dutch", ("dataset-voice-flemishguy/wavs/*.wav",)),
    "nathalie": Target("woman, in Dutch", ("dataset-voice-nathalie/verified/*.flac",)),
    "kerstin": Target("woman, in German", ("dataset-voice-kerstin/verified/*.flac",)),
    "oc9622": Target("woman, Mandarin accent", _mandarin("9622")),
    "oc9623": Target("man, Mandarin accent", _mandarin("9623")),
    "oc9626": Target("man, Mandarin accent", _mandarin("9626")),
    "oc9601": Target("man, Mandarin accent", _mandarin("9601")),
}
TUNED_ON = {
    "oc9610": Target("woman, Mandarin accent", _mandarin("9610")),
    "ls27": Target("man, native; an encoder has heard him", _libri("27")),
}
"""Speakers by whom the recipe was chosen; they are not among those that are reported."""
EVALS = ("SF1", "SM1", "TF2", "TM3")
"""Speakers of sources; each says other sentences."""
N_HELD_OUT = 8


def recordings(clones: Path, name: str) -> list[Path]:
    """Return a speaker's recordings, in an order that was drawn once."""
    target = (TARGETS | TUNED_ON)[name]
    found = sorted(path for pattern in target.files for path in clones.glob(pattern))
    if not found:
        raise FileNotFoundError(f"no recordings of {name} below {clones}: {', '.join(target.files)}")
    return [found[i] for i in np.random.default_rng(1).permutation(len(found))]


def divided(clones: Path, name: str, minutes: float) -> tuple[list[FloatArray], list[FloatArray]]:
    """Return recordings to make a voice of, of `minutes` where there are so many, and those that only judge."""
    paths = recordings(clones, name)
    held_out = [load(path) for path in paths[:N_HELD_OUT]]
    taken: list[FloatArray] = []
    for path in paths[N_HELD_OUT:]:
        if sum(map(len, taken)) >= 60 * minutes * SAMPLE_RATE:
            break
        taken.append(load(path))
    return taken, held_out


def sources(clones: Path, sentences: int, readings: int) -> list[tuple[str, FloatArray]]:
    """Return speech to be said by the voices, with its speaker's name.

    Args:
        clones: see the module.
        sentences: of each of the four speakers of npVCC2016's evaluation part, each another one.
        readings: by LibriSpeech's speaker 19, the last of the order, which no voice is made of.
    """
    found: list[tuple[str, FloatArray]] = []
    for number, name in enumerate(EVALS):
        paths = sorted((clones / "npVCC2016Corpus/npVCC2016/evals" / name).rglob("*.wav"))
        found += [(name, load(path)) for path in paths[number :: len(EVALS)][:sentences]]
    found += [("ls19", load(path)) for path in recordings(clones, "ls19")[-readings:]]
    return found
