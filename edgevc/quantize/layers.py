"""What both engines' graphs have in common here: layers with weights, their place in the graph, their names."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevc.errors import ConfigError

FloatArray = NDArray[np.float32]

INPUT, OUTPUT = "first layer: sees the input itself", "head: nothing after it evens out its error"
"""Why a layer stays float by default."""


@dataclass(frozen=True)
class Layer:
    """One operator with constant weights."""

    graph: str
    name: str
    op: str
    weights: tuple[FloatArray, ...]
    """Each (channels, weights of a channel): every row gets a scale of its own."""
    n_bytes: int
    """Of weights and bias, float."""
    place: str = ""
    """INPUT, OUTPUT or nothing."""

    @property
    def path(self) -> str:
        """Graph and layer, as patterns and reports name it."""
        return f"{self.graph}/{self.name}"


@dataclass(frozen=True)
class Node:
    """One operator, for walking through a graph."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layer: str = ""
    """Name of the layer that it is; empty for all else."""


def places(nodes: Sequence[Node], inputs: Iterable[str], outputs: Iterable[str]) -> dict[str, str]:
    """Find a graph's first layers, which no other layer feeds, and its heads, whose output meets no other layer.

    Args:
        nodes: in an order in which they could run.
        inputs: of the graph, without states.
        outputs: of the graph, without states.

    Returns:
        Layer name to INPUT or OUTPUT, for the layers that are either.
    """
    found: dict[str, str] = {}
    heard, behind_a_layer = set(inputs), set[str]()
    for node in nodes:
        if node.layer and heard.intersection(node.inputs) and not behind_a_layer.intersection(node.inputs):
            found[node.layer] = INPUT
        if heard.intersection(node.inputs):
            heard.update(node.outputs)
        if node.layer or behind_a_layer.intersection(node.inputs):
            behind_a_layer.update(node.outputs)
    near = set(outputs)
    for node in reversed(nodes):
        if near.intersection(node.outputs):
            if node.layer:
                found[node.layer] = OUTPUT
            else:
                near.update(node.inputs)
    return found


def select(paths: Sequence[str], patterns: Sequence[str], option: str) -> set[str]:
    """Return the paths that match one of the patterns, such as `decoder/*expand*`.

    Raises:
        ConfigError: a pattern matches nothing.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        hits = [
            path for path in paths if fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(path, f"*/{pattern}")
        ]
        if not hits:
            raise ConfigError(f"{option} {pattern} names no layer; known: {', '.join(paths)[:1500]}")
        chosen.update(hits)
    return chosen


def quantize_rows(weights: FloatArray) -> tuple[NDArray[np.int8], FloatArray]:
    """Round each row symmetrically to 8 bits.

    Args:
        weights: (channels, n) float32, finite.

    Returns:
        int8 of the same shape within +-127, and (channels,) float32 scales: weights = int8 * scale[:, None] nearly.
    """
    peaks = np.abs(weights).max(axis=1, initial=0.0)
    scales = np.where(peaks > 0, peaks / 127, 1.0).astype(np.float32)
    return np.clip(np.rint(weights / scales[:, None]), -127, 127).astype(np.int8), scales


def sqnr_db(exact: NDArray[np.floating], found: NDArray[np.floating]) -> float:
    """Return the signal over the difference, in dB, at most 200: 0 where all is noise, 35 where 1.8 % is."""
    exact64 = np.asarray(exact, np.float64)
    noise = float(np.sum((np.asarray(found, np.float64) - exact64) ** 2))
    if not np.isfinite(noise):
        return -200.0
    signal = float(np.sum(exact64**2))
    return float(np.clip(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30)), -200.0, 200.0))


def weight_sqnr_db(layer: Layer) -> float:
    """Return the signal over rounding error of a layer's weights in int8."""
    exact, rounded = [], []
    for weights in layer.weights:
        values, scales = quantize_rows(weights)
        exact.append(weights.ravel())
        rounded.append((values * scales[:, None]).ravel())
    return sqnr_db(np.concatenate(exact), np.concatenate(rounded))


def outliers(layer: Layer) -> tuple[float, int]:
    """Return the largest channel maximum over the median one, and which channel it is (of the first weights).

    Output and input channels are looked at; the worse kind counts. A loud output channel takes the range of the
    activations behind it, a loud input channel that of every other weight in its rows.
    """
    found = []
    for axis in (1, 0):
        peaks = np.abs(layer.weights[0]).max(axis=axis)
        middle = float(np.median(peaks))
        worst = int(np.argmax(peaks))
        found.append((float(peaks[worst]) / middle if middle > 0 else float(np.inf), worst))
    return max(found)


def sizes(files: Mapping[str, bytes]) -> int:
    """Return the bytes of all graph files."""
    return sum(len(data) for data in files.values())
