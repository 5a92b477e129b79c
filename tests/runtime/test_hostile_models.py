"""A stranger's model decides nothing at run time: no shape, no address, no amount of memory."""

import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.hostile_bundles import change_tflite, moving_arena, take_golden_outputs, write_bundle
from helpers.tiny_bundle import TinyNet, tflite_encoder
from onnx import TensorProto, helper, numpy_helper

from edgevc.bundle import ModelBundle
from edgevc.engines import litert, load_graph
from edgevc.engines.onnx_file import check_onnx
from edgevc.engines.tflite_file import read_tflite
from edgevc.errors import ModelError

CONVERT = "import sys; from edgevc.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A bundle that passes every other check: for 16 hops, the golden ones, its memory lies still."""
    folder = tmp_path_factory.mktemp("moving") / "bundle"
    write_bundle(folder, "litert", encoder_tflite=moving_arena(TinyNet()))
    return folder


def test_a_shape_that_a_state_decides_is_refused_for_litert(moving):
    with pytest.raises(ModelError, match="the shape that FILL gives must stand in the file"):
        load_graph(ModelBundle.open(moving), "encoder", "litert", 1)


def test_the_command_ends_with_one_line_and_not_with_a_crash(moving, tmp_path):
    sentence = tmp_path / "in.wav"
    from edgevc.audio.wav_writer import write_wav

    write_wav(sentence, np.zeros(32_000, np.float32), 16_000)
    words = ["convert", sentence, tmp_path / "out.wav", "--voice", "first", "--engine", "litert", "--bundle", moving]
    done = subprocess.run([sys.executable, "-c", CONVERT, *map(str, words)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 3, done.stderr
    assert "must stand in the file" in done.stderr
    assert not (tmp_path / "out.wav").exists()


def test_memory_that_moves_all_the_same_is_noticed_before_it_is_touched(moving, monkeypatch):
    # as if the reader had let the graph through
    monkeypatch.setattr("edgevc.engines.tflite_file.SHAPE_INPUTS", {})
    take_golden_outputs(moving, "litert")
    graph = load_graph(ModelBundle.open(moving), "encoder", "litert", 1)
    state, hop = graph.new_state(), np.zeros((1, 80), np.float32)

    def run_for_hours():
        for _ in range(300):
            graph.run(state, hop)

    with pytest.raises(ModelError, match="moved the memory"):
        run_for_hours()


def test_the_address_of_a_graph_that_may_run_stays(tiny_bundle):
    graph = load_graph(tiny_bundle, "encoder", "litert", 1)
    assert isinstance(graph, litert.LitertGraph)
    state, hop = graph.new_state(), np.zeros((1, 80), np.float32)
    for _ in range(50):
        graph.run(state, hop)


def onnx_graph(nodes, constants=()):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    weights = [numpy_helper.from_array(np.asarray(array), name) for name, array in dict(constants).items()]
    return helper.make_model(helper.make_graph(nodes, "net", inputs, outputs, weights)).SerializeToString()


COUNT = helper.make_node("Cast", ["x"], ["count"], to=TensorProto.INT64)
TWO = np.array([2, 2], np.int64)


@pytest.mark.parametrize(
    ("operator", "inputs"),
    [
        ("Reshape", ["x", "count"]),
        ("Expand", ["x", "count"]),
        ("Tile", ["x", "count"]),
        ("ConstantOfShape", ["count"]),
        ("Range", ["count", "two", "two"]),
        ("Range", ["two", "count", "two"]),
        ("Range", ["two", "two", "count"]),
        ("Pad", ["x", "count"]),
        ("Pad", ["x", "two", "", "count"]),
        ("Slice", ["x", "count", "two"]),
        ("Slice", ["x", "two", "count"]),
        ("Slice", ["x", "two", "two", "count"]),
        ("Slice", ["x", "two", "two", "two", "count"]),
        ("Split", ["x", "count"]),
        ("Squeeze", ["x", "count"]),
        ("Unsqueeze", ["x", "count"]),
        ("ReduceSum", ["x", "count"]),
    ],
)
def test_a_shape_that_the_sound_decides_is_refused_for_onnx(operator, inputs):
    node = helper.make_node(operator, inputs, ["y"])
    with pytest.raises(ModelError, match=f"the shape that {operator} gives must follow from the file"):
        check_onnx(onnx_graph([COUNT, node], {"two": TWO}), "net.onnx")
    # through other operators, too
    through = [COUNT, helper.make_node("Mul", ["count", "two"], ["times"])]
    node = helper.make_node(operator, [{"count": "times"}.get(name, name) for name in inputs], ["y"])
    with pytest.raises(ModelError, match=f"the shape that {operator} gives"):
        check_onnx(onnx_graph([*through, node], {"two": TWO}), "net.onnx")


def test_shapes_that_follow_from_constants_and_from_the_inputs_shape_are_accepted():
    nodes = [
        helper.make_node("Shape", ["x"], ["size"]),
        helper.make_node("Gather", ["size", "first"], ["rows"]),
        helper.make_node("Mul", ["size", "size"], ["square"]),
        helper.make_node("Range", ["zero", "rows", "one"], ["places"]),
        helper.make_node("Reshape", ["x", "square"], ["y"]),
    ]
    numbers = {"first": np.int64(0), "zero": np.int64(0), "one": np.int64(1)}
    assert check_onnx(onnx_graph(nodes, numbers), "net.onnx") == ["n"]


def test_a_list_of_a_million_sizes_is_refused_at_once():
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2] * 800_000)
    graph = helper.make_graph([], "net", [], [], [tensor])
    with pytest.raises(ModelError, match="a tensor may have 8 dimensions"):
        check_onnx(helper.make_model(graph).SerializeToString(), "net.onnx")


def test_a_tflite_tensor_of_many_sizes_is_refused_at_once():
    def change(model):
        model.subgraphs[0].tensors[3].shape = [2**31 - 1] * 90_000

    data = change_tflite(tflite_encoder(TinyNet()), change)
    start = time.process_time()
    with pytest.raises(ModelError, match="a tensor may have 8 dimensions"):
        read_tflite(data, "net.tflite", "hops1")
    # measured 0.01 s; the product of all sizes has 840,000 digits
    assert time.process_time() - start < 0.5


def test_lists_that_many_tables_share_are_read_in_time_that_grows_with_the_bytes():
    data = bytearray(tflite_encoder(TinyNet()))
    # one long list behind the file, which the inputs of every operator are made to be
    start = len(data) + -len(data) % 4
    data += bytes(start - len(data)) + struct.pack("<I", 90_000) + bytes(4 * 90_000)

    def field(table, index):
        vtable = table - struct.unpack_from("<i", data, table)[0]
        return table + struct.unpack_from("<H", data, vtable + 4 + 2 * index)[0]

    def items(table, index):
        at = field(table, index)
        first = at + struct.unpack_from("<I", data, at)[0]
        count = struct.unpack_from("<I", data, first)[0]
        return [first + 4 + 4 * i + struct.unpack_from("<I", data, first + 4 + 4 * i)[0] for i in range(count)]

    graph = items(struct.unpack_from("<I", data, 0)[0], 2)[0]
    for tensor in items(graph, 0):
        at = field(tensor, 0)
        struct.pack_into("<I", data, at, start - at)
    for operator in items(graph, 3):
        for index in (1, 2):
            at = field(operator, index)
            struct.pack_into("<I", data, at, start - at)
    with pytest.raises(ModelError, match=r"lists have too many items|a tensor may have 8 dimensions"):
        read_tflite(bytes(data), "net.tflite", "hops1")


def test_free_dimensions_of_many_names_are_read_in_time_that_grows_with_the_bytes():
    inputs = [helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, [f"d{i}"]) for i in range(40_000)]
    data = helper.make_model(helper.make_graph([], "net", inputs, [])).SerializeToString()
    start = time.process_time()
    assert len(check_onnx(data, "net.onnx")) == 40_000
    # measured 0.4 s; looking each name up in a list took 12 s
    assert time.process_time() - start < 4


@pytest.mark.parametrize("name", ["default", "low-latency", "tiny"])
def test_the_shipped_graphs_have_fixed_shapes(name):
    bundle = ModelBundle.open(Path(__file__).resolve().parents[2] / "models" / name)
    for spec in bundle.graphs.values():
        check_onnx(bundle.read(spec.files["onnx"]), spec.files["onnx"])
        for hops in spec.chunk_hops:
            read_tflite(bundle.read(spec.files["litert"]), spec.files["litert"], f"hops{hops}")
