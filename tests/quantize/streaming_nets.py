"""Small streaming graphs with states, the kinds that `edgevc quantize` meets."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 64


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model_of(nodes, inputs, outputs, weights, opset=17, check=True):
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "net", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    if check:
        onnx.checker.check_model(model)
    return model


def matrix(rng, rows, columns):
    return (rng.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)


def mixer(seed=3, n_blocks=4, poison=None, n_mels=80):
    """Log-mel in; blocks of a leaky memory and two Gemms, as our own graphs have them; a head of 16.

    poison: (block, channel, factor) multiplies one channel's weights of a block's first Gemm, and undoes it behind it,
    so that the float outputs are the same.
    """
    rng = np.random.default_rng(seed)
    weights = {"input.weight": matrix(rng, WIDTH, n_mels) * np.float32(0.2), "input.bias": np.zeros(WIDTH, np.float32)}
    nodes = [helper.make_node("Gemm", ["log_mel", "input.weight", "input.bias"], ["x0"], name="g_in", transB=1)]
    inputs, outputs = [value("log_mel", ["n", n_mels])], [value("y", ["n", 16])]
    for i in range(n_blocks):
        expand, project = matrix(rng, 2 * WIDTH, WIDTH), matrix(rng, WIDTH, 2 * WIDTH)
        if poison is not None and poison[0] == i:
            _, channel, factor = poison
            expand[channel] *= factor
            project[:, channel] /= factor
        weights |= {
            f"blocks.{i}.expand.weight": expand,
            f"blocks.{i}.expand.bias": (0.1 * rng.standard_normal(2 * WIDTH)).astype(np.float32),
            f"blocks.{i}.project.weight": project,
            f"blocks.{i}.project.bias": np.zeros(WIDTH, np.float32),
        }
        state = f"state_block{i}"
        nodes += [
            helper.make_node("Mul", [f"{state}_in", "leak"], [f"{state}_kept"]),
            helper.make_node("Add", [f"x{i}", f"{state}_kept"], [f"sum{i}"]),
            helper.make_node("Identity", [f"sum{i}"], [f"{state}_out"]),
            helper.make_node(
                "Gemm", [f"sum{i}", f"blocks.{i}.expand.weight", f"blocks.{i}.expand.bias"], [f"e{i}"], transB=1
            ),
            helper.make_node("Relu", [f"e{i}"], [f"r{i}"]),
            helper.make_node(
                "Gemm", [f"r{i}", f"blocks.{i}.project.weight", f"blocks.{i}.project.bias"], [f"p{i}"], transB=1
            ),
            helper.make_node("Add", [f"x{i}", f"p{i}"], [f"x{i + 1}"]),
        ]
        inputs.append(value(f"{state}_in", [1, WIDTH]))
        outputs.append(value(f"{state}_out", ["n", WIDTH]))
    weights |= {"leak": np.float32(0.5), "head.weight": matrix(rng, 16, WIDTH), "head.bias": np.zeros(16, np.float32)}
    nodes.append(helper.make_node("Gemm", [f"x{n_blocks}", "head.weight", "head.bias"], ["y"], transB=1))
    return model_of(nodes, inputs, outputs, weights)


def lstm(seed=5, hidden=48, bins=257):
    """A magnitude in, a mask out, both LSTM states packed into one tensor: the shape of DTLN's first network."""
    rng = np.random.default_rng(seed)
    weights = {
        "w": matrix(rng, 4 * hidden, bins)[None] * np.float32(0.3),
        "r": matrix(rng, 4 * hidden, hidden)[None],
        "b": np.zeros((1, 8 * hidden), np.float32),
        "dense": matrix(rng, bins, hidden).T.copy(),
        "zero": np.array([0]),
        "one": np.array([1]),
        "two": np.array([2]),
    }
    nodes = [
        helper.make_node("Slice", ["memory", "zero", "one", "zero"], ["h"]),
        helper.make_node("Slice", ["memory", "one", "two", "zero"], ["c"]),
        helper.make_node(
            "LSTM", ["mag", "w", "r", "b", "", "h", "c"], ["all", "h2", "c2"], name="rnn", hidden_size=hidden
        ),
        helper.make_node("Concat", ["h2", "c2"], ["memory_next"], axis=0),
        helper.make_node("Squeeze", ["all", "one"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["logits"], name="dense"),
        helper.make_node("Sigmoid", ["logits"], ["mask"]),
    ]
    return model_of(
        nodes,
        [value("mag", [1, 1, bins]), value("memory", [2, 1, hidden])],
        [value("mask", [1, 1, bins]), value("memory_next", [2, 1, hidden])],
        weights,
    )


def conditional(seed=7):
    """Samples and a sample rate in, one path per rate: the shape of silero-vad's network."""
    rng = np.random.default_rng(seed)

    def branch(name, scale):
        weight = numpy_helper.from_array(matrix(rng, 128, 32) * np.float32(scale), f"{name}_w")
        node = helper.make_node("MatMul", ["joined", f"{name}_w"], [f"{name}_y"], name=f"{name}_product")
        return helper.make_graph([node], name, [], [value(f"{name}_y", ["b", 32])], [weight])

    nodes = [
        helper.make_node("Concat", ["state", "input"], ["joined"], axis=1),
        helper.make_node("Equal", ["sr", "rate"], ["wide"]),
        helper.make_node("If", ["wide"], ["y"], then_branch=branch("wide", 1.0), else_branch=branch("narrow", 3.0)),
        helper.make_node("Slice", ["joined", "from", "to", "axis"], ["stateN"]),
        helper.make_node("Tanh", ["y"], ["output"]),
    ]
    weights = {
        "rate": np.array(16000),
        "from": np.array([64]),
        "to": np.array([128]),
        "axis": np.array([1]),
    }
    return model_of(
        nodes,
        [value("input", ["b", "t"]), value("state", ["b", 64]), value("sr", [], TensorProto.INT64)],
        [value("output", ["b", 32]), value("stateN", ["b", 64])],
        weights,
    )


def save(model, path):
    path.write_bytes(model.SerializeToString())
    return path
