"""Dataset to calibrate and to judge with: a small set that comes with the package, or a folder of recordings.

The packaged set was made by this project with tools/make_calibration_speech.py: our own sentences spoken by the free
synthesisers flite and espeak-ng, some of them then converted by edgevc's default model into its voices, at several
levels, some with noise. No person was recorded for it. It is part of edgevc and under edgevc's licence, Apache-2.0.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevc.audio.folders import SUFFIXES, audio_files
from edgevc.audio.rates import scaled_rates
from edgevc.audio.reader import AudioReader
from edgevc.dsp.pitch import PitchTracker
from edgevc.dsp.resample import resample
from edgevc.errors import AudioFileError, ConfigError

SAMPLE_RATE = 16_000
"""Hertz, of all clips."""

MIN_SECONDS = 5.0
"""Less speech than this does not reach the values that a model meets later."""

MAX_SECONDS = 600.0
"""More than this is not read from a folder: calibration would take minutes and learn nothing new."""

MAX_CLIP_SECONDS = 30.0
"""What is taken of one file, so that a folder's ten minutes come from many."""

MIN_VOICED_SECONDS = 1.0
"""Of voiced sound in some ten seconds. In noise the tracker finds some by chance, so minutes must not add up."""

SILENCE_DB = -70.0
"""A frame below this level is silence."""

_WINDOW_SECONDS = 10
_HOP = 160

PACKAGED = Path(__file__).with_name("calibration_speech.npz")
_MU = 255.0

Clip = tuple[str, NDArray[np.float32]]
"""Name, and samples (T,) at 16 kHz, full scale 1."""


def default_clips() -> list[Clip]:
    """Return the packaged clips to calibrate with.

    Raises:
        ConfigError: the package lacks its file.
    """
    return _packaged(held_out=False)


def held_out_clips() -> list[Clip]:
    """Return the packaged clips to judge with: other sentences and other synthesisers than `default_clips`.

    Raises:
        ConfigError: the package lacks its file.
    """
    return _packaged(held_out=True)


def load_folder(path: Path, note: Callable[[str], None] | None = None) -> list[Clip]:
    """Read the WAV, FLAC and OGG files below a folder, as mono at 16 kHz, sorted by name.

    At most 30 s are taken of a file and ten minutes in all; of more files some are taken, always the same ones.
    Recordings above 16 kHz are resampled.

    Args:
        path: folder; files and folders whose name begins with a dot are left out.
        note: told once how many were resampled, and from which rates; not where none was.

    Raises:
        ConfigError: it is no folder, has no such file, is too short together, or holds no speech.
        AudioFileError: a file or a folder in it cannot be read, or a file was recorded below 16 kHz.
    """
    if not path.is_dir():
        what = "a file" if path.exists() else "nothing"
        raise ConfigError(f"--calib must be a folder of recordings, got {what}: {path}")
    files = audio_files(path, _unreadable)
    if not files:
        raise ConfigError(f"--calib needs {', '.join(SUFFIXES)} files, got none below {path}; put speech there")
    names = {file: file.relative_to(path).as_posix() for file in files}
    clips: list[Clip] = []
    seconds = 0.0
    rates: Counter[int] = Counter()
    # in the order of a hash, so that a part of a large folder is a mixture and not its first speaker
    for file in sorted(files, key=lambda file: hashlib.sha256(names[file].encode("utf-8", "surrogateescape")).digest()):
        if seconds >= MAX_SECONDS:
            break
        samples, rate = _read(file)
        rates[rate] += 1
        seconds += len(samples) / SAMPLE_RATE
        clips.append((names[file], samples))
    clips.sort(key=lambda clip: clip[0])
    others = sorted(set(rates) - {SAMPLE_RATE})
    if others and note is not None:
        count = sum(rates[rate] for rate in others)
        note(f"{count} of {len(clips)} recordings resampled from {', '.join(map(str, others))} Hz to {SAMPLE_RATE} Hz")
    check_speech(clips, f"--calib {path}")
    return clips


def check_speech(clips: Sequence[Clip], what: str) -> None:
    """Refuse material that no model can be calibrated with.

    Args:
        clips: what would be used.
        what: named in the message, such as "--calib recordings/".

    Raises:
        ConfigError: less than 5 s, silence, or nothing voiced, each with what was found.
    """
    seconds = sum(len(samples) for _, samples in clips) / SAMPLE_RATE
    if seconds < MIN_SECONDS:
        raise ConfigError(
            f"{what} must hold at least {MIN_SECONDS:g} s of speech, got {seconds:.1f} s; add recordings, a minute is "
            "good"
        )
    loudest, most_voiced = _listen(clips)
    if loudest <= SILENCE_DB:
        raise ConfigError(
            f"{what} holds no speech: the loudest of {seconds:.0f} s is {loudest:.0f} dB, silence; "
            "record louder, or name another folder"
        )
    if most_voiced < MIN_VOICED_SECONDS:
        raise ConfigError(
            f"{what} holds no speech: in no {_WINDOW_SECONDS} s of {seconds:.0f} s is {MIN_VOICED_SECONDS:g} s voiced, "
            f"at most {most_voiced:.1f} s; name a folder of speech"
        )


def _listen(clips: Sequence[Clip]) -> tuple[float, float]:
    """Return the loudest frame in dB, and the most voiced seconds in a window; stops where there is enough of both."""
    loudest, voiced, n_frames, most = -100.0, 0, 0, 0
    for _, samples in clips:
        tracker = PitchTracker(SAMPLE_RATE)
        for start in range(0, len(samples), SAMPLE_RATE):
            frames = tracker.process(samples[start : start + SAMPLE_RATE])
            if not len(frames):
                continue
            loudest = max(loudest, float(frames[:, 2].max()))
            voiced += int(np.count_nonzero((frames[:, 0] > 0) & (frames[:, 2] > SILENCE_DB)))
            n_frames += len(frames)
            most = max(most, voiced)
            if most * _HOP >= MIN_VOICED_SECONDS * SAMPLE_RATE:
                return loudest, most * _HOP / SAMPLE_RATE
            if n_frames * _HOP >= _WINDOW_SECONDS * SAMPLE_RATE:
                voiced, n_frames = 0, 0
    return loudest, most * _HOP / SAMPLE_RATE


def material_sha256(clips: Sequence[Clip]) -> str:
    """Return a hash of the samples, as they are played; it does not depend on names or the machine."""
    digest = hashlib.sha256()
    for _, samples in clips:
        digest.update(len(samples).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(samples, "<f4").tobytes())
    return digest.hexdigest()


def mu_law_codes(samples: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return one byte per sample, finer where it is quiet: 38 dB of signal over error at any level.

    Source: ITU-T G.711's law with mu = 255, here with 127 steps on each side of an exact zero.

    Args:
        samples: any shape, within [-1, 1].
    """
    law = np.sign(samples) * np.log1p(_MU * np.abs(samples)) / np.log1p(_MU)
    return np.asarray(np.round(127 * law), np.int8)


def mu_law_samples(codes: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return what `mu_law_codes` was given, within [-1, 1]."""
    steps = np.arange(-128, 128) / 127.0
    table = np.sign(steps) * np.expm1(np.abs(steps) * np.log1p(_MU)) / _MU
    return np.asarray(table.astype(np.float32)[codes.astype(np.int16) + 128])


def _packaged(*, held_out: bool) -> list[Clip]:
    try:
        with np.load(PACKAGED, allow_pickle=False) as stored:
            codes, starts, gains = stored["codes"], stored["starts"], stored["gains"]
            names, is_held_out = stored["names"], stored["held_out"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"the packaged calibration speech cannot be read from {PACKAGED}: {error}; install edgevc again, or give "
            "a folder of speech with --calib"
        ) from error
    return [
        (str(names[i]), mu_law_samples(codes[starts[i] : starts[i + 1]]) * np.float32(gains[i]))
        for i in range(len(names))
        if bool(is_held_out[i]) == held_out
    ]


def _unreadable(error: OSError) -> None:
    # a part of the recordings would calibrate another model, and nobody would know
    raise AudioFileError(f"the folder {error.filename} cannot be read: {error.strerror}; take it out of --calib")


def _read(file: Path) -> tuple[NDArray[np.float32], int]:
    """Return the beginning of a file at 16 kHz, and the rate that it was recorded with."""
    with AudioReader(file) as reader:
        rate = reader.sample_rate
        if rate < SAMPLE_RATE:
            # resampled, it would teach that nothing is ever heard in the upper bands
            raise AudioFileError(
                f"{file}: calibration recordings must have at least {SAMPLE_RATE} Hz, got {rate} Hz, which holds "
                f"nothing above {rate // 2} Hz; record it again at {SAMPLE_RATE} Hz or more, or take it out of --calib"
            )
        wanted = round(MAX_CLIP_SECONDS * rate)
        blocks: list[NDArray[np.float32]] = []
        n_read = 0
        for block in reader.blocks():
            blocks.append(block)
            n_read += len(block)
            if n_read >= wanted:
                break
    samples = np.concatenate(blocks)[:wanted] if blocks else np.zeros(0, np.float32)
    # beyond full scale a float file may hold anything; a converter would clip it, too
    samples = np.clip(samples, -1.0, 1.0)
    return samples if rate == SAMPLE_RATE else resample(samples, *scaled_rates(rate, str(file))), rate
