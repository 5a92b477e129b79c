"""A model's encoder and decoder in PyTorch, from its ONNX files: int8 weights as the numbers that they stand for.

Batches of many frames, (B, N, C), where the model's graphs take a few frames of one stream. Names are those that
edgevc's own export gives to what has been learnt; another graph is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (as everywhere)
from torch import Tensor

from edgevc.bundle import ModelBundle
from edgevc.errors import ModelError
from edgevc.voices.onnx_layers import constants

_SHARPNESS = 3.0
"""Of the floor below the running means, see tools/vctrain/modules/slow.py."""
_EPSILON = 1e-5
_MEL_SCALE, _MEL_OFFSET = 0.2, 1.0
Linear = tuple[Tensor, Tensor]
"""Weights (outputs, inputs) and bias."""
Weights = Mapping[str, Tensor]


def learnt(bundle: ModelBundle, graph: str) -> dict[str, Tensor]:
    """Return what a graph has learnt, float32 by name; a Linear layer's weights as (outputs, inputs).

    Raises:
        ModelError: the model has no ONNX file.
    """
    path = bundle.graphs[graph].files.get("onnx")
    if path is None:
        raise ModelError(f"making a voice reads the model's ONNX files, {bundle.name} has none; use another model")
    found = {name: torch.from_numpy(array.copy()) for name, array in constants(bundle.read(path), path).items()}
    weights: dict[str, Tensor] = {}
    for name, array in found.items():
        if name.endswith(".t.s8"):
            scale = found[name.removesuffix("s8") + "scale"]
            weights[name.removesuffix(".t.s8")] = (array.float() * scale).T.contiguous()
        elif array.dtype == torch.float32 and not name.endswith(".t.scale"):
            weights[name] = array
    return weights


class Network:
    """What encoder and decoder have in common: a stack of causal blocks."""

    def __init__(self, bundle: ModelBundle, graph: str) -> None:
        """Read the weights; nothing is checked before it is used."""
        self.weights = learnt(bundle, graph)
        self.graph, self.name = graph, bundle.name
        self.blocks = self._blocks()

    def _blocks(self) -> list[list[tuple[Tensor, Tensor, int]]]:
        """Return for each block its convolutions: taps (kernel, C), bias and dilation."""
        blocks: list[list[tuple[Tensor, Tensor, int]]] = []
        while f"stack.convolutions.{len(blocks)}.0.weight" in self.weights:
            number = len(blocks)
            convolutions: list[tuple[Tensor, Tensor, int]] = []
            while (at := f"stack.convolutions.{number}.{len(convolutions)}") + ".weight" in self.weights:
                taps = self._get(f"{at}.weight")[:, 0, :, 0].T.contiguous()
                convolutions.append((taps, self._get(f"{at}.bias"), 1 + number % 2))
            blocks.append(convolutions)
        if not blocks:
            raise self._unknown("stack.convolutions.0.0.weight")
        return blocks

    def _get(self, name: str) -> Tensor:
        if name not in self.weights:
            raise self._unknown(name)
        return self.weights[name]

    def _unknown(self, name: str) -> ModelError:
        return ModelError(
            f"making a voice knows edgevc's own networks; the {self.graph} of {self.name} has no {name!r}; use one of "
            "the built-in models"
        )

    def linear(self, name: str) -> Linear:
        """Return a layer's weights and bias."""
        return self._get(f"{self.graph}.{name}.weight"), self._get(f"{self.graph}.{name}.bias")

    def layer_names(self) -> list[str]:
        """Return the Linear layers of the stack in the order in which they are computed."""
        return [f"blocks.{i}.{part}" for i in range(len(self.blocks)) for part in ("expand", "project")]


def depthwise(x: Tensor, taps: Tensor, bias: Tensor, dilation: int) -> Tensor:
    """Causal convolution of each channel, (B, N, C), as from the start of a stream."""
    kernel, n = len(taps), x.shape[1]
    padded = F.pad(x, (0, 0, (kernel - 1) * dilation, 0))
    return bias + sum(padded[:, k * dilation : k * dilation + n] * taps[k] for k in range(kernel))


def normalised(x: Tensor) -> Tensor:
    """Zero mean and unit variance in each frame."""
    return F.layer_norm(x, x.shape[-1:], eps=_EPSILON)


class Decoder(Network):
    """Content, pitch and a row of conditioning to filters."""

    def __init__(self, bundle: ModelBundle) -> None:
        """Read the weights."""
        super().__init__(bundle, "decoder")
        self.names = ["input", *self.layer_names(), "filters"]
        self.layers: list[Linear] = [self.linear(name) for name in self.names]
        """In the order of the graph."""

    def __call__(self, content: Tensor, pitch: Tensor, row: Tensor, layers: Sequence[Any] | None = None) -> Tensor:
        """Return filters (B, N, F).

        Args:
            content: (B, N, C).
            pitch: (B, N, 4).
            row: (1, V).
            layers: functions in place of the Linear layers, in their order; None: the model's own.
        """
        apply = iter(layers or [_of(layer) for layer in self.layers])
        x = next(apply)(torch.cat([content, pitch], -1))
        parts = row.reshape(2 * len(self.blocks), -1)
        for number, ((taps, bias, dilation),) in enumerate(self.blocks):
            y = normalised(depthwise(x, taps, bias, dilation)) * parts[2 * number] + parts[2 * number + 1]
            hidden = F.gelu(next(apply)(y))
            x = x + next(apply)(hidden)
        filters: Tensor = next(apply)(normalised(x))
        return filters


def _of(layer: Linear) -> Any:
    return lambda x: F.linear(x, *layer)


class Encoder(Network):
    """Log-mels to content and log-probabilities of phones; differentiable, so that it can teach."""

    def __init__(self, bundle: ModelBundle) -> None:
        """Read the weights."""
        super().__init__(bundle, "encoder")
        self.layers = {name: self.linear(name) for name in ("input", "content", "phones", *self.layer_names())}

    def __call__(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return content (B, N, C) and log-probabilities (B, N, P) of log-mels (B, N, M).

        The convolutions begin as at the start of a stream, the running means as after much of the same sound.
        """
        x = log_mel * _MEL_SCALE + _MEL_OFFSET
        weight, bias = self.layers["input"]
        width = weight.shape[1] - x.shape[-1]
        if width:
            x = torch.cat([x, self._slow(x, width // 2)], -1)
        norm = [self._get(f"encoder.input_norm.{part}") for part in ("weight", "bias")]
        x = normalised(F.linear(x, weight, bias)) * norm[0] + norm[1]
        for number, convolutions in enumerate(self.blocks):
            for time, (taps, offset, dilation) in enumerate(convolutions):
                y = normalised(depthwise(x, taps, offset, dilation))
                hidden = F.gelu(F.linear(y, *self.layers[f"blocks.{number}.expand"]))
                if time:
                    hidden = hidden * self._get(f"encoder.blocks.{number}.again_gain")
                x = x + F.linear(hidden, *self.layers[f"blocks.{number}.project"])
        content = F.linear(normalised(x), *self.layers["content"])
        return content, F.linear(content, *self.layers["phones"]).log_softmax(-1)

    def _slow(self, mels: Tensor, n_bands: int) -> Tensor:
        """Return what room and speaker have sounded like, (B, 1, 2 n_bands): the mean over all frames, and a floor."""
        bands = mels.reshape(*mels.shape[:-1], n_bands, -1).mean(-1)
        mean = bands.mean(1, keepdim=True)
        quiet = (torch.exp(-_SHARPNESS * bands) - 1).mean(1, keepdim=True)
        return torch.cat([mean, torch.log(quiet + 1) / -_SHARPNESS], -1).expand(-1, mels.shape[1], -1)
