"""A model that is not ours, from the package registry: quantized by the command, and still right at its work.

DTLN's graphs are on GitHub only; benchmarks/quantize_public.py measures them, docs/results.md has the figures.
"""

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edgevc.quantize.calibration_speech import held_out_clips

VERSION = "6.2.3"
NAME = "silero_vad/data/silero_vad_op18_ifless.onnx"
SHA256 = "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28"
OPTIONS = [
    "--state-pattern", "state=stateN", "--shape", "input=1x576", "--feed", "input=samples:512", "--feed", "sr=16000",
]  # fmt: skip

SAME_DECISIONS = 0.97
"""Share of blocks that float and int8 both call speech, or both not. Measured: all of 670."""

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def silero(tmp_path_factory):
    """The voice activity detector silero-vad, MIT; that it cannot be had is a failure, not a skip."""
    folder = tmp_path_factory.mktemp("silero")
    command = [sys.executable, "-m", "pip", "download", f"silero-vad=={VERSION}", "--no-deps", "-q", "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        path = folder / Path(NAME).name
        path.write_bytes(archive.read(NAME))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
    return path


@pytest.fixture(scope="module")
def quantized(silero):
    """The int8 graph and the report."""
    out, report = silero.with_name("int8.onnx"), silero.with_name("report.json")
    command = [
        sys.executable,
        "-m",
        "edgevc",
        "quantize",
        str(silero),
        "-o",
        str(out),
        *OPTIONS,
        "--drift-minutes",
        "3",
    ]
    command += ["--report", str(report), "--report", str(report.with_suffix(".html"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return out, json.loads(report.read_text(encoding="utf-8")), done.stdout


def probabilities(path, samples):
    """Dataset, block by block: 64 samples of the block before, 512 new ones."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = {value.name for value in session.get_inputs()}
    state, context, found = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32), []
    for start in range(0, len(samples) - 511, 512):
        block = np.concatenate([context, samples[start : start + 512]])
        context = block[-64:]
        values = {"input": block[None], "state": state, "sr": np.array(16_000, np.int64)}
        probability, state = session.run(None, {name: value for name, value in values.items() if name in wanted})
        found.append(float(probability.reshape(-1)[0]))
    return np.array(found)


def test_a_public_model_passes_the_gate_and_becomes_smaller(silero, quantized):
    out, report, text = quantized
    assert report["passed"]
    # the file also holds a second network, for 8 kHz, that --feed sr=16000 removes
    # against the file that was given, not what folding makes of it
    assert report["bytes_float"]["onnx"] == silero.stat().st_size
    assert out.stat().st_size < 0.5 * silero.stat().st_size
    (chosen,) = [candidate for candidate in report["candidates"] if candidate["chosen"]]
    figures = {figure["name"]: figure for figure in chosen["gate"]}
    assert figures["tensor"]["value"] >= 35
    assert figures["drift"]["passed"]
    assert report["provenance"]["source_sha256"] == SHA256
    assert "int8 passes the gate" in text
    assert out.with_name("report.html").stat().st_size > 10_000


def test_the_report_names_the_layers_of_a_public_model(quantized):
    _, report, text = quantized
    names = {f"{layer['graph']}/{layer['name']}" for layer in report["layers"]}
    assert any("encoder.0.reparam_conv" in name for name in names)
    assert all(layer["weight_sqnr_db"] > 20 for layer in report["layers"])
    worst = min(report["layers"], key=lambda layer: layer["weight_sqnr_db"])
    assert worst["name"] in text


def test_a_public_model_still_tells_speech_from_noise(silero, quantized, rng):
    speech = np.concatenate([samples * np.float32(0.5 / np.abs(samples).max()) for _, samples in held_out_clips()])
    noise = rng.normal(0, 0.005, 64_000).astype(np.float32)
    exact, found = (probabilities(path, np.concatenate([noise, speech, noise])) for path in (silero, quantized[0]))
    n = len(noise) // 512 - 1
    assert np.mean(found[:n]) < 0.2
    assert np.mean(found[n + 2 : -n - 2] > 0.5) > 0.6
    assert np.mean((exact > 0.5) == (found > 0.5)) >= SAME_DECISIONS
