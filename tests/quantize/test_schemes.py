"""Every scheme against the float graph, and against the engines' own quantizers."""

import numpy as np
import pytest
from helpers import streaming_nets as nets

from edgevc.errors import ConfigError
from edgevc.quantize.graph_file import find_states
from edgevc.quantize.layers import INPUT, OUTPUT, outliers, select, sqnr_db, weight_sqnr_db
from edgevc.quantize.prepare import describe, load_graph_file
from edgevc.quantize.runners import OnnxRunner
from edgevc.quantize.schemes.litert import LitertQuantizer, fingerprint
from edgevc.quantize.schemes.onnx import OnnxQuantizer

LEAST_SQNR_DB = {"dynamic": 30.0, "static": 30.0, "weight-only": 35.0}
"""Over 60 hops of noise; measured 36.7, 36.2 and 43.1."""
SAME_AS_ONNXRUNTIME_DB = 1.0


def frames(rng, n=60):
    return [(row[None].astype(np.float32),) for row in rng.standard_normal((n, 80))]


@pytest.fixture
def net(tmp_path):
    return load_graph_file(nets.save(nets.mixer(), tmp_path / "net.onnx"))


def ranges_of(prepared, quantizer, calls):
    names = sorted({quantizer.activation(layer.name) for layer in quantizer.layers} - set(prepared.inputs))
    model = type(prepared.model)()
    model.CopyFrom(prepared.model)
    for name in names:
        model.graph.output.add().name = name
        model.graph.output[-1].type.tensor_type.elem_type = 1
    played = OnnxRunner(prepared, model.SerializeToString(), names).play(calls)
    found = {name: (float(array.min()), float(array.max())) for name, array in zip(names, played, strict=True)}
    everything = np.concatenate([call[0] for call in calls])
    return found | {"log_mel": (float(everything.min()), float(everything.max()))}


def sqnr_of(prepared, data, calls):
    exact = OnnxRunner(prepared, prepared.model.SerializeToString()).play(calls)[0]
    return sqnr_db(exact, OnnxRunner(prepared, data).play(calls)[0])


@pytest.mark.parametrize("scheme", ["dynamic", "static", "weight-only"])
def test_a_scheme_is_near_float_and_four_times_smaller(net, rng, scheme):
    quantizer, calls = OnnxQuantizer(net), frames(rng)
    data = quantizer.build(scheme, frozenset(), ranges_of(net, quantizer, calls))
    assert sqnr_of(net, data, calls) > LEAST_SQNR_DB[scheme]
    assert len(data) < 0.36 * len(net.model.SerializeToString())


def test_the_same_input_gives_the_same_file(net, rng):
    calls = frames(rng)
    files = []
    for _ in range(2):
        quantizer = OnnxQuantizer(net)
        files.append(quantizer.build("static", frozenset(), ranges_of(net, quantizer, calls)))
    assert files[0] == files[1]


def test_dynamic_and_static_are_as_exact_as_onnxruntimes_own(net, rng, tmp_path):
    from onnxruntime import quantization as ort

    quantizer, calls = OnnxQuantizer(net), frames(rng)
    source, target = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    nets.save(net.model, source)
    ort.quantize_dynamic(source, target, per_channel=True, weight_type=ort.QuantType.QInt8)
    theirs = sqnr_of(net, target.read_bytes(), calls)
    ours = sqnr_of(net, quantizer.build("dynamic", frozenset()), calls)
    assert ours > theirs - SAME_AS_ONNXRUNTIME_DB


def test_layers_that_stay_float_are_float_in_the_file(net):
    import onnx

    quantizer = OnnxQuantizer(net)
    model = onnx.load_model_from_string(quantizer.build("dynamic", frozenset({"head", "blocks.1.expand"})))
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert kinds["e/head.weight"] == kinds["e/blocks.1.expand.weight"] == onnx.TensorProto.FLOAT
    assert "e/blocks.0.expand.weight" not in kinds
    assert [n.op_type for n in model.graph.node].count("Gemm") == 2


def test_the_first_layer_and_the_head_are_found(net):
    near = {layer.name: layer.place for layer in OnnxQuantizer(net).layers if layer.place}
    assert near == {"input": INPUT, "head": OUTPUT}


def test_all_layers_float_is_the_float_model(net, rng):
    quantizer, calls = OnnxQuantizer(net), frames(rng)
    data = quantizer.build("dynamic", frozenset(layer.name for layer in quantizer.layers))
    assert sqnr_of(net, data, calls) > 120


def test_an_lstm_becomes_int8_in_the_dynamic_scheme(tmp_path, rng):
    path = nets.save(nets.lstm(), tmp_path / "net.onnx")
    prepared = load_graph_file(path, ["memory=memory_next"])
    quantizer = OnnxQuantizer(prepared)
    assert [layer.op for layer in quantizer.layers] == ["LSTM", "MatMul"] or [
        layer.op for layer in quantizer.layers
    ] == ["LSTM", "Gemm"]
    data = quantizer.build("dynamic", frozenset())
    assert len(data) < 0.33 * path.stat().st_size
    calls = [(np.abs(rng.standard_normal((1, 1, 257))).astype(np.float32),) for _ in range(80)]
    assert sqnr_of(prepared, data, calls) > 30
    assert "LSTM" in quantizer.refusal(quantizer.layers[0].name, "static")


def test_weights_that_two_operators_share_are_stored_once(tmp_path, rng):
    model = nets.mixer(n_blocks=2)
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name.startswith("blocks.1."):
                node.input[i] = name.replace("blocks.1.", "blocks.0.")
    kept = [t for t in model.graph.initializer if not t.name.startswith("blocks.1.")]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    prepared = describe("net", model, find_states(model, (), "net"))
    quantizer = OnnxQuantizer(prepared)
    for scheme in ("dynamic", "weight-only"):
        data = quantizer.build(scheme, frozenset())
        assert data.count(quantizer.layers[1].weights[0][:1].tobytes()) == 0
        assert len(data) < 0.36 * len(model.SerializeToString())
        assert sqnr_of(prepared, data, frames(rng)) > 30


def test_an_unknown_scheme_is_refused(net):
    with pytest.raises(ConfigError, match="scheme must be one of"):
        OnnxQuantizer(net).build("int3", frozenset())


def test_a_poisoned_channel_stands_out(net, tmp_path):
    model = nets.mixer(poison=(2, 5, 1000.0))
    poisoned = OnnxQuantizer(load_graph_file(nets.save(model, tmp_path / "p.onnx")))
    ratios = {layer.name: outliers(layer) for layer in poisoned.layers}
    assert ratios["blocks.2.expand"][0] > 500
    assert ratios["blocks.2.expand"][1] == 5
    assert all(ratio < 5 for name, (ratio, _) in ratios.items() if not name.startswith("blocks.2."))


def test_weight_figures_are_those_of_their_rounding(net):
    layer = OnnxQuantizer(net).layers[1]
    # uniform rounding of a normal row: 127 steps for some 2.9 sigma
    assert 38 < weight_sqnr_db(layer) < 45


def test_patterns_choose_layers_and_a_typo_is_told():
    paths = ["encoder/input", "encoder/blocks.0.expand", "decoder/input"]
    assert select(paths, ["encoder/*"], "--keep-float") == set(paths[:2])
    assert select(paths, ["input"], "--keep-float") == {"encoder/input", "decoder/input"}
    with pytest.raises(ConfigError, match=r"--keep-float incoder/\* names no layer; known: encoder/input"):
        select(paths, ["incoder/*"], "--keep-float")


@pytest.mark.parametrize("scheme", ["dynamic", "weight-only"])
def test_a_litert_file_becomes_int8_with_its_signatures_and_names(tiny_bundle, scheme):
    data = tiny_bundle.read("decoder.tflite")
    quantizer = LitertQuantizer("decoder", data)
    found = quantizer.build(scheme, frozenset())
    assert len(found) < 0.5 * len(data)
    from edgevc.engines.tflite_file import read_tflite

    for hops in (1, 2, 4):
        graph = read_tflite(found, "decoder.tflite", f"hops{hops}")
        assert graph.inputs["content"][1] == (hops, 48)
        assert graph.outputs["filters"][1] == (hops, 771)


def test_both_engines_name_their_layers_alike(tiny_bundle):
    from edgevc.quantize.graph_file import read_onnx

    model = read_onnx(tiny_bundle.read("decoder.onnx"), "decoder.onnx")
    ours = OnnxQuantizer(describe("decoder", model, find_states(model, (), "decoder")))
    known = {fingerprint(layer.weights[0]): layer.name for layer in ours.layers}
    theirs = LitertQuantizer("decoder", tiny_bundle.read("decoder.tflite"), known)
    assert {layer.name for layer in theirs.layers} == {layer.name for layer in ours.layers}


def test_a_litert_layer_stays_float_where_asked(tiny_bundle):
    quantizer = LitertQuantizer("decoder", tiny_bundle.read("decoder.tflite"))
    largest = max(quantizer.layers, key=lambda layer: layer.n_bytes)
    all_int8 = quantizer.build("dynamic", frozenset())
    assert len(quantizer.build("dynamic", frozenset({largest.name}))) > len(all_int8) + 0.6 * largest.n_bytes
    everything = frozenset(layer.name for layer in quantizer.layers)
    assert quantizer.build("dynamic", everything) == tiny_bundle.read("decoder.tflite")
