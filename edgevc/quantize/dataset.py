"""Dataset to calibrate on and speech to judge by, never the same recordings, both short enough for a few minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgevc.errors import ConfigError
from edgevc.quantize.calibration_speech import (
    SAMPLE_RATE,
    Clip,
    check_speech,
    default_clips,
    held_out_clips,
    load_folder,
    material_sha256,
)

MAX_CALIBRATION_S, MAX_HELD_OUT_S = 60.0, 20.0
"""More costs time and moves no figure; a note says what was left out."""
MAX_CLIP_S = 6.0
HELD_OUT_EVERY = 4
"""Of a folder's recordings, in the order of their names; of a single one the last quarter."""
_WHOLE = 320
"""Clips are cut to whole hops of 10 ms and of 8 ms times two: 20 ms."""


@dataclass(frozen=True)
class Material:
    """Where the calibration comes from, for the report."""

    sha256: str
    """Of the samples, or of the recorded calls, as played."""
    n_clips: int
    seconds: float


@dataclass(frozen=True)
class Dataset:
    """What is played through the float model, and what through both afterwards."""

    calibration: tuple[Clip, ...]
    held_out: tuple[Clip, ...]
    note: str
    """What was resampled or left out; empty where nothing was."""

    @property
    def material(self) -> Material:
        """What calibration plays."""
        return Material(material_sha256(self.calibration), len(self.calibration), _seconds(self.calibration))


def load_dataset(folder: Path | None) -> Dataset:
    """Read a folder of speech, or take what the package carries.

    Raises:
        ConfigError: there is no speech, or too little.
        AudioFileError: a file cannot be read, or was recorded below 16 kHz.
    """
    if folder is None:
        return _bounded(default_clips(), held_out_clips())
    notes: list[str] = []
    clips = load_folder(folder, notes.append)
    if len(clips) == 1:
        name, samples = clips[0]
        cut = len(samples) * (HELD_OUT_EVERY - 1) // HELD_OUT_EVERY
        calibration, held_out = [(name, samples[:cut])], [(name, samples[cut:])]
    else:
        judges = set(range(HELD_OUT_EVERY - 1, len(clips), HELD_OUT_EVERY)) or {len(clips) - 1}
        calibration = [clip for i, clip in enumerate(clips) if i not in judges]
        held_out = [clips[i] for i in sorted(judges)]
    speech = _bounded(calibration, held_out, notes)
    check_speech(speech.calibration, f"the recordings of --calib {folder} that are calibrated on")
    return speech


def _bounded(calibration: Sequence[Clip], held_out: Sequence[Clip], notes: Sequence[str] = ()) -> Dataset:
    first, second = _take(calibration, MAX_CALIBRATION_S), _take(held_out, MAX_HELD_OUT_S)
    if not first or not second:
        raise ConfigError(
            "quantizing needs recordings to calibrate on and others to judge by; give --calib more speech"
        )
    left = _seconds(calibration) + _seconds(held_out) - _seconds(first) - _seconds(second)
    unneeded = [f"{left:.0f} s of the recordings were not needed"] if left >= 1 else []
    return Dataset(first, second, "; ".join([*notes, *unneeded]))


def _take(clips: Sequence[Clip], seconds: float) -> tuple[Clip, ...]:
    """Cut clips, evenly spread over the whole list, to `seconds` together."""
    longest = int(MAX_CLIP_S * SAMPLE_RATE)
    cut = [(name, samples[: min(longest, len(samples)) // _WHOLE * _WHOLE]) for name, samples in clips]
    step = max(1, int(_seconds(cut) / seconds))
    taken: list[Clip] = []
    room = int(seconds * SAMPLE_RATE)
    for name, samples in cut[::step]:
        part = samples[: room // _WHOLE * _WHOLE]
        if len(part):
            taken.append((name, np.ascontiguousarray(part)))
            room -= len(part)
    return tuple(taken)


def _seconds(clips: Sequence[Clip]) -> float:
    return sum(len(samples) for _, samples in clips) / SAMPLE_RATE
