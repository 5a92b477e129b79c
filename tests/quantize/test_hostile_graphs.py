"""What a stranger's model may do to `edgevc quantize`: nothing but end with one line."""

import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
from helpers import streaming_nets as nets
from helpers.hostile_bundles import without_inputs, write_bundle
from helpers.tiny_bundle import write_tiny_bundle
from onnx import TensorProto, helper, numpy_helper

from edgevc.bundle import ModelBundle
from edgevc.cli import main
from edgevc.errors import ModelError
from edgevc.quantize.graph_file import read_onnx
from edgevc.quantize.prepare import load_graph_file
from edgevc.quantize.schemes.litert import LitertQuantizer
from edgevc.quantize.schemes.repack import repack

ODD = ["*_in=*_out"]
# ru_maxrss would begin with what the process had that started this one
PEAK = """
import sys
from edgevc.cli import main
code = main(sys.argv[1:])
(line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM:")]
print("peak", int(line.split()[1]) // 1024)
sys.exit(code)
"""


def command(*words, timeout=100):
    """Run the command in a process of its own; return exit code, stderr and peak memory in MB."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, "quantize", *map(str, words)], capture_output=True, text=True, timeout=timeout
    )
    peak = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("peak ")]
    return done.returncode, done.stderr, (peak or [0])[0]


def test_a_bundle_that_crashes_its_engine_ends_with_one_line(tmp_path):
    write_tiny_bundle(tmp_path / "whole")
    encoder = ModelBundle.open(tmp_path / "whole").read("encoder.tflite")
    write_bundle(tmp_path / "hostile", "litert", encoder_tflite=without_inputs(encoder))
    code, said, _ = command(tmp_path / "hostile", "-o", tmp_path / "out", "--drift-minutes", "0")
    assert code == 3, said
    assert said.splitlines()[-1].startswith("edgevc: ")
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def growing(path):
    """A graph whose state decides how many values it computes, more in each call."""
    model = nets.plain()
    model.graph.initializer.extend(
        [numpy_helper.from_array(np.array([8]), "eight"), numpy_helper.from_array(np.array([0]), "zero")]
    )
    model.graph.node[-1].output[0] = "y0"
    model.graph.node.extend(
        [
            helper.make_node("ReduceSum", ["h_in"], ["s"], keepdims=0),
            helper.make_node("Cast", ["s"], ["n0"], to=TensorProto.INT64),
            helper.make_node("Abs", ["n0"], ["n1"]),
            helper.make_node("Reshape", ["n1", "one"], ["n2"]),
            helper.make_node("Add", ["n2", "eight"], ["n"]),
            helper.make_node("ConstantOfShape", ["n"], ["many"]),
            helper.make_node("ReduceSum", ["many"], ["none"], keepdims=0),
            helper.make_node("Add", ["y0", "none"], ["y"]),
        ]
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "one"))
    onnx.checker.check_model(model)
    return nets.save(model, path)


def test_a_shape_that_a_state_decides_is_refused(tmp_path):
    with pytest.raises(ModelError, match="the shape that ConstantOfShape gives must follow from the file"):
        load_graph_file(growing(tmp_path / "net.onnx"), ODD)


def test_a_shape_that_values_decide_is_refused(tmp_path):
    model = nets.plain()
    model.graph.node[-1].output[0] = "y0"
    model.graph.node.extend(
        [
            helper.make_node("NonZero", ["y0"], ["where"]),
            helper.make_node("Cast", ["where"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["numbers"], ["sum"], keepdims=0),
            helper.make_node("Add", ["y0", "sum"], ["y"]),
        ]
    )
    with pytest.raises(ModelError, match="the shape that NonZero gives must follow from the file"):
        load_graph_file(nets.save(model, tmp_path / "net.onnx"), ODD)


def test_a_graph_that_takes_gigabytes_takes_them_in_a_child(tmp_path):
    model = nets.plain()
    model.graph.initializer.append(numpy_helper.from_array(np.array([1610612736]), "many"))
    model.graph.node[-1].output[0] = "y0"
    model.graph.node.extend(
        [
            helper.make_node("ConstantOfShape", ["many"], ["large"]),
            helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
            helper.make_node("Add", ["y0", "sum"], ["y"]),
        ]
    )
    started = time.monotonic()
    words = (nets.save(model, tmp_path / "net.onnx"), "-o", tmp_path / "o.onnx", "--state-pattern", ODD[0])
    code, said, peak = command(*words)
    assert code == 3, said
    assert len(said.splitlines()[-1]) < 600
    assert peak < 300
    assert time.monotonic() - started < 60
    assert not (tmp_path / "o.onnx").exists()


def test_a_million_sizes_are_not_multiplied():
    model = nets.plain()
    model.graph.initializer[0].dims[:] = [2] * 800_000
    started = time.monotonic()
    with pytest.raises(ModelError, match="8 dimensions"):
        read_onnx(model.SerializeToString(), "net.onnx")
    assert time.monotonic() - started < 5


def test_an_input_that_would_be_an_option_of_the_converter_is_refused(tmp_path, capfd):
    model = nets.plain()
    model.graph.input[0].name = model.graph.node[0].input[0] = "--output_folder_path"
    source = nets.save(model, tmp_path / "net.onnx")
    words = ["quantize", str(source), "-o", str(tmp_path / "o.tflite"), "--to", "tflite", "--tools-python", "/nowhere"]
    assert main(words) == 3
    assert "must not begin with '-', got '--output_folder_path'" in capfd.readouterr().err


def test_a_damaged_tflite_file_is_a_model_error(tiny_bundle, rng):
    """Bytes changed and files cut anywhere: whatever the reader meets there, one kind of error comes out."""
    whole = tiny_bundle.read("decoder.tflite")
    said = []
    for case in range(300):
        data = bytearray(whole)
        if case % 3 == 0:
            data = data[: rng.integers(8, len(data))]
        # most bytes are weights, where nothing is wrong: the tables lie at the end
        area = len(data) if case % 2 else min(len(data), 4000)
        for at in rng.integers(0, area, 12):
            data[-1 - at] = rng.integers(256)
        for work in (repack, lambda damaged: LitertQuantizer("decoder", damaged)):
            try:
                work(bytes(data))
            except ModelError as error:
                said.append(str(error))
    assert len(said) > 100
    assert not any("\n" in message for message in said)


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\0" * 64, bytes(range(256))])
def test_what_is_no_tflite_file_is_a_model_error(data):
    with pytest.raises(ModelError, match=r"damaged \.tflite file"):
        repack(data)
