"""The ear of `studio` as a streaming graph: one block of frames a call, everything before it in states.

States are zero at the start of a stream, as everywhere. Convolutions are written as Linear layers of frames beside each
other, which both engines compute in int8.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.errors import UserError
from vctrain.export.graphs import fold_norm
from vctrain.models.content_encoder import scaled
from vctrain.models.ear import PER_ROW, WhisperEar
from vctrain.models.whisper import LONGEST_ROWS, WhisperLayer

NEVER = 1e4
"""Taken from the attention to what came before the stream."""


class StreamedLayer(nn.Module):
    """A WhisperLayer for one block of rows; the state holds keys and values of the rows before it."""

    def __init__(self, layer: WhisperLayer, back: int) -> None:
        super().__init__()
        self.n_heads, self.back = layer.n_heads, back
        # the normalisations' factors and offsets are folded into what follows them
        self.joint = fold_norm(layer.attention_norm, layer.joint)
        self.out = layer.out
        self.expand = fold_norm(layer.norm, layer.expand)
        self.project = layer.project

    def forward(self, x: Tensor, before: Tensor, silent: Tensor) -> tuple[Tensor, Tensor]:
        """x: (N, size); before: (back, 2 size), keys beside values; silent: (1, back + N), added to the attention.

        Returns (N, size) and the new state.
        """
        size = x.shape[1]
        q, new = self.joint(F.layer_norm(x, (size,))).split((size, 2 * size), -1)
        both = torch.cat([before, new])
        # sizes are written out: what the exporter computes itself takes operators that no bundle may have
        per_head = self.n_heads, size // self.n_heads
        k, v = (part.reshape(-1, *per_head).transpose(0, 1) for part in both.split((size, size), -1))
        q = q.reshape(-1, *per_head).transpose(0, 1)
        weights = q @ k.transpose(1, 2) / math.sqrt(size / self.n_heads) + silent
        x = x + self.out((weights.softmax(-1) @ v).transpose(0, 1).reshape(-1, size))
        hidden = F.gelu(self.expand(F.layer_norm(x, (size,))))
        return x + self.project(hidden), both[-self.back :]


def as_linear(conv: nn.Conv1d) -> nn.Linear:
    """The Linear layer of `kernel_size` frames beside each other, (N, kernel_size * in) to (N, out)."""
    linear = nn.Linear(conv.kernel_size[0] * conv.in_channels, conv.out_channels, bias=conv.bias is not None)
    with torch.no_grad():
        linear.weight.copy_(conv.weight.transpose(1, 2).flatten(1))
        if conv.bias is not None:
            linear.bias.copy_(conv.bias)
    return linear


LATENCY = 480
"""Samples between the last sample of frame q and the sound that content q belongs to: what the pitch tracker needs, one
hop more than the ear itself. The block comes on top."""


class StudioGraph(nn.Module):
    """log_mel (F, 80), states -> content (F, 48), phone log-posteriors (F, 40), states; F frames are one block.

    Content q of a call belongs to the sound LATENCY samples before the last sample of frame q.
    """

    input_names = ("log_mel",)
    output_names = ("content", "phones")

    def __init__(self, ear: WhisperEar) -> None:
        super().__init__()
        config, encoder = ear.config, ear.encoder
        layers: Any = encoder.layers
        if ear.adapt is None or not config.block or not config.endless or config.neighbours:
            raise UserError("only an ear that follows a stream can be exported; tools/tune_ear.py trains one")
        self.config = config
        self.n_frames = PER_ROW * config.block
        self.adapt, self.conv1, self.conv2 = ear.adapt, as_linear(encoder.conv1), as_linear(encoder.conv2)
        self.layers = nn.ModuleList(StreamedLayer(layer, config.back) for layer in layers)
        self.head, self.phones = ear.head, ear.phones
        half = config.size // 2
        radians = 10_000.0 ** (-torch.arange(half) / (half - 1))
        self.turning = nn.Buffer((radians * LONGEST_ROWS / (2 * torch.pi)).round() * (2 * torch.pi / LONGEST_ROWS))
        layers = [f"layer{i}" for i in range(len(self.layers))]
        self.state_names = ["mels", "conv", "place", "filled", "content", *layers]

    def new_state(self) -> tuple[Tensor, ...]:
        """Two frames of mels, one of the first convolution, position, what of the past was heard, content, layers."""
        config = self.config
        past = [torch.zeros(config.back, 2 * config.size) for _ in self.layers]
        widths = ((2, self.adapt.out_features), (1, config.size), (1, 1), (1, config.back), (1, config.content_size))
        return *(torch.zeros(width) for width in widths), *past

    def forward(self, log_mel: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Everything 2-D."""
        old_mels, old_conv, place, filled, old_content, *past = states
        mels = torch.cat([old_mels, self.adapt(scaled(log_mel))])
        n = self.n_frames
        conv = torch.cat([old_conv, F.gelu(self.conv1(torch.cat([mels[i : n + i] for i in range(3)], 1)))])
        # frames 2 j, 2 j + 1 and 2 j + 2 of the first convolution for row j, without strided slices
        pairs, later = (conv[i : n + i].reshape(self.config.block, -1) for i in range(2))
        x = F.gelu(self.conv2(torch.cat([pairs, later[:, self.config.size :]], 1)))
        angles = (place + torch.arange(self.config.block)[:, None]) * self.turning
        x = x + torch.cat([angles.sin(), angles.cos()], 1)
        heard = torch.ones(1, self.config.block)
        filled = torch.cat([filled, heard], 1)
        silent = (filled - 1) * NEVER
        rows, after = [], []
        for i, (layer, before) in enumerate(zip(self.layers, past, strict=True)):
            x, state = layer(x, before, silent)
            after.append(state)
            if i in self.config.heard:
                rows.append(x)
        content = torch.cat([old_content, self.head(torch.cat(rows, 1)[None])[0]])
        content, last = content[:n], content[n:]
        place = place + self.config.block
        place = place - LONGEST_ROWS * (place >= LONGEST_ROWS).to(place.dtype)
        phones = torch.log_softmax(self.phones(content), -1)
        return content, phones, mels[n:], conv[n:], place, filled[:, -self.config.back :], last, *after

    def example_inputs(self, n_frames: int | None = None) -> tuple[Tensor, ...]:
        """Zeros in the shape of every input."""
        return torch.zeros(self.n_frames, self.adapt.in_features), *self.new_state()


def macs_per_hop(graph: StudioGraph) -> int:
    """Multiply-accumulates of one frame, a block's over its frames: Linear layers and attention."""
    config = graph.config
    linear = sum(m.weight.numel() for m in (*graph.layers.modules(), *graph.head.modules()) if isinstance(m, nn.Linear))
    attention = 2 * (config.back + config.block) * config.size * len(graph.layers)
    of_a_row = linear + attention + graph.conv2.weight.numel()
    return of_a_row // PER_ROW + sum(m.weight.numel() for m in (graph.adapt, graph.conv1, graph.phones))
