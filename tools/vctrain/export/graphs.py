"""The trained modules as streaming graphs: 2-D activations, explicit states, in the form each engine runs fastest.

Measured on x86-64 and, by instruction counts, on aarch64: Linear layers on (N, C) instead of 1x1 convolutions; the
depthwise convolution as one product and one sum per frame for LiteRT, as a Conv2d over (1, C, T, 1) for ONNX Runtime,
where one file then serves any number of frames per call.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from vctrain.models.content_encoder import ContentEncoder
from vctrain.models.decoder import Decoder
from vctrain.modules.causal import CausalBlock, CausalDepthwise

CHUNK_HOPS = (1, 2, 4)
"""Frames per call that every bundle offers."""


class SumDepthwise(nn.Module):
    """Depthwise convolution of a fixed number of frames as one product and one sum per frame (LiteRT)."""

    def __init__(self, source: CausalDepthwise, n_frames: int) -> None:
        super().__init__()
        self.n_frames = n_frames
        # a dilated kernel with its zeros written out: XNNPACK takes no strided slices
        taps = torch.zeros(source.context_frames + 1, source.weight.shape[1])
        taps[:: source.dilation] = source.weight.detach()
        self.weight = nn.Parameter(taps.contiguous())
        self.bias = nn.Parameter(source.bias.detach().clone()[None].contiguous())

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """x: (N, C), state: (context_frames, C)."""
        padded = torch.cat([state, x], dim=0)
        length = self.weight.shape[0]
        frames = [(padded[n : n + length] * self.weight).sum(0, keepdim=True) for n in range(self.n_frames)]
        y = frames[0] if self.n_frames == 1 else torch.cat(frames, dim=0)
        return y + self.bias, padded[self.n_frames :]


class ConvDepthwise(nn.Module):
    """Depthwise convolution of any number of frames as a Conv2d (ONNX Runtime)."""

    def __init__(self, source: CausalDepthwise) -> None:
        super().__init__()
        self.dilation = source.dilation
        self.context_frames = source.context_frames
        self.weight = nn.Parameter(source.weight.detach().t()[:, None, :, None].contiguous())
        self.bias = nn.Parameter(source.bias.detach().clone())

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """x: (N, C), state: (context_frames, C)."""
        padded = torch.cat([state, x], dim=0)
        y = F.conv2d(
            padded.t()[None, :, :, None],
            self.weight,
            self.bias,
            dilation=(self.dilation, 1),
            groups=self.weight.shape[0],
        )
        return y[0, :, :, 0].t(), padded[-self.context_frames :]


def _depthwise(block: CausalBlock, n_frames: int | None) -> nn.Module:
    return ConvDepthwise(block.depthwise) if n_frames is None else SumDepthwise(block.depthwise, n_frames)


class EncoderGraph(nn.Module):
    """log_mel (N, 80), states -> content (N, 48), phone log-posteriors (N, 40), states. n_frames None: any N."""

    input_names = ("log_mel",)
    output_names = ("content", "phones")

    def __init__(self, encoder: ContentEncoder, n_frames: int | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.depthwise = nn.ModuleList(_depthwise(block, n_frames) for block in encoder.stack.blocks)

    def forward(self, log_mel: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Everything 2-D."""
        encoder = self.encoder
        x = encoder.input_norm(encoder.input(log_mel * 0.2 + 1.0))
        new_states = []
        for block, depthwise, state in zip(encoder.stack.blocks, self.depthwise, states, strict=True):
            y, state = depthwise(x, state)
            x = block.mix(x, y, None)
            new_states.append(state)
        content = encoder.content(encoder.content_norm(x))
        return content, torch.log_softmax(encoder.phones(content), dim=-1), *new_states

    def example_inputs(self, n_frames: int) -> tuple[Tensor, ...]:
        """Zeros in the shape of every input."""
        config = self.encoder.config
        return torch.zeros(n_frames, config.n_mels), *(s[0] for s in self.encoder.new_state())


class DecoderGraph(nn.Module):
    """content (N, 48), pitch (N, 4), voice (1, V), states -> filters (N, 771), states. n_frames None: any N."""

    input_names = ("content", "pitch", "voice")
    output_names = ("filters",)

    def __init__(self, decoder: Decoder, n_frames: int | None) -> None:
        super().__init__()
        self.decoder = decoder
        self.depthwise = nn.ModuleList(_depthwise(block, n_frames) for block in decoder.stack.blocks)

    def forward(self, content: Tensor, pitch: Tensor, voice: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Everything 2-D."""
        decoder = self.decoder
        channels = decoder.config.channels
        x = decoder.input(torch.cat([content, pitch], dim=-1))
        new_states = []
        for i, (block, depthwise, state) in enumerate(
            zip(decoder.stack.blocks, self.depthwise, states, strict=True)
        ):
            y, state = depthwise(x, state)
            scale = voice[:, 2 * i * channels : (2 * i + 1) * channels]
            shift = voice[:, (2 * i + 1) * channels : (2 * i + 2) * channels]
            x = block.mix(x, y, (scale, shift))
            new_states.append(state)
        return decoder.filters(decoder.norm(x)), *new_states

    def example_inputs(self, n_frames: int) -> tuple[Tensor, ...]:
        """Zeros in the shape of every input."""
        config = self.decoder.config
        return (
            torch.zeros(n_frames, config.content_size),
            torch.zeros(n_frames, 4),
            torch.zeros(1, config.conditioning_size),
            *(s[0] for s in self.decoder.new_state()),
        )


def names(graph: EncoderGraph | DecoderGraph) -> tuple[list[str], list[str]]:
    """Input and output names, states included."""
    count = len(graph.depthwise)
    inputs = [*graph.input_names, *(f"state_block{i}_in" for i in range(count))]
    outputs = [*graph.output_names, *(f"state_block{i}_out" for i in range(count))]
    return inputs, outputs


def macs_per_hop(graph: EncoderGraph | DecoderGraph) -> int:
    """Multiply-accumulates of one frame: Linear weights, depthwise taps, nothing else counts noticeably."""
    linear = sum(m.weight.numel() for m in graph.modules() if isinstance(m, nn.Linear))
    if isinstance(graph, DecoderGraph):
        # runs once per voice, outside the graph
        linear -= graph.decoder.conditioning.weight.numel()
    taps = sum(m.weight.numel() for m in graph.depthwise)
    return linear + taps
