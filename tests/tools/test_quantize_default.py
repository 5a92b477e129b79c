"""The default model, exported from its weights, through `edgevc quantize`: small, exact, and repaired where spoilt.

ONNX Runtime's dynamic scheme, without the clock; benchmarks/quantize_default.py measures both engines and the rest.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from vctrain.export import to_onnx, trained
from vctrain.export.graphs import DecoderGraph, EncoderGraph, FoldedDecoder, FoldedEncoder

from edgevc.bundle import ModelBundle
from edgevc.quantize import pipeline
from edgevc.quantize.dataset import Dataset, load_dataset
from edgevc.quantize.pipeline import Settings, quantize
from edgevc.quantize.report.summary import sentences
from edgevc.quantize.write import write_bundle

pytestmark = pytest.mark.tools

WEIGHTS = Path(__file__).resolve().parents[2] / "tools" / "weights"
SMALLER, TENSOR_DB = 3.3, 35.0
"""What `edgevc quantize` promises for the default model. Measured: 3.7 times, 35.8 dB."""
POISONED, CHANNEL = "encoder/blocks.3.expand", 17


def exported(folder):
    """Return graph name to float ONNX file, from the weights that the repository holds."""
    torch.set_num_threads(1)
    model = trained.load(WEIGHTS)
    to_onnx.export(EncoderGraph(FoldedEncoder(model.encoder), None), folder / "encoder.onnx")
    to_onnx.export(DecoderGraph(FoldedDecoder(model.decoder), None), folder / "decoder.onnx")
    return {name: (folder / f"{name}.onnx").read_bytes() for name in ("encoder", "decoder")}


def float_bundle(folder, files):
    """Write a bundle of these graphs with the default one's voices and facts."""
    write_bundle(folder, ModelBundle.default(), {"onnx": files}, {name: {} for name in files})
    return folder


def spoilt(data, axis):
    """Make one channel of a layer 1000 times as loud: its output channel for axis 0, its input channel for axis 1."""
    model = onnx.load_model_from_string(data)
    (weight,) = (w for w in model.graph.initializer if w.name.endswith(POISONED.partition("/")[2] + ".weight"))
    array = numpy_helper.to_array(weight).copy()
    # a repeated block's layer is gone through twice
    gemms = [node for node in model.graph.node if weight.name in node.input]
    assert len(gemms) == 2
    transposed = any(entry.name == "transB" and entry.i for entry in gemms[0].attribute)
    np.moveaxis(array, axis if transposed else 1 - axis, 0)[CHANNEL] *= 1000
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    return model.SerializeToString()


def quantized(model, out, **settings):
    """Return the report of a run that may put every layer in int8, as `auto` may."""
    return quantize(
        Settings(model, out, engine="onnx", scheme="dynamic", quantize=("*",), **settings), lambda text: None
    )


@pytest.fixture(scope="module", autouse=True)
def no_clock():
    """Both clocks cost seconds and depend on the machine's load; here nothing is chosen by them."""
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "clock_rows", lambda model, outcomes, say: ())
    yield
    patch.undo()


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("export"))


def test_the_default_model_becomes_small_and_stays_exact(tmp_path, graphs):
    result = quantized(float_bundle(tmp_path / "float", graphs), tmp_path / "int8", drift_minutes=2)
    assert result.passed, result.notes
    assert result.bytes_float["onnx"] >= SMALLER * result.bytes_int8["onnx"]
    (chosen,) = [candidate for candidate in result.candidates if candidate.chosen]
    figures = {figure.name: figure for figure in chosen.gate}
    assert set(figures) == {"tensor", "snr", "mel", "drift"}
    assert figures["tensor"].value >= TENSOR_DB
    written = ModelBundle.open(tmp_path / "int8")
    assert sum(len(written.read(g.files["onnx"])) for g in written.graphs.values()) == result.bytes_int8["onnx"]


@pytest.mark.parametrize("axis", [0, 1], ids=["output channel", "input channel"])
def test_a_poisoned_layer_is_named_and_repaired(tmp_path, graphs, axis, monkeypatch):
    whole = load_dataset(None)
    monkeypatch.setattr(pipeline, "load_dataset", lambda folder: Dataset(whole.calibration[:3], whole.held_out[:2], ""))
    files = {**graphs, "encoder": spoilt(graphs["encoder"], axis)}
    result = quantized(float_bundle(tmp_path / "float", files), tmp_path / "int8", drift_minutes=0)
    first = result.candidates[0]
    assert not first.passed
    assert result.passed, result.notes
    (layer,) = [layer for layer in result.layers if f"{layer.graph}/{layer.name}" == POISONED]
    assert layer.outlier_ratio > 100
    assert layer.outlier_channel == CHANNEL
    assert any(f"{POISONED}: channel {CHANNEL} is " in sentence for sentence in sentences(result))
    returned = [f"{layer.graph}/{layer.name}" for layer in result.layers if layer.reason.startswith("given back")]
    assert POISONED in returned
