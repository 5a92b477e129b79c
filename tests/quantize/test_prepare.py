"""Bare graphs are read, their states found, their shapes fixed; what cannot be used is refused with a reason."""

import numpy as np
import onnx
import pytest
from helpers import streaming_nets as nets
from onnx import TensorProto, helper, numpy_helper

from edgevc.errors import ConfigError, ModelError
from edgevc.quantize.graph_file import find_states, read_onnx
from edgevc.quantize.prepare import load_graph_file
from edgevc.quantize.runners import OnnxRunner
from edgevc.quantize.schemes.onnx import OnnxQuantizer


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


ODD = ["*_in=*_out"]


def test_weights_listed_as_inputs_are_no_inputs(tmp_path):
    model = nets.plain()
    model.ir_version = 3
    model.graph.input.extend([nets.value(t.name, list(t.dims)) for t in model.graph.initializer])
    prepared = load_graph_file(nets.save(model, tmp_path / "net.onnx"), ODD)
    assert set(prepared.inputs) == {"x"}
    data = OnnxQuantizer(prepared).build("dynamic", frozenset())
    (y,) = OnnxRunner(prepared, data).run((np.ones((1, 160), np.float32),))
    assert y.shape == (1, 160)


def test_a_graph_of_states_only_is_judged_by_its_states(tmp_path, rng):
    model = nets.plain()
    model.graph.output.remove(next(v for v in model.graph.output if v.name == "y"))
    prepared = load_graph_file(nets.save(model, tmp_path / "net.onnx"), ODD)
    assert prepared.outputs == ("h_out",)
    runner = OnnxRunner(prepared, OnnxQuantizer(prepared).build("dynamic", frozenset()))
    frame = rng.normal(0, 0.1, (1, 160)).astype(np.float32)
    first, second = (runner.run((frame,))[0].copy() for _ in range(2))
    assert not np.array_equal(first, second), "the state did not come back"


@pytest.mark.parametrize(("kind", "name"), [(TensorProto.FLOAT16, "float16"), (TensorProto.DOUBLE, "float64")])
def test_other_numbers_than_float32_are_named(tmp_path, kind, name):
    with pytest.raises(ModelError, match=f"must be float32, x is {name}; export it in float32"):
        load_graph_file(nets.save(nets.plain(kind=kind), tmp_path / "net.onnx"), ODD)


def test_weights_of_another_type_inside_are_named(tmp_path):
    model = nets.plain()
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    model.graph.node[0].input[0] = "x16"
    model.graph.node.insert(0, helper.make_node("Cast", ["x"], ["x16"], to=TensorProto.FLOAT16))
    with pytest.raises(ModelError, match=r"the weights of MatMul 'm1' are float16; export it in float32"):
        load_graph_file(nets.save(model, tmp_path / "net.onnx"), ODD)


def grow(model):
    model.graph.input.append(nets.value("k_in", [1, "t", 8]))
    model.graph.output.append(nets.value("k_out", [1, "t2", 8]))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 1, 8), np.float32), "row"))
    model.graph.node.append(helper.make_node("Concat", ["k_in", "row"], ["k_out"], axis=1))
    return model


def test_a_state_that_grows_is_named_with_its_sizes(tmp_path):
    with pytest.raises(ModelError, match=r"state k_in must keep its shape, it has 1x1x8 .* k_out with 1x2x8; .*fixed"):
        load_graph_file(nets.save(grow(nets.plain()), tmp_path / "net.onnx"), ODD)


def test_what_an_engine_says_is_one_line(tmp_path):
    model = nets.plain()
    model.graph.node[-1].input[1] = "nothing"
    with pytest.raises(ModelError) as caught:
        load_graph_file(nets.save(model, tmp_path / "net.onnx"), ODD)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def external(model, path, **options):
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0, **options)
    return path


def test_weights_beside_the_graph_are_read(tmp_path):
    expected = load_graph_file(nets.save(nets.plain(), tmp_path / "one.onnx"), ODD)
    found = load_graph_file(external(nets.plain(), tmp_path / "net.onnx"), ODD)
    assert found.n_source_bytes == sum((tmp_path / name).stat().st_size for name in ("net.onnx", "weights.bin"))
    for one, other in zip(OnnxQuantizer(expected).layers, OnnxQuantizer(found).layers, strict=True):
        np.testing.assert_array_equal(one.weights[0], other.weights[0])


def redirect(path, **facts):
    """Change where a graph says that its weights lie."""
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = facts.get(entry.key, entry.value)
    return nets.save(model, path)


@pytest.mark.parametrize("location", ["/etc/passwd", "../weights.bin", "sub/../../weights.bin", "sub/weights.bin", ""])
def test_weights_outside_the_folder_are_not_read(tmp_path, location):
    path = external(nets.plain(), tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=r"external data outside its folder.*onnx\.load|no usable ONNX"):
        load_graph_file(redirect(path, location=location), ODD)


def test_a_link_to_another_file_is_not_followed(tmp_path):
    path = external(nets.plain(), tmp_path / "net.onnx")
    (tmp_path / "weights.bin").rename(tmp_path / "elsewhere.bin")
    (tmp_path / "weights.bin").symlink_to(tmp_path / "elsewhere.bin")
    with pytest.raises(ModelError, match="which is a link; put the file itself"):
        load_graph_file(path, ODD)


@pytest.mark.parametrize(
    "facts", [{"offset": "999999999"}, {"length": "999999999999"}, {"offset": "-4"}, {"length": "x"}]
)
def test_weights_that_are_not_all_there_are_told(tmp_path, facts):
    path = external(nets.plain(), tmp_path / "net.onnx")
    with pytest.raises(ModelError, match="must hold"):
        load_graph_file(redirect(path, **facts), ODD)


def test_missing_weights_are_told(tmp_path):
    path = external(nets.plain(), tmp_path / "net.onnx")
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match=r"weights\.bin, which is missing"):
        load_graph_file(path, ODD)


def test_equal_constants_are_stored_once_and_tables_of_indices_in_a_byte(tmp_path):
    path = nets.save(nets.denoiser(), tmp_path / "net.onnx")
    prepared = load_graph_file(path, ["*_cache=*_cache_out"])
    tables = [t for t in prepared.model.graph.initializer if list(t.dims) == [33, 33, 1]]
    assert [t.data_type for t in tables] == [TensorProto.UINT8]
    assert len(prepared.model.SerializeToString()) < path.stat().st_size + 4000


def test_every_name_inside_a_folded_graph_is_our_own(tmp_path):
    prepared = load_graph_file(nets.save(nets.rewritten(), tmp_path / "net.onnx"), ["cache_in_*=cache_out_*"])
    graph = prepared.model.graph
    outside = {"wav_in", "wav_out", "cache_in_0", "cache_out_0", ""}
    inner = {name for node in graph.node for name in (*node.input, *node.output)} - outside
    # ONNX Runtime has rewritten what it folded
    assert any("_token_" in name for name in inner)
    assert all(name.startswith("e/") for name in inner | {tensor.name for tensor in graph.initializer})
    assert not any(layer.name.startswith("e/") for layer in OnnxQuantizer(prepared).layers)


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
