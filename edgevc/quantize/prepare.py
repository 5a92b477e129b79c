"""Makes a float ONNX graph ready for quantization: shapes fixed, constants folded, states known; or says why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgevc.engines.onnx_file import SHAPE_INPUTS
from edgevc.errors import ConfigError, ModelError
from edgevc.quantize.folding import fold, simplify
from edgevc.quantize.graph_file import (
    State,
    carry_descriptions,
    find_states,
    read_graph_file,
    require_onnx,
    shape_of,
)

if TYPE_CHECKING:
    from onnx import ModelProto

_CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")
_DOMAINS = ("", "ai.onnx", "com.microsoft")
_SHAPE_INPUTS = {
    **SHAPE_INPUTS,
    **dict.fromkeys(("AffineGrid", "CenterCropPad", "Col2Im", "DFT", "OneHot", "TopK"), (1,)),
    **dict.fromkeys(("ReduceL1", "ReduceLogSum", "ReduceLogSumExp", "ReduceProd"), (1,)),
    **dict.fromkeys(("BlackmanWindow", "HammingWindow", "HannWindow"), (0,)),
    "MaxUnpool": (2,),
    "MelWeightMatrix": (0, 1, 2, 3, 4),
    "Resize": (1, 2, 3),
    "STFT": (1, 3),
    "Upsample": (1,),
}
"""Operator to the inputs that decide the shape of what it gives."""
_SHAPES_OF_VALUES = ("Compress", "NonMaxSuppression", "NonZero", "StringSplit", "Unique")
"""Operators that give more or less, depending on what they read."""
_FLOAT, _INTEGERS = 1, {6: np.int32, 7: np.int64}
_NUMPY = {1: np.float32, 9: np.bool_, **_INTEGERS}


@dataclass(frozen=True)
class Prepared:
    """A graph ready for quantization."""

    name: str
    model: ModelProto
    inputs: dict[str, tuple[int, ...]]
    """Without states; -1 where the first dimension is the number of hops."""
    outputs: tuple[str, ...]
    """What is judged: all without the states, or the states where there is nothing else."""
    states: tuple[State, ...]
    state_shapes: dict[str, tuple[int, ...]]
    """State input to shape."""
    numbers: Mapping[str, str] = field(default_factory=dict)
    """Inputs that take integers or truth values, which speech cannot be, to their type as NumPy calls it."""
    n_source_bytes: int = 0
    """Of the files that it was read from; 0 where there are none."""


def load_graph_file(
    path: Path,
    state_patterns: Sequence[str] = (),
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    constants: Mapping[str, float] | None = None,
) -> Prepared:
    """Read a bare graph: fix its shapes to one call of a stream, fold what is constant, find its states.

    Args:
        path: an .onnx file.
        state_patterns: `IN=OUT` each, where `*` stands for the same text on both sides; none takes STATE_PATTERN.
        shapes: input to shape where the file leaves it open; a free dimension is 1 elsewhere.
        constants: inputs that always have the same value, such as a sample rate; they leave the graph.

    Raises:
        ConfigError: a name is not an input of the graph.
        ModelError: the file cannot be used; the message says why.
    """
    original, n_bytes = read_graph_file(path)
    names = [value.name for value in original.graph.input]
    for name in {**(shapes or {}), **(constants or {})}:
        if name not in names:
            raise ConfigError(f"{path} has no input {name!r}; known: {', '.join(names)}")
    pairs = find_states(original, state_patterns, str(path))
    folded, found = fold(_fix_shapes(original, shapes or {}, constants or {}), path)
    _require_plain_operators(folded, path)
    _require_fixed_shapes(folded, path)
    model = simplify(folded)
    carry_descriptions(original, model)
    prepared = describe(path.stem, model, pairs, n_bytes)
    for pair in pairs:
        before, after = prepared.state_shapes[pair.input], found[pair.output]
        if before != after:
            raise ModelError(
                f"{path}: state {pair.input} must keep its shape, it has {_sizes(before)} and comes back as "
                f"{pair.output} with {_sizes(after)}; export it with a fixed length, or give it with --shape"
            )
    return prepared


def _sizes(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "no sizes"


def _require_plain_operators(model: ModelProto, path: Path) -> None:
    for node in model.graph.node:
        if node.op_type in _CONTROL_FLOW:
            raise ModelError(
                f"{path}: {node.op_type} {node.name!r} stays after folding, and what a loop or a condition holds "
                "cannot be calibrated; export it unrolled, or fix the input that decides it with --feed NAME=VALUE"
            )
        if node.domain not in _DOMAINS:
            raise ModelError(
                f"{path}: {node.op_type} is of the unknown domain {node.domain}; export standard operators"
            )


def _require_fixed_shapes(model: ModelProto, path: Path) -> None:
    """Refuse shapes that are computed while the graph runs: a state could make them grow for as long as it likes."""
    known = {tensor.name for tensor in model.graph.initializer} | {""}
    for node in model.graph.node:
        computed = [node.input[i] for i in _SHAPE_INPUTS.get(node.op_type, ()) if i < len(node.input)]
        computed = [name for name in computed if name not in known]
        if node.op_type in _SHAPES_OF_VALUES:
            computed = [node.input[0]]
        if computed:
            raise ModelError(
                f"{path}: the shape that {node.op_type} gives must follow from the file, it is computed from "
                f"{computed[0][:80]!r} while the graph runs; export it with fixed shapes"
            )
        if node.op_type in ("Constant", "Shape", "Size") or known.issuperset(node.input):
            known.update(node.output)


def describe(name: str, model: ModelProto, states: Sequence[State], n_source_bytes: int = 0) -> Prepared:
    """Collect inputs, outputs and shapes of a graph."""
    carried_in, carried_out = {pair.input for pair in states}, {pair.output for pair in states}
    shapes = {value.name: shape_of(value) for value in model.graph.input}
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    _require_known_kinds(name, kinds, carried_in)
    outputs = tuple(value.name for value in model.graph.output)
    return Prepared(
        name,
        model,
        {key: shape for key, shape in shapes.items() if key not in carried_in},
        tuple(key for key in outputs if key not in carried_out) or outputs,
        tuple(states),
        {pair.input: shapes[pair.input] for pair in states},
        {key: np.dtype(_NUMPY[kind]).name for key, kind in kinds.items() if kind != _FLOAT},
        n_source_bytes,
    )


def _require_known_kinds(name: str, kinds: Mapping[str, int], states: set[str]) -> None:
    for key, kind in kinds.items():
        if kind not in _NUMPY:
            raise ModelError(
                f"{name}: input {key} must hold float32 or integers, got element type {kind}; export it again"
            )
        if key in states and kind != _FLOAT:
            raise ModelError(f"{name}: state {key} must be float32, got {np.dtype(_NUMPY[kind]).name}; export it again")


def _fix_shapes(model: ModelProto, shapes: Mapping[str, tuple[int, ...]], constants: Mapping[str, float]) -> ModelProto:
    onnx = require_onnx()
    twin: ModelProto = onnx.ModelProto()
    twin.CopyFrom(model)
    for value in list(twin.graph.input):
        kind = value.type.tensor_type
        dimensions = kind.shape.dim
        if value.name in constants:
            fixed = tuple(1 if size == -1 else size for size in shape_of(value))
            array: NDArray[Any] = np.full(fixed, constants[value.name], _NUMPY.get(kind.elem_type, np.float32))
            twin.graph.input.remove(value)
            twin.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
            continue
        wanted = shapes.get(value.name) or tuple(1 if size == -1 else size for size in shape_of(value))
        if len(wanted) != len(dimensions):
            raise ConfigError(f"--shape {value.name} must have {len(dimensions)} sizes, got {len(wanted)}")
        for dimension, size in zip(dimensions, wanted, strict=True):
            if dimension.HasField("dim_value") and dimension.dim_value != size:
                raise ConfigError(f"--shape {value.name}: the graph fixes a size to {dimension.dim_value}, got {size}")
            dimension.Clear()
            dimension.dim_value = size
    # their free dimensions would contradict what follows from the inputs'
    for value in twin.graph.output:
        value.type.tensor_type.ClearField("shape")
    twin.graph.ClearField("value_info")
    return twin
