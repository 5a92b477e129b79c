"""Hostile .tflite files, in the place of the tiny bundle's encoder."""

import struct

import numpy as np
from helpers.hostile_bundles import change_tflite, moving_arena, take_golden_outputs, write_bundle
from helpers.tiny_bundle import N_CONTENT, N_MELS, N_PHONES, TfliteFile, TfliteGraph, TinyNet, tflite, tflite_encoder

from hostile import case

LOG_MEL, LAST = 0, 1
"""Tensors of `encoder`: its inputs."""


def encoder(extra=None):
    """Return a small encoder; `extra(graph, hops)` adds to each of its graphs."""
    file, net = TfliteFile(), TinyNet()
    for hops in (1, 2, 4):
        graph = TfliteGraph(file)
        graph.tensor("log_mel", (hops, N_MELS))
        graph.tensor("state_last_in", (1, N_MELS))
        first = graph.constant("first", np.eye(1, N_MELS, dtype=np.float32))
        graph.add("ADD", [LAST, first], "state_last_out", (1, N_MELS), tflite.AddOptionsT())
        graph.linear(LOG_MEL, "content", hops, "content_w", net.content)
        logits = graph.linear(LOG_MEL, "logits", hops, "phones_w", net.phones)
        graph.add("LOG_SOFTMAX", [logits], "phones", (hops, N_PHONES), tflite.LogSoftmaxOptionsT())
        if extra is not None:
            extra(graph, hops)
        graph.finish(hops, ["log_mel", "state_last_in"], ["content", "phones", "state_last_out"])
    return file.pack()


def with_encoder(folder, data, golden=False):
    """Write the bundle; `golden`: its golden outputs are what the graph gives."""
    write_bundle(folder, "litert", encoder_tflite=data)
    if golden:
        take_golden_outputs(folder, "litert")


def rewired(folder, change, golden=False):
    """Write the bundle with an encoder after `change(model)`."""
    with_encoder(folder, change_tflite(encoder(), change), golden)


def operators(model):
    return [operator for graph in model.subgraphs for operator in graph.operators]


def tensors(model, shape):
    return [tensor for graph in model.subgraphs for tensor in graph.tensors if list(tensor.shape) == shape]


CONTENT_W = [N_CONTENT, N_MELS]


def cumsum_into(place):
    """Let an operator write where it must not: `place(graph)` is the tensor."""

    def extra(graph, hops):
        operator = tflite.OperatorT()
        axis = graph.constant("axis", np.array(0, np.int32))
        operator.opcodeIndex = graph.file.code("CUMSUM")
        operator.inputs, operator.outputs = [LAST, axis], [place(graph)]
        operator.builtinOptions = tflite.CumsumOptionsT()
        operator.builtinOptionsType = tflite.BuiltinOptions.CumsumOptions
        graph.graph.operators.append(operator)

    return encoder(extra)


@case("litert")
def operator_that_writes_a_constant(folder):
    with_encoder(folder, cumsum_into(lambda graph: graph.constant("victim", np.zeros((1, N_MELS), np.float32))))


@case("litert")
def operator_that_writes_an_input(folder):
    with_encoder(folder, cumsum_into(lambda graph: LAST))


@case("litert")
def operators_that_read_nothing(folder):
    def change(model):
        for operator in operators(model):
            operator.inputs = [-1] * len(operator.inputs)

    rewired(folder, change)


@case("litert")
def operators_without_inputs(folder):
    rewired(folder, lambda model: [setattr(operator, "inputs", []) for operator in operators(model)])


@case("litert")
def operators_without_outputs(folder):
    rewired(folder, lambda model: [setattr(graph.operators[1], "outputs", []) for graph in model.subgraphs])


@case("litert")
def options_of_another_operator(folder):
    def change(model):
        for operator in operators(model):
            operator.builtinOptions = tflite.Conv2DOptionsT()
            operator.builtinOptionsType = tflite.BuiltinOptions.Conv2DOptions

    rewired(folder, change)


@case("litert")
def tensors_without_dimensions(folder):
    def change(model):
        for graph in model.subgraphs:
            for tensor in graph.tensors[3:]:
                tensor.shape = []

    rewired(folder, change)


@case("litert")
def tensor_of_nothing(folder):
    rewired(folder, lambda model: [setattr(graph.tensors[5], "shape", [0, 0]) for graph in model.subgraphs])


@case("litert")
def weights_larger_than_their_buffer(folder):
    rewired(folder, lambda m: [setattr(tensor, "shape", [N_CONTENT, 4000]) for tensor in tensors(m, CONTENT_W)])


@case("litert", runs=True)
def intermediates_that_are_not_there(folder):
    def change(model):
        for operator in operators(model):
            operator.intermediates = [10**9, -5]

    rewired(folder, change, golden=True)


@case("litert")
def quantization_that_lies(folder):
    def change(model):
        for tensor in tensors(model, CONTENT_W):
            quantization = tflite.QuantizationParametersT()
            quantization.scale, quantization.zeroPoint = np.ones(3, np.float32), np.zeros(3, np.int64)
            quantization.quantizedDimension = 77
            tensor.quantization, tensor.type = quantization, tflite.TensorType.INT8

    rewired(folder, change)


@case("litert")
def float_weights_read_as_4_bit(folder):
    rewired(folder, lambda m: [setattr(tensor, "type", tflite.TensorType.INT4) for tensor in tensors(m, CONTENT_W)])


def first_code(folder, builtin, deprecated=None, custom=None):
    def change(model):
        code = model.operatorCodes[0]
        code.builtinCode = builtin
        if deprecated is not None:
            code.deprecatedBuiltinCode = deprecated
        if custom is not None:
            code.customCode = custom

    rewired(folder, change)


@case("litert")
def custom_operator(folder):
    first_code(folder, tflite.BuiltinOperator.CUSTOM, custom="Evil")


@case("litert")
def loop(folder):
    first_code(folder, tflite.BuiltinOperator.WHILE, deprecated=tflite.BuiltinOperator.WHILE)


@case("litert")
def custom_operator_behind_an_old_code(folder):
    first_code(folder, tflite.BuiltinOperator.CUSTOM, deprecated=0)


def with_metadata(folder, name, buffer):
    def change(model):
        entry = tflite.MetadataT()
        entry.name, entry.buffer = name, buffer
        model.metadata = [entry]

    rewired(folder, change, golden=True)


@case("litert", runs=True)
def metadata_that_an_engine_reads(folder):
    with_metadata(folder, "model_control_dependencies", 1)


@case("litert", runs=True)
def metadata_in_a_buffer_that_is_not_there(folder):
    with_metadata(folder, "reduced_precision_support", 10**6)


def first_buffer(folder, **values):
    def change(model):
        for name, value in values.items():
            setattr(model.buffers[1], name, value)

    rewired(folder, change)


@case("litert")
def buffer_outside_the_file(folder):
    first_buffer(folder, data=None, offset=2**40, size=4)


@case("litert")
def buffer_inside_and_outside(folder):
    first_buffer(folder, offset=8, size=10_000_000)


@case("litert")
def buffer_of_no_size_somewhere(folder):
    first_buffer(folder, data=None, offset=8, size=0)


@case("litert")
def more_operators_than_are_allowed(folder):
    def change(model):
        model.subgraphs[0].operators = [model.subgraphs[0].operators[1]] * 30_000

    rewired(folder, change)


@case("litert", runs=True)
def five_thousand_operators(folder):
    def extra(graph, hops):
        last = LOG_MEL
        for i in range(5000 if hops == 1 else 0):
            last = graph.add("ADD", [last, LOG_MEL], f"x{i}", (hops, N_MELS), tflite.AddOptionsT())

    with_encoder(folder, encoder(extra), golden=True)


@case("litert")
def gigabytes_late(folder):
    with_encoder(folder, moving_arena(TinyNet(), step=400_000_000))


@case("litert")
def memory_that_moves_late(folder):
    with_encoder(folder, moving_arena(TinyNet()))


@case("litert")
def vtable_before_the_file(folder):
    data = bytearray(tflite_encoder(TinyNet()))
    root = struct.unpack_from("<I", data, 0)[0]
    struct.pack_into("<i", data, root, -(len(data) - root - 1))
    with_encoder(folder, bytes(data))


@case("litert")
def root_that_is_itself(folder):
    data = bytearray(tflite_encoder(TinyNet()))
    struct.pack_into("<I", data, 0, 0)
    with_encoder(folder, bytes(data))


def tiled(times):
    """Return an encoder that tiles its input: constants of the file that ask for much."""

    def extra(graph, hops):
        tile = graph.constant(f"times_{times[0]}_{times[1]}", np.array(times, np.int32))
        tiled_shape = (hops * times[0], N_MELS * times[1])
        graph.add("TILE", [LOG_MEL, tile], "tiled", tiled_shape, tflite.TileOptionsT())

    return encoder(extra)


@case("litert")
def tile_that_says_how_large_it_is(folder):
    with_encoder(folder, tiled((10**4, 10**4)))


@case("litert")
def tile_that_lies_about_its_size(folder):
    def change(model):
        for graph in model.subgraphs:
            graph.tensors[-1].shape = [1, N_MELS]

    with_encoder(folder, change_tflite(tiled((10**4, 10**3)), change))


@case("litert")
def names_with_terminal_escapes(folder):
    def change(model):
        for signature in model.signatureDefs:
            signature.signatureKey = "\x1b]0;owned\x07\x1b[2J"

    rewired(folder, change)
