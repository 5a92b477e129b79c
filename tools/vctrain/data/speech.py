"""Labelled speech in memory, and the distortions that make the encoder forget the speaker and the room."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from vctrain.data.alignment import LABEL_CENTRE, aligned, label_index
from vctrain.data.corpora import SAMPLE_RATE, listed
from vctrain.data.distortions import companded, reverberate, shape_spectrum
from vctrain.data.front_end import HOP_LENGTH, WIN_LENGTH
from vctrain.data.noise import Noises, draw_snr, mix_at_snr
from vctrain.data.speakers import ENCODER_WEIGHTS, group
from vctrain.errors import UserError
from vctrain.models.content_encoder import PHONE_INDEX

SPLICED = 0.5
"""Share of crops whose words follow each other at random: of real sentences training has too few."""

NOISE_SHARE = 0.95
"""Share of crops with noise added, nine in ten of them around the 10 dB of the evaluation."""

FIRST_EDGE = LABEL_CENTRE - HOP_LENGTH // 2
"""Sample at which the first labelled frame begins."""
FADE = 40
"""Samples over which a spliced piece comes and goes."""

IGNORE = -100
"""Label of a frame that must not count, as in torch.nn.functional.cross_entropy."""


@dataclass(frozen=True)
class Utterance:
    """One recording with the phone of each of the aligner's frames."""

    speaker: str
    prompt: str
    split: str
    samples: NDArray[np.int16]
    labels: NDArray[np.int8]
    words: NDArray[np.int32]
    """First frame of every word, and of the silences between them; empty where nothing was aligned."""
    targets: NDArray[np.float16] | None = None
    """A teacher's content (K, 48) of the frames, at least as many as there are labels."""

    @property
    def sound(self) -> NDArray[np.float32]:
        """The samples between -1 and 1."""
        return self.samples.astype(np.float32) / np.float32(32768)


TARGETS = "targets"
"""Folder of DATA with a teacher's content, by train_ear.py: frame k of an .npy file belongs to sample 160 k."""


def load_targets(data: Path, path: str) -> NDArray[np.float16] | None:
    """A teacher's content of one recording in the aligner's frames (K, 48); None where there is none."""
    file = (data / TARGETS / path).with_suffix(".npy")
    if not file.exists():
        return None
    found = np.load(file).astype(np.float32)
    # frames of the aligner are centred at LABEL_CENTRE + 160 k
    places = np.arange(len(found)) + LABEL_CENTRE / HOP_LENGTH
    return interpolated(found, places).astype(np.float16)


def interpolated(rows: NDArray[np.floating], places: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows (K, C) at fractional places (N,), linearly; the first and the last go on for ever. (N, C)."""
    places = np.clip(places, 0, len(rows) - 1)
    low = np.floor(places).astype(np.intp)
    share = (places - low)[:, None].astype(np.float32)
    return rows[low] * (1 - share) + rows[np.minimum(low + 1, len(rows) - 1)] * share


def load_with_targets(data: Path) -> list[Utterance]:
    """Every aligned utterance, with a teacher's targets where there are any, and those that have targets only.

    The latter have no label that counts and no words.

    Raises:
        UserError: no recording has targets.
    """
    utterances = []
    known = set()
    for (row, _), utterance in zip(aligned(data), load_utterances(data), strict=True):
        known.add(row["path"])
        utterances.append(replace(utterance, targets=load_targets(data, row["path"])))
    for row in listed(data):
        if row["path"] not in known and (targets := load_targets(data, row["path"])) is not None:
            samples = sf.read(data / row["path"], dtype="int16")[0]
            labels = np.full(len(samples) // HOP_LENGTH + 5, IGNORE, np.int8)
            none = np.zeros(0, np.int32)
            utterances.append(Utterance(row["speaker"], row["utterance"], row["split"], samples, labels, none, targets))
    if all(utterance.targets is None for utterance in utterances):
        raise UserError(f"no targets below {data / TARGETS}; `tools/train_ear.py targets` writes them")
    return utterances


def load_utterances(data: Path) -> list[Utterance]:
    """Every aligned utterance of DATA."""
    utterances = []
    for row, entry in aligned(data):
        samples = sf.read(data / entry["path"], dtype="int16")[0]
        labels = np.zeros(len(samples) // HOP_LENGTH + 5, np.int8)
        for name, start, length in entry["phones"]:
            labels[start : start + length] = PHONE_INDEX.get(name, 0)
        words = np.array(entry["words"], np.int32)
        utterances.append(Utterance(row["speaker"], row["utterance"], row["split"], samples, labels, words))
    return utterances


def splice(utterances: list[Utterance], n_samples: int, rng: np.random.Generator) -> Utterance:
    """At least `n_samples` of one speaker's words, two to five of them as they were spoken, then others."""
    pieces, labels, targets = [np.zeros(FIRST_EDGE, np.int16)], [], []
    length = 0
    while length < n_samples:
        utterance = utterances[rng.integers(len(utterances))]
        first = int(rng.integers(max(1, len(utterance.words) - 1)))
        last = first + int(rng.integers(2, 6))
        start = int(utterance.words[first])
        stop = int(utterance.words[last]) if last < len(utterance.words) else len(utterance.samples) // HOP_LENGTH - 1
        piece = utterance.samples[start * HOP_LENGTH + FIRST_EDGE : stop * HOP_LENGTH + FIRST_EDGE].astype(np.float32)
        fade = np.linspace(0, 1, FADE, dtype=np.float32)[: len(piece)]
        piece[: len(fade)] *= fade
        piece[len(piece) - len(fade) :] *= fade[::-1]
        pieces.append(piece.astype(np.int16))
        labels.append(utterance.labels[start:stop])
        if utterance.targets is not None:
            targets.append(interpolated(utterance.targets, np.arange(start, stop, dtype=float)))
        length += len(piece)
    of = utterances[0]
    everything = np.concatenate(labels)
    # targets count only where all of the pieces have some
    heard = np.concatenate(targets).astype(np.float16) if len(targets) == len(labels) else None
    return Utterance(of.speaker, "spliced", of.split, np.concatenate(pieces), everything, np.zeros(0, np.int32), heard)


Crop = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]


class EncoderSampler:
    """Random augmented crops with their frame labels, for an encoder of `latency` samples; a share of them in noise."""

    def __init__(
        self, utterances: list[Utterance], noises: Noises, latency: int, seed: int, noise_share: float = NOISE_SHARE
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.latency = latency
        self.noise_share = noise_share
        self.noises = noises
        known = next((u.targets for u in utterances if u.targets is not None), None)
        self.content_size = 0 if known is None else known.shape[1]
        groups: dict[str, list[Utterance]] = {}
        for utterance in utterances:
            if utterance.split == "train":
                groups.setdefault(group(utterance.speaker), []).append(utterance)
        self.names = sorted(groups)
        self.groups = groups
        self.speakers: dict[str, list[Utterance]] = {}
        for recordings in groups.values():
            for utterance in recordings:
                # what was not aligned cannot be cut into words
                if len(utterance.words):
                    self.speakers.setdefault(utterance.speaker, []).append(utterance)
        weights = np.array([ENCODER_WEIGHTS[name] for name in self.names])
        self.weights = weights / weights.sum()
        self.lengths = {
            name: (lambda n: n / n.sum())(np.array([len(u.samples) for u in recordings], float))
            for name, recordings in groups.items()
        }

    def crop(self, n_frames: int) -> Crop:
        """Distorted and clean samples (160 * n_frames,), each output frame's label or IGNORE, and a teacher's content.

        The last is (n_frames, 48), and NaN where no teacher has heard the recording.
        """
        rng = self.rng
        name = self.names[rng.choice(len(self.names), p=self.weights)]
        utterance = self.groups[name][rng.choice(len(self.groups[name]), p=self.lengths[name])]
        # one factor moves pitch, formants and rate together: another body, another speed
        stretch = float(np.exp(rng.uniform(-0.24, 0.24))) if rng.random() < 0.8 else 1.0
        wanted = n_frames * HOP_LENGTH
        needed = int(wanted / stretch) + 64
        if rng.random() < SPLICED and utterance.speaker in self.speakers:
            utterance = splice(self.speakers[utterance.speaker], needed, rng)
        start = int(rng.integers(-needed // 4, max(1, len(utterance.samples) - 3 * needed // 4)))
        piece = np.zeros(needed, np.float32)
        low, high = max(0, start), min(len(utterance.samples), start + needed)
        piece[low - start : high - start] = utterance.samples[low:high] / 32768.0
        if stretch != 1.0:
            piece = soxr.resample(piece, SAMPLE_RATE, SAMPLE_RATE * stretch, "MQ").astype(np.float32)
        piece = np.pad(piece, (0, max(0, wanted - len(piece))))[:wanted]
        # output m belongs to sample 160 (m + 1) - latency of the crop
        centres = start + (HOP_LENGTH * (np.arange(n_frames) + 1) - self.latency) / stretch
        index = label_index(centres)
        labels = np.zeros(n_frames, np.int64)
        inside = (index >= 0) & (index < len(utterance.labels))
        labels[inside] = utterance.labels[index[inside]]
        # what comes before the crop was not heard
        labels[: WIN_LENGTH // HOP_LENGTH + -(-self.latency // HOP_LENGTH)] = IGNORE
        targets = np.full((n_frames, self.content_size), np.nan, np.float32)
        if utterance.targets is not None and len(utterance.targets):
            targets = interpolated(utterance.targets, (centres - LABEL_CENTRE) / HOP_LENGTH)
            # the teacher has no targets for the silence before and after the recording
            targets[(centres < 0) | (centres > len(utterance.samples))] = np.nan
        return self._distort(piece), piece, labels, targets

    def _distort(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        rng = self.rng
        level = float(np.sqrt((samples**2).mean())) + 1e-5
        if rng.random() < 0.7:
            samples = shape_spectrum(samples, rng)
        if rng.random() < 0.25:
            samples = reverberate(samples, rng)
        samples = samples * (10 ** (rng.uniform(-42, -16) / 20) / level)
        if rng.random() < self.noise_share:
            decibels = draw_snr(rng) if rng.random() < 0.9 else rng.uniform(20, 40)
            samples = mix_at_snr(samples, self.noises.draw(len(samples), rng), decibels)
        if rng.random() < 0.05:
            loudest = float(np.abs(samples).max())
            samples = np.clip(samples, -0.4 * loudest, 0.4 * loudest)
        if rng.random() < 0.05:
            samples = companded(samples)
        return np.clip(samples, -1, 1).astype(np.float32)

    def batch(self, size: int, n_frames: int) -> Crop:
        """Distorted and clean samples, (B, 160 * N) each, labels (B, N), and targets (B, N, 48); see crop."""
        distorted, clean, labels, targets = zip(*(self.crop(n_frames) for _ in range(size)), strict=True)
        return np.stack(distorted), np.stack(clean), np.stack(labels), np.stack(targets)
