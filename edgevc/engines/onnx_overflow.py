"""Int8 products that do not overflow, on x86 processors without VNNI.

There ONNX Runtime multiplies uint8 activations by int8 weights with an instruction (vpmaddubsw) that adds two products
in 16 bits: twice 255 * 127 is more than fits, and the sum saturates. In its precision mode it takes weights as uint8,
which is exact and slower. That mode cannot load a graph in which several operators share a weight: each gets a copy.
"""

from __future__ import annotations

import contextlib
import functools
import platform
from pathlib import Path

from edgevc.engines.onnx_file import DamageError, fields, message, spans, text

PRECISION_MODE = "session.x64quantprecision"
"""Entry of a session's configuration; "1" switches it on."""
_EXACT = frozenset({"avx_vnni", "avx512_vnni", "amx_int8"})
"""Linux's names of what multiplies and adds in 32 bits."""
_INT8 = 3
"""TensorProto.DataType."""


@functools.lru_cache(maxsize=1)
def may_overflow() -> bool:
    """Return whether this processor is one of those; True for an x86 that does not say what it can."""
    if platform.machine().lower() not in ("x86_64", "amd64", "i686"):
        return False
    features: list[str] = []
    with contextlib.suppress(OSError):
        cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        features = next((line.split() for line in cpu.splitlines() if line.startswith("flags")), [])
    return _EXACT.isdisjoint(features)


def with_own_weights(data: bytes) -> bytes:
    """Return an ONNX file in which no two operators read the same int8 constant; a damaged one as it is."""
    try:
        pieces = [field_bytes(7, _unshared(message(value))) if field == 7 else raw for field, value, raw in spans(data)]
    except DamageError:
        # the engine says what is wrong with it
        return data
    return b"".join(pieces)


def _unshared(graph: memoryview) -> bytes:
    constants = dict(_int8_constant(message(value)) for field, value in fields(graph) if field == 5)
    taken = {name: 0 for name, tensor in constants.items() if tensor is not None}
    pieces: list[bytes | memoryview] = []
    for field, value, raw in spans(graph):
        pieces.append(raw)
        if field != 1:
            continue
        node, renamed = _own_inputs(message(value), taken)
        if renamed:
            pieces[-1] = field_bytes(1, node)
        for name, new in renamed.items():
            tensor = constants[name]
            parts = [
                field_bytes(8, new.encode()) if part == 8 else span
                for part, _, span in spans(tensor or memoryview(b""))
            ]
            pieces.append(field_bytes(5, b"".join(parts)))
    return b"".join(pieces)


def _int8_constant(tensor: memoryview) -> tuple[str, memoryview | None]:
    """Return a constant's name, and the constant itself where it is int8."""
    name, kind = "", 0
    for field, value in fields(tensor):
        if field == 8:
            name = text(value)
        elif field == 2 and isinstance(value, int):
            kind = value
    return name, tensor if kind == _INT8 else None


def _own_inputs(node: memoryview, taken: dict[str, int]) -> tuple[bytes, dict[str, str]]:
    """Return an operator that reads new names where others have read the old ones, and old name to new."""
    renamed: dict[str, str] = {}
    pieces: list[bytes | memoryview] = []
    for field, value, raw in spans(node):
        pieces.append(raw)
        name = text(value) if field == 1 else ""
        if name in taken:
            taken[name] += 1
            if taken[name] > 1:
                renamed[name] = f"{name}/{taken[name]}"
                pieces[-1] = field_bytes(1, renamed[name].encode())
    return b"".join(pieces), renamed


def field_bytes(number: int, data: bytes) -> bytes:
    """Return a field with a length, as it lies in a file."""
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
