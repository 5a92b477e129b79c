"""Labelled speech in memory, and the distortions that make the encoder forget the speaker and the room."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from vctrain.data.corpora import HELD_OUT_NOISES, SAMPLE_RATE
from vctrain.data.front_end import HOP_LENGTH, WIN_LENGTH
from vctrain.models.content_encoder import PHONE_INDEX

SPEAKER_WEIGHTS = {
    "kathleen": 0.12,
    "slt": 0.11,
    "bdl": 0.11,
    "ls26": 0.09,
    "ls27": 0.09,
    "flite-rms": 0.07,
    "flite-awb": 0.07,
    "flite-kal16": 0.03,
    "espeak": 0.03,
    "others": 0.28,
}
"""How often training hears each speaker; `others` are the many LibriSpeech speakers with one utterance each."""

IGNORE = -100
"""Label of a frame that must not count, as in torch.nn.functional.cross_entropy."""


@dataclass(frozen=True)
class Utterance:
    """One recording with its phones, frame k of the labels being centred at sample 160 k + 205."""

    speaker: str
    prompt: str
    split: str
    samples: NDArray[np.int16]
    labels: NDArray[np.int8]


def load_utterances(data: Path) -> list[Utterance]:
    """Every aligned utterance of DATA."""
    rows = {row["path"]: row for row in map(json.loads, (data / "utterances.jsonl").open())}
    utterances = []
    for entry in map(json.loads, (data / "phones.jsonl").open()):
        row = rows[entry["path"]]
        samples = sf.read(data / entry["path"], dtype="int16")[0]
        labels = np.zeros(len(samples) // HOP_LENGTH + 5, np.int8)
        for name, start, length in entry["phones"]:
            labels[start : start + length] = PHONE_INDEX.get(name, 0)
        utterances.append(Utterance(row["speaker"], row["utterance"], row["split"], samples, labels))
    return utterances


def load_noises(folder: Path, held_out: bool = False) -> list[NDArray[np.float32]]:
    """Noise recordings of any rate below a folder, at 16 kHz and unit power; silent files are left out.

    `held_out`: those that are kept for judging, instead of those that training may hear.
    """
    noises = []
    for path in sorted(folder.rglob("*.ogg")):
        if bool(HELD_OUT_NOISES.fullmatch(path.name)) != held_out:
            continue
        samples, rate = sf.read(path, dtype="float32")
        samples = soxr.resample(samples, rate, SAMPLE_RATE).astype(np.float32)
        power = float(np.sqrt((samples**2).mean()))
        if power > 1e-3:
            noises.append(samples / power)
    return noises


def shape_spectrum(samples: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A random smooth equaliser of some +-6 dB: microphones and rooms colour, phones stay."""
    spectrum = np.fft.rfft(samples)
    octaves = np.log2(np.maximum(np.arange(len(spectrum)) / len(spectrum) * 8000, 50) / 50)
    curve = np.interp(octaves, np.linspace(0, 7.4, 8), rng.normal(0, 4.0, 8))
    return np.fft.irfft(spectrum * 10 ** (curve / 20), len(samples)).astype(np.float32)


def reverberate(samples: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A random room: the sound itself, and behind it noise that falls by 60 dB within 0.1 to 0.6 s."""
    n = int(SAMPLE_RATE * 0.4)
    seconds = np.arange(n) / SAMPLE_RATE
    decay = 10 ** (-3 * seconds / rng.uniform(0.1, 0.6))
    tail = rng.standard_normal(n) * decay * (seconds > 0.002)
    direct_to_reverberant = rng.uniform(0, 15)
    tail *= 10 ** (-direct_to_reverberant / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    size = 1 << (len(samples) + n - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)[: len(samples)]
    return wet.astype(np.float32)


def companded(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Through the 8 bits of a telephone: mu-law of ITU-T G.711, mu = 255, on the whole range of the samples."""
    loudest = float(np.abs(samples).max()) + 1e-9
    small = np.sign(samples) * np.log1p(255 * np.abs(samples) / loudest) / np.log(256)
    coarse = np.round(small * 127) / 127
    return (np.sign(coarse) * (256 ** np.abs(coarse) - 1) / 255 * loudest).astype(np.float32)


class EncoderSampler:
    """Random augmented crops with their frame labels, for an encoder of `latency` samples."""

    def __init__(self, utterances: list[Utterance], noises: list[NDArray[np.float32]], latency: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.latency = latency
        self.noises = noises
        groups: dict[str, list[Utterance]] = {}
        for utterance in utterances:
            if utterance.split == "train":
                name = utterance.speaker.split("-")[0] if "espeak" in utterance.speaker else utterance.speaker
                groups.setdefault(name if name in SPEAKER_WEIGHTS else "others", []).append(utterance)
        self.names = sorted(groups)
        self.groups = groups
        weights = np.array([SPEAKER_WEIGHTS[name] for name in self.names])
        self.weights = weights / weights.sum()
        self.lengths = {
            name: (lambda n: n / n.sum())(np.array([len(u.samples) for u in group], float))
            for name, group in groups.items()
        }

    def crop(self, n_frames: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Distorted and clean samples (160 * n_frames,), and each output frame's label or IGNORE."""
        rng = self.rng
        group = self.names[rng.choice(len(self.names), p=self.weights)]
        utterance = self.groups[group][rng.choice(len(self.groups[group]), p=self.lengths[group])]
        # one factor moves pitch, formants and rate together: another body, another speed
        stretch = float(np.exp(rng.uniform(-0.24, 0.24))) if rng.random() < 0.8 else 1.0
        wanted = n_frames * HOP_LENGTH
        needed = int(wanted / stretch) + 64
        start = int(rng.integers(-needed // 4, max(1, len(utterance.samples) - 3 * needed // 4)))
        piece = np.zeros(needed, np.float32)
        low, high = max(0, start), min(len(utterance.samples), start + needed)
        piece[low - start : high - start] = utterance.samples[low:high] / 32768.0
        if stretch != 1.0:
            piece = soxr.resample(piece, SAMPLE_RATE, SAMPLE_RATE * stretch, "MQ").astype(np.float32)
        piece = np.pad(piece, (0, max(0, wanted - len(piece))))[:wanted]
        # output m belongs to sample 160 (m + 1) - latency of the crop
        centres = start + (HOP_LENGTH * (np.arange(n_frames) + 1) - self.latency) / stretch
        index = np.floor((centres - 205) / HOP_LENGTH + 0.5).astype(int)
        labels = np.zeros(n_frames, np.int64)
        inside = (index >= 0) & (index < len(utterance.labels))
        labels[inside] = utterance.labels[index[inside]]
        # what comes before the crop was not heard
        labels[: WIN_LENGTH // HOP_LENGTH + 3] = IGNORE
        return self._distort(piece), piece, labels

    def _distort(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        rng = self.rng
        level = float(np.sqrt((samples**2).mean())) + 1e-5
        if rng.random() < 0.7:
            samples = shape_spectrum(samples, rng)
        if rng.random() < 0.25:
            samples = reverberate(samples, rng)
        samples = samples * (10 ** (rng.uniform(-42, -16) / 20) / level)
        if rng.random() < 0.8:
            power = float(np.sqrt((samples**2).mean())) + 1e-6
            decibels = rng.uniform(0, 20) if rng.random() < 0.6 else rng.uniform(20, 40)
            noise = self._noise(len(samples))
            if rng.random() < 0.4:
                noise = noise + rng.uniform(0.3, 1) * self._noise(len(samples))
            noise *= power / (float(np.sqrt((noise**2).mean())) + 1e-6)
            samples = samples + noise * 10 ** (-decibels / 20)
        if rng.random() < 0.05:
            loudest = float(np.abs(samples).max())
            samples = np.clip(samples, -0.4 * loudest, 0.4 * loudest)
        if rng.random() < 0.05:
            samples = companded(samples)
        return np.clip(samples, -1, 1).astype(np.float32)

    def _noise(self, n: int) -> NDArray[np.float32]:
        """Of about unit power: recorded, or coloured at random."""
        rng = self.rng
        if self.noises and rng.random() < 0.6:
            noise = self.noises[rng.integers(len(self.noises))]
            return np.roll(np.resize(noise, n), rng.integers(n))
        return shape_spectrum(rng.standard_normal(n).astype(np.float32), rng)

    def batch(self, size: int, n_frames: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Distorted and clean samples, (B, 160 * N) each, and labels (B, N)."""
        distorted, clean, labels = zip(*(self.crop(n_frames) for _ in range(size)), strict=True)
        return np.stack(distorted), np.stack(clean), np.stack(labels)
