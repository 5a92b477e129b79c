"""Whatever converts speech: a bundle, a training run, a command line, a baseline, or nothing at all."""

from __future__ import annotations

import math
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile as sf
import soxr
import torch
from numpy.typing import NDArray

from edgevc import _core
from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter
from vctrain import baselines
from vctrain.data.corpora import SAMPLE_RATE
from vctrain.data.front_end import HOP_LENGTH
from vctrain.data.speakers import target_f0, weights
from vctrain.data.voices import track_pitch
from vctrain.export.trained import Trained
from vctrain.export.trained import load as load_trained
from vctrain.metrics import f0, f0_range
from vctrain.models.decoder import N_PITCH
from vctrain.teachers import decode_batch, encode


class ConversionError(RuntimeError):
    """A system did not deliver; the message says which, and what it said."""


class System(Protocol):
    """Converts (T,) samples at 16 kHz to (T,) that line up with them. Small, so that it travels between processes."""

    def convert(self, samples: NDArray[np.float32], voice: str) -> NDArray[np.float32]:
        """The samples as `voice` would say them."""
        ...


@dataclass(frozen=True)
class Natural:
    """Leaves everything as it is."""

    def convert(self, samples: NDArray[np.float32], voice: str) -> NDArray[np.float32]:
        """The samples."""
        return samples


@dataclass(frozen=True)
class Bundle:
    """A model bundle in an engine."""

    path: Path
    engine: str = "auto"

    def convert(self, samples: NDArray[np.float32], voice: str) -> NDArray[np.float32]:
        """Streamed, then lined up."""
        return _converter(self.path, self.engine).convert(samples, voice)


@cache
def _converter(path: Path, engine: str) -> VoiceConverter:
    return VoiceConverter(ModelBundle.open(path), engine=engine)


@dataclass(frozen=True)
class Run:
    """The networks of a training run, in float and without an engine or a gate."""

    path: Path

    def convert(self, samples: NDArray[np.float32], voice: str) -> NDArray[np.float32]:
        """In one piece, then lined up."""
        networks = _networks(self.path)
        latency = networks.encoder.config.latency
        tail = latency + -(len(samples) + latency) % HOP_LENGTH
        padded = np.concatenate([samples, np.zeros(tail, np.float32)])
        frames = track_pitch(padded, latency)
        pitch = np.empty((len(frames), N_PITCH), np.float32)
        f0 = np.empty(len(frames), np.float32)
        mean, _ = target_f0(voice, networks.f0_statistics)
        _core.PitchMapper(mean).process_into(frames, pitch, f0)
        with torch.no_grad():
            batch = {
                "content": encode(networks.encoder, torch.from_numpy(padded)[None])[0],
                "pitch": torch.from_numpy(pitch)[None],
                "f0": torch.from_numpy(f0)[None],
                "voice": torch.tensor([weights(voice)]),
                "gain": torch.ones(1, 1),
            }
            # the same noise for every run
            torch.manual_seed(1)
            return decode_batch(networks.decoder, batch)[0, latency : latency + len(samples)].numpy()


@cache
def _networks(path: Path) -> Trained:
    torch.set_num_threads(1)
    return load_trained(path)


@dataclass(frozen=True)
class Command:
    """A command line with {input} and {output} (WAV files, mono, 16 bit, 16 kHz in) and perhaps {voice}; no shell."""

    template: str
    timeout: float = 600.0

    def __post_init__(self) -> None:
        """Refuse a command that cannot work."""
        for placeholder in ("{input}", "{output}"):
            if placeholder not in self.template:
                raise ValueError(f"a command must contain {placeholder}, got {self.template!r}")

    def convert(self, samples: NDArray[np.float32], voice: str) -> NDArray[np.float32]:
        """Runs the command; its output is resampled to 16 kHz, mixed to mono, and cut or filled to the same length."""
        with tempfile.TemporaryDirectory() as folder:
            source, result = Path(folder) / "input.wav", Path(folder) / "output.wav"
            sf.write(source, np.clip(samples, -1, 1), SAMPLE_RATE, subtype="PCM_16")
            words = {"{input}": str(source), "{output}": str(result), "{voice}": voice}
            arguments = shlex.split(self.template)
            for placeholder, word in words.items():
                arguments = [argument.replace(placeholder, word) for argument in arguments]
            self._run(arguments)
            if not result.exists():
                raise ConversionError(f"the command wrote no {{output}}: {shlex.join(arguments)}")
            output, rate = sf.read(result, dtype="float32", always_2d=True)
        mono = output.mean(axis=1)
        if rate != SAMPLE_RATE:
            mono = soxr.resample(mono, rate, SAMPLE_RATE)
        return np.pad(mono, (0, max(0, len(samples) - len(mono))))[: len(samples)].astype(np.float32)

    def _run(self, arguments: list[str]) -> None:
        try:
            done = subprocess.run(arguments, capture_output=True, text=True, errors="replace", timeout=self.timeout)
        except FileNotFoundError as error:
            raise ConversionError(f"no such program: {arguments[0]}") from error
        except subprocess.TimeoutExpired as error:
            raise ConversionError(f"took more than {self.timeout:g} s: {shlex.join(arguments)}") from error
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-3:]
            raise ConversionError(
                f"exit status {done.returncode} from {shlex.join(arguments)}; it said: {' / '.join(said)}"
            )


@dataclass(frozen=True)
class McAdams:
    """The VoicePrivacy baseline: resonances bent, for every voice alike."""

    def convert(self, samples: NDArray[np.float32], voice: str) -> NDArray[np.float32]:
        """See vctrain.baselines."""
        return baselines.mcadams(samples)


@dataclass(frozen=True)
class PitchAndFormants:
    """A voice changer: this utterance's median pitch to the voice's, and the formants some of the way."""

    pitch: tuple[tuple[str, float], ...]
    """(voice, median F0 in semitones above 1 Hz)."""

    def convert(self, samples: NDArray[np.float32], voice: str) -> NDArray[np.float32]:
        """See vctrain.baselines."""
        own = f0_range(f0(samples))
        moved = dict(self.pitch)[voice] - own[1] if own else 0.0
        return baselines.pitch_and_formants(samples, max(-24.0, min(24.0, moved)) if math.isfinite(moved) else 0.0)


@dataclass(frozen=True)
class WorldCopy:
    """Parameters and a fixed source-filter: how good that can be, when nothing is converted."""

    def convert(self, samples: NDArray[np.float32], voice: str) -> NDArray[np.float32]:
        """See vctrain.baselines."""
        return baselines.world(samples)
