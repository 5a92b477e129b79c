"""The converter behind the high-pass: a microphone's offset and rumble change nothing that is heard."""

from pathlib import Path

import numpy as np
import pytest

from edgevc import _core
from edgevc.audio.reader import read_audio
from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter

RATE = 16_000
SENTENCE = Path(__file__).resolve().parents[2] / "examples" / "sentence.wav"


def level_db(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20)


@pytest.fixture(scope="module")
def convert():
    converter = VoiceConverter(ModelBundle.find("tiny"), chunk_hops=4)
    # what a converter without one of its own makes of it
    return lambda samples: converter.stream("slt", high_pass=False).process(samples)


@pytest.fixture(scope="module")
def speech():
    samples = read_audio(SENTENCE)[0]
    quiet = np.zeros(RATE // 4, np.float32)
    return np.concatenate([quiet, samples * np.float32(0.25 / np.abs(samples).max()), quiet])


def disturbances(n):
    time = np.arange(n) / RATE
    return {
        "none": np.zeros(n),
        "offset 0.1": np.full(n, 0.1),
        "offset 0.3": np.full(n, 0.3),
        "rumble of 5 Hz": 0.3 * np.sin(2 * np.pi * 5 * time),
    }


def test_behind_it_offsets_and_rumble_do_not_make_the_converted_voice_louder(convert, speech):
    expected = level_db(convert(speech))
    for name, disturbance in disturbances(len(speech)).items():
        disturbed = (speech + disturbance).astype(np.float32)
        # dB; measured at most 0.1, and without the filter 5 to 12
        assert abs(level_db(convert(_core.HighPass(RATE).process(disturbed))) - expected) < 1.0, name
        if name != "none":
            assert level_db(convert(disturbed)) - expected > 3.0, name
