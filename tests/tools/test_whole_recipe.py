"""A recipe from its data to a voice: every step by the driver, as somebody types it, with few steps and a made corpus.

It costs half a minute. Downloading, the two aligners, LiteRT's exporter (an environment of its own) and the evaluation
are not in it; the evaluation has tests/tools/test_evaluate.py.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import edgevc
from edgevc.bundle import ModelBundle

pytestmark = pytest.mark.tools

ROOT = Path(__file__).resolve().parents[2]
RATE = 16_000
STEPS = ("encoder", "decoder", "onnx", "bundle", "quantize")
CHANGES = {
    "encoder.steps": 2,
    "encoder.batch": 2,
    "encoder.frames": 120,
    "encoder.compile": "false",
    "decoder.steps": 2,
    # the second of both stages: alone, and against discriminators with the encoder
    "decoder.adversarial-from": 1,
    "decoder.discriminator-warmup": 1,
    "decoder.batch": 2,
    "decoder.converted": 1,
    "decoder.frames": 60,
    "bundle.engines": "onnx",
    "quantize.scheme": "dynamic",
    # of a model that has learnt nothing, int8 is no worse than float
    "quantize.gate": "tensor>=1",
    # below 2 the drift of ten minutes is not measured
    "quantize.drift-minutes": 0,
}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with prepared data: one sentence by every voice and by others, with its phones, and a noise."""
    folder = tmp_path_factory.mktemp("recipe")
    sentence = sf.read(ROOT / "examples" / "sentence.wav", dtype="float32")[0][: 3 * RATE]
    rows, phones = [], []
    speakers = [("kathleen", "train"), ("slt", "train"), ("bdl", "train"), ("ls1", "train"), ("ls19", "test")]
    for speaker, split in [*speakers, ("bdl", "test")]:
        path = f"audio/{speaker}/{split}.flac"
        (folder / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        sf.write(folder / "data" / path, sentence, RATE)
        row = {"path": path, "text": "a", "seconds": 3.0}
        rows.append({"speaker": speaker, "utterance": split, "split": split, **row})
        phones.append({**row, "phones": [["AA", 0, 50], ["B", 50, 50], ["SIL", 100, 195]], "words": [0, 50, 100]})
    for name, content in (("utterances", rows), ("phones", phones)):
        text = "".join(json.dumps(line) + "\n" for line in content)
        (folder / "data" / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (folder / "noises").mkdir()
    sf.write(folder / "noises" / "1-1-A.ogg", np.random.default_rng(3).normal(0, 0.1, RATE), RATE)
    return folder


def drive(work, step):
    options = ["--work", work, "--data", work / "data", "--noises", work / "noises", "--jobs", "1", "--device", "cpu"]
    options += [word for name, value in CHANGES.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, ROOT / "tools" / "train.py", "default", step, *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(edgevc.__file__).parents[1])}
    # a bundle names the commit that it was made by
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{step}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def test_a_recipe_makes_a_model_that_converts(work):
    for step in STEPS:
        assert "is done" not in drive(work, step)
    # each of them is known to be finished
    assert all("is done" in drive(work, step) for step in STEPS)
    model = ModelBundle.open(work / "models" / "default")
    assert [voice.name for voice in model.voices] == ["kathleen", "slt", "bdl", "anon"]
    command = [sys.executable, "-P", "-m", "edgevc", "convert", ROOT / "examples/sentence.wav", work / "other.wav"]
    options = ["--voice", "kathleen", "--bundle", work / "models" / "default"]
    done = subprocess.run(list(map(str, [*command, *options])), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    before, after = (sf.read(path)[0] for path in (ROOT / "examples/sentence.wav", work / "other.wav"))
    assert len(after) == len(before)
    assert np.abs(after).max() > 1e-3
