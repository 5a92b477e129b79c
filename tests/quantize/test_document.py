"""docs/quantize.md: every command in it runs as it stands there, and leaves what the text says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers.tiny_bundle import write_tiny_bundle
from onnx import TensorProto, helper, numpy_helper

from edgevc.audio.wav_writer import write_wav
from edgevc.dsp.features import LogMel
from edgevc.quantize.calibration_speech import default_clips
from edgevc.quantize.report.summary import FIGURES

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/quantize.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", DOCUMENT, flags=re.DOTALL)
MADE = re.compile(r"[\w./-]+\.(?:html|json|onnx)$|(?:int8|small)/$")


def mask_graph(path):
    """Write a graph with the names and shapes of DTLN's first one, so that the document's command fits that file."""
    rng = np.random.default_rng(3)
    weights = {
        "w_in": rng.normal(0, 0.06, (257, 128)).astype(np.float32),
        "w_hidden": rng.normal(0, 0.09, (128, 128)).astype(np.float32),
        "w_out": rng.normal(0, 0.09, (128, 257)).astype(np.float32),
        "keep": np.array(0.7, np.float32),
        "column": np.array([1, 1, 128, 1], np.int64),
        "row": np.array([1, 1, 128], np.int64),
        "first": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "axes": np.array([1], np.int64),
        "last": np.array([3], np.int64),
    }
    nodes = [
        helper.make_node("Slice", ["input_3", "first", "one", "axes"], ["half"]),
        helper.make_node("Slice", ["half", "first", "one", "last"], ["quarter"]),
        helper.make_node("Reshape", ["quarter", "row"], ["before"]),
        helper.make_node("MatMul", ["input_2", "w_in"], ["seen"], name="seen"),
        helper.make_node("MatMul", ["before", "w_hidden"], ["known"], name="known"),
        helper.make_node("Add", ["seen", "known"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "w_out"], ["mask"], name="mask"),
        helper.make_node("Sigmoid", ["mask"], ["activation_2"]),
        helper.make_node("Reshape", ["hidden", "column"], ["new"]),
        helper.make_node("Mul", ["input_3", "keep"], ["old"]),
        helper.make_node("Add", ["old", "new"], ["tf_op_layer_stack_2"]),
    ]

    def values(shapes):
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    graph = helper.make_graph(
        nodes,
        "mask",
        values({"input_2": [1, 1, 257], "input_3": [1, 2, 128, 2]}),
        values({"activation_2": [1, 1, 257], "tf_op_layer_stack_2": [1, 2, 128, 2]}),
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with all that the document's commands name, and `edgevc` on the path."""
    write_tiny_bundle(tmp_path / "model", filterbank_sha256=LogMel().filterbank_sha256, latency_samples=480)
    mask_graph(tmp_path / "model_1.onnx")
    (tmp_path / "recordings").mkdir()
    for i, (_, samples) in enumerate(default_clips()):
        write_wav(tmp_path / "recordings" / f"{i}.wav", samples, 16_000)
    command = tmp_path / "bin" / "edgevc"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m edgevc "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_commands_run_as_they_stand_there(folder):
    assert len(BLOCKS) >= 3
    for block in BLOCKS:
        done = subprocess.run(["sh", "-eu", "-c", block], capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        for name in (word for line in block.splitlines() for word in line.split() if MADE.search(word)):
            assert (folder / name).exists(), f"{name} of {block}"


def test_every_figure_of_the_gate_is_explained():
    section = DOCUMENT.partition("## What the numbers mean")[2].partition("\n## ")[0]
    table = re.findall(r"^\| (`.*?`) \|", section, flags=re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(table))) == set(FIGURES)


def test_the_picture_is_there_and_small():
    (picture,) = re.findall(r"!\[.*?\]\((.*?)\)", DOCUMENT)
    assert 10_000 < (ROOT / "docs" / picture).stat().st_size < 300_000
