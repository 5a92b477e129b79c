"""Reads a float ONNX file, with weights that lie beside it, or says why it cannot be used; finds its states."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevc.bundle import MAX_ELEMENTS
from edgevc.engines.onnx_file import MAX_DIMENSIONS
from edgevc.errors import ConfigError, EngineError, ModelError
from edgevc.text import first_line

if TYPE_CHECKING:
    from onnx import ModelProto

MAX_ONNX_BYTES = 256 << 20
"""Of a graph, together with the weights beside it."""
MIN_OPSET = 11
STATIC_OPSET = 13
"""From here on DequantizeLinear takes a scale per channel."""
STATE_PATTERN = "state_*_in=state_*_out"
WEIGHT_INPUTS = {"Gemm": (1,), "MatMul": (1,), "Conv": (1,), "ConvTranspose": (1,), "LSTM": (1, 2), "GRU": (1, 2)}
"""Operators that are layers, and which of their inputs are weights."""

_IR_WITHOUT_DEFAULTS = 4
"""The first version of the format in which initializers are no inputs of the graph."""
_QUANTIZED = re.compile(r"QLinear|QuantizeLinear|DequantizeLinear|Integer|NBits|DynamicQuantize|^QGemm|^QAttention")
_OTHER_FLOATS = {10: "float16", 11: "float64", 16: "bfloat16"}


@dataclass(frozen=True)
class State:
    """What a stream carries from call to call: an output that goes back in as an input."""

    input: str
    output: str


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


def read_graph_file(path: Path) -> tuple[ModelProto, int]:
    """Read a float ONNX file and the weights that it keeps in files beside it.

    Returns:
        The graph, complete in memory, and the bytes of all its files.

    Raises:
        ModelError: as `read_onnx`; or the files are missing, too large, or not beside the graph.
    """
    if not path.is_file():
        raise ModelError(f"{path} is no file; check the path")
    n_bytes = path.stat().st_size
    if n_bytes > MAX_ONNX_BYTES:
        raise ModelError(f"{path} may have {MAX_ONNX_BYTES >> 20} MiB, got {n_bytes >> 20}; too large")
    model = read_onnx(path.read_bytes(), str(path), path.parent)
    beside = {path.parent / name for name in _external_files(path)}
    return model, n_bytes + sum(file.stat().st_size for file in beside)


def read_onnx(data: bytes, path: str, folder: Path | None = None) -> ModelProto:
    """Parse and check a float ONNX file.

    Args:
        data: the file.
        path: names it in messages.
        folder: where weights of its own may lie beside it; None where it must hold them itself.

    Raises:
        ModelError: it is no ONNX file, holds its weights elsewhere, is already quantized, has an old opset or other
            numbers than float32.
    """
    onnx = require_onnx()
    try:
        model: ModelProto = onnx.load_model_from_string(data)
        if not model.graph.node:
            raise ValueError("it has no operators")
    except Exception as error:  # protobuf's and onnx's exceptions have no common base of their own
        raise ModelError(f"{path} is no usable ONNX file: {first_line(error)}; export it again") from error
    _require_reasonable_sizes(model, path)
    _join_weights(model, path, folder)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # as above
        raise ModelError(f"{path} is no usable ONNX file: {first_line(error)}; export it again") from error
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
    _require_float32(model, path)
    _take_defaults_from_inputs(model)
    return model


def opset_of(model: ModelProto) -> int:
    """Return the version of the standard operators."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def shape_of(value: Any) -> tuple[int, ...]:
    """Return the sizes of an input or output; -1 for one that is free."""
    return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in value.type.tensor_type.shape.dim)


def carry_descriptions(source: ModelProto, target: ModelProto) -> None:
    """Copy what a model says about itself, and about its inputs and outputs, to a model made from it.

    Programs read it: sherpa-onnx takes the window and the sizes of the states from the metadata.
    """
    for name in ("doc_string", "domain", "model_version"):
        setattr(target, name, getattr(source, name))
    target.graph.name = source.graph.name
    target.graph.doc_string = source.graph.doc_string
    _copy_metadata(source, target)
    _copy_metadata(source.graph, target.graph)
    described = {value.name: value for value in (*source.graph.input, *source.graph.output)}
    for value in (*target.graph.input, *target.graph.output):
        if value.name in described:
            value.doc_string = described[value.name].doc_string
            _copy_metadata(described[value.name], value)


def _copy_metadata(source: Any, target: Any) -> None:
    # graphs and values have it from IR version 10 on, and older onnx packages do not know it
    if hasattr(source, "metadata_props"):
        del target.metadata_props[:]
        target.metadata_props.extend(source.metadata_props)


def find_states(model: ModelProto, patterns: Sequence[str], path: str) -> tuple[State, ...]:
    """Pair the state inputs with their outputs.

    Args:
        model: the graph.
        patterns: `IN=OUT` each, where `*` stands for the same text on both sides; none takes STATE_PATTERN.
        path: names the graph in messages.

    Raises:
        ConfigError: a pattern is not of the form IN=OUT.
        ModelError: no pair is found, or half of one is missing.
    """
    inputs = [value.name for value in model.graph.input]
    outputs = [value.name for value in model.graph.output]
    pairs: list[State] = []
    for pattern in patterns or (STATE_PATTERN,):
        found = _matching_pairs(pattern, inputs, outputs, path)
        if patterns and not found:
            raise ModelError(f"{path}: --state-pattern {pattern} matches no input; known: {', '.join(inputs)}")
        pairs += found
    if not pairs:
        raise ModelError(
            f"{path} has no states: no input and output are called {STATE_PATTERN.replace('=', ' and ')}; "
            f"name the pairs with --state-pattern IN=OUT (inputs: {', '.join(inputs)}; outputs: {', '.join(outputs)})"
        )
    return tuple(pairs)


def _matching_pairs(pattern: str, inputs: Sequence[str], outputs: Sequence[str], path: str) -> list[State]:
    left, equals, right = pattern.partition("=")
    if not equals or left.count("*") != right.count("*") or left.count("*") > 1:
        raise ConfigError(f"--state-pattern is IN=OUT with at most one * on each side, got {pattern!r}")
    head, star, tail = left.partition("*")
    pairs = []
    for name in inputs:
        if not fnmatch.fnmatchcase(name, left.replace("[", "[[]")):
            continue
        partner = right.replace("*", name[len(head) : len(name) - len(tail)]) if star else right
        if partner not in outputs:
            raise ModelError(f"{path}: state input {name} must have the output {partner}; known: {', '.join(outputs)}")
        pairs.append(State(name, partner))
    return pairs


def _take_defaults_from_inputs(model: ModelProto) -> None:
    """Leave in the inputs what must be fed: old files list each weight there as well."""
    constant = {tensor.name for tensor in model.graph.initializer}
    fed = [value for value in model.graph.input if value.name not in constant]
    del model.graph.input[:]
    model.graph.input.extend(fed)
    model.ir_version = max(model.ir_version, _IR_WITHOUT_DEFAULTS)


def _require_reasonable_sizes(model: ModelProto, path: str) -> None:
    """Look at the sizes before anybody multiplies a million of them."""
    for tensor in _tensors(model.graph):
        n_elements = 1
        for count, size in enumerate(tensor.dims, 1):
            n_elements *= size
            if count > MAX_DIMENSIONS or not 0 <= n_elements <= MAX_ELEMENTS:
                raise ModelError(
                    f"{path}: a tensor may have {MAX_DIMENSIONS} dimensions and {MAX_ELEMENTS} elements, "
                    f"{tensor.name[:80]!r} has more; export it again"
                )


def _require_float32(model: ModelProto, path: str) -> None:
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)}
    for name, kind in kinds.items():
        if kind in _OTHER_FLOATS:
            raise ModelError(f"{path} must be float32, {name} is {_OTHER_FLOATS[kind]}; export it in float32")
    constants = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    for node in model.graph.node:
        for index in WEIGHT_INPUTS.get(node.op_type, ()):
            kind = constants.get(node.input[index], 0) if index < len(node.input) else 0
            if kind in _OTHER_FLOATS:
                raise ModelError(
                    f"{path} must be float32, the weights of {node.op_type} {node.name or node.output[0]!r} are "
                    f"{_OTHER_FLOATS[kind]}; export it in float32"
                )


def _tensors(graph: Any) -> Iterator[Any]:
    """Give all constants, also those in operators and in the graphs inside them."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _tensors(inner)


def _external(model: ModelProto) -> list[Any]:
    elsewhere = require_onnx().TensorProto.EXTERNAL
    return [tensor for tensor in _tensors(model.graph) if tensor.data_location == elsewhere]


def _external_files(path: Path) -> set[str]:
    """Return the names of the files beside a graph that hold weights of its."""
    model = require_onnx().load_model_from_string(path.read_bytes())
    return {entry.value for tensor in _external(model) for entry in tensor.external_data if entry.key == "location"}


def _join_weights(model: ModelProto, path: str, folder: Path | None) -> None:
    """Take weights that lie in files beside the graph into it."""
    external = _external(model)
    room = MAX_ONNX_BYTES
    for tensor in external:
        facts = {entry.key: entry.value for entry in tensor.external_data}
        data = _weights_beside(facts, path, folder, room)
        room -= len(data)
        tensor.raw_data = data
        del tensor.external_data[:]
        tensor.ClearField("data_location")


def _weights_beside(facts: dict[str, str], path: str, folder: Path | None, room: int) -> bytes:
    """Return the bytes that one tensor has in a file of its graph's own folder, never through a link."""
    location = facts.get("location", "")
    if folder is None or not location or location != Path(location).name:
        where = "" if folder is None else " outside its folder"
        raise ModelError(
            f"{path} must hold its weights itself, got external data{where} ({location[:100]!r}); save it as one file: "
            f'onnx.save(onnx.load("{Path(path).name}"), "joined.onnx")'
        )
    file = folder / location
    if file.is_symlink() or not file.is_file():
        what = "is a link" if file.is_symlink() else "is missing"
        raise ModelError(f"{path} keeps its weights in {file}, which {what}; put the file itself beside the graph")
    size = file.stat().st_size
    try:
        offset = int(facts.get("offset", 0))
        length = int(facts.get("length", size - offset))
    except ValueError:
        offset = length = -1
    if not (offset >= 0 and length >= 0 and offset + length <= size):
        raise ModelError(
            f"{file} must hold bytes {offset} to {offset + length} of {path}, it has {size}; copy it again"
        )
    if length > room:
        raise ModelError(f"{path} may have {MAX_ONNX_BYTES >> 20} MiB of weights, it has more; too large")
    with file.open("rb") as stream:
        stream.seek(offset)
        return stream.read(length)
