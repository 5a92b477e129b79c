"""Any number of bundles whose graph or manifest is changed at random, with right hashes: most are nonsense, some run.

Changes of parsed files go past the structural checks more often than flipped bits, and meet the engine.
"""

import contextlib
import json
import shutil

import numpy as np
import onnx
from helpers.hostile_bundles import change_tflite, seal, write_bundle
from helpers.tiny_bundle import TinyNet, onnx_decoder, onnx_encoder, tflite, tflite_decoder, tflite_encoder
from onnx import TensorProto

from hostile import Case
from hostile.manifests import write_sealed

ONNX_OPERATORS = (
    "Abs", "Add", "AveragePool", "Cast", "Clip", "Concat", "ConstantOfShape", "Conv", "CumSum", "DequantizeLinear",
    "Div", "DynamicQuantizeLinear", "Erf", "Exp", "Expand", "Flatten", "GRU", "Gather", "GatherElements", "GatherND",
    "Gemm",
    "Identity", "LSTM", "LayerNormalization", "LogSoftmax", "MatMul", "MatMulInteger", "Mul", "PRelu", "Pad", "Pow",
    "QuantizeLinear", "Range", "ReduceMean", "ReduceSum", "Reshape", "ScatterElements", "ScatterND", "Shape", "Slice",
    "Softmax", "Split", "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze", "Where",
)  # fmt: skip
LITERT_OPERATORS = (
    0, 1, 2, 3, 4, 6, 9, 14, 18, 22, 25, 34, 36, 39, 40, 43, 45, 47, 49, 50, 54, 55, 65, 67, 69, 70, 74, 77, 83, 88, 94,
    97, 101, 102, 105, 106, 107, 114, 123, 126, 128, 130, 150, 151,
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 3, 7, 48, 80, 255, 4096, 65_536, 2**31 - 1, -(2**31))
FILES = {
    ("onnx", "encoder"): onnx_encoder, ("onnx", "decoder"): onnx_decoder,
    ("litert", "encoder"): tflite_encoder, ("litert", "decoder"): tflite_decoder,
}  # fmt: skip
VALUES = (None, True, 0, -1, 1.5, 10**17, "", "x" * 3000, "..", "\x1b[2J", [], {}, [[]], {"a": {}}, ["hops", 1])


def pick(rng, items):
    """Return one of them."""
    return items[int(rng.integers(len(items)))]


def change_onnx_model(rng, model):
    """Change one thing of a parsed ONNX file."""
    nodes, constants = model.graph.node, model.graph.initializer
    node, constant = pick(rng, nodes), pick(rng, constants)
    what = int(rng.integers(9))
    if what == 0:
        node.op_type = pick(rng, ONNX_OPERATORS)
    elif what == 1:
        names = [name for other in nodes for name in (*other.input, *other.output)] + [c.name for c in constants]
        node.input[int(rng.integers(len(node.input)))] = pick(rng, names)
    elif what == 2:
        node.attribute.append(
            onnx.helper.make_attribute(pick(rng, ("axis", "keepdims", "to", "alpha")), pick(rng, NUMBERS))
        )
    elif what == 3:
        size = pick(rng, NUMBERS)
        constant.dims[:] = [abs(size), *constant.dims[1:]]
    elif what == 4:
        constant.data_type = pick(rng, (1, 2, 3, 6, 7, 9, 10, 11, 16))
    elif what == 5:
        values = onnx.numpy_helper.to_array(constant).copy()
        values.flat[int(rng.integers(values.size))] = pick(rng, NUMBERS)
        constant.CopyFrom(onnx.numpy_helper.from_array(values, constant.name))
    elif what == 6:
        nodes.append(onnx.helper.make_node(pick(rng, ONNX_OPERATORS), list(node.input), [f"new{what}"]))
    elif what == 7:
        del nodes[int(rng.integers(len(nodes)))]
    else:
        value = pick(rng, (*model.graph.input, *model.graph.output))
        value.type.tensor_type.elem_type = pick(rng, (1, 6, 7, 9, TensorProto.STRING))


def change_tflite_model(rng, model):
    """Change one thing of a parsed .tflite file."""
    graph = pick(rng, model.subgraphs)
    operator, tensor = pick(rng, graph.operators), pick(rng, graph.tensors)
    what = int(rng.integers(8))
    if what == 0:
        code = pick(rng, model.operatorCodes)
        code.builtinCode = pick(rng, LITERT_OPERATORS)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    elif what == 1:
        inputs = list(operator.inputs)
        inputs[int(rng.integers(len(inputs)))] = int(rng.integers(len(graph.tensors)))
        operator.inputs = inputs
    elif what == 2:
        operator.outputs = [int(rng.integers(len(graph.tensors)))]
    elif what == 3:
        tensor.shape = [min(abs(pick(rng, NUMBERS)), 2**31 - 1), *list(tensor.shape)[1:]]
    elif what == 4:
        tensor.type = pick(rng, (0, 1, 2, 3, 4, 6, 7, 9, 10, 16, 17))
    elif what == 5:
        tensor.buffer = int(rng.integers(len(model.buffers)))
    elif what == 6:
        operator.builtinOptions = tflite.ConcatenationOptionsT()
        operator.builtinOptions.axis = pick(rng, NUMBERS)
        operator.builtinOptionsType = tflite.BuiltinOptions.ConcatenationOptions
    else:
        buffer = pick(rng, [buffer for buffer in model.buffers if buffer.data is not None])
        data = np.array(buffer.data, np.uint8)
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        buffer.data = data


def changed_graph(rng, engine, graph):
    """Return a graph's file after one to three changes; one that does not go with those before it is left out."""
    data = FILES[engine, graph](TinyNet())
    count = int(rng.integers(1, 4))

    def change(model):
        for _ in range(count):
            with contextlib.suppress(ValueError, TypeError):
                (change_tflite_model if engine == "litert" else change_onnx_model)(rng, model)

    if engine == "litert":
        return change_tflite(data, change)
    model = onnx.load_model_from_string(data)
    change(model)
    return model.SerializeToString()


def flipped(rng, engine, graph):
    """Return a graph's file with bits flipped where its structure is."""
    data = bytearray(FILES[engine, graph](TinyNet()))
    for _ in range(int(rng.integers(1, 9))):
        data[-int(rng.integers(1, 8000))] ^= 1 << int(rng.integers(8))
    return bytes(data)


def leaves(value, path=()):
    """Give every place in a manifest."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from leaves(item, (*path, key))


def change_manifest(rng, manifest):
    """Put a surprise somewhere."""
    path = pick(rng, [place for place in leaves(manifest) if place])
    target = manifest
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = pick(rng, VALUES)


def mutants(count, seed=1):
    """Return `count` cases, the same for the same seed; how each ends is not known beforehand."""
    return {f"mutant {i}": mutant(seed, i) for i in range(count)}


def mutant(seed, number):
    """Return one case."""
    rng = np.random.default_rng([seed, number])
    engine, graph = ("onnx", "litert")[number % 2], ("encoder", "decoder")[number // 2 % 2]
    kind = number // 4 % 5

    def write(folder):
        base = folder.parent / f"base_{engine}"
        if not base.exists():
            write_bundle(base, engine)
        shutil.copytree(base, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        if kind == 4:
            change_manifest(rng, manifest)
            write_sealed(folder, manifest)
            return
        name = f"{graph}.{'onnx' if engine == 'onnx' else 'tflite'}"
        (folder / name).write_bytes((flipped if kind == 3 else changed_graph)(rng, engine, graph))
        seal(folder, manifest)

    return Case(f"mutant {number}", engine, write)
