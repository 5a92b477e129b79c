"""Who speaks, as a vector: the published weights of Resemblyzer (Apache-2.0), run here.

Only the file of weights is used, not the package's code: `pip install --no-deps resemblyzer` brings it. Wan et al.,
Generalized End-to-End Loss for Speaker Verification, 2018.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (as everywhere)
from numpy.typing import NDArray
from torch import Tensor

from edgevc.errors import ConfigError
from edgevc.limits import HOP_LENGTH, SAMPLE_RATE

WINDOW = 400
N_MELS = 40
PARTIAL = 160
"""Frames that one vector is made of."""
LEVEL = 10 ** (-30 / 20)
"""RMS that it was taught at."""
_SIZES = {"lstm.weight_ih_l0": (1024, 40), "linear.weight": (256, 256)}


def weights_path() -> Path | None:
    """Return the file of weights of an installed Resemblyzer, which is not imported; None where there is none."""
    spec = importlib.util.find_spec("resemblyzer")
    path = None if spec is None or spec.origin is None else Path(spec.origin).with_name("pretrained.pt")
    return path if path is not None and path.is_file() else None


class SpeakerEncoder:
    """Sound to vectors of length 1; differentiable."""

    def __init__(self, path: Path) -> None:
        """Load the weights.

        Raises:
            ConfigError: the file holds others.
        """
        state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        if any(name not in state or tuple(state[name].shape) != size for name, size in _SIZES.items()):
            raise ConfigError(f"{path} does not hold Resemblyzer's weights; pip install --no-deps resemblyzer")
        self._lstm = torch.nn.LSTM(N_MELS, 256, 3, batch_first=True)
        self._lstm.load_state_dict({k[5:]: v for k, v in state.items() if k.startswith("lstm.")})
        self._lstm.requires_grad_(False)
        self._weight, self._bias = state["linear.weight"], state["linear.bias"]
        self._mel = torch.from_numpy(slaney_filters())
        self._window = torch.hann_window(WINDOW)

    def __call__(self, samples: Tensor) -> Tensor:
        """Return (B, 256) for sounds (B, T); T is best PARTIAL frames or a little less."""
        level = samples.square().mean(1, keepdim=True).sqrt() + 1e-5
        spectrum = torch.stft(
            samples * (LEVEL / level).detach(), WINDOW, HOP_LENGTH, window=self._window, return_complex=True
        )
        mels = (self._mel @ spectrum.abs().square()).transpose(1, 2)
        _, (hidden, _) = self._lstm(mels)
        return F.normalize(F.relu(F.linear(hidden[-1], self._weight, self._bias)), dim=1)

    def of(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the vector of a recording, (256,), the mean of its pieces; silence is left out."""
        with torch.no_grad():
            pieces = torch.from_numpy(_pieces(speech_only(samples)))
            return np.asarray(F.normalize(self(pieces).mean(0), dim=0).numpy(), np.float32)

    def centre(self, recordings: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the mean direction of recordings, (256,)."""
        total = np.mean([self.of(samples) for samples in recordings], 0)
        return np.asarray(total / np.linalg.norm(total), np.float32)


def _pieces(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    length, step = PARTIAL * HOP_LENGTH, PARTIAL * HOP_LENGTH // 2
    if len(samples) < length:
        return samples[None]
    return np.stack([samples[start : start + length] for start in range(0, len(samples) - length + 1, step)])


def speech_only(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a recording without the parts that lie 30 dB and more below its loud ones, in steps of 30 ms."""
    step = 3 * HOP_LENGTH
    n = len(samples) // step
    if n == 0:
        return samples
    blocks = samples[: n * step].reshape(n, step)
    power = np.convolve(np.square(blocks, dtype=np.float64).mean(1), np.ones(5) / 5, "same")
    keep = power > 1e-3 * np.percentile(power, 95)
    return blocks[keep].reshape(-1) if keep.any() else samples


def slaney_filters() -> NDArray[np.float32]:
    """Return librosa's mel filters for 400 points at 16 kHz, (40, 201): Slaney's scale and norm."""

    def hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))

    top = 15 + 27 * np.log(SAMPLE_RATE / 2000) / np.log(6.4)
    edges = hertz(np.linspace(0, top, N_MELS + 2))
    bins = np.linspace(0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return np.asarray(filters, np.float32)
