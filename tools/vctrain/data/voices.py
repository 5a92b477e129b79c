"""Recordings of the voices to be spoken, with pitch and level as the converter measures them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
import torch
from numpy.typing import NDArray

from edgevc import _core
from vctrain import device
from vctrain.data.corpora import SAMPLE_RATE, listed
from vctrain.data.distortions import shape_spectrum
from vctrain.data.front_end import HOP_LENGTH
from vctrain.data.noise import Noises, draw_snr, mix_at_snr
from vctrain.data.speakers import BUNDLE_VOICES, LIBRISPEECH, VOICES, target_f0, weights
from vctrain.models.content_encoder import ContentEncoder
from vctrain.models.decoder import pitch_features
from vctrain.teachers import VoiceTeacher, encode, extra_lookahead

REFERENCE_LEVEL = -26.0
"""Recordings are brought to this RMS level, dBFS, before anything else."""
F0_RANGE = (60.0, 500.0)
"""Hertz, search range of the pitch tracker."""
LONGEST_LATENCY = 480
"""Samples, of the core's pitch trackers."""
CONTEXT_FRAMES = 48
"""Context frames before the first one that counts in a loss."""
NOISY_VOICES, NOISY_SOURCES = 0.5, 0.85
"""Shares of crops that are heard in noise, of the voices' own recordings and of other speakers'."""
N_PER_SOURCE = 40
"""Recordings of one speaker, at most, that a converter in training hears."""


@dataclass(frozen=True)
class VoiceRecording:
    """Samples delayed like the converter's output, and one row (f0, periodicity, level) per frame."""

    voice: int
    samples: NDArray[np.float32]
    pitch: NDArray[np.float32]


def normalise(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Brings the RMS level to REFERENCE_LEVEL."""
    rms = float(np.sqrt((samples.astype(np.float64) ** 2).mean())) + 1e-9
    return (samples * (10 ** (REFERENCE_LEVEL / 20) / rms)).astype(np.float32)


def track_pitch(samples: NDArray[np.float32], latency: int) -> NDArray[np.float32]:
    """(160 * N,) to (N, 3): row m is centred at sample 160 * (m + 1) - latency.

    Rows of a latency beyond the trackers' are the default one's, whole hops later.
    """
    hops = max(0, latency - LONGEST_LATENCY) // HOP_LENGTH
    rows = _core.PitchTracker(SAMPLE_RATE, HOP_LENGTH, *F0_RANGE, latency - hops * HOP_LENGTH).process(samples)
    return slice_rows(rows, -hops, len(rows))


def load_voices(data: Path, split: str, latency: int) -> list[VoiceRecording]:
    """All recordings of the trained voices in one split; pitch is tracked here, with an encoder's latency."""
    recordings = []
    for row in listed(data):
        if row["speaker"] in VOICES and row["split"] == split:
            samples = normalise(sf.read(data / row["path"], dtype="float32")[0])
            # room for the last sounds to come out, and whole hops
            tail = -(-(len(samples) + latency) // HOP_LENGTH) * HOP_LENGTH - len(samples)
            samples = np.concatenate([samples, np.zeros(tail, np.float32)])
            recordings.append(VoiceRecording(VOICES.index(row["speaker"]), samples, track_pitch(samples, latency)))
    return recordings


def f0_statistics(recordings: list[VoiceRecording]) -> dict[str, tuple[float, float]]:
    """Voice name to mean and standard deviation of log2(F0 / Hz) over voiced frames."""
    statistics = {}
    for index, name in enumerate(VOICES):
        f0 = np.concatenate([r.pitch[:, 0] for r in recordings if r.voice == index])
        octaves = np.log2(f0[f0 > 0])
        statistics[name] = (float(octaves.mean()), float(octaves.std()))
    return statistics


def degrade(piece: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Another microphone, level and a little noise."""
    if rng.random() < 0.5:
        piece = shape_spectrum(piece, rng)
    piece = piece * np.float32(10 ** (rng.uniform(-14, 8) / 20))
    if rng.random() < 0.3:
        piece = piece + rng.standard_normal(len(piece)).astype(np.float32) * np.float32(10 ** rng.uniform(-4, -2.7))
    return piece.astype(np.float32)


def add_noise(piece: NDArray[np.float32], noises: Noises, rng: np.random.Generator) -> NDArray[np.float32]:
    """The piece with noise added."""
    return mix_at_snr(piece, noises.draw(len(piece), rng), draw_snr(rng))


def slice_samples(samples: NDArray[np.float32], start: int, length: int) -> NDArray[np.float32]:
    """(length,), zero outside the recording."""
    out = np.zeros(length, np.float32)
    low, high = max(0, start), min(len(samples), start + length)
    if high > low:
        out[low - start : high - start] = samples[low:high]
    return out


def slice_rows(pitch: NDArray[np.float32], start: int, length: int) -> NDArray[np.float32]:
    """(length, 3), silence outside the recording."""
    out = np.zeros((length, 3), np.float32)
    out[:, 2] = -100.0
    low, high = max(0, start), min(len(pitch), start + length)
    if high > low:
        out[low - start : high - start] = pitch[low:high]
    return out


@dataclass(frozen=True)
class SourceRecording:
    """A recording of another speaker; pitch as the model tracks it, and as its teacher does."""

    samples: NDArray[np.float32]
    pitch: NDArray[np.float32]
    teachers_pitch: NDArray[np.float32]


class SourceSampler:
    """Random crops of many speakers to be converted, as in use: no recording of the target voice says the same.

    Content, pitch and level are those of a degraded recording, in noise where there are `noises`; the target phones are
    those of the clean one. With a teacher, the target sound is its conversion of the clean recording.
    """

    def __init__(
        self,
        data: Path,
        encoder: ContentEncoder,
        statistics: dict[str, tuple[float, float]],
        seed: int,
        teacher: VoiceTeacher | None = None,
        noises: Noises | None = None,
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.noises = noises
        self.latency = latency = encoder.config.latency
        self.teacher = teacher
        self.phone_encoder = encoder if teacher is None else teacher.encoder
        # the teacher's output comes later by this
        self.behind = 0 if teacher is None else extra_lookahead(teacher.encoder, latency)
        self.voices = [(weights(name), target_f0(name, statistics)[0]) for name in BUNDLE_VOICES]
        speakers: dict[str, list[SourceRecording]] = {}
        for row in listed(data):
            speaker = row["speaker"]
            if (
                row["split"] == "train"
                and speaker.startswith(LIBRISPEECH)
                and len(speakers.get(speaker, ())) < N_PER_SOURCE
            ):
                samples = normalise(sf.read(data / row["path"], dtype="float32")[0])
                samples = samples[: len(samples) // HOP_LENGTH * HOP_LENGTH]
                pitch = track_pitch(samples, latency)
                theirs = track_pitch(samples, latency + self.behind) if self.behind else pitch
                speakers.setdefault(speaker, []).append(SourceRecording(samples, pitch, theirs))
        self.speakers = [recordings for _, recordings in sorted(speakers.items())]
        self.means = [
            float(np.mean(np.log2(np.concatenate([r.pitch[r.pitch[:, 0] > 0, 0] for r in recordings]))))
            for recordings in self.speakers
        ]

    def batch(self, size: int, n_frames: int) -> dict[str, torch.Tensor]:
        """Heard, frames, pitch, f0, gain, voice as `VoiceSampler.batch`, and what should be heard.

        clean (B, 160 * W), and phones (B, W, 40): its phone logits. With a teacher also target (B, 160 * W):
        what it says, aligned with the model's output.
        """
        rng = self.rng
        width = CONTEXT_FRAMES + n_frames
        teachers_width = width - (-self.behind // HOP_LENGTH)
        clean, heard, pitch, teachers_pitch, voices = [], [], [], [], []
        for _ in range(size):
            speaker = int(rng.integers(len(self.speakers)))
            recording = self.speakers[speaker][rng.integers(len(self.speakers[speaker]))]
            start = int(rng.integers(-CONTEXT_FRAMES, max(1, len(recording.pitch) - width)))
            piece = slice_samples(recording.samples, start * HOP_LENGTH, teachers_width * HOP_LENGTH)
            source, rows = piece[: width * HOP_LENGTH], slice_rows(recording.pitch, start, width)
            if self.noises is not None and rng.random() < NOISY_SOURCES:
                source = add_noise(source, self.noises, rng)
                rows = track_pitch(source, self.latency)
            pitch.append(rows)
            teachers_pitch.append(slice_rows(recording.teachers_pitch, start, teachers_width))
            shares, log2_f0 = self.voices[rng.integers(len(self.voices))]
            shift = 2 ** (log2_f0 - self.means[speaker] + rng.normal(0, 0.04))
            for rows in (pitch[-1], teachers_pitch[-1]):
                f0 = rows[:, 0]
                f0[f0 > 0] = np.clip(f0[f0 > 0] * shift, *F0_RANGE)
            clean.append(piece)
            heard.append(degrade(source, rng))
            voices.append(shares)
        whole, where = torch.from_numpy(np.stack(clean)), device.of(self.phone_encoder)
        gain = torch.from_numpy(rng.uniform(-16, 8, (size, 1)).astype(np.float32))
        batch = {
            "heard": torch.from_numpy(np.stack(heard)),
            "frames": torch.arange(width).expand(size, width),
            "clean": whole[:, : width * HOP_LENGTH],
            "gain": 10 ** (gain / 20),
            "voice": torch.tensor(voices),
        }
        batch, whole = device.moved(batch, where), whole.to(where)
        with torch.no_grad():
            batch["phones"] = encode(self.phone_encoder, batch["clean"])[1]
        if self.teacher is not None:
            pitch_inputs = device.moved(pitch_batch(teachers_pitch, gain), whole.device)
            shown = self.teacher.convert(whole, batch | pitch_inputs)
            batch["target"] = shown[:, self.behind : self.behind + width * HOP_LENGTH]
        return batch | device.moved(pitch_batch(pitch, gain), where)


def pitch_batch(pitch: list[NDArray[np.float32]], gain: torch.Tensor) -> dict[str, torch.Tensor]:
    """The decoder's pitch inputs and f0 from rows (f0, periodicity, level) and gains in dB (B, 1)."""
    rows = torch.from_numpy(np.stack(pitch))
    return {"pitch": pitch_features(rows[..., 0], rows[..., 1], rows[..., 2] + gain), "f0": rows[..., 0]}


class VoiceSampler:
    """Random crops: content of a distorted recording, pitch of the same in noise or not, sound of the clean one."""

    def __init__(self, recordings: list[VoiceRecording], latency: int, seed: int, noises: Noises | None = None) -> None:
        self.rng = np.random.default_rng(seed)
        self.noises = noises
        self.latency = latency
        self.by_voice = [[r for r in recordings if r.voice == v] for v in range(len(VOICES))]

    def batch(self, size: int, n_frames: int) -> dict[str, torch.Tensor]:
        """Pitch (B, W, 4), f0 (B, W), target (B, 160 W), gain (B, 1), voice (B, n_voices), and what an encoder hears.

        W = CONTEXT_FRAMES + n_frames. The target is at the reference level; level features carry `gain`. Of the
        encoder's answers to heard (B, T), frames (B, W) are those that belong to the target's.
        """
        rng = self.rng
        width = CONTEXT_FRAMES + n_frames
        crops, pieces, frames, pitch = [], [], [], []
        for i in range(size):
            group = self.by_voice[i % len(VOICES)]
            recording = group[rng.integers(len(group))]
            # some crops begin before the recording: a stream's first words
            start = int(rng.integers(-CONTEXT_FRAMES, max(1, len(recording.pitch) - width)))
            crops.append((recording, start))
            piece, rows = slice_samples(recording.samples, start * HOP_LENGTH, (width + 4) * HOP_LENGTH), None
            if self.noises is not None and rng.random() < NOISY_VOICES:
                piece = add_noise(piece, self.noises, rng)
                rows = track_pitch(piece, self.latency)[:width]
            pitch.append(slice_rows(recording.pitch, start, width) if rows is None else rows)
            piece, frame = self._heard(piece, width)
            pieces.append(piece)
            frames.append(frame)
        longest = max(len(p) for p in pieces)
        gain = torch.from_numpy(rng.uniform(-16, 8, (size, 1)).astype(np.float32))
        starts = [s * HOP_LENGTH - self.latency for _, s in crops]
        target = [slice_samples(r.samples, s, width * HOP_LENGTH) for (r, _), s in zip(crops, starts, strict=True)]
        return pitch_batch(pitch, gain) | {
            # over again up to one length: silence would weigh in the running averages that an encoder begins with
            "heard": torch.from_numpy(np.stack([np.resize(p, longest) for p in pieces])),
            "frames": torch.from_numpy(np.stack(frames)),
            "target": torch.from_numpy(np.stack(target)),
            "gain": 10 ** (gain / 20),
            "voice": torch.eye(len(VOICES))[[r.voice for r, _ in crops]],
        }

    def _heard(self, piece: NDArray[np.float32], width: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Another body says the same: the distorted piece, and for each frame the output frame of the same sound."""
        rng = self.rng
        stretch = float(np.exp(rng.uniform(-0.22, 0.22))) if rng.random() < 0.6 else 1.0
        if stretch != 1.0:
            piece = soxr.resample(piece, SAMPLE_RATE, SAMPLE_RATE * stretch, "MQ").astype(np.float32)
        piece = degrade(piece, rng)
        centres = HOP_LENGTH * (np.arange(width) + 1) - self.latency
        frames = np.round((centres * stretch + self.latency) / HOP_LENGTH - 1).astype(np.int64)
        return piece.astype(np.float32), np.clip(frames, 0, len(piece) // HOP_LENGTH - 1)
