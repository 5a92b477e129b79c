"""Graphs that nobody vouched for meet an engine in a child process first."""

import numpy as np
import pytest
from helpers.hostile_bundles import without_inputs
from helpers.tiny_bundle import TinyNet, onnx_encoder, tflite_encoder
from onnx import TensorProto, helper, numpy_helper

from edgevc import children
from edgevc.engines.probe import GROWTH_LIMIT_BYTES, probe_graphs
from edgevc.errors import ModelError


def graph(nodes, **constants):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    weights = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "net", inputs, outputs, weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    return model.SerializeToString()


def test_good_graphs_pass():
    net = TinyNet()
    probe_graphs({"encoder.onnx": onnx_encoder(net)}, "onnx", (1, 4))
    probe_graphs({"encoder.tflite": tflite_encoder(net), "twin": tflite_encoder(net)}, "litert", (1, 2, 4))


def test_a_graph_that_needs_gigabytes_is_refused():
    shape = np.array([1 << 29], np.int64)
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["z"]), helper.make_node("ReduceSum", ["z"], ["y"])]
    with pytest.raises(ModelError, match=r"big\.onnx"):
        probe_graphs({"big.onnx": graph(nodes, shape=shape)}, "onnx")


def test_a_graph_that_needs_as_much_as_it_may_is_accepted():
    rows = GROWTH_LIMIT_BYTES // 4 // 16
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["z"]),
        helper.make_node("ReduceSum", ["z"], ["s"], keepdims=0),
        helper.make_node("Add", ["x", "s"], ["y"]),
    ]
    probe_graphs({"fits.onnx": graph(nodes, shape=np.array([rows, 4], np.int64))}, "onnx")


def test_a_graph_that_takes_for_ever_is_stopped_by_its_processor_time():
    # some 0.5 ms each, in memory that is within the limit
    nodes = [helper.make_node("Tile", ["x", "times"], ["t0"])]
    nodes += [helper.make_node("Sin", [f"t{i}"], [f"t{i + 1}"]) for i in range(6000)]
    nodes.append(helper.make_node("ReduceSum", ["t6000"], ["y"]))
    with pytest.raises(ModelError, match=r"processor time, which was not enough while it was to run slow\.onnx"):
        probe_graphs({"slow.onnx": graph(nodes, times=np.array([256, 128], np.int64))}, "onnx")


def test_an_input_that_is_left_out_never_reaches_the_engine():
    # LiteRT 2.3 crashes on it in one of six runs
    with pytest.raises(ModelError, match=r"odd\.tflite is not a whole \.tflite file: an input of \w+ is left out"):
        probe_graphs({"odd.tflite": without_inputs(tflite_encoder(TinyNet()))}, "litert")


def test_a_crash_is_told_with_what_was_done_then(monkeypatch):
    crash = "import os, signal\nfrom edgevc.engines import probe\n"
    crash += "probe.try_onnx = lambda *_: os.kill(os.getpid(), signal.SIGSEGV)"
    start, call = children.START.split("getattr(", 1)
    monkeypatch.setattr(children, "START", f"{start}exec({crash!r}, {{}})\ngetattr({call}")
    with pytest.raises(ModelError, match=r"survive a\.onnx, it ended with SIGSEGV while it was to load a\.onnx"):
        probe_graphs({"a.onnx": b""}, "onnx")


def test_a_damaged_file_is_refused():
    with pytest.raises(ModelError, match=r"cut\.onnx"):
        probe_graphs({"cut.onnx": onnx_encoder(TinyNet())[:500]}, "onnx")
    with pytest.raises(ModelError, match=r"cut\.tflite"):
        probe_graphs({"cut.tflite": tflite_encoder(TinyNet())[:500]}, "litert")
