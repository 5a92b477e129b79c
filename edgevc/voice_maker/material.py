"""Recordings as material for tuning: what the model hears in distorted copies of them, their pitch, and their sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgevc import _core
from edgevc.converter import VoiceConverter
from edgevc.dsp.resample import resample
from edgevc.errors import ConfigError
from edgevc.limits import HOP_LENGTH, SAMPLE_RATE

FloatArray = NDArray[np.float32]
REFERENCE_LEVEL = -26.0
"""dBFS RMS to which every recording is brought."""
CONTEXT_FRAMES = 48
"""Frames before the first one that counts in a loss."""
HEARD_SECONDS = 480.0
"""Of all distorted copies together; each recording has 2 to 8 copies."""
LEVEL_GAIN = (-16.0, 8.0)
"""dB by which the level that the decoder is told differs from the reference."""


def normalised(samples: FloatArray) -> FloatArray:
    """Return a recording at the reference level."""
    rms = float(np.sqrt(np.square(samples, dtype=np.float64).mean())) + 1e-9
    return (samples * (10 ** (REFERENCE_LEVEL / 20) / rms)).astype(np.float32)


def distorted(samples: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return the same speech by another microphone: equaliser, level, a little noise."""
    if rng.random() < 0.5:
        spectrum = np.fft.rfft(samples)
        octaves = np.log2(np.maximum(np.arange(len(spectrum)) / len(spectrum) * 8000, 50) / 50)
        curve = np.interp(octaves, np.linspace(0, 7.4, 8), rng.normal(0, 4.0, 8))
        samples = np.fft.irfft(spectrum * 10 ** (curve / 20), len(samples)).astype(np.float32)
    samples = samples * np.float32(10 ** (rng.uniform(-14, 8) / 20))
    if rng.random() < 0.3:
        noise = rng.standard_normal(len(samples)).astype(np.float32)
        samples = samples + noise * np.float32(10 ** rng.uniform(-4, -2.7))
    return samples.astype(np.float32)


class Ear:
    """What a converter hears in whole recordings."""

    def __init__(self, converter: VoiceConverter) -> None:
        """`converter`: of any number of hops per call."""
        self._converter = converter
        self.latency = converter.latency
        """Samples by which a frame's sound is older than the newest one it was computed from."""

    def padded(self, samples: FloatArray) -> FloatArray:
        """Return a recording with room for the last sounds to come out, in whole chunks."""
        chunk = self._converter.chunk_hops * HOP_LENGTH
        tail = -(-(len(samples) + self.latency) // chunk) * chunk - len(samples)
        return np.concatenate([samples, np.zeros(tail, np.float32)])

    def hear(self, samples: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return content (N, C), log-probabilities of phones (N, P) and pitch (N, 3) of a padded recording."""
        listener = self._converter.listener()
        step = listener.chunk_samples
        found = []
        for start in range(0, len(samples) // step * step, step):
            heard = listener.hear(samples[start : start + step])
            found.append((heard.content.copy(), heard.phones.copy(), heard.pitch.copy()))
        content, phones, pitch = (np.concatenate(column) for column in zip(*found, strict=True))
        return content, phones, pitch


@dataclass(frozen=True)
class Recording:
    """One recording, padded."""

    samples: FloatArray
    pitch: FloatArray
    """(N, 3): F0 in hertz, 0 where unvoiced; periodicity; level in dB."""
    content: tuple[FloatArray, ...]
    """(N, C) of each copy; row m belongs to the sound of pitch row m."""
    phones: FloatArray
    """Log-probabilities (N, P) that the model hears in the recording itself."""


class Material:
    """Recordings of one speaker, or of many."""

    def __init__(self, ear: Ear, recordings: Sequence[FloatArray], seed: int, *, plain: bool = False) -> None:
        """Hear all of them.

        Args:
            ear: of the model.
            recordings: at 16 kHz, each (T,).
            seed: of the distortions.
            plain: hear each once, as it is.

        Raises:
            ConfigError: nothing in them is voiced.
        """
        rng = np.random.default_rng(seed)
        seconds = sum(map(len, recordings)) / SAMPLE_RATE
        copies = 1 if plain else int(np.clip(round(HEARD_SECONDS / max(seconds, 1.0)), 2, 8))
        self.latency = ear.latency
        self.recordings = [_heard(ear, normalised(samples), copies, rng, plain) for samples in recordings]
        voiced = np.concatenate([one.pitch[one.pitch[:, 0] > 0, 0] for one in self.recordings])
        if not len(voiced):
            raise ConfigError("nothing in the recordings is voiced; record speech")
        octaves = np.log2(voiced)
        self.f0 = float(octaves.mean()), float(octaves.std())
        """Mean and standard deviation of log2(F0 / Hz)."""
        frames = np.array([len(one.pitch) for one in self.recordings], np.float64)
        self._shares = frames / frames.sum()

    def moved_to(self, log2_f0: float) -> Material:
        """Let each recording speak at another mean pitch; return self."""
        for one in self.recordings:
            voiced = one.pitch[:, 0] > 0
            if voiced.any():
                shift = 2 ** (log2_f0 - np.log2(one.pitch[voiced, 0]).mean())
                one.pitch[voiced, 0] = np.clip(one.pitch[voiced, 0] * shift, 60, 500)
        return self

    def batch(self, rng: np.random.Generator, size: int, n_frames: int) -> dict[str, Tensor]:
        """Return crops of CONTEXT_FRAMES + n_frames: content, pitch (B, W, 4), f0 (B, W), gain (B, 1), target (B, T).

        And `phones` (B, W, P): what the model hears in the target, each frame with the sound up to its end. The target
        is at the reference level; the pitch features carry `gain`, by which a converter would be louder.
        """
        width = CONTEXT_FRAMES + n_frames
        contents, rows, targets, phones = [], [], [], []
        behind = round(self.latency / HOP_LENGTH)
        for _ in range(size):
            one = self.recordings[rng.choice(len(self.recordings), p=self._shares)]
            # some crops begin before the recording: a stream's first words
            start = int(rng.integers(-CONTEXT_FRAMES, max(1, len(one.pitch) - width)))
            contents.append(_rows(one.content[rng.integers(len(one.content))], start, width))
            rows.append(_rows(one.pitch, start, width, (0.0, 0.0, -100.0)))
            frames = np.arange(start - behind, start - behind + width)
            phones.append(one.phones[np.clip(frames, 0, len(one.phones) - 1)])
            targets.append(_samples(one.samples, start * HOP_LENGTH - self.latency, width * HOP_LENGTH))
        pitch, gain = np.stack(rows), rng.uniform(*LEVEL_GAIN, (size, 1)).astype(np.float32)
        return {
            "content": torch.from_numpy(np.stack(contents)),
            "pitch": torch.from_numpy(pitch_features(pitch[..., 0], pitch[..., 1], pitch[..., 2] + gain)),
            "f0": torch.from_numpy(pitch[..., 0].copy()),
            "gain": torch.from_numpy(10 ** (gain / 20)),
            "target": torch.from_numpy(np.stack(targets)),
            "phones": torch.from_numpy(np.stack(phones)),
        }


def pitch_features(f0: FloatArray, periodicity: FloatArray, level: FloatArray) -> FloatArray:
    """Return the decoder's pitch inputs (..., 4), as `_core.PitchMapper` gives them for a pitch that is not mapped."""
    voiced = (f0 > 0).astype(np.float32)
    octaves = (np.log2(np.maximum(f0, 1.0)) - 7.5) * voiced
    features = np.stack([octaves, voiced, periodicity, np.clip((level + 40) / 20, -3, 2)], -1)
    return features.astype(np.float32)


def mapped(pitch: FloatArray, log2_f0: float) -> tuple[Tensor, Tensor]:
    """Return pitch inputs (1, N, 4) and f0 (1, N) of another speaker's melody, moved as the converter moves it."""
    features, f0 = np.empty((len(pitch), 4), np.float32), np.empty(len(pitch), np.float32)
    _core.PitchMapper(log2_f0, 0.0).process_into(np.ascontiguousarray(pitch), features, f0)
    return torch.from_numpy(features)[None], torch.from_numpy(f0)[None]


def _heard(ear: Ear, samples: FloatArray, copies: int, rng: np.random.Generator, plain: bool) -> Recording:
    samples = ear.padded(samples)
    content, phones, pitch = ear.hear(samples)
    versions = [content] if plain else []
    centres = HOP_LENGTH * (np.arange(len(pitch)) + 1) - ear.latency
    while len(versions) < copies:
        # longer or shorter by a quarter, and so is the throat: another body says the same
        stretch = float(np.exp(rng.uniform(-0.22, 0.22))) if rng.random() < 0.7 else 1.0
        rate = round(SAMPLE_RATE * stretch)
        other = samples if rate == SAMPLE_RATE else resample(samples, SAMPLE_RATE, rate)
        theirs, _, _ = ear.hear(ear.padded(distorted(other, rng)))
        frames = np.round((centres * (rate / SAMPLE_RATE) + ear.latency) / HOP_LENGTH - 1).astype(np.int64)
        versions.append(theirs[np.clip(frames, 0, len(theirs) - 1)])
    return Recording(samples, pitch, tuple(versions), phones)


def _rows(values: FloatArray, start: int, length: int, outside: tuple[float, ...] = (0.0,)) -> FloatArray:
    out = np.tile(np.asarray(outside, np.float32), (length, values.shape[1] // len(outside)))
    low, high = max(0, start), min(len(values), start + length)
    if high > low:
        out[low - start : high - start] = values[low:high]
    return out


def _samples(samples: FloatArray, start: int, length: int) -> FloatArray:
    return _rows(samples[:, None], start, length)[:, 0]
