"""What the shipped model's encoder says of a sentence."""

from pathlib import Path

import numpy as np
import pytest

from edgevc.audio.reader import read_audio
from edgevc.bundle import ModelBundle
from edgevc.recognition.phones import PHONE_SHARES
from edgevc.recognition.posteriors import PhonePosteriors

SENTENCE = Path(__file__).resolve().parents[2] / "examples" / "sentence.wav"


@pytest.fixture(scope="module")
def model():
    return PhonePosteriors(ModelBundle.find("default"))


def test_phones_of_a_sentence_are_probabilities_in_the_tables_order(model):
    samples, sample_rate, _ = read_audio(SENTENCE)
    assert sample_rate == 16_000
    posteriors = model(samples)
    assert model.phones == tuple(PHONE_SHARES)
    assert posteriors.shape == (len(samples) // 160, 40)
    assert np.exp(posteriors).sum(axis=1) == pytest.approx(1, abs=1e-3)
    # a sentence has many phones, and no one of them for long
    assert len(set(posteriors.argmax(axis=1))) > 15


def test_every_call_is_a_new_stream(model, rng):
    samples = rng.normal(0, 0.05, 8_000).astype(np.float32)
    assert np.array_equal(model(samples), model(samples))
    assert model.centres(50)[0] in range(-160, 161)


def test_silence_is_heard_as_silence(model):
    posteriors = model(np.zeros(16_000, np.float32))
    assert (posteriors.argmax(axis=1)[20:] == 0).all()
