"""Speech with WORLD's F0, and signals whose F0 is known by construction, to teach the pitch tracker."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from edgevc import _core
from vctrain.data.corpora import SAMPLE_RATE, listed
from vctrain.data.distortions import reverberate, shape_spectrum, unit_power
from vctrain.data.front_end import HOP_LENGTH
from vctrain.data.speakers import LIBRISPEECH, TRANSCRIBED, VOICES

UNKNOWN = -1.0
"""F0 of a frame that must not count."""
F0_RANGE = (60.0, 500.0)
MAX_SECONDS = 8
PER_SPEAKER, PER_OTHER_SPEAKER = 120, 2
"""Recordings of a voice or a transcribed reader, and of each of the other LibriSpeech speakers."""
N_HELD_OUT = 20


@dataclass(frozen=True)
class Labelled:
    """One recording, cut to MAX_SECONDS; f0[k] in Hz is centred at sample 160 k, 0 where harvest says unvoiced."""

    samples: NDArray[np.float32]
    f0: NDArray[np.float32]


def benchmark_files(folder: Path) -> list[Path]:
    """The 20 recordings of one speaker that benchmarks/f0_accuracy.py --utterances 20 --seed 1 evaluates."""
    paths = sorted(folder.glob("*.flac"))
    return random.Random(1).sample(paths, min(20, len(paths)))


def held_out_speakers(data: Path) -> list[str]:
    """LibriSpeech speakers that the pitch tracker is never taught on, beside the unseen speakers of every training."""
    names = sorted(p.name for p in (data / "audio").iterdir() if p.name.startswith(LIBRISPEECH))
    names = [name for name in names if name not in TRANSCRIBED]
    random.Random(5).shuffle(names)
    return sorted(names[:N_HELD_OUT])


def training_files(data: Path) -> list[Path]:
    """Recordings to teach with: no test prompt, no unseen or held-out speaker, nothing of the benchmark."""
    held_out, many = set(held_out_speakers(data)), {*VOICES, *TRANSCRIBED}
    groups: dict[str, list[Path]] = {}
    for row in listed(data):
        speaker = row["speaker"]
        if (
            row["split"] == "train"
            and (speaker in VOICES or speaker.startswith(LIBRISPEECH))
            and speaker not in held_out
        ):
            groups.setdefault(speaker, []).append(data / row["path"])
    chosen = []
    for speaker, paths in sorted(groups.items()):
        benchmark = set(benchmark_files(data / "audio" / speaker)) if speaker in many else set()
        paths = sorted(set(paths) - benchmark)
        random.Random(3).shuffle(paths)
        chosen += paths[: PER_SPEAKER if speaker in many else PER_OTHER_SPEAKER]
    return chosen


def label(path: Path) -> Labelled:
    """Asks harvest, once: the answer stays beside the data as DATA/f0/<speaker>/<utterance>.npy."""
    samples = sf.read(path, dtype="float32")[0][: MAX_SECONDS * SAMPLE_RATE]
    samples = samples[: len(samples) // HOP_LENGTH * HOP_LENGTH]
    kept = path.parents[2] / "f0" / path.parent.name / (path.stem + ".npy")
    if kept.exists():
        return Labelled(samples, np.load(kept))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyworld

    f0 = pyworld.harvest(
        samples.astype(np.float64), SAMPLE_RATE, *F0_RANGE, frame_period=1000 * HOP_LENGTH / SAMPLE_RATE
    )[0].astype(np.float32)
    kept.parent.mkdir(parents=True, exist_ok=True)
    np.save(kept, f0)
    return Labelled(samples, f0)


def label_all(paths: list[Path], jobs: int) -> Iterator[Labelled]:
    """In order, several at once."""
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(label, paths, chunksize=4)


def midpoints(f0: NDArray[np.float32]) -> NDArray[np.float32]:
    """F0 halfway between frames k and k + 1, (N - 1,): UNKNOWN where they disagree about voicing or by a semitone."""
    first, second = f0[:-1], f0[1:]
    both = (first > 0) & (second > 0)
    mean = np.sqrt(np.maximum(first, 1) * np.maximum(second, 1))
    apart = np.abs(np.log2(np.maximum(first, 1) / np.maximum(second, 1))) > 1 / 12
    return np.where(both & ~apart, mean, np.where((first == 0) & (second == 0), 0, UNKNOWN)).astype(np.float32)


def features(speech: Labelled, latency: int) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """What the core's network hears, (N, 121), and the F0 that it should say, (N,), UNKNOWN outside the recording.

    After row m the frame centred at sample 160 (m + 1) - latency is classified; latency is a multiple of 80.
    """
    heard = _core.pitch_features(
        np.concatenate([speech.samples, np.zeros(-(-latency // HOP_LENGTH) * HOP_LENGTH, np.float32)])
    )
    f0 = speech.f0 if latency % HOP_LENGTH == 0 else midpoints(speech.f0)
    wanted = np.full(len(heard), UNKNOWN, np.float32)
    first = -(-latency // HOP_LENGTH) - 1
    n = min(len(f0), len(heard) - first)
    wanted[first : first + n] = f0[:n]
    return heard.astype(np.float16), wanted


def distort(speech: Labelled, noises: list[NDArray[np.float32]], rng: np.random.Generator) -> Labelled:
    """Another voice in another room; the labels stay those of the clean recording."""
    stretch = float(np.exp(rng.uniform(-0.3, 0.3)))
    samples = soxr.resample(speech.samples, SAMPLE_RATE, SAMPLE_RATE * stretch).astype(np.float32)
    samples = samples[: len(samples) // HOP_LENGTH * HOP_LENGTH]
    index = np.minimum(np.round(np.arange(len(samples) // HOP_LENGTH) / stretch).astype(int), len(speech.f0) - 1)
    f0 = speech.f0[index] / np.float32(stretch)
    f0[(f0 > 0) & ((f0 < F0_RANGE[0] * 0.95) | (f0 > F0_RANGE[1] * 1.05))] = UNKNOWN
    if rng.random() < 0.5:
        samples = shape_spectrum(samples, rng)
    if rng.random() < 0.15:
        samples = reverberate(samples, rng)
    samples = samples / (np.sqrt((samples**2).mean()) + 1e-6) * 10 ** (rng.uniform(-45, -15) / 20)
    if rng.random() < 0.6:
        noise = _noise(len(samples), noises, rng)
        samples = samples + noise * np.sqrt((samples**2).mean()) * 10 ** (-rng.uniform(5, 40) / 20)
    return Labelled(np.clip(samples, -1, 1).astype(np.float32), f0.astype(np.float32))


def _noise(n: int, noises: list[NDArray[np.float32]], rng: np.random.Generator) -> NDArray[np.float32]:
    """Unit power."""
    if noises and rng.random() < 0.5:
        noise = np.roll(np.resize(noises[rng.integers(len(noises))], n), rng.integers(n))
    else:
        noise = shape_spectrum(rng.standard_normal(n).astype(np.float32), rng)
    return unit_power(noise)


def noise_only(noises: list[NDArray[np.float32]], rng: np.random.Generator) -> Labelled:
    """Noise without a voice, at any level, that may become louder or softer at once."""
    samples = _noise(6 * SAMPLE_RATE, noises, rng)
    if rng.random() < 0.3:
        samples[rng.integers(0, len(samples) // 2) :] *= 10 ** rng.uniform(-1, 1)
    samples = np.clip(samples * 10 ** (rng.uniform(-70, -12) / 20), -1, 1).astype(np.float32)
    return Labelled(samples, np.zeros(len(samples) // HOP_LENGTH, np.float32))


def synthetic(rng: np.random.Generator) -> Labelled:
    """Held and gliding tones, pulse trains and vowels with pauses, some in noise."""
    n = 6 * SAMPLE_RATE
    seconds = np.arange(n) / SAMPLE_RATE
    low, high = np.log2(62), np.log2(498)
    kind = rng.choice(["held", "glide", "scattered", "sine"])
    f0 = np.full(n, 2 ** rng.uniform(low, high))
    if kind == "glide":
        f0 = 2 ** np.interp(seconds, np.linspace(0, 6, 5), rng.uniform(low, high, 5))
    cycles = np.cumsum(f0) / SAMPLE_RATE
    if kind == "sine":
        samples = np.sin(2 * np.pi * cycles)
    else:
        samples = np.zeros(n)
        formants = [rng.uniform(250, 900), rng.uniform(800, 2400), rng.uniform(2200, 3200)]
        flat = rng.random() < 0.3
        for k in range(1, int(7000 / f0.min()) + 1):
            hertz = k * f0
            weight = np.ones(n) if flat else hertz / 100 / (1 + (hertz / 100) ** 2)
            for centre in () if flat else formants:
                weight = weight / np.sqrt((1 - (hertz / centre) ** 2) ** 2 + (100 * hertz / centre**2) ** 2)
            phase = rng.uniform(0, 2 * np.pi) if kind == "scattered" else 0.0
            samples += np.where(hertz < 7000, weight, 0) * np.cos(2 * np.pi * k * cycles + phase)
        samples /= np.abs(samples).max()
    sounding = np.ones(n)
    for _ in range(rng.integers(0, 4)):
        start = rng.integers(0, n - 3000)
        sounding[start : start + rng.integers(1600, 12000)] = 0
    samples = samples * sounding * 10 ** (rng.uniform(-40, -6) / 20)
    if rng.random() < 0.5:
        samples = samples + rng.standard_normal(n) * np.sqrt((samples**2).mean()) * 10 ** (-rng.uniform(10, 50) / 20)
    return Labelled(samples.astype(np.float32), np.where(sounding > 0, f0, 0)[::HOP_LENGTH].astype(np.float32))
