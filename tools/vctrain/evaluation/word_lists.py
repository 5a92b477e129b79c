"""Test lists for words: who speaks what, where. Everything is fixed by the utterances' names; none is ever trained on.

`clean`: LibriSpeech 19 and npVCC2016, as recorded. `accent`: adults of speechocean762's test half. The others are the
sounds of `clean` somewhere else: in a real kitchen, among people who talk, in a room of the usual size.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from vctrain import metrics
from vctrain.data.corpora import SAMPLE_RATE, Clone, listed
from vctrain.data.distortions import unit_power
from vctrain.data.noise import looped, mix_at_snr
from vctrain.data.speakers import SPEECHOCEAN
from vctrain.data.voices import normalise
from vctrain.evaluation import whisper_asr
from vctrain.evaluation.statistics import Figure, Score, summarise
from vctrain.evaluation.trials import Trial

KITCHEN_CLONE, KITCHEN_FILE = "Picovoice+speech-to-intent-benchmark", "data/noise/kitchen.wav"
"""A real kitchen, Apache-2.0, for evaluation only."""
KITCHEN_SNRS = (15.0, 10.0, 5.0)
BABBLE_SNR = 10.0
TALKERS = 6
ACCENTED, ACCENTED_WORDS, ADULT = 40, 6, 18
"""Speakers, words of a sentence at least, years."""

NAMES = (
    "clean",
    "accent",
    *(f"kitchen, {snr:g} dB" for snr in KITCHEN_SNRS),
    f"babble, {BABBLE_SNR:g} dB",
    "room, 1.5 m",
)
"""What the lists are called."""

Name = tuple[str, str]
"""Speaker and utterance."""


def by_hash(text: str) -> int:
    """An order that nobody chose."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:16], 16)


def accented(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One sentence each of ACCENTED adults of speechocean762's test half."""
    fitting: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        test = row["speaker"].startswith(SPEECHOCEAN) and row["split"] == "test"
        if test and row["age"] >= ADULT and len(metrics.words(row["text"])) >= ACCENTED_WORDS:
            fitting.setdefault(row["speaker"], []).append(row)
    speakers = sorted(fitting, key=by_hash)[:ACCENTED]
    return [min(fitting[s], key=lambda r: by_hash(r["utterance"])) for s in speakers]


def talkers(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Recordings for babble: the test half's speakers that `accented` leaves out, adults and children."""
    taken = {row["speaker"] for row in accented(rows)}
    found: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda r: by_hash(r["utterance"])):
        if row["speaker"].startswith(SPEECHOCEAN) and row["split"] == "test" and row["speaker"] not in taken:
            found.setdefault(row["speaker"], row)
    return sorted(found.values(), key=lambda r: r["speaker"])


@dataclass(frozen=True)
class RealKitchen:
    """Speech in Picovoice's recording of a kitchen."""

    clones: Path
    snr_db: float

    def add(self, samples: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        """(T,) samples with noise; the same `name` always gets the same piece of it."""
        noise = looped(kitchen_noise(self.clones), len(samples), np.random.default_rng(by_hash(name)))
        return mix_at_snr(samples, unit_power(noise), self.snr_db)


@cache
def kitchen_noise(clones: Path) -> NDArray[np.float32]:
    """Return the recording of a kitchen, mono at 16 kHz; read once."""
    with Clone(clones / KITCHEN_CLONE) as clone:
        sound, rate = sf.read(io.BytesIO(clone.read(KITCHEN_FILE)), dtype="float32", always_2d=True)
    return soxr.resample(sound.mean(1), rate, SAMPLE_RATE).astype(np.float32)


@dataclass(frozen=True)
class Babble:
    """Speech among TALKERS others, who are as loud as each other."""

    data: Path
    snr_db: float = BABBLE_SNR

    def add(self, samples: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        """(T,) samples with the others; the same `name` always gets the same ones."""
        rng = np.random.default_rng(by_hash(name))
        rows = _talkers(self.data)
        noise = np.zeros(len(samples), np.float32)
        for i in rng.choice(len(rows), TALKERS, replace=False):
            spoken = normalise(sf.read(self.data / rows[i]["path"], dtype="float32")[0])
            noise += looped(spoken, len(samples), rng)
        return mix_at_snr(samples, unit_power(noise), self.snr_db)


@cache
def _talkers(data: Path) -> list[dict[str, Any]]:
    return talkers(listed(data))


@dataclass(frozen=True)
class Room:
    """Speech `distance` metres away in a shoebox room, by the image-source method (Allen and Berkley, 1979)."""

    distance: float = 1.5
    size: tuple[float, float, float] = (5.0, 4.0, 2.7)
    seconds: float = 0.3
    """Reverberation time by Sabine's formula; between such walls the sound falls by 60 dB in 1.4 times as long."""

    def add(self, samples: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        """(T,) samples in the room, delayed by nothing and as loud as before."""
        response = impulse_response(self)
        n = len(samples) + len(response)
        wet = np.fft.irfft(np.fft.rfft(samples, n) * np.fft.rfft(response, n), n)[: len(samples)]
        rms = np.sqrt((samples.astype(np.float64) ** 2).mean() / max((wet**2).mean(), 1e-20))
        return (wet * rms).astype(np.float32)


@cache
def impulse_response(room: Room) -> NDArray[np.float64]:
    """Impulse response that begins with the direct sound."""
    speed = 343.0
    size = np.array(room.size)
    volume, surface = size.prod(), 2 * (size[0] * size[1] + size[0] * size[2] + size[1] * size[2])
    absorbed = 0.161 * volume / (surface * room.seconds)
    reflected = np.sqrt(max(0.0, 1 - absorbed))
    ear = np.array([0.4, 0.45, 0.42]) * size
    mouth = ear + room.distance * np.array([0.8, 0.55, 0.24]) / np.linalg.norm([0.8, 0.55, 0.24])
    longest = 2 * room.seconds
    reach = speed * longest
    order = [np.arange(-int(reach / (2 * s)) - 1, int(reach / (2 * s)) + 2) for s in size]
    taps = np.zeros(int(SAMPLE_RATE * longest))
    start = room.distance / speed * SAMPLE_RATE
    grid = np.stack(np.meshgrid(*order, indexing="ij"), -1).reshape(-1, 3)
    for mirrored in np.ndindex(2, 2, 2):
        flip = np.array(mirrored)
        places = (1 - 2 * flip) * mouth + 2 * grid * size
        bounces = (np.abs(grid - flip) + np.abs(grid)).sum(1)
        far = np.linalg.norm(places - ear, axis=1)
        late = far / speed * SAMPLE_RATE - start
        near = late < len(taps) - 2
        gain = reflected ** bounces[near] * room.distance / far[near]
        index = late[near].astype(int)
        share = late[near] - index
        # between two samples
        np.add.at(taps, index, gain * (1 - share))
        np.add.at(taps, index + 1, gain * share)
    return taps


def scenes(data: Path, clones: Path) -> dict[str, Any]:
    """List to where its sounds are heard; all of them but `accent` are those of `clean`."""
    kitchens = (RealKitchen(clones, snr) for snr in KITCHEN_SNRS)
    return dict(zip(NAMES, (None, None, *kitchens, Babble(data), Room()), strict=True))


def figures(
    converted: Sequence[tuple[Trial, Mapping[str, Any]]],
    sources: Mapping[Name, Mapping[str, Any]],
    clean: Mapping[Name, Mapping[str, Any]],
    texts: Mapping[Name, str | None],
) -> dict[str, dict[str, Figure]]:
    """Reader to `wrong` (share of words), `source` (the source's own, in its scene) and `beyond`, their difference.

    The reference is the transcript, or what Whisper base reads in the clean source where there is none. The interval is
    of a bootstrap over the list's utterances, which count by their words.
    """
    found: dict[str, dict[str, Figure]] = {}
    for name in whisper_asr.RECOGNISERS:
        scores = []
        for trial, result in converted:
            text = texts.get(trial.name)
            reference = whisper_asr.words(text) if text else list(clean[trial.name]["base"])
            errors, own = (whisper_asr.word_errors(reference, r[name]) for r in (result, sources[trial.name]))
            amounts = {"wrong": errors, "source": own, "beyond": errors - own}
            parts = {key: (float(amount), float(len(reference))) for key, amount in amounts.items()}
            # one group: what is drawn are utterances, whoever speaks
            scores.append(Score("list", trial.voice, "/".join(trial.name), parts))
        found[name] = summarise(scores)
    return found
