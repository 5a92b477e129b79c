"""Bare graphs are read, their states found, their shapes fixed; what cannot be used is refused with a reason."""

import numpy as np
import onnx
import pytest
import streaming_nets as nets
from onnx import helper

from edgevc.errors import ConfigError, ModelError
from edgevc.quantize.prepare import find_states, load_graph_file, read_onnx
from edgevc.quantize.schemes.onnx import OnnxQuantizer
from edgevc.quantize.subject import OnnxRunner


def test_states_are_found_by_our_own_naming(tmp_path):
    prepared = load_graph_file(nets.save(nets.mixer(), tmp_path / "net.onnx"))
    assert [(s.input, s.output) for s in prepared.states][:1] == [("state_block0_in", "state_block0_out")]
    assert len(prepared.states) == 4
    assert prepared.inputs == {"log_mel": (1, 80)}
    assert prepared.outputs == ("y",)


def test_other_names_are_given_by_a_pattern(tmp_path):
    path = nets.save(nets.lstm(), tmp_path / "net.onnx")
    prepared = load_graph_file(path, ["memory=memory_next"])
    assert prepared.state_shapes == {"memory": (2, 1, 48)}
    assert load_graph_file(path, ["mem*=mem*_next"]).states == prepared.states


def test_a_condition_on_a_constant_input_is_folded_away(tmp_path):
    path = nets.save(nets.conditional(), tmp_path / "net.onnx")
    prepared = load_graph_file(path, ["state=stateN"], {"input": (1, 64)}, {"sr": 16000.0})
    assert set(prepared.inputs) == {"input"}
    assert not [node for node in prepared.model.graph.node if node.op_type == "If"]
    assert [layer.op for layer in OnnxQuantizer(prepared).layers] == ["MatMul"]


def test_folding_changes_no_output(tmp_path, rng):
    import onnxruntime

    model = nets.mixer()
    prepared = load_graph_file(nets.save(model, tmp_path / "net.onnx"))
    frame = rng.standard_normal((1, 80)).astype(np.float32)
    feed = {"log_mel": frame} | {f"state_block{i}_in": np.zeros((1, nets.WIDTH), np.float32) for i in range(4)}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(["y"], feed)[0]
    found = OnnxRunner(prepared, prepared.model.SerializeToString()).run((frame,))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_graph_without_states_is_refused_with_its_names(tmp_path):
    path = nets.save(nets.lstm(), tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=r"has no states.*--state-pattern IN=OUT.*memory"):
        load_graph_file(path)


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        ("memory", ConfigError, "IN=OUT"),
        ("a*b*=c", ConfigError, "IN=OUT"),
        ("memory=nothing", ModelError, "must have the output nothing"),
        ("nothing=memory_next", ModelError, "matches no input"),
    ],
)
def test_a_wrong_pattern_is_refused(pattern, error, message):
    with pytest.raises(error, match=message):
        find_states(nets.lstm(), [pattern], "net.onnx")


def test_an_already_quantized_graph_is_refused(tmp_path):
    prepared = load_graph_file(nets.save(nets.mixer(), tmp_path / "net.onnx"))
    for scheme in ("dynamic", "weight-only"):
        data = OnnxQuantizer(prepared).build(scheme, frozenset())
        with pytest.raises(ModelError, match="already quantized"):
            read_onnx(data, "net.onnx")


def test_an_old_opset_is_refused():
    model = nets.mixer()
    model.opset_import[0].version = 8
    with pytest.raises(ModelError, match=r"opset 11 or newer, got 8|no usable ONNX"):
        read_onnx(model.SerializeToString(), "net.onnx")


def test_weights_in_another_file_are_refused():
    model = nets.mixer()
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    with pytest.raises(ModelError, match="external data"):
        read_onnx(model.SerializeToString(), "net.onnx")


@pytest.mark.parametrize("data", [b"", b"not a model", bytes(range(256)) * 40])
def test_what_is_no_onnx_file_is_refused(data):
    with pytest.raises(ModelError, match="no usable ONNX file"):
        read_onnx(data, "net.onnx")


def test_a_condition_that_stays_is_refused_with_its_name(tmp_path):
    path = nets.save(nets.conditional(), tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=r"If .*stays after folding.*--feed"):
        load_graph_file(path, ["state=stateN"], {"input": (1, 64)})


def test_shapes_that_do_not_fit_are_refused(tmp_path):
    path = nets.save(nets.lstm(), tmp_path / "net.onnx")
    with pytest.raises(ConfigError, match="has no input 'nothing'"):
        load_graph_file(path, ["memory=memory_next"], {"nothing": (1,)})
    with pytest.raises(ConfigError, match="must have 3 sizes"):
        load_graph_file(path, ["memory=memory_next"], {"mag": (1, 257)})
    with pytest.raises(ConfigError, match="fixes a size to 257"):
        load_graph_file(path, ["memory=memory_next"], {"mag": (1, 1, 256)})


def test_an_operator_of_an_unknown_domain_is_refused(tmp_path):
    model = nets.mixer()
    model.graph.node.append(helper.make_node("Secret", ["y"], ["z"], domain="someone.else"))
    model.opset_import.append(helper.make_opsetid("someone.else", 1))
    with pytest.raises(ModelError):
        load_graph_file(nets.save(model, tmp_path / "net.onnx"))
