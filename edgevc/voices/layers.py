"""The Linear layers of a decoder, as they lie in its file: read, and written over."""

from __future__ import annotations

from collections.abc import Sequence

from edgevc.voices import onnx_layers, tflite_layers
from edgevc.voices.linear import LinearLayer


def read_layers(engine: str, data: bytes, path: str) -> tuple[LinearLayer, ...]:
    """Return the Linear layers of a graph, in the order in which it computes them.

    Args:
        engine: "litert" or "onnx".
        data: the graph's file.
        path: names it in messages.

    Raises:
        ModelError: the file is damaged, or a layer is not in int8 with a scale for each output.
    """
    if engine == "litert":
        return tflite_layers.read(data, path)
    return onnx_layers.read(data, path)


def with_layers(engine: str, data: bytes, path: str, layers: Sequence[LinearLayer]) -> bytes:
    """Return the file with other weights in its layers, of the same sizes; see `read_layers`."""
    if engine == "litert":
        return tflite_layers.write(data, path, layers)
    return onnx_layers.write(data, path, layers)
