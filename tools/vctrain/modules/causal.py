"""Causal residual blocks whose past is an explicit state.

Shapes: B batch, N frames, C channels. A state holds the last `context_frames` inputs of a depthwise
convolution, (B, context_frames, C), zeros at the start of a stream.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CausalDepthwise(nn.Module):
    """Depthwise causal convolution over time with dilation.

    Written as a sum of shifted products: on a CPU the backward pass of Conv1d with one channel per group is slower by
    far, and at one frame per call both inference engines run a product and a sum faster than a convolution.
    """

    def __init__(self, channels: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.weight = nn.Parameter(torch.randn(kernel_size, channels) / kernel_size**0.5)
        self.bias = nn.Parameter(torch.zeros(channels))

    @property
    def context_frames(self) -> int:
        """Past frames that the next output needs."""
        return (self.kernel_size - 1) * self.dilation

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """x: (B, N, C), state: (B, context_frames, C). Returns the output (B, N, C) and the new state."""
        n = x.shape[1]
        padded = torch.cat([state, x], dim=1)
        y = self.bias + sum(
            padded[:, k * self.dilation : k * self.dilation + n] * self.weight[k] for k in range(self.kernel_size)
        )
        return y, padded[:, n:]


class CausalBlock(nn.Module):
    """ConvNeXt-like residual block: depthwise convolution, LayerNorm, two Linear layers with GELU between.

    Liu et al., A ConvNet for the 2020s, 2022; made causal. With `conditioned`, a scale and a shift per channel
    follow the normalisation (feature-wise linear modulation, Perez et al. 2018).

    A `repeated` block is gone through twice, the second time with a convolution and hidden gains of its own: more work
    with the same weights, as in Lan et al., ALBERT, 2020. The gains are zero at first.
    """

    def __init__(self, channels: int, kernel_size: int, dilation: int, expansion: int, repeated: bool = False) -> None:
        super().__init__()
        self.depthwise = CausalDepthwise(channels, kernel_size, dilation)
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, expansion * channels)
        self.project = nn.Linear(expansion * channels, channels)
        self.gain = nn.Parameter(torch.full((channels,), 0.1))
        self.again = CausalDepthwise(channels, kernel_size, dilation) if repeated else None
        self.again_gain = nn.Parameter(torch.zeros(expansion * channels)) if repeated else None

    @property
    def convolutions(self) -> list[CausalDepthwise]:
        """One for each time that the block is gone through; each has a state."""
        return [self.depthwise] if self.again is None else [self.depthwise, self.again]

    def mix(self, x: Tensor, y: Tensor, scale_shift: tuple[Tensor, Tensor] | None, again: bool) -> Tensor:
        """Everything after a depthwise convolution, whose input was x and whose output is y; again: the second."""
        y = self.norm(y)
        if scale_shift is not None:
            scale, shift = scale_shift
            y = y * (1 + scale) + shift
        hidden = F.gelu(self.expand(y))
        return x + self.gain * self.project(
            hidden * self.again_gain if again and self.again_gain is not None else hidden
        )

    def forward(
        self, x: Tensor, states: list[Tensor], scale_shift: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """x: (B, N, C); scale and shift, if given: (B, 1, C). Returns (B, N, C) and the new states."""
        new_states = []
        for i, (convolution, state) in enumerate(zip(self.convolutions, states, strict=True)):
            y, state = convolution(x, state)
            x = self.mix(x, y, scale_shift, again=i > 0)
            new_states.append(state)
        return x, new_states


class CausalStack(nn.Module):
    """Blocks in a row with alternating dilation 1 and 2, the last `n_repeated` of them gone through twice."""

    def __init__(self, channels: int, n_blocks: int, kernel_size: int, expansion: int, n_repeated: int = 0) -> None:
        super().__init__()
        self.blocks: Any = nn.ModuleList(
            CausalBlock(channels, kernel_size, 1 + i % 2, expansion, repeated=i >= n_blocks - n_repeated)
            for i in range(n_blocks)
        )

    def new_state(self, batch: int = 1) -> list[Tensor]:
        """The state at the start of a stream: zeros for every convolution."""
        return [
            torch.zeros(batch, convolution.context_frames, convolution.bias.shape[0], device=convolution.bias.device)
            for block in self.blocks
            for convolution in block.convolutions
        ]

    def forward(
        self, x: Tensor, state: list[Tensor], conditioning: list[tuple[Tensor, Tensor]] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """x: (B, N, C). Returns (B, N, C) and the new states."""
        before, after = iter(state), []
        for i, block in enumerate(self.blocks):
            states = [next(before) for _ in block.convolutions]
            x, states = block(x, states, conditioning[i] if conditioning else None)
            after += states
        return x, after
