"""Linear layers in an ONNX file, as `edgevc quantize` writes them: integers multiplied, scaled, and a bias added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevc.engines.onnx_file import DamageError, fields, message, spans, text
from edgevc.engines.onnx_overflow import field_bytes
from edgevc.errors import ModelError
from edgevc.voices.linear import LinearLayer, unsuited

_RAW_DATA = 9
_FLOAT32, _INT8 = 1, 3
_TYPES = {_FLOAT32: "<f4", _INT8: "i1"}


@dataclass
class _Constant:
    kind: int = 0
    shape: list[int] = field(default_factory=list)
    raw: bytes = b""


@dataclass
class _Graph:
    """Operators by what they read, and constants by name."""

    products: list[tuple[str, str]] = field(default_factory=list)
    """Of every MatMulInteger: its weights, and what it writes."""
    readers: dict[str, list[tuple[str, list[str], str]]] = field(default_factory=dict)
    """Name to the operators that read it: type, inputs, first output."""
    constants: dict[str, _Constant] = field(default_factory=dict)


_Names = tuple[str, str, str]
"""Of a layer's weights, scale and bias."""


def read(data: bytes, path: str) -> tuple[LinearLayer, ...]:
    """See `edgevc.voices.layers.read_layers`."""
    graph = _parse(data, path)
    return tuple(_layer(graph, names, path) for names in _names(graph, path))


def write(data: bytes, path: str, layers: Sequence[LinearLayer]) -> bytes:
    """See `edgevc.voices.layers.with_layers`."""
    raw: dict[str, bytes] = {}
    for names, layer in zip(_names(_parse(data, path), path), layers, strict=True):
        weight, scale, bias = names
        raw[weight] = np.ascontiguousarray(layer.weight.T).tobytes()
        raw[scale], raw[bias] = layer.scale.astype("<f4").tobytes(), layer.bias.astype("<f4").tobytes()
    pieces = [
        field_bytes(7, _with_constants(message(value), raw)) if number == 7 else span
        for number, value, span in spans(data)
    ]
    return b"".join(pieces)


def constants(data: bytes, path: str) -> dict[str, NDArray[Any]]:
    """Return every constant of a graph that is float32 or int8, by its name; a way to see what a network has learnt.

    Raises:
        ModelError: the file is damaged.
    """
    found = _parse(data, path).constants
    return {name: _array(constant) for name, constant in found.items() if constant.kind in _TYPES and constant.raw}


def _array(constant: _Constant) -> NDArray[Any]:
    return np.frombuffer(constant.raw, _TYPES[constant.kind]).reshape(constant.shape)


def _parse(data: bytes, path: str) -> _Graph:
    graph = _Graph()
    try:
        for number, value in fields(memoryview(data)):
            if number == 7:
                for part, inner in fields(message(value)):
                    if part == 1:
                        _add_operator(graph, message(inner))
                    elif part == 5:
                        name, constant = _read_constant(message(inner))
                        graph.constants[name] = constant
    except DamageError as error:
        raise ModelError(f"{path} is not a whole ONNX file: {error}; download or export it again") from error
    return graph


def _add_operator(graph: _Graph, node: memoryview) -> None:
    kind, inputs, outputs = "", [], []
    for number, value in fields(node):
        if number == 1:
            inputs.append(text(value))
        elif number == 2:
            outputs.append(text(value))
        elif number == 4:
            kind = text(value)
    for name in inputs:
        graph.readers.setdefault(name, []).append((kind, inputs, outputs[0] if outputs else ""))
    if kind == "MatMulInteger" and len(inputs) > 1 and outputs:
        graph.products.append((inputs[1], outputs[0]))


def _read_constant(tensor: memoryview) -> tuple[str, _Constant]:
    name, found = "", _Constant()
    for number, value in fields(tensor):
        if number == 1 and isinstance(value, int):
            found.shape.append(value)
        elif number == 2 and isinstance(value, int):
            found.kind = value
        elif number == 8:
            name = text(value)
        elif number == _RAW_DATA:
            found.raw = bytes(message(value))
    return name, found


def _names(graph: _Graph, path: str) -> list[_Names]:
    found: dict[str, _Names] = {}
    for weight, product in graph.products:
        _, as_float = _follow(graph, product, "Cast", path)
        scaled = _follow(graph, as_float, "Mul", path)
        factor = next((name for name in scaled[0] if name != as_float), "")
        scale = _constant_of(graph, factor, path)
        added = _follow(graph, scaled[1], "Add", path)
        bias = next((name for name in added[0] if name in graph.constants), "")
        names = weight, scale, bias
        if any(name not in graph.constants for name in names) or found.get(weight, names) != names:
            raise unsuited(path, "a Linear layer is not in int8 with a scale for each output")
        found[weight] = names
    if not found:
        raise unsuited(path, "it has no Linear layer in int8")
    return list(found.values())


def _follow(graph: _Graph, name: str, kind: str, path: str) -> tuple[list[str], str]:
    """Return inputs and output of the one operator that reads `name`, which must be of this kind."""
    readers = graph.readers.get(name, [])
    if len(readers) != 1 or readers[0][0] != kind:
        raise unsuited(path, f"behind a Linear layer stands no {kind}")
    return readers[0][1], readers[0][2]


def _constant_of(graph: _Graph, factor: str, path: str) -> str:
    """Return the constant in the product that gives `factor`."""
    for name in graph.constants:
        for kind, _, output in graph.readers.get(name, ()):
            if kind == "Mul" and output == factor:
                return name
    raise unsuited(path, "a Linear layer has no scales")


def _layer(graph: _Graph, names: _Names, path: str) -> LinearLayer:
    weight, scale, bias = (graph.constants[name] for name in names)
    kinds = (weight.kind, scale.kind, bias.kind)
    fits = kinds == (_INT8, _FLOAT32, _FLOAT32) and len(weight.shape) == 2
    outputs = weight.shape[1] if fits else 0
    if not fits or len(weight.raw) != weight.shape[0] * outputs or {len(scale.raw), len(bias.raw)} != {4 * outputs}:
        raise unsuited(path, "a Linear layer is not in int8 with a scale for each output")
    arrays = (np.frombuffer(constant.raw, "<f4") for constant in (scale, bias))
    return LinearLayer(np.ascontiguousarray(_array(weight).T), *arrays)


def _with_constants(graph: memoryview, raw: Mapping[str, bytes]) -> bytes:
    pieces: list[bytes | memoryview] = []
    for number, value, span in spans(graph):
        pieces.append(span)
        if number == 5:
            tensor = message(value)
            name = next((text(inner) for part, inner in fields(tensor) if part == 8), "")
            if name in raw:
                new = field_bytes(_RAW_DATA, raw[name])
                parts = [new if part == _RAW_DATA else inner for part, _, inner in spans(tensor)]
                pieces[-1] = field_bytes(5, b"".join(parts))
    return b"".join(pieces)
