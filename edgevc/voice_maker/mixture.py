"""How much recordings sound like a speaker, without any network: Gaussian mixtures over cepstra.

A background of many speakers comes with the package (tools/make_voice_background.py); a speaker's mixture is the
background with its means moved to the recordings (Reynolds, Quatieri and Dunn, 2000). Nothing of it is ever tuned on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevc.dsp.features import LogMel

N_CEPSTRA = 19
RELEVANCE = 16.0
"""Frames that the background counts for."""
BACKGROUND = Path(__file__).with_name("background.npz")
_ACTIVE_DB = 30.0
"""Frames that are softer than the loudest by more than this are left out."""
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Mixture:
    """Gaussians with diagonal covariances."""

    weights: NDArray[np.float64]
    """(K,)."""
    means: NDArray[np.float64]
    """(K, D)."""
    variances: NDArray[np.float64]
    """(K, D)."""

    def _log_joint(self, frames: NDArray[np.float64]) -> NDArray[np.float64]:
        precision = 1 / self.variances
        constant = np.log(self.weights) - 0.5 * (np.log(2 * np.pi * self.variances) + self.means**2 * precision).sum(1)
        joint: NDArray[np.float64] = constant - 0.5 * (frames**2) @ precision.T + frames @ (self.means * precision).T
        return joint

    def shares(self, frames: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return to which Gaussian each frame belongs, (N, K)."""
        joint = self._log_joint(frames)
        likely = np.exp(joint - joint.max(1, keepdims=True))
        shares: NDArray[np.float64] = likely / likely.sum(1, keepdims=True)
        return shares

    def score(self, frames: NDArray[np.float64]) -> float:
        """Return the mean log-likelihood of a frame, in nats."""
        joint = self._log_joint(frames)
        top = joint.max(1)
        return float((top + np.log(np.exp(joint - top[:, None]).sum(1))).mean())

    def adapted(self, frames: NDArray[np.float64]) -> Mixture:
        """Return the mixture with its means moved to these frames."""
        shares = self.shares(frames)
        counts = shares.sum(0)[:, None]
        means = (shares.T @ frames + RELEVANCE * self.means) / (counts + RELEVANCE)
        return Mixture(self.weights, means, self.variances)

    @classmethod
    def fitted(cls, frames: NDArray[np.float64], size: int, seed: int, rounds: int = 25) -> Mixture:
        """Return a mixture that was fitted by expectation and maximization."""
        rng = np.random.default_rng(seed)
        spread = frames.var(0)
        mixture = cls(np.full(size, 1 / size), frames[rng.choice(len(frames), size, False)], np.tile(spread, (size, 1)))
        for _ in range(rounds):
            shares = mixture.shares(frames)
            counts = shares.sum(0)[:, None] + 1e-6
            means = shares.T @ frames / counts
            variances = np.maximum(shares.T @ frames**2 / counts - means**2, 1e-2 * spread)
            mixture = cls(counts[:, 0] / counts.sum(), means, variances)
        return mixture


def cepstra(samples: FloatArray) -> NDArray[np.float64]:
    """Return cepstra 1 to 19 of the loud frames of a recording at 16 kHz, (N, 19)."""
    mels = LogMel().process(samples).astype(np.float64)
    n_mels = mels.shape[1]
    level = 10 * np.log10(np.exp(mels).sum(1) + 1e-9)
    mels = mels[level > level.max() - _ACTIVE_DB] if len(level) else mels
    angles = np.pi / n_mels * (np.arange(n_mels) + 0.5)[:, None] * np.arange(1, N_CEPSTRA + 1)
    found: NDArray[np.float64] = mels @ np.cos(angles) * np.sqrt(2 / n_mels)
    return found


def background() -> Mixture:
    """Return the mixture of many speakers that comes with the package."""
    with np.load(BACKGROUND) as stored:
        return Mixture(*(stored[name].astype(np.float64) for name in ("weights", "means", "variances")))


class Likeness:
    """How much more a recording sounds like one speaker than like anybody."""

    def __init__(self, recordings: Sequence[FloatArray]) -> None:
        """`recordings`: of the speaker, at 16 kHz."""
        self._anybody = background()
        self._speaker = self._anybody.adapted(np.concatenate([cepstra(samples) for samples in recordings]))

    def of(self, samples: FloatArray) -> float:
        """Return the log-likelihood ratio in nats per frame; above 0: more like the speaker."""
        frames = cepstra(samples)
        return self._speaker.score(frames) - self._anybody.score(frames) if len(frames) else 0.0
