"""A run with an ear that hears in blocks becomes a bundle that converts: exported, written, quantized."""

import json
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path

import export_onnx
import make_bundle
import numpy as np
import pytest
import soundfile as sf
import torch
import tune_ear
from vctrain import checkpoint
from vctrain.models.ear import WhisperEar

from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter
from edgevc.converter.bench import speech_like
from edgevc.quantize.dataset import Dataset
from edgevc.quantize.float_bundle import FloatBundle

pytestmark = pytest.mark.tools

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"size": 64, "n_layers": 2, "heard": (0, 1), "hidden": 24, "back": 22}
SPEECH = speech_like(2.0, seed=4)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Of an ear with random weights and the decoder of `tiny`."""
    folder = tmp_path_factory.mktemp("studio")
    torch.manual_seed(5)
    ear = WhisperEar(replace(tune_ear.STUDIO, **SMALL))
    checkpoint.save(folder / "run" / "encoder.pt", model=ear.state_dict(), ear=asdict(ear.config), step=1, scores={})
    shutil.copy(ROOT / "tools/weights/tiny/decoder.pt", folder / "run")
    row = {"speaker": "kathleen", "utterance": "a", "text": None, "split": "train", "path": "a.flac", "seconds": 2.0}
    (folder / "data").mkdir()
    (folder / "data" / "utterances.jsonl").write_text(json.dumps(row) + "\n")
    sf.write(folder / "data" / "a.flac", SPEECH, 16_000)
    run, export = ["--run", str(folder / "run")], str(folder / "export")
    with pytest.MonkeyPatch.context() as patch:
        # the bundle names the commit it was made by
        patch.chdir(ROOT)
        patch.setattr(sys, "argv", ["export_onnx.py", *run, "--out", export])
        export_onnx.main()
        options = ["--data", str(folder / "data"), "--out", str(folder / "studio"), "--engines", "onnx"]
        patch.setattr(sys, "argv", ["make_bundle.py", *run, "--export", export, *options])
        make_bundle.main()
    return ModelBundle.open(folder / "studio")


def test_the_bundle_says_what_it_is(bundle):
    assert bundle.block_hops == 22
    assert bundle.latency.latency_samples == bundle.pitch.latency_samples == 480
    assert bundle.graphs["encoder"].files == {"onnx": "encoder.onnx"}
    assert "250 ms" in bundle.description
    assert "Whisper" in bundle.licence
    assert any("Whisper" in entry.name for entry in bundle.training_data)
    assert bundle.golden.n_hops == 66


def test_it_converts_the_same_however_the_input_is_cut(bundle):
    converter = VoiceConverter(bundle)
    assert converter.latency_ms == 250
    stream = converter.stream("slt")
    pieces = [stream.process(SPEECH[at : at + 1234]) for at in range(0, len(SPEECH), 1234)]
    whole = converter.convert(SPEECH, "slt")
    assert np.array_equal(np.concatenate([*pieces, stream.flush()])[480:], whole)
    assert np.abs(whole).max() > 1e-3


def test_every_linear_layer_has_an_int8_form(bundle):
    clips = (("a", SPEECH[:16_000]),)
    model = FloatBundle(bundle, ("onnx",), Dataset(clips, clips, ""))
    files = {name: quantizer.build("dynamic", frozenset()) for name, quantizer in model.quantizers["onnx"].items()}
    assert len(files["encoder"]) < 0.4 * len(model.float_files["onnx"]["encoder"])
    figures = model.tensor_figures("onnx", files)
    assert figures["encoder/content"] > 25
    assert model.drift("onnx", files, 2, lambda share: None)[1] < 1
