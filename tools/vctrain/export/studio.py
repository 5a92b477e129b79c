"""The ear of `studio` as a streaming graph: one block of frames a call, everything before it in states.

States are zero at the start of a stream, as everywhere.
"""

from __future__ import annotations

import math

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
        k, v = (part.unflatten(-1, (self.n_heads, -1)).transpose(0, 1) for part in both.chunk(2, -1))
        q = q.unflatten(-1, (self.n_heads, -1)).transpose(0, 1)
        weights = q @ k.transpose(1, 2) / math.sqrt(size / self.n_heads) + silent
        x = x + self.out((weights.softmax(-1) @ v).transpose(0, 1).flatten(1))
        hidden = F.gelu(self.expand(F.layer_norm(x, (size,))))
        return x + self.project(hidden), both[-self.back :]


class StudioGraph(nn.Module):
    """log_mel (F, 80), states -> content (F, 48), phone log-posteriors (F, 40), states; F frames are one block.

    Content q of a call belongs to frame q - 1 of the call: two hops, 320 samples, before the last sample of frame q.
    """

    input_names = ("log_mel",)
    output_names = ("content", "phones")

    def __init__(self, ear: WhisperEar) -> None:
        super().__init__()
        config, encoder = ear.config, ear.encoder
        if ear.adapt is None or not config.block or not config.endless or config.neighbours:
            raise UserError("only an ear that follows a stream can be exported; tools/tune_ear.py trains one")
        self.config = config
        self.n_frames = PER_ROW * config.block
        self.adapt, self.conv1, self.conv2 = ear.adapt, encoder.conv1, encoder.conv2
        self.layers = nn.ModuleList(StreamedLayer(layer, config.back) for layer in encoder.layers)
        self.head, self.phones = ear.head, ear.phones
        half = config.size // 2
        radians = 10_000.0 ** (-torch.arange(half) / (half - 1))
        self.turning = nn.Buffer((radians * LONGEST_ROWS / (2 * torch.pi)).round() * (2 * torch.pi / LONGEST_ROWS))
        self.state_names = ["mels", "conv", "place", "filled", *(f"layer{i}" for i in range(len(self.layers)))]

    def new_state(self) -> tuple[Tensor, ...]:
        """Two frames of mels, one of the first convolution, the row's position, what of the past was heard, layers."""
        config = self.config
        past = [torch.zeros(config.back, 2 * config.size) for _ in self.layers]
        mels = torch.zeros(2, self.adapt.out_features)
        return mels, torch.zeros(1, config.size), torch.zeros(1, 1), torch.zeros(1, config.back), *past

    def forward(self, log_mel: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Everything 2-D."""
        old_mels, old_conv, place, filled, *past = states
        mels = torch.cat([old_mels, self.adapt(scaled(log_mel))])
        x = F.gelu(F.conv1d(mels.t()[None], self.conv1.weight, self.conv1.bias))[0]
        conv = torch.cat([old_conv.t(), x], 1)
        x = F.gelu(F.conv1d(conv[None], self.conv2.weight, self.conv2.bias, stride=PER_ROW))[0].t()
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
        content = self.head(torch.cat(rows, 1)[None])[0]
        place = place + self.config.block
        place = place - LONGEST_ROWS * (place >= LONGEST_ROWS).to(place.dtype)
        phones = torch.log_softmax(self.phones(content), -1)
        return content, phones, mels[-2:], conv[:, -1:].t(), place, filled[:, -self.config.back :], *after

    def example_inputs(self, n_frames: int | None = None) -> tuple[Tensor, ...]:
        """Zeros in the shape of every input."""
        return torch.zeros(self.n_frames, self.adapt.in_features), *self.new_state()


def macs_per_second(graph: StudioGraph) -> float:
    """Multiply-accumulates of one second: Linear layers, convolutions and attention."""
    config, rows = graph.config, 50
    linear = sum(m.weight.numel() for m in graph.layers.modules() if isinstance(m, nn.Linear))
    attention = 2 * (config.back + config.block) * config.size * len(graph.layers)
    head = sum(p.numel() for p in graph.head.parameters())
    frames = graph.adapt.weight.numel() + graph.conv1.weight.numel() + graph.phones.weight.numel()
    return float(rows * (linear + attention + head + graph.conv2.weight.numel()) + 2 * rows * frames)
