"""Reads a float ONNX graph and makes it ready: states found, shapes fixed, constants folded, or a reason why not."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgevc.children import limit_resources, python_command
from edgevc.errors import ConfigError, EngineError, ModelError

if TYPE_CHECKING:
    from onnx import ModelProto

MAX_ONNX_BYTES = 256 << 20
MIN_OPSET = 11
STATIC_OPSET = 13
"""From here on DequantizeLinear takes a scale per channel."""
STATE_PATTERN = "state_*_in=state_*_out"
FOLD_LIMIT_S = 120

_QUANTIZED = re.compile(r"QLinear|QuantizeLinear|DequantizeLinear|Integer|NBits|DynamicQuantize|^QGemm|^QAttention")
_CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")
_FLOAT, _INTEGERS = 1, {6: np.int32, 7: np.int64}
_NUMPY = {1: np.float32, 9: np.bool_, **_INTEGERS}


@dataclass(frozen=True)
class State:
    """What a stream carries from call to call: an output that goes back in as an input."""

    input: str
    output: str


@dataclass(frozen=True)
class Prepared:
    """A graph ready for quantization."""

    name: str
    model: ModelProto
    inputs: dict[str, tuple[int, ...]]
    """Without states; -1 where the first dimension is the number of hops."""
    outputs: tuple[str, ...]
    """Without states."""
    states: tuple[State, ...]
    state_shapes: dict[str, tuple[int, ...]]
    """State input to shape."""


def require_onnx() -> Any:
    """Import onnx and return it.

    Raises:
        EngineError: it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise EngineError(f'quantizing needs the onnx package: {error}; pip install "edgevc[quantize]"') from error
    return onnx


def read_onnx(data: bytes, path: str) -> ModelProto:
    """Parse and check a float ONNX file.

    Args:
        data: the file.
        path: names it in messages.

    Raises:
        ModelError: it is no ONNX file, holds its weights elsewhere, is already quantized or has an old opset.
    """
    onnx = require_onnx()
    try:
        model: ModelProto = onnx.load_model_from_string(data)
        if not model.graph.node:
            raise ValueError("it has no operators")
        external = [t.name for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
        if not external:
            onnx.checker.check_model(model)
    except Exception as error:  # protobuf's and onnx's exceptions have no common base of their own
        raise ModelError(f"{path} is no usable ONNX file: {_first_line(error)}; export it again") from error
    if external:
        raise ModelError(f"{path} must hold its weights itself, got external data ({external[0]}); save it as one file")
    for node in model.graph.node:
        if _QUANTIZED.search(node.op_type):
            raise ModelError(
                f"{path} must be float, got {node.op_type} {node.name!r}: it is already quantized; "
                "give the float model that it was made from"
            )
    opset = opset_of(model)
    if opset < MIN_OPSET:
        raise ModelError(
            f"{path} must have opset {MIN_OPSET} or newer, got {opset}; export it again, "
            f"or convert it: onnx.version_converter.convert_version(model, {STATIC_OPSET})"
        )
    return model


def opset_of(model: ModelProto) -> int:
    """Return the version of the standard operators."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)


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
    if not path.is_file():
        raise ModelError(f"{path} is no file; check the path")
    if path.stat().st_size > MAX_ONNX_BYTES:
        raise ModelError(f"{path} may have {MAX_ONNX_BYTES >> 20} MiB, got {path.stat().st_size >> 20}; too large")
    original = read_onnx(path.read_bytes(), str(path))
    names = [value.name for value in _inputs(original)]
    for name in {**(shapes or {}), **(constants or {})}:
        if name not in names:
            raise ConfigError(f"{path} has no input {name!r}; known: {', '.join(names)}")
    pairs = find_states(original, state_patterns, str(path))
    fixed = _fix_shapes(original, shapes or {}, constants or {})
    model = _with_newer_opset(_pointwise_as_products(_fold(fixed, path)))
    for node in model.graph.node:
        if node.op_type in _CONTROL_FLOW:
            raise ModelError(
                f"{path}: {node.op_type} {node.name!r} stays after folding, and what a loop or a condition holds "
                "cannot be calibrated; export it unrolled, or fix the input that decides it with --feed NAME=VALUE"
            )
        if node.domain not in ("", "ai.onnx", "com.microsoft"):
            raise ModelError(
                f"{path}: {node.op_type} is of the unknown domain {node.domain}; export standard operators"
            )
    return describe(path.stem, model, pairs)


def describe(name: str, model: ModelProto, states: Sequence[State]) -> Prepared:
    """Collect inputs, outputs and shapes of a graph."""
    carried_in, carried_out = {pair.input for pair in states}, {pair.output for pair in states}
    shapes = {value.name: _shape(value) for value in _inputs(model)}
    kinds = {value.name: value.type.tensor_type.elem_type for value in _inputs(model)}
    for key, kind in kinds.items():
        if kind not in _NUMPY:
            raise ModelError(
                f"{name}: input {key} must hold float32 or integers, got element type {kind}; export it again"
            )
        if key in carried_in and kind != _FLOAT:
            raise ModelError(f"{name}: state {key} must be float32, got element type {kind}; export it again")
    return Prepared(
        name,
        model,
        {key: shape for key, shape in shapes.items() if key not in carried_in},
        tuple(value.name for value in model.graph.output if value.name not in carried_out),
        tuple(states),
        {pair.input: shapes[pair.input] for pair in states},
    )


def find_states(model: ModelProto, patterns: Sequence[str], path: str) -> tuple[State, ...]:
    """Pair the state inputs with their outputs.

    Raises:
        ConfigError: a pattern is not of the form IN=OUT.
        ModelError: no pair is found, or half of one is missing.
    """
    inputs = [value.name for value in _inputs(model)]
    outputs = [value.name for value in model.graph.output]
    pairs: list[State] = []
    for pattern in patterns or (STATE_PATTERN,):
        left, equals, right = pattern.partition("=")
        if not equals or left.count("*") != right.count("*") or left.count("*") > 1:
            raise ConfigError(f"--state-pattern is IN=OUT with at most one * on each side, got {pattern!r}")
        matched = [name for name in inputs if fnmatch.fnmatchcase(name, left.replace("[", "[[]"))]
        for name in matched:
            head, star, tail = left.partition("*")
            partner = right.replace("*", name[len(head) : len(name) - len(tail)]) if star else right
            if partner not in outputs:
                raise ModelError(
                    f"{path}: state input {name} must have the output {partner}; known: {', '.join(outputs)}"
                )
            pairs.append(State(name, partner))
        if patterns and not matched:
            raise ModelError(f"{path}: --state-pattern {pattern} matches no input; known: {', '.join(inputs)}")
    if not pairs:
        raise ModelError(
            f"{path} has no states: no input and output are called {STATE_PATTERN.replace('=', ' and ')}; "
            f"name the pairs with --state-pattern IN=OUT (inputs: {', '.join(inputs)}; outputs: {', '.join(outputs)})"
        )
    return tuple(pairs)


def _inputs(model: ModelProto) -> list[Any]:
    constant = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constant]


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in value.type.tensor_type.shape.dim)


def _fix_shapes(model: ModelProto, shapes: Mapping[str, tuple[int, ...]], constants: Mapping[str, float]) -> ModelProto:
    onnx = require_onnx()
    twin: ModelProto = onnx.ModelProto()
    twin.CopyFrom(model)
    for value in _inputs(twin):
        kind = value.type.tensor_type
        dimensions = kind.shape.dim
        if value.name in constants:
            fixed = tuple(1 if size == -1 else size for size in _shape(value))
            array: NDArray[Any] = np.full(fixed, constants[value.name], _NUMPY.get(kind.elem_type, np.float32))
            twin.graph.input.remove(value)
            twin.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
            continue
        wanted = shapes.get(value.name) or tuple(1 if size == -1 else size for size in _shape(value))
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


def _fold_child(source: str, target: str) -> None:
    """Fold a graph's constants and print the shapes of its outputs as JSON; runs in a child."""
    import onnxruntime

    limit_resources(FOLD_LIMIT_S, 2 * MAX_ONNX_BYTES)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = target
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    kinds = {"tensor(float)": "f4", "tensor(int64)": "i8", "tensor(int32)": "i4", "tensor(bool)": "?"}
    feed = {value.name: np.zeros(value.shape, kinds[value.type]) for value in session.get_inputs()}
    outputs = zip(session.get_outputs(), session.run(None, feed), strict=True)
    sys.stdout.write(json.dumps({value.name: list(array.shape) for value, array in outputs}))


def _fold(model: ModelProto, path: Path) -> ModelProto:
    onnx = require_onnx()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fixed.onnx", Path(folder) / "folded.onnx"
        source.write_bytes(model.SerializeToString())
        try:
            done = subprocess.run(  # noqa: S603
                # ONNX Runtime 1.31 was seen to crash on a valid file while it folds nested conditions
                python_command("edgevc.quantize.prepare", "_fold_child", source=str(source), target=str(target)),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=FOLD_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"onnxruntime must load {path} within {FOLD_LIMIT_S} s, it did not") from error
        if done.returncode or not target.is_file():
            said = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1][:400]
            raise ModelError(f"onnxruntime cannot run {path} with these shapes: {said}; see --shape and --feed")
        folded: ModelProto = onnx.load_model(str(target))
    shapes = json.loads(done.stdout.strip().splitlines()[-1])
    for value in folded.graph.output:
        # ONNX Runtime leaves some out, and a file without them is not valid
        dimensions = value.type.tensor_type.shape.dim
        del dimensions[:]
        for size in shapes[value.name]:
            dimensions.add().dim_value = size
    used = {node.domain for node in folded.graph.node}
    kept = [entry for entry in folded.opset_import if entry.domain in used or entry.domain == ""]
    del folded.opset_import[:]
    folded.opset_import.extend(kept)
    return folded


def _pointwise_as_products(model: ModelProto) -> ModelProto:
    """Write convolutions of one tap as products: there are int8 kernels for these, none that pays for those."""
    onnx = require_onnx()
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[Any] = []
    for node in model.graph.node:
        attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
        weight = weights.get(node.input[1]) if node.op_type == "Conv" else None
        plain = (
            weight is not None
            and len(weight.dims) == 3
            and weight.dims[2] == 1
            and attributes.get("group", 1) == 1
            and set(attributes.get("strides", [1])) == {1}
            and not any(attributes.get("pads", [0]))
            and (len(node.input) < 3 or node.input[2] in weights)
        )
        if not plain:
            nodes.append(node)
            continue
        name, x, y = node.input[1], node.input[0], node.output[0]
        matrix = onnx.numpy_helper.to_array(weight)[:, :, 0].T
        if f"{name}.matrix" not in weights:
            weights[f"{name}.matrix"] = onnx.numpy_helper.from_array(np.ascontiguousarray(matrix), f"{name}.matrix")
        biased = len(node.input) > 2 and node.input[2] != ""
        product = f"{y}.product" if biased else f"{y}.sum"
        label = node.name or y
        # (1, C, T) to (1, T, C) and back
        nodes.append(onnx.helper.make_node("Transpose", [x], [f"{y}.turned"], name=f"{label}.turn", perm=[0, 2, 1]))
        nodes.append(onnx.helper.make_node("MatMul", [f"{y}.turned", f"{name}.matrix"], [product], name=label))
        if biased:
            nodes.append(onnx.helper.make_node("Add", [product, node.input[2]], [f"{y}.sum"], name=f"{label}.bias"))
        nodes.append(onnx.helper.make_node("Transpose", [f"{y}.sum"], [y], name=f"{label}.back", perm=[0, 2, 1]))
    used = {name for node in nodes for name in node.input} | {value.name for value in model.graph.output}
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(tensor for name, tensor in weights.items() if name in used)
    # inner shapes are inferred anew where they are needed
    model.graph.ClearField("value_info")
    return model


def _with_newer_opset(model: ModelProto) -> ModelProto:
    """Raise the opset so that scales per channel can be written; the model as it is where that fails."""
    if opset_of(model) >= STATIC_OPSET:
        return model
    import onnx.version_converter

    try:
        converted: ModelProto = onnx.version_converter.convert_version(model, STATIC_OPSET)
        onnx.checker.check_model(converted)
    except Exception:  # the converter lacks adapters for some operators and raises what it likes
        return model
    names = {value.name for value in model.graph.output}
    return converted if names == {value.name for value in converted.graph.output} else model


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
