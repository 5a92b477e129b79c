"""Ranges of a graph's activations, found by playing speech through it hop by hop with its states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgevc.errors import ConfigError, ModelError
from edgevc.quantize.float_model import FloatModel
from edgevc.quantize.folding import shown
from edgevc.quantize.layers import FloatArray, quantize_rows, sqnr_db
from edgevc.quantize.runners import OnnxRunner
from edgevc.quantize.schemes.onnx import OnnxQuantizer, Range

if TYPE_CHECKING:
    from onnx import ModelProto

METHODS = ("min-max", "percentile", "entropy")
PERCENTILE = 99.99
MAX_ROWS = 500
"""Calls whose activations are kept for percentiles, histograms and figures: neighbours are alike."""


@dataclass(frozen=True)
class Activations:
    """What one graph's layers multiply their weights with."""

    ranges: dict[str, Range]
    """Tensor to its range, by the chosen method."""
    rows: dict[str, FloatArray]
    """Tensor to (n, width) samples of it."""


def observe(model: FloatModel, graph: str, quantizer: OnnxQuantizer, method: str) -> Activations:
    """Play the calibration speech through the float graph.

    Args:
        model: gives the calls.
        graph: its name.
        quantizer: of that graph.
        method: "min-max" takes the extremes, "percentile" leaves PERCENTILE % inside, "entropy" clips where the
            distribution in 128 steps is nearest to the original one (Kullback-Leibler).

    Raises:
        ConfigError: unknown method.
        ModelError: an activation is not finite.
    """
    if method not in METHODS:
        raise ConfigError(f"--method must be one of {', '.join(METHODS)}, got {method!r}")
    prepared = quantizer.prepared
    products = [layer.name for layer in quantizer.layers if quantizer.linear(layer.name) is not None]
    tensors = sorted({quantizer.activation(name) for name in products})
    inner = [name for name in tensors if name not in prepared.inputs]
    data = _with_outputs(prepared.model, inner)
    clips = list(model.calls(graph, "calibration"))
    seen = _Seen(tensors, max(1, sum(map(len, clips)) // MAX_ROWS))
    for calls in clips:
        runner = OnnxRunner(prepared, data, inner)
        for inputs in calls:
            seen.add(dict(zip((*prepared.inputs, *inner), (*inputs, *runner.run(inputs)), strict=True)))
    wrong = [name for name, (low, high) in seen.extremes.items() if not np.isfinite([low, high]).all()]
    if wrong:
        raise ModelError(
            f"{graph}: activations must be finite, {shown(wrong[0])} is not on this speech; repair the model"
        )
    rows = {name: np.concatenate(arrays) for name, arrays in seen.rows.items()}
    clip: Callable[[FloatArray, Range], Range] = {
        "min-max": lambda _, extreme: extreme,
        "percentile": _percentile_range,
        "entropy": _entropy_range,
    }[method]
    return Activations({name: clip(rows[name], seen.extremes[name]) for name in tensors}, rows)


def _with_outputs(model: ModelProto, names: Sequence[str]) -> bytes:
    """Return a graph file that also gives these tensors."""
    probe = type(model)()
    probe.CopyFrom(model)
    present = {value.name for value in probe.graph.output}
    for name in names:
        if name not in present:
            value = probe.graph.output.add()
            value.name = name
            value.type.tensor_type.elem_type = 1
    return bytes(probe.SerializeToString())


class _Seen:
    """The extremes of some tensors, and every so many calls their values."""

    def __init__(self, tensors: Sequence[str], step: int) -> None:
        self.extremes: dict[str, Range] = dict.fromkeys(tensors, (np.inf, -np.inf))
        self.rows: dict[str, list[FloatArray]] = {name: [] for name in tensors}
        self._step, self._count = step, 0

    def add(self, values: Mapping[str, FloatArray]) -> None:
        """Take one call's tensors."""
        for name, kept in self.rows.items():
            value, (low, high) = values[name], self.extremes[name]
            self.extremes[name] = (min(low, float(value.min())), max(high, float(value.max())))
            if self._count % self._step == 0:
                kept.append(value.reshape(-1, value.shape[-1]).astype(np.float32))
        self._count += 1


def _percentile_range(rows: FloatArray, extreme: Range) -> Range:
    outside = (100 - PERCENTILE) / 2
    low, high = np.percentile(rows, [outside, 100 - outside])
    return max(float(low), extreme[0]), min(float(high), extreme[1])


def _entropy_range(rows: FloatArray, extreme: Range, n_bins: int = 2048, n_levels: int = 128) -> Range:
    """Clip where the Kullback-Leibler divergence to the distribution rounded to `n_levels` steps is smallest.

    As in TensorRT's calibrator (S. Migacz, "8-bit inference with TensorRT", GTC 2017).
    """
    counts, edges = np.histogram(np.abs(rows), bins=n_bins)
    best, threshold = np.inf, float(edges[-1])
    for n in range(n_levels, n_bins + 1, 16):
        inside = counts[:n].astype(np.float64)
        clipped = inside.copy()
        clipped[-1] += counts[n:].sum()
        # every step spreads its count over its bins that are not empty
        step = np.minimum(np.arange(n) * n_levels // n, n_levels - 1)
        filled = inside > 0
        total = np.bincount(step, inside, n_levels)
        share = np.bincount(step, filled, n_levels)
        rounded = np.where(filled, (total / np.maximum(share, 1))[step], 0.0)
        p, q = clipped / max(clipped.sum(), 1), rounded / max(rounded.sum(), 1e-12)
        held = p > 0
        divergence = float(np.sum(p[held] * np.log(p[held] / np.maximum(q[held], 1e-9))))
        if divergence < best:
            best, threshold = divergence, float(edges[n])
    return max(extreme[0], -threshold), min(extreme[1], threshold)


def activation_sqnr_db(quantizer: OnnxQuantizer, layer: str, scheme: str, activations: Activations) -> float | None:
    """Return the signal over the error at a layer's output when only this layer is quantized, in dB.

    Computed from the observed activations as the engine rounds: once for all (static) or for each call (dynamic).
    None where the layer is no plain product.
    """
    parts = quantizer.linear(layer)
    tensor = quantizer.activation(layer)
    if parts is None or tensor not in activations.rows:
        return None
    weights, bias = parts
    rows = activations.rows[tensor]
    values, scales = quantize_rows(np.ascontiguousarray(weights.T))
    rounded = (values * scales[:, None]).T
    offset = 0.0 if bias is None else bias
    return sqnr_db(rows @ weights + offset, _rounded(rows, scheme, activations.ranges[tensor]) @ rounded + offset)


def _rounded(rows: FloatArray, scheme: str, extreme: Range) -> FloatArray:
    if scheme == "weight-only":
        return rows
    if scheme == "static":
        low, high = np.float32(min(extreme[0], 0.0)), np.float32(max(extreme[1], 0.0))
    else:
        low = np.minimum(rows.min(axis=1, keepdims=True), 0)
        high = np.maximum(rows.max(axis=1, keepdims=True), 0)
    scale = np.maximum(high - low, 1e-12) / 255
    zero = np.clip(np.rint(-low / scale), 0, 255)
    steps = np.clip(np.rint(rows / scale) + zero, 0, 255)
    return np.asarray((steps - zero) * scale, np.float32)
