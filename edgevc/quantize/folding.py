"""Computes once what is constant in a float graph, and writes the graph so that int8 forms of it load and are small."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgevc.children import limit_resources, python_command
from edgevc.errors import ModelError
from edgevc.quantize.graph_file import MAX_ONNX_BYTES, STATIC_OPSET, opset_of, require_onnx

if TYPE_CHECKING:
    from onnx import ModelProto

FOLD_LIMIT_S = 120
CALL_LIMIT_S = 5.0
"""One call of a streaming graph takes milliseconds; one that takes longer than this would never end its ten minutes."""
INNER_PREFIX = "e/"
"""Before every name inside a folded graph. ONNX Runtime names what it makes by what it finds, so a graph that it has
folded once holds names that it makes again when the int8 file is loaded, and then refuses the file."""

_NARROW_BYTES = 1024
"""Tables of indices above this are stored in as few bytes as their values need."""
_INT64 = 7
_NARROWER = (np.uint8, np.int8, np.int16, np.int32)


def shown(name: str) -> str:
    """Return the name of an inner tensor as the graph's author knows it."""
    return name.removeprefix(INNER_PREFIX)


def fold(model: ModelProto, path: Path) -> tuple[ModelProto, dict[str, tuple[int, ...]]]:
    """Compute what is constant, in a child process.

    Args:
        model: with fixed shapes of all inputs.
        path: names it in messages.

    Returns:
        The folded graph, and the shape of every output after a call with zeros.

    Raises:
        ModelError: ONNX Runtime cannot load or run the graph, or takes too long.
    """
    onnx = require_onnx()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fixed.onnx", Path(folder) / "folded.onnx"
        source.write_bytes(model.SerializeToString())
        try:
            done = subprocess.run(  # noqa: S603
                # ONNX Runtime 1.31 was seen to crash on a valid file while it folds nested conditions
                python_command("edgevc.quantize.folding", "_fold_child", source=str(source), target=str(target)),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=FOLD_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"onnxruntime must load {path} within {FOLD_LIMIT_S} s, it did not") from error
        if done.returncode or not target.is_file():
            said = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
            raise ModelError(f"onnxruntime cannot run {path} with these shapes: {said[:300]}; see --shape and --feed")
        folded: ModelProto = onnx.load_model(str(target))
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    if answer["seconds"] > CALL_LIMIT_S:
        raise ModelError(
            f"{path}: a call must take less than {CALL_LIMIT_S:g} s, it takes {answer['seconds']:.0f}; "
            "export a graph that takes one hop at a time"
        )
    shapes = {name: tuple(sizes) for name, sizes in answer["shapes"].items()}
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
    return folded, shapes


def _fold_child(source: str, target: str) -> None:
    """Fold a graph's constants, run it once, and print its outputs' shapes as JSON; runs in a child."""
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
    started = time.monotonic()
    arrays = session.run(None, feed)
    answer = {
        "seconds": time.monotonic() - started,
        "shapes": {value.name: list(array.shape) for value, array in zip(session.get_outputs(), arrays, strict=True)},
    }
    sys.stdout.write("\n" + json.dumps(answer))


def simplify(model: ModelProto) -> ModelProto:
    """Return a folded graph in the form that is quantized: all the same values, and no name that could meet itself."""
    for step in (_pointwise_as_products, _with_newer_opset, _share_constants, _narrow_indices, _with_own_names):
        model = step(model)
    return model


def _pointwise_as_products(model: ModelProto) -> ModelProto:
    """Write convolutions of one tap as products: there are int8 kernels for these, none that pays for those."""
    onnx = require_onnx()
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[Any] = []
    for node in model.graph.node:
        if not _is_pointwise(node, weights):
            nodes.append(node)
            continue
        name, x, y = node.input[1], node.input[0], node.output[0]
        matrix = onnx.numpy_helper.to_array(weights[name])[:, :, 0].T
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


def _is_pointwise(node: Any, weights: dict[str, Any]) -> bool:
    weight = weights.get(node.input[1]) if node.op_type == "Conv" else None
    if weight is None or len(weight.dims) != 3 or weight.dims[2] != 1:
        return False
    get = require_onnx().helper.get_attribute_value
    attributes = {entry.name: get(entry) for entry in node.attribute}
    return (
        attributes.get("group", 1) == 1
        and set(attributes.get("strides", [1])) == {1}
        and not any(attributes.get("pads", [0]))
        and (len(node.input) < 3 or node.input[2] in weights)
    )


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


def _share_constants(model: ModelProto) -> ModelProto:
    """Store equal constants once; folding computes each as often as it is used."""
    onnx = require_onnx()
    graph = model.graph
    outputs = {value.name for value in graph.output}
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    instead: dict[str, str] = {}
    for tensor in graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        name = first.setdefault((tensor.data_type, array.shape, array.tobytes()), tensor.name)
        if name != tensor.name and tensor.name not in outputs:
            instead[tensor.name] = name
    kept = [tensor for tensor in graph.initializer if tensor.name not in instead]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    _rename(model, lambda name: instead.get(name, name))
    return model


def _narrow_indices(model: ModelProto) -> ModelProto:
    """Store large tables of indices in as few bytes as they need; engines widen them once, when they load the file."""
    onnx = require_onnx()
    graph = model.graph
    outputs = {value.name for value in graph.output}
    widen = []
    for tensor in graph.initializer:
        if tensor.data_type != _INT64 or tensor.name in outputs:
            continue
        array = onnx.numpy_helper.to_array(tensor)
        if array.nbytes <= _NARROW_BYTES:
            continue
        narrow = next((kind for kind in _NARROWER if np.array_equal(array, array.astype(kind))), None)
        if narrow is not None:
            name, stored = tensor.name, f"{tensor.name}.narrow"
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(narrow), stored))
            widen.append(onnx.helper.make_node("Cast", [stored], [name], name=f"{name}.widen", to=_INT64))
    nodes = [*widen, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _with_own_names(model: ModelProto) -> ModelProto:
    """Give every tensor inside the graph a name that no engine makes."""
    graph = model.graph
    outside = {value.name for value in (*graph.input, *graph.output)} | {""}
    _rename(model, lambda name: name if name in outside else INNER_PREFIX + name)
    for tensor in graph.initializer:
        if tensor.name not in outside:
            tensor.name = INNER_PREFIX + tensor.name
    graph.ClearField("value_info")
    return model


def _rename(model: ModelProto, new_name: Callable[[str], str]) -> None:
    """Rename what the operators read and write; none of them holds a graph any more, or it is refused afterwards."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new_name(name) for name in names]
