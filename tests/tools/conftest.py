"""Fixtures of several tests of the toolchain."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

RATE = 16_000
SENTENCE = Path(__file__).resolve().parents[2] / "examples" / "sentence.wav"


@pytest.fixture(scope="session")
def sentence():
    return sf.read(SENTENCE, dtype="float32")[0]


@pytest.fixture
def script(tmp_path):
    def write(text):
        path = tmp_path / "convert.py"
        path.write_text(text)
        return f"{sys.executable} {path} {{input}} {{output}} {{voice}}"

    return write


@pytest.fixture
def esc10(tmp_path):
    rng = np.random.default_rng(2)
    for kind in ("002 - Rain", "005 - Clock tick", "010 - Fire crackling"):
        (tmp_path / kind).mkdir()
        for fold in (1, 5):
            sf.write(tmp_path / kind / f"{fold}-1-A.ogg", 0.1 * rng.standard_normal(RATE), RATE)
    return tmp_path
