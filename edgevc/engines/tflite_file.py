"""Looks at the structure of a .tflite file before LiteRT does, and picks one signature's graph out of it.

One file holds a signature for each number of hops in a call (`hops1`, `hops2`, `hops4`), sharing the weights.
LiteRT would prepare all of them, packing the weights once for each, and its public calls reach only the first graph of
a file by index, the others through a signature runner that costs some 15 us more per call. So the bytes are
changed to show one graph: 5 numbers, nothing moves.

The format is FlatBuffers (https://flatbuffers.dev/internals); field numbers are those of TensorFlow's schema.fbs.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from edgevc.bundle import MAX_ELEMENTS
from edgevc.engines.onnx_file import MAX_DIMENSIONS
from edgevc.errors import ModelError

# BuiltinOperator numbers of schema.fbs: arithmetic, shape arithmetic and quantization. No control flow, no variables,
# no tables, no custom operators.
_OPERATORS = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE",
    8: "FLOOR", 9: "FULLY_CONNECTED", 11: "L2_NORMALIZATION", 14: "LOGISTIC", 18: "MUL", 19: "RELU",
    20: "RELU_N1_TO_1", 21: "RELU6", 22: "RESHAPE", 25: "SOFTMAX", 28: "TANH", 34: "PAD", 36: "GATHER",
    39: "TRANSPOSE", 40: "MEAN", 41: "SUB", 42: "DIV", 43: "SQUEEZE", 45: "STRIDED_SLICE", 47: "EXP", 49: "SPLIT",
    50: "LOG_SOFTMAX", 53: "CAST", 54: "PRELU", 55: "MAXIMUM", 57: "MINIMUM", 58: "LESS", 59: "NEG", 60: "PADV2",
    61: "GREATER", 62: "GREATER_EQUAL", 63: "LESS_EQUAL", 64: "SELECT", 65: "SLICE", 66: "SIN",
    67: "TRANSPOSE_CONV", 69: "TILE", 70: "EXPAND_DIMS", 71: "EQUAL", 72: "NOT_EQUAL", 73: "LOG", 74: "SUM",
    75: "SQRT", 76: "RSQRT", 77: "SHAPE", 78: "POW", 81: "REDUCE_PROD", 82: "REDUCE_MAX", 83: "PACK",
    86: "LOGICAL_AND", 88: "UNPACK", 89: "REDUCE_MIN", 92: "SQUARE", 94: "FILL", 97: "RESIZE_NEAREST_NEIGHBOR",
    98: "LEAKY_RELU", 99: "SQUARED_DIFFERENCE", 101: "ABS", 102: "SPLIT_V", 104: "CEIL", 105: "REVERSE_V2",
    106: "ADD_N", 107: "GATHER_ND", 108: "COS", 111: "ELU", 114: "QUANTIZE", 116: "ROUND", 117: "HARD_SWISH",
    123: "SELECT_V2", 126: "BATCH_MATMUL", 128: "CUMSUM", 130: "BROADCAST_TO", 150: "GELU",
    151: "DYNAMIC_UPDATE_SLICE", 158: "SIGN",
}  # fmt: skip
# The inputs that decide the shape of an operator's output. What they hold must stand in the file: a shape that is
# computed from the sound or from a state would make LiteRT move its memory, or take any amount of it, hours later.
SHAPE_INPUTS = {
    22: (1,), 34: (1,), 39: (1,), 40: (1,), 45: (1, 2, 3), 49: (0,), 60: (1,), 65: (1, 2), 67: (0,), 69: (1,),
    70: (1,), 74: (1,), 81: (1,), 82: (1,), 89: (1,), 94: (0,), 97: (1,), 102: (1, 2), 130: (1,),
}  # fmt: skip
# The inputs that may be left out, tensor -1: biases. LiteRT 2.3 reads others through a wild pointer, now and then.
_OPTIONAL_INPUTS = {3: (2,), 4: (2,), 9: (2,), 67: (3,)}
# TensorType numbers and the bits of one element.
_BITS = {0: 32, 1: 16, 2: 32, 3: 8, 4: 64, 6: 8, 7: 16, 9: 8, 15: 32, 16: 16, 17: 4}
_FLOAT32 = 0
_MAX_TABLES = 100_000


@dataclass(frozen=True)
class TfliteGraph:
    """One signature of a file."""

    content: bytes
    """A .tflite file that shows this signature's graph only."""
    inputs: dict[str, tuple[int, tuple[int, ...]]]
    """Name to tensor index and shape; all float32."""
    outputs: dict[str, tuple[int, tuple[int, ...]]]


class DamageError(Exception):
    """The bytes are no FlatBuffer of the expected kind."""


class FlatBuffer:
    """Bounds-checked reads; positions are byte offsets in the file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._n_left = _MAX_TABLES
        # lists may be named from several places: what is read of them stays linear in the file's bytes
        self._items_left = len(data)

    def number(self, kind: str, at: int) -> int:
        """Return the number of this `struct` kind at a position."""
        if not 0 <= at <= len(self.data) - struct.calcsize(kind):
            raise DamageError(f"byte {at} lies outside the file's {len(self.data)}")
        return int(struct.unpack_from("<" + kind, self.data, at)[0])

    def follow(self, at: int) -> int:
        """Return where the offset stored at `at` points."""
        return at + self.number("I", at)

    def field(self, table: int, index: int) -> int:
        """Return the position of a table's field, 0 where it is left out."""
        self._n_left -= 1
        if self._n_left < 0:
            raise DamageError(f"it has more than {_MAX_TABLES} entries")
        vtable = table - self.number("i", table)
        if 4 + 2 * index >= self.number("H", vtable):
            return 0
        offset = self.number("H", vtable + 4 + 2 * index)
        return table + offset if offset else 0

    def scalar(self, table: int, index: int, kind: str) -> int:
        """Return a table's number, 0 where it is left out."""
        at = self.field(table, index)
        return self.number(kind, at) if at else 0

    def vector(self, table: int, index: int, item_bytes: int) -> tuple[int, int]:
        """Return first position and length of a vector field; (0, 0) where it is left out."""
        at = self.field(table, index)
        if not at:
            return 0, 0
        start = self.follow(at)
        length = self.number("I", start)
        if length * item_bytes > len(self.data) - start - 4:
            raise DamageError(f"a list of {length} items at byte {start} does not fit into the file")
        return start + 4, length

    def _list(self, table: int, index: int) -> tuple[int, int]:
        start, length = self.vector(table, index, 4)
        self._items_left -= length
        if length > _MAX_TABLES or self._items_left < 0:
            raise DamageError(f"its lists have too many items, {length} at byte {start}")
        return start, length

    def tables(self, table: int, index: int) -> list[int]:
        """Return the positions of the tables in a list."""
        start, length = self._list(table, index)
        return [self.follow(start + 4 * i) for i in range(length)]

    def integers(self, table: int, index: int) -> tuple[int, ...]:
        """Return a list of int32."""
        start, length = self._list(table, index)
        return struct.unpack_from(f"<{length}i", self.data, start) if length else ()

    def text(self, table: int, index: int) -> str:
        """Return the first 200 bytes of a string."""
        start, length = self.vector(table, index, 1)
        return self.data[start : start + min(length, 200)].decode("utf-8", "replace")


def read_tflite(data: bytes, path: str, signature: str) -> TfliteGraph:
    """Check a file and pick the graph of `signature`.

    Args:
        data: the file.
        path: names the file in messages.
        signature: such as "hops1".

    Raises:
        ModelError: the file is damaged, lacks the signature, or holds what a streaming graph does not need.
    """
    try:
        return _read(FlatBuffer(data), path, signature)
    except DamageError as error:
        raise ModelError(f"{path} is not a whole .tflite file: {error}; download or export it again") from error


def _read(buffer: FlatBuffer, path: str, signature: str) -> TfliteGraph:
    if buffer.data[4:8] != b"TFL3":
        raise DamageError("its mark is not TFL3")
    model = buffer.follow(0)
    if buffer.field(model, 8) or buffer.field(model, 9):
        raise ModelError(f"{path} must hold its weights itself, got external buffers; export it as one file")
    codes = [_operator(buffer, table, path) for table in buffer.tables(model, 1)]
    sizes = [_buffer_size(buffer, table) for table in buffer.tables(model, 4)]
    subgraphs = buffer.tables(model, 2)
    found = {buffer.text(table, 2): table for table in buffer.tables(model, 7)}
    if signature not in found:
        raise ModelError(
            f"{path} must have the signature {signature}, got {', '.join(found)[:200] or 'none'}; export it again"
        )
    chosen = found[signature]
    index = buffer.scalar(chosen, 4, "I")
    if index >= len(subgraphs):
        raise DamageError(f"signature {signature} names graph {index} of {len(subgraphs)}")
    shapes = _check_subgraph(buffer, subgraphs[index], codes, sizes, path)

    def tensors(field: int, declared: tuple[int, ...]) -> dict[str, tuple[int, tuple[int, ...]]]:
        named: dict[str, tuple[int, tuple[int, ...]]] = {}
        for table in buffer.tables(chosen, field):
            name, tensor = buffer.text(table, 0), buffer.scalar(table, 1, "I")
            if tensor not in declared or name in named:
                raise DamageError(f"signature {signature} names {name!r} as tensor {tensor}")
            if shapes[tensor][0] != _FLOAT32:
                raise ModelError(f"{path}: {name} must be float32; export the model again")
            named[name] = (tensor, shapes[tensor][1])
        return named

    return TfliteGraph(
        content=_show_only(buffer, model, subgraphs[index]),
        inputs=tensors(0, buffer.integers(subgraphs[index], 1)),
        outputs=tensors(1, buffer.integers(subgraphs[index], 2)),
    )


def _operator(buffer: FlatBuffer, table: int, path: str) -> int:
    # Numbers up to 127 stood in the first field before schema version 3a; readers take the larger of the two.
    code = max(buffer.scalar(table, 0, "b"), buffer.scalar(table, 3, "i"))
    if code not in _OPERATORS or buffer.field(table, 1):
        raise ModelError(
            f"{path} may use the plain operators listed in edgevc/engines/tflite_file.py, got "
            f"builtin {code} {buffer.text(table, 1)!r}; export a graph without it"
        )
    return code


def _buffer_size(buffer: FlatBuffer, table: int) -> int:
    offset, size = buffer.scalar(table, 1, "Q"), buffer.scalar(table, 2, "Q")
    if offset <= 1:
        # 0 and 1 stand for "not used"
        return buffer.vector(table, 0, 1)[1]
    # ai_edge_quantizer puts the weights behind the FlatBuffer
    if offset + size > len(buffer.data):
        raise DamageError(f"a buffer of {size} bytes at {offset} lies outside the file")
    return size


def _check_subgraph(
    buffer: FlatBuffer, subgraph: int, codes: list[int], sizes: list[int], path: str
) -> list[tuple[int, tuple[int, ...]]]:
    """Check every index that the engine will follow; return type and shape of every tensor."""
    tensors: list[tuple[int, tuple[int, ...]]] = []
    constants: set[int] = set()
    for table in buffer.tables(subgraph, 0):
        kind, shape, stands_in_file = _check_tensor(buffer, table, sizes, path)
        if stands_in_file:
            constants.add(len(tensors))
        tensors.append((kind, shape))
    for field in (1, 2):
        if any(not 0 <= index < len(tensors) for index in buffer.integers(subgraph, field)):
            raise DamageError("an input or output names a tensor that is not there")
    constants.difference_update(buffer.integers(subgraph, 1))
    operators = buffer.tables(subgraph, 3)
    for table in operators:
        constants.difference_update(buffer.integers(table, 2))
    for table in operators:
        _check_operator(buffer, table, codes, len(tensors), constants, path)
    return tensors


def _check_tensor(buffer: FlatBuffer, table: int, sizes: list[int], path: str) -> tuple[int, tuple[int, ...], bool]:
    """Return a tensor's type and shape, and whether what it holds stands in the file."""
    shape, kind = buffer.integers(table, 0), buffer.scalar(table, 1, "b")
    if kind not in _BITS:
        raise ModelError(f"{path} may hold plain number types, got TensorType {kind}; export the model again")
    # a list of a hundred thousand sizes is no product of a million digits
    fine = len(shape) <= MAX_DIMENSIONS and all(size >= 0 for size in shape)
    if not fine or math.prod(shape) > MAX_ELEMENTS:
        raise ModelError(
            f"{path}: a tensor may have {MAX_DIMENSIONS} dimensions, {MAX_ELEMENTS} elements, got shape {shape[:8]}; "
            "export it again"
        )
    stored = buffer.scalar(table, 2, "I")
    if stored >= len(sizes):
        raise DamageError(f"a tensor names buffer {stored} of {len(sizes)}")
    if buffer.field(table, 6) or buffer.field(table, 9) or buffer.scalar(table, 5, "b"):
        raise ModelError(f"{path} must not hold sparse, variant or variable tensors; export the model again")
    n_elements = math.prod(shape)
    needed = -(-n_elements * _BITS[kind] // 8)
    if sizes[stored] and sizes[stored] < needed:
        raise DamageError(f"a tensor needs {needed} bytes, its buffer has {sizes[stored]}")
    return kind, shape, bool(sizes[stored]) or not n_elements


def _check_operator(
    buffer: FlatBuffer, table: int, codes: list[int], n_tensors: int, constants: set[int], path: str
) -> None:
    """Check what an operator reads and writes; `constants` are the tensors that stand in the file."""
    number = buffer.scalar(table, 0, "I")
    if number >= len(codes):
        raise DamageError("an operator's code is not there")
    code = codes[number]
    inputs, outputs = buffer.integers(table, 1), buffer.integers(table, 2)
    if any(not -1 <= index < n_tensors for index in inputs) or any(not 0 <= index < n_tensors for index in outputs):
        raise DamageError("an operator names a tensor that is not there")
    if any(index == -1 and at not in _OPTIONAL_INPUTS.get(code, ()) for at, index in enumerate(inputs)):
        raise DamageError(f"an input of {_OPERATORS[code]} is left out")
    for at in SHAPE_INPUTS.get(code, ()):
        if at < len(inputs) and inputs[at] >= 0 and inputs[at] not in constants:
            raise ModelError(
                f"{path}: the shape that {_OPERATORS[code]} gives must stand in the file, it is computed "
                "while the graph runs; export it with fixed shapes"
            )


def _show_only(buffer: FlatBuffer, model: int, subgraph: int) -> bytes:
    """Return the file with `subgraph` as its only graph and without signatures, which would name the others."""
    content = bytearray(buffer.data)
    first, _ = buffer.vector(model, 2, 4)
    # Offsets count from where they stand and are unsigned, so the graph must come after the list.
    if subgraph <= first:
        raise DamageError("a graph stands before the list of graphs")
    struct.pack_into("<II", content, first - 4, 1, subgraph - first)
    signatures, _ = buffer.vector(model, 7, 4)
    struct.pack_into("<I", content, signatures - 4, 0)
    return bytes(content)
