"""Int8 products are exact on every processor, also where operators share their weights."""

import platform
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgevc.engines import onnx_overflow
from edgevc.engines.onnx import open_session
from edgevc.engines.onnx_overflow import may_overflow, with_own_weights
from edgevc.errors import ModelError

WEIGHTS = np.full((64, 16), 127, np.int8)
ZERO = np.zeros((), np.int8)


def shared():
    """Two products with the same weights, one behind the other."""
    nodes = [
        helper.make_node("MatMulInteger", ["x", "w", "", "zero"], ["first"]),
        helper.make_node("MatMulInteger", ["x", "w", "", "zero"], ["second"]),
        helper.make_node("Add", ["first", "second"], ["sum"]),
    ]
    graph = helper.make_graph(
        nodes,
        "shared",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [4, 64])],
        [helper.make_tensor_value_info("sum", TensorProto.INT32, [4, 16])],
        [numpy_helper.from_array(WEIGHTS, "w"), numpy_helper.from_array(ZERO, "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="test")
    return model.SerializeToString()


def test_the_largest_products_are_exact():
    x = np.full((4, 64), 255, np.uint8)
    (found,) = open_session(shared(), "shared.onnx", "").run(None, {"x": x})
    assert np.array_equal(found, np.full((4, 16), 2 * 64 * 255 * 127))


def test_every_operator_reads_constants_of_its_own_and_nothing_else_changes():
    before = onnx.load_model_from_string(shared())
    after = onnx.load_model_from_string(with_own_weights(shared()))
    onnx.checker.check_model(after)
    assert [list(node.input) for node in after.graph.node] == [
        ["x", "w", "", "zero"],
        ["x", "w/2", "", "zero/2"],
        ["first", "second"],
    ]
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in after.graph.initializer}
    assert constants.keys() == {"w", "w/2", "zero", "zero/2"}
    assert np.array_equal(constants["w/2"], WEIGHTS)
    assert constants["w/2"].dtype == np.int8
    for model in (before, after):
        del model.graph.initializer[:], model.graph.node[:]
    assert before == after


def test_a_file_in_which_nothing_is_shared_stays_as_it_is():
    model = onnx.load_model_from_string(shared())
    del model.graph.node[1:]
    model.graph.node[0].output[0] = "sum"
    assert with_own_weights(model.SerializeToString()) == model.SerializeToString()


def test_a_damaged_file_is_left_to_the_engine(monkeypatch):
    monkeypatch.setattr("edgevc.engines.onnx.may_overflow", lambda: True)
    assert with_own_weights(shared()[:-3]) == shared()[:-3]
    with pytest.raises(ModelError, match=r"cannot load one\.onnx"):
        open_session(shared()[:-3], "one.onnx", "")


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", "fpu sse4_1 avx2", True),
        ("x86_64", "fpu avx2 avx_vnni", False),
        ("x86_64", "fpu avx2 avx512f avx512_vnni", False),
        ("x86_64", None, True),
        ("aarch64", "fpu", False),
    ],
)
def test_only_an_x86_that_multiplies_into_16_bits_may_overflow(monkeypatch, machine, flags, expected):
    def read_text(path, **_):
        if flags is None:
            raise FileNotFoundError(path)
        return f"processor\t: 0\nflags\t\t: {flags}\n"

    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(Path, "read_text", read_text)
    may_overflow.cache_clear()
    try:
        assert may_overflow() is expected
    finally:
        may_overflow.cache_clear()


def test_a_session_of_such_a_processor_asks_for_the_exact_mode(monkeypatch):
    monkeypatch.setattr("edgevc.engines.onnx.may_overflow", lambda: True)
    options = open_session(shared(), "shared.onnx", "").get_session_options()
    assert options.get_session_config_entry(onnx_overflow.PRECISION_MODE) == "1"
