"""Looks at the structure of an ONNX file before ONNX Runtime does, from the wire format of protocol buffers.

ONNX Runtime follows paths that a model names (external data), runs loops without end and loads any operator it knows.
A streaming graph needs none of that, so only flat graphs of plain arithmetic are let through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from edgevc.bundle import MAX_ELEMENTS
from edgevc.errors import ModelError

_DOMAINS = ("", "ai.onnx", "com.microsoft")
# Arithmetic, shape arithmetic and quantization. No control flow, no strings, no random numbers, no files.
_OPERATORS = frozenset(
    re.findall(
        r"\w+",
        """
        Abs Add AveragePool BatchNormalization BiasGelu BiasSplitGelu Cast CastLike Ceil Clip Concat Constant
        ConstantOfShape Conv ConvInteger Cos CumSum DequantizeLinear Div DynamicQuantizeLinear DynamicQuantizeMatMul
        Elu Equal Erf Exp Expand FastGelu Flatten Floor FusedConv FusedGemm FusedMatMul GRU Gather GatherElements
        GatherND Gelu Gemm Greater GreaterOrEqual HardSigmoid HardSwish Identity LSTM LayerNormalization LeakyRelu
        Less LessOrEqual Log LogSoftmax MatMul MatMulInteger MatMulIntegerToFloat MatMulNBits Max Mean Min Mish Mul
        Neg Not PRelu Pad Pow QGemm QLinearAdd QLinearConv QLinearMatMul QLinearMul QuantizeLinear QuickGelu
        RMSNormalization Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare Relu
        Reshape Round ScatterElements ScatterND Selu Shape Sigmoid Sign SimplifiedLayerNormalization Sin
        SkipLayerNormalization Slice Softmax Softplus Split Sqrt Squeeze Sub Sum Tanh Tile Transpose Unsqueeze Where
        """,
    )
)
# The inputs that decide the shape of an operator's output. They must follow from the file's constants and from the
# shapes of the inputs, which are fixed at load: then every shape is known there, and no state or sound can change one.
SHAPE_INPUTS = {
    "ConstantOfShape": (0,), "Expand": (1,), "Pad": (1, 3), "Range": (0, 1, 2), "ReduceL2": (1,), "ReduceMax": (1,),
    "ReduceMean": (1,), "ReduceMin": (1,), "ReduceSum": (1,), "ReduceSumSquare": (1,), "Reshape": (1,),
    "Slice": (1, 2, 3, 4), "Split": (1,), "Squeeze": (1,), "Tile": (1,), "Unsqueeze": (1,),
}  # fmt: skip
MAX_NODES = 8_000
MAX_DIMENSIONS = 8


class DamageError(Exception):
    """The bytes are no protocol buffer of the expected kind."""


class _Node(NamedTuple):
    """One operator and the names of what it reads and writes."""

    operator: str
    inputs: list[str]
    outputs: list[str]


def check_onnx(data: bytes, path: str) -> list[str]:
    """Check the file and return the names of the free dimensions of its inputs.

    Args:
        data: the file.
        path: names the file in messages.

    Raises:
        ModelError: the file is damaged, or holds what a streaming graph does not need.
    """
    try:
        model = memoryview(data)
        graphs = [value for field, value in fields(model) if field == 7]
        if any(field in (20, 25) for field, _ in fields(model)):
            raise ModelError(f"{path} must hold one graph only, got functions or training steps; export it again")
        if len(graphs) != 1:
            raise ModelError(f"{path} must hold one graph, got {len(graphs)}; download or export it again")
        return _check_graph(message(graphs[0]), path)
    except DamageError as error:
        raise ModelError(f"{path} is not a whole ONNX file: {error}; download or export it again") from error


def _check_graph(graph: memoryview, path: str) -> list[str]:
    free: dict[str, None] = {}
    nodes: list[_Node] = []
    known = {""}
    for field, value in fields(graph):
        if field == 1:
            if len(nodes) == MAX_NODES:
                raise ModelError(f"{path} may have {MAX_NODES} operators; export a smaller model")
            nodes.append(check_node(message(value), path))
        elif field == 5:
            known.add(_check_tensor(message(value), path))
        elif field == 11:
            free.update(dict.fromkeys(_free_dimensions(message(value))))
        elif field == 15:
            raise ModelError(f"{path} must not hold sparse tensors; export the model again")
    _check_shapes(nodes, known, path)
    return list(free)


def _check_shapes(nodes: list[_Node], known: set[str], path: str) -> None:
    """Refuse shapes that are computed from inputs or states; `known` are the names of the constants."""
    for node in nodes:
        for at in SHAPE_INPUTS.get(node.operator, ()):
            if at < len(node.inputs) and node.inputs[at] not in known:
                raise ModelError(
                    f"{path}: the shape that {node.operator} gives must follow from the file, it is computed from "
                    f"{node.inputs[at][:80]!r} while the graph runs; export it with fixed shapes"
                )
        if node.operator == "Shape" or known.issuperset(node.inputs):
            known.update(node.outputs)


def check_node(node: memoryview, path: str) -> _Node:
    """Return what a node says of itself; refuse what ONNX Runtime shall never see (ModelError)."""
    operator = domain = ""
    inputs: list[str] = []
    outputs: list[str] = []
    for field, value in fields(node):
        if field == 1:
            inputs.append(text(value))
        elif field == 2:
            outputs.append(text(value))
        elif field == 4:
            operator = text(value)
        elif field == 7:
            domain = text(value)
        elif field == 5:
            for part, inner in fields(message(value)):
                if part in (6, 11, 22, 23):
                    raise ModelError(f"{path}: operator {operator[:40]} must not contain a graph; export a flat graph")
                if part in (5, 10):
                    _check_tensor(message(inner), path)
    if operator not in _OPERATORS or domain not in _DOMAINS:
        raise ModelError(
            f"{path} may use the plain operators listed in edgevc/engines/onnx_file.py, got "
            f"{operator[:40]!r} of domain {domain[:40]!r}; export a graph without it"
        )
    return _Node(operator, inputs, outputs)


def _check_tensor(tensor: memoryview, path: str) -> str:
    """Return the name of a constant that is whole, inside the file and not too large."""
    n_elements, n_dimensions, name = 1, 0, ""
    for field, value in fields(tensor):
        if field == 1:
            for size in [value] if isinstance(value, int) else _varints(value):
                n_dimensions += 1
                n_elements *= size
                # looked at here, so that a list of a million sizes is no product of a million digits
                if n_dimensions > MAX_DIMENSIONS or not 0 <= n_elements <= MAX_ELEMENTS:
                    raise ModelError(
                        f"{path}: a tensor may have {MAX_DIMENSIONS} dimensions, {MAX_ELEMENTS} elements, got more; "
                        "export it again"
                    )
        elif field == 8:
            name = text(value)
        elif field == 13 or (field == 14 and value != 0):
            raise ModelError(f"{path} must hold its weights itself, got external data; export it as one file")
    return name


def _free_dimensions(value_info: memoryview) -> Iterator[str]:
    def inside(outer: memoryview, wanted: int) -> Iterator[memoryview]:
        return (message(value) for field, value in fields(outer) if field == wanted)

    # ValueInfoProto.type (2) . TypeProto.tensor_type (1) . Tensor.shape (2) . TensorShapeProto.dim (1) . dim_param (2)
    for kind in inside(value_info, 2):
        for tensor in inside(kind, 1):
            for shape in inside(tensor, 2):
                for dimension in inside(shape, 1):
                    yield from (text(name) for name in inside(dimension, 2))


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise DamageError(f"a number breaks off at byte {at}")


def _varints(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Give field number and value: an int for numbers, the bytes for everything with a length.

    Raises:
        DamageError: the bytes are no protocol buffer.
    """
    return ((field, value) for field, value, _ in spans(data))


def spans(data: bytes | memoryview) -> Iterator[tuple[int, int | memoryview, memoryview]]:
    """Give what `fields` does, and each field as it lies in the file."""
    data = memoryview(data)
    at = 0
    while at < len(data):
        start = at
        key, at = _varint(data, at)
        field, wire = key >> 3, key & 7
        value: int | memoryview
        if wire == 0:
            value, at = _varint(data, at)
        else:
            if wire == 2:
                length, at = _varint(data, at)
            elif wire in (1, 5):
                length = 8 if wire == 1 else 4
            else:
                raise DamageError(f"unknown wire type {wire} at byte {at}")
            if length > len(data) - at:
                raise DamageError(f"field {field} needs {length} bytes, {len(data) - at} are left")
            value = data[at : at + length]
            at += length
        if not field:
            raise DamageError(f"field number 0 at byte {at}")
        yield field, value, data[start:at]


def message(value: int | memoryview) -> memoryview:
    """Return a value that is a message."""
    if isinstance(value, int):
        raise DamageError("a number stands where a message belongs")
    return value


def text(value: int | memoryview) -> str:
    """Return a value that is a name."""
    try:
        return str(message(value), "utf-8")
    except UnicodeDecodeError as error:
        raise DamageError("a name is not UTF-8") from error
