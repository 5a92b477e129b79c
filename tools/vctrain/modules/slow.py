"""What room and speaker have sounded like lately: features that reach further back than the convolutions."""

from __future__ import annotations

import torch
from torch import Tensor

SHARPNESS = 3.0
"""How much more a quiet frame counts in the floor than a loud one."""


def to_average(x: Tensor, n_bands: int) -> Tensor:
    """(..., M) to (..., 2 n_bands): what is averaged over time, M / n_bands mels together.

    Zero at the start of a stream stands for x = 0.
    """
    if n_bands != x.shape[-1]:
        x = x.reshape(*x.shape[:-1], n_bands, -1).mean(-1)
    return torch.cat([x, torch.exp(-SHARPNESS * x) - 1], dim=-1)


def running(x: Tensor, state: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """Exponential averages after every frame.

    x: (..., N, C), state: (..., 1, C). Returns (..., N, C) and the new state. One product with a triangular matrix, so
    that training and a graph of any number of frames need no loop.
    """
    frame = torch.arange(x.shape[-2], dtype=torch.float32, device=x.device)
    lag = frame[:, None] - frame
    weights = torch.where(lag >= 0, decay ** lag.clamp(min=0) * (1 - decay), 0.0)
    averages = weights @ x + decay ** (frame[:, None] + 1) * state
    return averages, averages[..., -1:, :]


def features(averages: Tensor) -> Tensor:
    """(..., C) to (..., C): the mean, and a floor below it that quiet frames draw down (a soft minimum)."""
    mean, quiet = averages.chunk(2, dim=-1)
    return torch.cat([mean, torch.log(quiet + 1) / -SHARPNESS], dim=-1)
