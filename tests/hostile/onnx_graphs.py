"""Hostile graphs for ONNX Runtime, in the place of the tiny bundle's encoder or decoder."""

import numpy as np
from helpers.hostile_bundles import take_golden_outputs, write_bundle
from helpers.tiny_bundle import N_CONTENT, N_FILTERS, N_MELS, N_PHONES, N_VOICE, TinyNet
from onnx import TensorProto, helper, numpy_helper

from hostile import case

node, info = helper.make_node, helper.make_tensor_value_info
LATE = 60
"""Hops after which some graphs turn bad: the golden vectors have 16."""


def model_of(nodes, inputs, outputs, weights, change=None, domains=(("", 17),)):
    """Return a file's bytes; `change(model)` is the last word."""
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    values = [[info(name, TensorProto.FLOAT, shape) for name, shape in part.items()] for part in (inputs, outputs)]
    graph = helper.make_graph(nodes, "hostile", *values, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*one) for one in domains], ir_version=8)
    if change is not None:
        change(model)
    return model.SerializeToString()


def encoder(*extra, content=None, phones=None, change=None, domains=(("", 17),), **weights):
    """Return an encoder whose state counts the hops at [0, 0], with more nodes and weights."""
    net = TinyNet()
    weights = {"content_w": net.content, "phones_w": net.phones, "first": np.eye(1, N_MELS, dtype=np.float32)} | weights
    nodes = [node("Add", ["state_last_in", "first"], ["state_last_out"])]
    nodes.append(node("MatMul", ["log_mel", "phones_w"], ["logits"]))
    nodes += content or [node("MatMul", ["log_mel", "content_w"], ["content"])]
    nodes += phones or [node("LogSoftmax", ["logits"], ["phones"], axis=-1)]
    return model_of(
        [*nodes, *extra],
        {"log_mel": ["hops", N_MELS], "state_last_in": [1, N_MELS]},
        {"content": ["hops", N_CONTENT], "phones": ["hops", N_PHONES], "state_last_out": [1, N_MELS]},
        weights, change, domains,
    )  # fmt: skip


def decoder(*nodes, **weights):
    """Return a decoder whose state counts the calls at [0, 0]; `nodes` make `filters`."""
    first = np.zeros((2, N_CONTENT), np.float32)
    first[0, 0] = 1
    return model_of(
        [node("Add", ["state_past_in", "first"], ["state_past_out"]), *nodes],
        {"content": ["hops", N_CONTENT], "pitch": ["hops", 4], "voice": [1, N_VOICE], "state_past_in": [2, N_CONTENT]},
        {"filters": ["hops", N_FILTERS], "state_past_out": [2, N_CONTENT]},
        {"first": first} | weights,
    )


PLACES = {"zero": np.array([0], np.int64), "one": np.array([1], np.int64)}


def count_in(state):
    """Return nodes that make `count` (1,) of the hops that a state has counted; they need PLACES."""
    return [
        node("Slice", [state, "zero", "one", "zero"], ["count_row"]),
        node("Slice", ["count_row", "zero", "one", "one"], ["count_2d"]),
        node("Reshape", ["count_2d", "one"], ["count"]),
    ]


def late(state="state_last_in"):
    """Return nodes that make `late`, 1 after LATE hops and 0 before, and their weights."""
    is_late = node("Greater", ["count", "limit"], ["is_late"])
    nodes = [*count_in(state), is_late, node("Cast", ["is_late"], ["late"], to=TensorProto.FLOAT)]
    return nodes, PLACES | {"limit": np.array([LATE], np.float32)}


def size_when_late(elements):
    """Return nodes that make `size`, 1 at first and `elements` after LATE hops, and their weights."""
    nodes, weights = late()
    nodes += [node("Mul", ["late", "elements"], ["grown"]), node("Add", ["grown", "unit"], ["size_float"])]
    nodes.append(node("Cast", ["size_float"], ["size"], to=TensorProto.INT64))
    return nodes, weights | {"elements": np.array([elements], np.float32), "unit": np.ones(1, np.float32)}


def with_encoder(folder, data, golden=False):
    """Write the bundle; `golden`: its golden outputs are what the graph gives."""
    write_bundle(folder, "onnx", encoder_onnx=data)
    if golden:
        take_golden_outputs(folder, "onnx")


def with_decoder(folder, *nodes, **weights):
    """Write the bundle; its golden outputs are what the graph gives, which is good for 16 hops."""
    write_bundle(folder, "onnx", decoder_onnx=decoder(*nodes, **weights))
    take_golden_outputs(folder, "onnx")


# ---- what a graph may reach


def outside(tensor, path):
    """Let a tensor's values lie in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=path)


@case("onnx")
def weights_in_another_file(folder):
    with_encoder(folder, encoder(change=lambda m: outside(m.graph.initializer[0], "../../../../../etc/passwd")))


@case("onnx")
def constant_in_another_file(folder):
    constant = node("Constant", [], ["c"], value=numpy_helper.from_array(np.zeros((1, 4), np.float32)))
    outside(constant.attribute[0].t, "../../../../etc/passwd")
    with_encoder(folder, encoder(constant))


@case("onnx")
def another_file_without_the_flag(folder):
    def change(model):
        model.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")

    with_encoder(folder, encoder(change=change))


@case("onnx")
def custom_operator(folder):
    with_encoder(folder, encoder(node("Evil", ["log_mel"], ["x"], domain="evil")))


@case("onnx")
def operator_of_the_engine_that_is_not_listed(folder):
    with_encoder(folder, encoder(node("Tokenizer", ["log_mel"], ["x"], domain="com.microsoft")))


def inner_graph():
    return helper.make_graph([node("Identity", ["log_mel"], ["y"])], "inner", [], [info("y", 1, None)])


@case("onnx")
def condition(folder):
    branch = node("If", ["b"], ["z"], then_branch=inner_graph(), else_branch=inner_graph())
    with_encoder(folder, encoder(branch, b=np.array(True)))


@case("onnx")
def loop_without_end(folder):
    loop = node("Loop", ["n", "b"], [], body=inner_graph())
    with_encoder(folder, encoder(loop, b=np.array(True), n=np.array(2**62)))


@case("onnx")
def graph_hidden_in_a_plain_operator(folder):
    with_encoder(folder, encoder(node("Identity", ["log_mel"], ["z"], body=inner_graph())))


@case("onnx")
def functions(folder):
    with_encoder(folder, encoder(change=lambda m: m.functions.add(name="f", domain="x")))


@case("onnx")
def text_tensor(folder):
    texts = np.array(["a" * 1000] * 1000, object)
    with_encoder(folder, encoder(node("Identity", ["texts"], ["z"]), texts=texts))


@case("onnx")
def circle(folder):
    with_encoder(folder, encoder(node("Add", ["p", "log_mel"], ["q"]), node("Add", ["q", "log_mel"], ["p"])))


@case("onnx")
def operator_that_reads_itself(folder):
    with_encoder(folder, encoder(node("Add", ["p", "p"], ["p"])))


# ---- sizes


def constant_of_dims(dims):
    constant = node("Constant", [], ["c"], value=numpy_helper.from_array(np.zeros((1,), np.float32)))
    constant.attribute[0].t.dims[:] = dims
    return encoder(constant)


@case("onnx")
def constant_of_a_terabyte(folder):
    with_encoder(folder, constant_of_dims([2**40]))


@case("onnx")
def constant_of_nothing_times_much(folder):
    with_encoder(folder, constant_of_dims([0, 2**62, 2**62]))


@case("onnx")
def constant_of_negative_size(folder):
    with_encoder(folder, constant_of_dims([-1, -1]))


@case("onnx")
def constant_of_a_million_dimensions(folder):
    with_encoder(folder, constant_of_dims([2] * 1_000_000))


def filled(elements):
    nodes = [node("ConstantOfShape", ["size"], ["z"]), node("ReduceSum", ["z"], ["sum"], keepdims=0)]
    return encoder(*nodes, size=np.array([elements], np.int64))


@case("onnx")
def fill_of_two_gigabytes(folder):
    with_encoder(folder, filled(2**29))


@case("onnx")
def fill_of_256_gigabytes(folder):
    with_encoder(folder, filled(2**36))


@case("onnx")
def tile_of_terabytes(folder):
    with_encoder(folder, encoder(node("Tile", ["log_mel", "times"], ["z"]), times=np.array([10**6, 10**5], np.int64)))


@case("onnx")
def expand_of_a_gigabyte(folder):
    wide = np.array([4 * 10**6, 1, N_MELS], np.int64)
    with_encoder(folder, encoder(node("Expand", ["log_mel", "wide"], ["z"]), wide=wide))


@case("onnx")
def range_of_terabytes(folder):
    weights = {"start": np.int64(0), "end": np.int64(2**40), "step": np.int64(1)}
    with_encoder(folder, encoder(node("Range", ["start", "end", "step"], ["z"]), **weights))


@case("onnx")
def tiles_that_multiply(folder):
    nodes = [node("Tile", [f"t{i}", "times"], [f"t{i + 1}"]) for i in range(12)]
    with_encoder(folder, encoder(*nodes, t0=np.ones(4, np.float32), times=np.array([16], np.int64)))


@case("onnx")
def concatenations_that_double(folder):
    nodes = [node("Identity", ["log_mel"], ["t0"])]
    nodes += [node("Concat", [f"t{i}", f"t{i}"], [f"t{i + 1}"], axis=0) for i in range(36)]
    with_encoder(folder, encoder(*nodes))


@case("onnx")
def recurrent_layer_of_a_billion_units(folder):
    nodes = [node("Unsqueeze", ["log_mel", "zero"], ["x3"])]
    nodes.append(node("LSTM", ["x3", "w", "r"], ["y1"], hidden_size=2**30))
    weights = {"w": np.zeros((1, 16, N_MELS), np.float32), "r": np.zeros((1, 16, 4), np.float32)}
    with_encoder(folder, encoder(*nodes, **PLACES, **weights))


@case("onnx")
def pooling_over_everything(folder):
    pool = {"kernel_shape": [2**31 - 1] * 2, "pads": [2**31 - 2] * 4, "strides": [1, 1]}
    nodes = [node("Unsqueeze", ["log_mel", "axes"], ["x4"]), node("AveragePool", ["x4"], ["y1"], **pool)]
    with_encoder(folder, encoder(*nodes, axes=np.array([0, 1], np.int64)))


@case("onnx")
def convolution_with_endless_padding(folder):
    nodes = [node("Unsqueeze", ["log_mel", "zero"], ["x3"])]
    nodes.append(node("Conv", ["x3", "w"], ["y1"], kernel_shape=[1], pads=[2**62, 2**62]))
    with_encoder(folder, encoder(*nodes, **PLACES, w=np.zeros((4, 1, 1), np.float32)))


@case("onnx")
def four_bit_product_of_wrong_size(folder):
    options = {"K": N_MELS, "N": 2**28, "bits": 4, "block_size": 16}
    product = node("MatMulNBits", ["log_mel", "q", "s"], ["y1"], domain="com.microsoft", **options)
    weights = {"q": np.zeros((4, 5, 8), np.uint8), "s": np.zeros(20, np.float32)}
    with_encoder(folder, encoder(product, domains=(("", 17), ("com.microsoft", 1)), **weights))


@case("onnx")
def look_up_outside_the_table(folder):
    table = node("GatherElements", ["log_mel", "places"], ["y1"], axis=1)
    with_encoder(folder, encoder(table, places=np.full((1, 4), 2**40, np.int64)))


# ---- time


@case("onnx")
def more_operators_than_are_allowed(folder):
    with_encoder(folder, encoder(*[node("Abs", ["log_mel"], [f"t{i}"]) for i in range(20_000)]))


@case("onnx", runs=True)
def three_thousand_operators(folder):
    chain = [node("Add", [f"t{i}" if i else "log_mel", "log_mel"], [f"t{i + 1}"]) for i in range(3_000)]
    with_encoder(folder, encoder(*chain), golden=True)


def work(folder, n_products):
    """Let a hop be so many products of 512 x 1024 and 1024 x 1024, some 10 ms each."""
    slices = {"z0": np.array([0], np.int64), "z1": np.array([1024], np.int64), "ax": np.array([1], np.int64)}
    nodes = [node("Tile", ["log_mel", "times"], ["wide"]), node("Slice", ["wide", "z0", "z1", "ax"], ["t0"])]
    nodes += [node("MatMul", [f"t{i}", "w"], [f"t{i + 1}"]) for i in range(n_products)]
    last = f"t{n_products}"
    nodes += [node("ReduceMean", [last], ["mean"], keepdims=0), node("MatMul", ["log_mel", "content_w"], ["c0"])]
    nodes.append(node("Add", ["c0", "mean"], ["content"]))
    weights = slices | {"w": np.eye(1024, dtype=np.float32), "times": np.array([512, 13], np.int64)}
    with_encoder(folder, encoder(content=nodes, **weights))


@case("onnx")
def seconds_of_work_in_each_hop(folder):
    work(folder, 2_000)


@case("onnx")
def a_hop_that_takes_longer_than_it_sounds(folder):
    work(folder, 6)


# ---- what changes after the golden vectors


@case("onnx")
def output_shape_that_lies(folder):
    nodes = [node("MatMul", ["log_mel", "content_w"], ["c0"]), node("Concat", ["c0"] * 9, ["content"], axis=0)]
    with_encoder(folder, encoder(content=nodes))


@case("onnx")
def output_that_grows_late(folder):
    nodes, weights = size_when_late(9000)
    nodes += [node("Concat", ["size", "one"], ["times"], axis=0), node("MatMul", ["log_mel", "content_w"], ["c0"])]
    with_encoder(folder, encoder(content=[*nodes, node("Tile", ["c0", "times"], ["content"])], **weights))


@case("onnx")
def six_gigabytes_late(folder):
    nodes, weights = size_when_late(1.5 * 2**30)
    nodes += [node("ConstantOfShape", ["size"], ["z"]), node("ReduceSum", ["z"], ["sum"], keepdims=0)]
    nodes += [node("MatMul", ["log_mel", "content_w"], ["c0"]), node("Add", ["c0", "sum"], ["content"])]
    with_encoder(folder, encoder(content=nodes, **weights))


@case("onnx")
def half_a_minute_for_a_hop_late(folder):
    nodes, weights = size_when_late(5e7)
    nodes.append(node("ConstantOfShape", ["size"], ["z0"]))
    nodes += [node("Erf" if i % 2 else "Sin", [f"z{i}"], [f"z{i + 1}"]) for i in range(60)]
    nodes += [node("ReduceSum", ["z60"], ["sum"], keepdims=0), node("MatMul", ["log_mel", "content_w"], ["c0"])]
    with_encoder(folder, encoder(content=[*nodes, node("Add", ["c0", "sum"], ["content"])], **weights))


@case("onnx", runs=True)
def content_that_becomes_no_number(folder):
    nodes = [*count_in("state_last_in"), node("Sub", ["limit", "count"], ["left"]), node("Sqrt", ["left"], ["root"])]
    nodes += [node("Mul", ["root", "nothing"], ["none"]), node("MatMul", ["log_mel", "content_w"], ["c0"])]
    weights = PLACES | {"limit": np.array([LATE], np.float32), "nothing": np.zeros(1, np.float32)}
    data = encoder(content=[*nodes, node("Add", ["c0", "none"], ["content"])], **weights)
    with_encoder(folder, data, golden=True)


def phones_case(folder, value, through_exp=False):
    nodes, weights = late()
    nodes += [node("Mul", ["late", "value"], ["late_value"]), node("LogSoftmax", ["logits"], ["p0"], axis=-1)]
    nodes.append(node("Add", ["p0", "late_value"], ["p1" if through_exp else "phones"]))
    if through_exp:
        nodes += [node("Exp", ["p1"], ["p2"]), node("Add", ["p1", "p2"], ["phones"])]
    data = encoder(phones=nodes, **weights, value=np.array([value], np.float32))
    write_bundle(folder, "onnx", phones=["SIL", *(f"P{i}" for i in range(39))], encoder_onnx=data)
    take_golden_outputs(folder, "onnx")


@case("onnx", runs=True)
def log_probabilities_of_a_thousand(folder):
    phones_case(folder, 1000)


@case("onnx", runs=True)
def log_probabilities_without_end(folder):
    phones_case(folder, 3e38, through_exp=True)


def filters_case(folder, *nodes, **weights):
    """Let filters be quiet at first; `nodes` make `filters` of `quiet` and `late_value`, `value` after LATE hops."""
    beginning, places = late("state_past_in")
    beginning += [node("MatMul", ["content", "filters_w"], ["loud"]), node("Mul", ["loud", "small"], ["quiet"])]
    beginning.append(node("Mul", ["late", "value"], ["late_value"]))
    weights |= {"filters_w": TinyNet().filters, "small": np.float32(0.01)}
    with_decoder(folder, *beginning, *nodes, **places, **weights)


def add_late(folder, value, through=None):
    nodes = [node(through, ["late_value"], ["added"])] if through else [node("Identity", ["late_value"], ["added"])]
    nodes.append(node("Add", ["quiet", "added"], ["filters"]))
    filters_case(folder, *nodes, value=np.array([value], np.float32))


@case("onnx", runs=True)
def filters_of_1e30(folder):
    add_late(folder, 1e30)


@case("onnx", runs=True)
def filters_of_minus_1e30(folder):
    add_late(folder, -1e30)


@case("onnx", runs=True)
def filters_without_end(folder):
    add_late(folder, 1e30, "Exp")


@case("onnx", runs=True)
def filters_that_are_no_numbers(folder):
    add_late(folder, -1, "Sqrt")


@case("onnx", runs=True)
def filters_with_a_gain_at_0_hz_only(folder):
    gains = np.full((1, N_FILTERS), -20, np.float32)
    gains[0, 0] = gains[0, N_FILTERS // 3 * 2] = 1e3
    nodes = [node("Mul", ["quiet", "none"], ["flat"]), node("Add", ["flat", "gains"], ["filters"])]
    filters_case(folder, *nodes, gains=gains, none=np.float32(0), value=np.zeros(1, np.float32))
