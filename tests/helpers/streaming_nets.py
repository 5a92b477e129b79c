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


def plain(hop=160, hidden=128, kind=TensorProto.FLOAT, seed=0):
    """Samples in and out, one state: four products, in any kind of number."""
    rng = np.random.default_rng(seed)
    numbers = helper.tensor_dtype_to_np_dtype(kind)
    shapes = {"w1": (hop, hidden), "w2": (hidden, hidden), "w3": (hidden, hidden), "w4": (hidden, hop)}
    weights = {name: (rng.normal(size=shape) * shape[0] ** -0.5).astype(numbers) for name, shape in shapes.items()}
    weights["w2"] = weights["w2"] / numbers.type(2)
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], name="m1"),
        helper.make_node("MatMul", ["h_in", "w2"], ["b"], name="m2"),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Tanh", ["c"], ["h_out"]),
        helper.make_node("MatMul", ["h_out", "w3"], ["d"], name="m3"),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("MatMul", ["e", "w4"], ["y"], name="m4"),
    ]
    inputs, outputs = [value("x", [1, hop], kind), value("h_in", [1, hidden], kind)], [value("y", [1, hop], kind)]
    return model_of(nodes, inputs, [*outputs, value("h_out", [1, hidden], kind)], weights)


def with_table(seed=0):
    """`plain`, a layer that must stay float, and a table with most of the bytes, which no scheme makes small."""
    model = plain(seed=seed)
    rng = np.random.default_rng(seed)
    third = next(tensor for tensor in model.graph.initializer if tensor.name == "w3")
    loud = numpy_helper.to_array(third).copy()
    loud[5] *= 400
    third.CopyFrom(numpy_helper.from_array(loud, "w3"))
    model.graph.node[-1].output[0] = "f"
    constants = {
        "table": (1e-3 * rng.normal(size=(3000, 160))).astype(np.float32),
        "big": np.float32(1000),
        "first": np.array(0),
        "last": np.array(2999),
        "axis": np.array([1]),
    }
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items())
    model.graph.node.extend(
        [
            helper.make_node("ReduceMean", ["x"], ["p"], keepdims=1, axes=[1]),
            helper.make_node("Mul", ["p", "big"], ["p2"]),
            helper.make_node("Abs", ["p2"], ["p3"]),
            helper.make_node("Cast", ["p3"], ["i"], to=TensorProto.INT64),
            helper.make_node("Clip", ["i", "first", "last"], ["j"]),
            helper.make_node("Squeeze", ["j", "axis"], ["k"]),
            helper.make_node("Gather", ["table", "k"], ["t"], axis=0),
            helper.make_node("Add", ["f", "t"], ["y"]),
        ]
    )
    onnx.checker.check_model(model)
    return model


def rewritten(n_blocks=6, seed=0):
    """Batched products with a bias, which ONNX Runtime rewrites while it folds and again while it loads: FastEnhancer.

    512 samples in, 256 out, the others in a state.
    """
    rng = np.random.default_rng(seed)

    def weights_of(*shape):
        return (rng.normal(size=shape) * shape[0] ** -0.5).astype(np.float32)

    nodes = [helper.make_node("Slice", ["wav_in", "half", "whole", "axis"], ["new"])]
    nodes.append(helper.make_node("Reshape", ["new", "square"], ["c0"]))
    weights = {
        "half": np.array([256]), "whole": np.array([512]), "axis": np.array([1]), "square": np.array([1, 16, 16]),
        "row": np.array([1, 256]), "w": weights_of(256, 256),
    }  # fmt: skip
    for k in range(n_blocks):
        weights |= {f"w{k}": weights_of(16, 16), f"b{k}": weights_of(16)}
        nodes += [
            helper.make_node("MatMul", [f"c{k}", f"w{k}"], [f"p{k}"], name=f"m{k}"),
            helper.make_node("Add", [f"p{k}", f"b{k}"], [f"s{k}"]),
            helper.make_node("Transpose", [f"s{k}"], [f"t{k}"], perm=[0, 2, 1]),
            helper.make_node("Tanh", [f"t{k}"], [f"c{k + 1}"]),
        ]
    nodes += [
        helper.make_node("Reshape", [f"c{n_blocks}", "row"], ["d"]),
        helper.make_node("Add", ["d", "cache_in_0"], ["e"]),
        helper.make_node("MatMul", ["e", "w"], ["wav_out"], name="out"),
        helper.make_node("Tanh", ["e"], ["cache_out_0"]),
    ]
    inputs = [value("wav_in", [1, 512]), value("cache_in_0", [1, 256])]
    return model_of(nodes, inputs, [value("wav_out", [1, 256]), value("cache_out_0", [1, 256])], weights, opset=18)


def denoiser(seed=1, hidden=48, metadata=True):
    """A complex spectrum in and out, and three states: the shapes, the opset and the metadata of GTCRN.

    Its bands are read and written by large tables of indices, and constants are computed twice, as exporters leave it.
    """
    rng = np.random.default_rng(seed)
    n_bins = 257
    weights = {
        "w_in": matrix(rng, hidden, 2 * n_bins).T.copy(),
        "w": matrix(rng, 3 * hidden, hidden)[None],
        "r": matrix(rng, 3 * hidden, hidden)[None],
        "b": np.zeros((1, 6 * hidden), np.float32),
        "w_out": matrix(rng, 2 * n_bins, hidden).T.copy(),
        "flat": np.array([1, 2 * n_bins]),
        "step": np.array([1, 1, hidden]),
        "row": np.array([1, hidden]),
        "back": np.array([1, n_bins, 1, 2]),
        "keep": np.float32(0.6),
        "band_shape": np.array([33, 33, 1]),
        "bands": np.arange(33)[None, :, None],
        "again_shape": np.array([33, 33, 1]),
        "again": np.arange(33)[None, :, None],
    }
    nodes = [
        helper.make_node("Reshape", ["mix", "flat"], ["x"]),
        helper.make_node("MatMul", ["x", "w_in"], ["a"], name="seen"),
        helper.make_node("Tanh", ["a"], ["a2"]),
        helper.make_node("Reshape", ["a2", "step"], ["a3"]),
        helper.make_node(
            "GRU", ["a3", "w", "r", "b", "", "inter_cache"], ["all", "inter_cache_out"], name="rnn", hidden_size=hidden
        ),
        helper.make_node("Reshape", ["inter_cache_out", "row"], ["h"]),
        helper.make_node("MatMul", ["h", "w_out"], ["m"], name="mask"),
        helper.make_node("Reshape", ["m", "back"], ["m2"]),
        helper.make_node("Sigmoid", ["m2"], ["m3"]),
        helper.make_node("Mul", ["mix", "m3"], ["enh"]),
        # the same table of 33 x 33 indices, computed twice
        helper.make_node("Expand", ["bands", "band_shape"], ["table"]),
        helper.make_node("Expand", ["again", "again_shape"], ["table_again"]),
        helper.make_node("Mul", ["conv_cache", "keep"], ["kept"]),
        helper.make_node("GatherND", ["kept", "table"], ["moved"], batch_dims=1),
        helper.make_node("GatherND", ["moved", "table_again"], ["moved2"], batch_dims=1),
        helper.make_node("ReduceMean", ["a2"], ["level"], axes=[1], keepdims=1),
        helper.make_node("Add", ["moved2", "level"], ["conv_cache_out"]),
        helper.make_node("Mul", ["tra_cache", "keep"], ["t"]),
        helper.make_node("Add", ["t", "level"], ["tra_cache_out"]),
    ]
    model = model_of(
        nodes,
        [
            value("mix", [1, n_bins, 1, 2]),
            value("conv_cache", [33, 33]),
            value("tra_cache", [2, 16]),
            value("inter_cache", [1, 1, hidden]),
        ],
        [
            value("enh", [1, n_bins, 1, 2]),
            value("conv_cache_out", [33, 33]),
            value("tra_cache_out", [2, 16]),
            value("inter_cache_out", [1, 1, hidden]),
        ],
        weights,
        opset=12,
    )
    if metadata:
        facts = {"model_type": "gtcrn", "version": 1, "sample_rate": 16000, "n_fft": 512, "hop_length": 256}
        facts |= {"window_length": 512, "window_type": "hann_sqrt", "conv_cache_shape": "33,33"}
        for key, entry in facts.items():
            prop = model.metadata_props.add()
            prop.key, prop.value = key, str(entry)
        model.doc_string, model.producer_name, model.model_version = "a line of its author", "exporter", 3
        model.graph.input[0].doc_string = "one STFT frame, real and imaginary"
        model.graph.output[0].doc_string = "the same frame, cleaned"
    return model


def save(model, path):
    path.write_bytes(model.SerializeToString())
    return path
