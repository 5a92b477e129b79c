"""Speech to calibrate on and speech to judge by: the package's own, or a folder's, never the same recordings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevc.errors import AudioFileError, ConfigError
from edgevc.f0 import PitchTracker
from edgevc.wavfile import read_audio

SUFFIXES = (".wav", ".flac", ".ogg")
SAMPLE_RATE = 16_000
MAX_CALIBRATION_S, MAX_HELD_OUT_S = 60.0, 24.0
"""More costs time and moves no figure; a note says what was left out."""
MAX_CLIP_S = 10.0
MAX_FILES = 64
MIN_VOICED_S = 1.0
HELD_OUT_EVERY = 4
"""Of a folder's files, in the order of their names; of a single file the last quarter."""

Clip = tuple[str, NDArray[np.float32]]
"""Name and samples, (T,) at SAMPLE_RATE."""


@dataclass(frozen=True)
class Speech:
    """What is played through the float model, and what through both afterwards."""

    calibration: tuple[Clip, ...]
    held_out: tuple[Clip, ...]
    note: str
    """What was left out; empty where nothing was."""

    @property
    def sha256(self) -> str:
        """Of the calibration samples as played, float32 little-endian."""
        digest = hashlib.sha256()
        for _, samples in self.calibration:
            digest.update(samples.astype("<f4").tobytes())
        return digest.hexdigest()

    @property
    def seconds(self) -> float:
        """Of calibration."""
        return sum(len(samples) for _, samples in self.calibration) / SAMPLE_RATE


def load_speech(folder: Path | None) -> Speech:
    """Read a folder of speech, or take what the package carries.

    Raises:
        AudioFileError: a file cannot be read, has another rate, or there is no speech.
    """
    if folder is None:
        from edgevc.quantize import calibration_speech

        return _bounded(calibration_speech.default_clips(), calibration_speech.held_out_clips())
    if not folder.is_dir():
        raise AudioFileError(f"--calib is a folder of recordings, got {folder}; check the path")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not files:
        raise AudioFileError(f"{folder} holds no {', '.join(SUFFIXES)} file; check the path")
    # spread over the whole folder: a corpus has its speakers one after the other
    spread = files[:: -(-len(files) // MAX_FILES)]
    clips = [(str(path.relative_to(folder)), _read(path)) for path in spread]
    if len(clips) == 1:
        name, samples = clips[0]
        cut = len(samples) * (HELD_OUT_EVERY - 1) // HELD_OUT_EVERY
        calibration, held_out = [(name, samples[:cut])], [(name, samples[cut:])]
    else:
        held_out = clips[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY] or clips[-1:]
        calibration = [clip for clip in clips if all(clip is not other for other in held_out)]
    speech = _bounded(calibration, held_out)
    for what, part in (("to calibrate on", speech.calibration), ("held out", speech.held_out)):
        voiced = sum(_voiced_seconds(samples) for _, samples in part)
        if voiced < MIN_VOICED_S:
            raise AudioFileError(
                f"{folder} must hold speech, at least {MIN_VOICED_S:g} s of it voiced in the part {what}, "
                f"found {voiced:.1f} s; give recordings of people speaking"
            )
    return speech


def _read(path: Path) -> NDArray[np.float32]:
    samples, rate, _ = read_audio(path)
    if rate != SAMPLE_RATE:
        raise AudioFileError(
            f"{path} must have {SAMPLE_RATE} Hz, the model's rate, got {rate}; "
            f"resample it, e.g. sox {path.name} -r {SAMPLE_RATE} new.wav"
        )
    return samples


def _bounded(calibration: Sequence[Clip], held_out: Sequence[Clip]) -> Speech:
    if not calibration or not held_out:
        raise ConfigError("calibration needs recordings to calibrate on and others to judge by, got none of one kind")
    first, left = _take(calibration, MAX_CALIBRATION_S)
    second, right = _take(held_out, MAX_HELD_OUT_S)
    note = f"{left + right:.0f} s of the recordings were not needed" if left + right >= 1 else ""
    return Speech(first, second, note)


def _take(clips: Sequence[Clip], seconds: float) -> tuple[tuple[Clip, ...], float]:
    """Cut clips, evenly spread over the whole list, to `seconds` together; return them and the seconds left out."""
    whole = sum(len(samples) for _, samples in clips) / SAMPLE_RATE
    longest = int(MAX_CLIP_S * SAMPLE_RATE)
    # whole hops of every front end: 20 ms
    cut = [(name, np.ascontiguousarray(samples[:longest][: len(samples) // 320 * 320])) for name, samples in clips]
    step = max(1, int(sum(len(s) for _, s in cut) / SAMPLE_RATE / seconds))
    taken: list[Clip] = []
    room = int(seconds * SAMPLE_RATE)
    for name, samples in cut[::step]:
        part = samples[: room // 320 * 320]
        if len(part):
            taken.append((name, part))
            room -= len(part)
    return tuple(taken), whole - sum(len(s) for _, s in taken) / SAMPLE_RATE


def _voiced_seconds(samples: NDArray[np.float32]) -> float:
    frames = PitchTracker().process(samples)
    return float(np.count_nonzero(frames[:, 0] > 0)) / 100
