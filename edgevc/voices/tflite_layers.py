"""Linear layers in a .tflite file: where their weights, scales and biases lie. All signatures share them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgevc.engines.tflite_file import DamageError, FlatBuffer
from edgevc.errors import ModelError
from edgevc.voices.linear import LinearLayer, unsuited

_FULLY_CONNECTED = 9
_FLOAT32, _INT8 = 0, 9


@dataclass
class _Place:
    """Byte positions of a layer; the scales may be written down once for each signature."""

    outputs: int
    inputs: int
    weight: int
    bias: int
    scales: list[int]


def read(data: bytes, path: str) -> tuple[LinearLayer, ...]:
    """See `edgevc.voices.layers.read_layers`."""
    layers = []
    for place in _places(data, path):
        size, count = place.outputs * place.inputs, place.outputs
        weight = np.frombuffer(data, np.int8, size, place.weight).reshape(place.outputs, place.inputs)
        scale, bias = (np.frombuffer(data, "<f4", count, at) for at in (place.scales[0], place.bias))
        layers.append(LinearLayer(weight, scale, bias))
    return tuple(layers)


def write(data: bytes, path: str, layers: Sequence[LinearLayer]) -> bytes:
    """See `edgevc.voices.layers.with_layers`."""
    content = bytearray(data)
    for place, layer in zip(_places(data, path), layers, strict=True):
        parts = [(place.weight, layer.weight.tobytes()), (place.bias, layer.bias.astype("<f4").tobytes())]
        parts += [(at, layer.scale.astype("<f4").tobytes()) for at in place.scales]
        for at, raw in parts:
            content[at : at + len(raw)] = raw
    return bytes(content)


def _places(data: bytes, path: str) -> list[_Place]:
    try:
        found = _find(FlatBuffer(data), path)
    except DamageError as error:
        raise ModelError(f"{path} is not a whole .tflite file: {error}; download or export it again") from error
    if not found:
        raise unsuited(path, "it has no Linear layer")
    _require_own_bytes(found, path)
    return found


def _find(buffer: FlatBuffer, path: str) -> list[_Place]:
    model = buffer.follow(0)
    codes = [max(buffer.scalar(code, 0, "b"), buffer.scalar(code, 3, "i")) for code in buffer.tables(model, 1)]
    buffers = buffer.tables(model, 4)
    found: dict[int, _Place] = {}
    for subgraph in buffer.tables(model, 2):
        tensors = buffer.tables(subgraph, 0)
        for operator in buffer.tables(subgraph, 3):
            if codes[_index(buffer.scalar(operator, 0, "I"), codes)] != _FULLY_CONNECTED:
                continue
            inputs = buffer.integers(operator, 1)
            if len(inputs) != 3:
                raise unsuited(path, "a Linear layer has no bias")
            weight, bias = (tensors[_index(inputs[i], tensors)] for i in (1, 2))
            number = buffer.scalar(weight, 2, "I")
            place = _place(buffer, buffers, weight, bias, path)
            known = found.setdefault(number, place)
            known.scales = sorted({*known.scales, *place.scales})
    return list(found.values())


def _index(index: int, items: Sequence[int]) -> int:
    if not 0 <= index < len(items):
        raise DamageError(f"item {index} of {len(items)} is not there")
    return index


def _place(buffer: FlatBuffer, buffers: list[int], weight: int, bias: int, path: str) -> _Place:
    shape, kinds = buffer.integers(weight, 0), (buffer.scalar(weight, 1, "b"), buffer.scalar(bias, 1, "b"))
    parameters = buffer.field(weight, 4)
    scales, count = buffer.vector(buffer.follow(parameters), 2, 4) if parameters else (0, 0)
    if kinds != (_INT8, _FLOAT32) or len(shape) != 2 or count != shape[0]:
        raise unsuited(path, "a Linear layer is not in int8 with a scale for each output")
    outputs, inputs = shape
    starts = []
    for tensor, n_bytes in ((weight, outputs * inputs), (bias, 4 * outputs)):
        start, length = buffer.vector(buffers[_index(buffer.scalar(tensor, 2, "I"), buffers)], 0, 1)
        if length != n_bytes:
            raise unsuited(path, f"a Linear layer needs {n_bytes} bytes, its buffer has {length}")
        starts.append(start)
    return _Place(outputs, inputs, starts[0], starts[1], [scales])


def _require_own_bytes(places: list[_Place], path: str) -> None:
    """Refuse a file in which two layers share bytes: what is written for one would change the other."""
    starts = [start for place in places for start in (place.weight, place.bias, *place.scales)]
    if len(set(starts)) != len(starts):
        raise unsuited(path, "two of its layers share a scale or a bias")
