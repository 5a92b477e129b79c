"""The trained modules as streaming graphs: 2-D activations, explicit states, in the form each engine runs fastest.

Measured on x86-64 and, by instruction counts, on aarch64: Linear layers on (N, C) instead of 1x1 convolutions; the
depthwise convolution as one product and one sum per frame for LiteRT, as a Conv2d over (1, C, T, 1) for ONNX Runtime,
where one file then serves any number of frames per call.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain.models.content_encoder import ContentEncoder, scaled
from vctrain.models.decoder import N_PITCH, Decoder
from vctrain.modules import slow
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


class FoldedBlock(nn.Module):
    """A CausalBlock with every factor and offset that can be folded into its Linear layers folded.

    Fewer operations per frame, and the same weights for every number of frames: left alone, LiteRT's converter folds
    them for one frame only and stores both versions.
    """

    def __init__(self, block: CausalBlock, conditioned: bool) -> None:
        super().__init__()
        self.convolutions: Any = nn.ModuleList(block.convolutions)
        self.channels = block.norm.normalized_shape[0]
        # a conditioned block's normalisation is folded into the voice instead, see `conditioning_table`
        self.expand = _copy(block.expand) if conditioned else fold_norm(block.norm, block.expand)
        self.project = nn.Linear(block.project.in_features, block.project.out_features)
        self.project.weight.data = (block.project.weight * block.gain[:, None]).detach().contiguous()
        self.project.bias.data = (block.project.bias * block.gain).detach().contiguous()
        gain = block.again_gain
        self.again_gain = None if gain is None else nn.Parameter(gain.detach().clone()[None])

    def mix(self, x: Tensor, y: Tensor, scale_shift: tuple[Tensor, Tensor] | None, again: bool) -> Tensor:
        """As CausalBlock.mix, but that y is normalised."""
        if scale_shift is not None:
            y = y * scale_shift[0] + scale_shift[1]
        hidden = F.gelu(self.expand(y))
        return x + self.project(hidden * self.again_gain if again and self.again_gain is not None else hidden)


def _copy(layer: nn.Linear) -> nn.Linear:
    twin = nn.Linear(layer.in_features, layer.out_features)
    twin.load_state_dict(layer.state_dict())
    return twin


def _side_by_side(layer: nn.Linear, other: nn.Linear) -> nn.Linear:
    """Both of their inputs in a row to the sum of their outputs."""
    joined = nn.Linear(layer.in_features + other.in_features, layer.out_features)
    joined.weight.data = torch.cat([layer.weight, other.weight], dim=1).detach().contiguous()
    joined.bias.data = layer.bias.detach().clone()
    return joined


def fold_norm(norm: nn.LayerNorm, layer: nn.Linear) -> nn.Linear:
    """A Linear layer that follows the bare normalisation as `layer` follows `norm`."""
    folded = nn.Linear(layer.in_features, layer.out_features)
    folded.weight.data = (layer.weight * norm.weight).detach().contiguous()
    folded.bias.data = (layer.bias + layer.weight @ norm.bias).detach().contiguous()
    return folded


class FoldedEncoder(nn.Module):
    """The encoder's weights as its graphs use them."""

    def __init__(self, encoder: ContentEncoder) -> None:
        super().__init__()
        self.config = encoder.config
        self.input = _copy(encoder.input) if encoder.slow is None else _side_by_side(encoder.input, encoder.slow)
        self.input_norm = encoder.input_norm
        self.blocks: Any = nn.ModuleList(FoldedBlock(block, False) for block in encoder.stack.blocks)
        self.content = fold_norm(encoder.content_norm, encoder.content)
        self.phones = _copy(encoder.phones)


class FoldedDecoder(nn.Module):
    """The decoder's weights as its graphs use them."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        if decoder.config.synthesis != "learnt-phase":
            raise ValueError(
                f"the runtime has no synthesis {decoder.config.synthesis!r}; it exists for comparison only"
            )
        self.config = decoder.config
        self.input = _copy(decoder.input)
        self.blocks: Any = nn.ModuleList(FoldedBlock(block, True) for block in decoder.stack.blocks)
        self.filters = fold_norm(decoder.norm, decoder.filters)


def conditioning_table(decoder: Decoder) -> Tensor:
    """The decoder graphs' `voice` input for every trained voice, (n_voices, V): a factor and a shift per channel."""
    with torch.no_grad():
        learnt = decoder.voice(torch.eye(decoder.config.n_voices)).split(decoder.config.channels, dim=1)
        parts = []
        for i, block in enumerate(decoder.stack.blocks):
            factor, shift = 1 + learnt[2 * i], learnt[2 * i + 1]
            parts += [block.norm.weight * factor, block.norm.bias * factor + shift]
        return torch.cat(parts, dim=1)


class StreamedStack(nn.Module):
    """Folded blocks for a number of frames per call, None: any; states in the order of `names`."""

    def __init__(self, blocks: Any, n_frames: int | None) -> None:
        super().__init__()
        self.n_frames = n_frames
        self.blocks: Any = blocks
        self.convolutions: Any = nn.ModuleList(
            nn.ModuleList(
                ConvDepthwise(source) if n_frames is None else SumDepthwise(source, n_frames)
                for source in block.convolutions
            )
            for block in blocks
        )
        self.names = [
            f"block{i}" if time == 0 else f"block{i}_again"
            for i, block in enumerate(blocks)
            for time in range(len(block.convolutions))
        ]

    def new_state(self) -> tuple[Tensor, ...]:
        """Zeros for every convolution."""
        return tuple(torch.zeros(c.context_frames, b.channels) for b in self.blocks for c in b.convolutions)

    def normalised(self, x: Tensor) -> Tensor:
        """(N, C) to zero mean and unit variance in each row, as LayerNorm without weights.

        ONNX Runtime has an operator for it; LiteRT's converter makes 13 operators of torch's, of this 7.
        """
        if self.n_frames is None:
            return F.layer_norm(x, (self.blocks[0].channels,))
        x = x - x.mean(-1, keepdim=True)
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-5)

    def forward(
        self, x: Tensor, states: tuple[Tensor, ...], conditioning: list[tuple[Tensor, Tensor]] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """As CausalStack."""
        before, after = iter(states), []
        for i, (block, convolutions) in enumerate(zip(self.blocks, self.convolutions, strict=True)):
            for time, convolution in enumerate(convolutions):
                y, state = convolution(x, next(before))
                x = block.mix(x, self.normalised(y), conditioning[i] if conditioning else None, again=time > 0)
                after.append(state)
        return x, after


class EncoderGraph(nn.Module):
    """log_mel (N, 80), states -> content (N, 48), phone log-posteriors (N, 40), states. n_frames None: any N."""

    input_names = ("log_mel",)
    output_names = ("content", "phones")

    def __init__(self, encoder: FoldedEncoder, n_frames: int | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.n_frames = n_frames
        self.stack = StreamedStack(encoder.blocks, n_frames)
        self.state_names = list(self.stack.names)
        if encoder.config.slow_decay:
            self.state_names.append("averages")

    def _features(self, mels: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        x, decay = slow.to_average(mels, self.encoder.config.slow_bands), self.encoder.config.slow_decay
        # as with the depthwise convolutions, a sum per frame where their number is fixed
        if self.n_frames is None:
            averages, state = slow.running(x, state, decay)
        else:
            frames = []
            for n in range(self.n_frames):
                state = state * decay + x[n : n + 1] * (1 - decay)
                frames.append(state)
            averages = state if self.n_frames == 1 else torch.cat(frames, dim=0)
        return slow.features(averages), state

    def forward(self, log_mel: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Everything 2-D."""
        encoder = self.encoder
        # not folded into the weights: int8 has one scale for mels and averages, so both must be of one size
        x, averages = scaled(log_mel), []
        if encoder.config.slow_decay:
            heard, after = self._features(x, states[-1])
            states = states[:-1]
            x, averages = torch.cat([x, heard], dim=1), [after]
        norm = encoder.input_norm
        x = self.stack.normalised(encoder.input(x)) * norm.weight + norm.bias
        x, new_states = self.stack(x, states)
        content = encoder.content(self.stack.normalised(x))
        return content, torch.log_softmax(encoder.phones(content), dim=-1), *new_states, *averages

    def example_inputs(self, n_frames: int) -> tuple[Tensor, ...]:
        """Zeros in the shape of every input."""
        config = self.encoder.config
        averages = [torch.zeros(1, 2 * config.slow_bands)] if config.slow_decay else []
        return torch.zeros(n_frames, config.n_mels), *self.stack.new_state(), *averages


class DecoderGraph(nn.Module):
    """content (N, 48), pitch (N, 4), voice (1, V), states -> filters (N, 771), states. n_frames None: any N."""

    input_names = ("content", "pitch", "voice")
    output_names = ("filters",)

    def __init__(self, decoder: FoldedDecoder, n_frames: int | None) -> None:
        super().__init__()
        self.decoder = decoder
        self.stack = StreamedStack(decoder.blocks, n_frames)
        self.state_names = self.stack.names

    def forward(self, content: Tensor, pitch: Tensor, voice: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Everything 2-D."""
        decoder = self.decoder
        channels = decoder.config.channels
        parts = [voice[:, i * channels : (i + 1) * channels] for i in range(2 * decoder.config.n_blocks)]
        conditioning = list(zip(parts[::2], parts[1::2], strict=True))
        x, new_states = self.stack(decoder.input(torch.cat([content, pitch], dim=-1)), states, conditioning)
        return decoder.filters(self.stack.normalised(x)), *new_states

    def example_inputs(self, n_frames: int) -> tuple[Tensor, ...]:
        """Zeros in the shape of every input."""
        config = self.decoder.config
        return (
            torch.zeros(n_frames, config.content_size),
            torch.zeros(n_frames, N_PITCH),
            torch.zeros(1, config.conditioning_size),
            *self.stack.new_state(),
        )


class Streamed(Protocol):
    """A graph with states."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """Without states."""
        ...

    @property
    def output_names(self) -> tuple[str, ...]:
        """Without states."""
        ...

    @property
    def state_names(self) -> list[str]:
        """In the order of the graph."""
        ...


def names(graph: Streamed) -> tuple[list[str], list[str]]:
    """Input and output names, states included."""
    inputs = [*graph.input_names, *(f"state_{name}_in" for name in graph.state_names)]
    outputs = [*graph.output_names, *(f"state_{name}_out" for name in graph.state_names)]
    return inputs, outputs


def macs_per_hop(graph: EncoderGraph | DecoderGraph) -> int:
    """Multiply-accumulates of one frame: Linear weights and depthwise taps; nothing else counts noticeably."""
    blocks = graph.stack.blocks
    linear = _linear_weights(graph) + sum(_linear_weights(b) * (len(b.convolutions) - 1) for b in blocks)
    return linear + sum(c.weight.numel() for b in blocks for c in b.convolutions)


def _linear_weights(module: nn.Module) -> int:
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear))


def n_parameters(graph: EncoderGraph | DecoderGraph) -> int:
    """Weights that the graph holds, whatever form its depthwise convolutions are written in."""
    written = {id(p) for p in graph.stack.convolutions.parameters()}
    return sum(p.numel() for p in graph.parameters() if id(p) not in written)
