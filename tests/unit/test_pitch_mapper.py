"""The pitch mapper moves a melody into another range and leaves its shape."""

import numpy as np
import pytest

from edgevc._core import PitchMapper

TARGET = 7.6
SENTENCE = 250
"""Voiced frames of a short sentence."""


def spoken(log2_f0, target=TARGET):
    """log2 of the F0 that comes out of frames that are all voiced."""
    frames = np.zeros((len(log2_f0), 3), np.float32)
    frames[:, 0] = 2.0**log2_f0
    features, f0 = np.empty((len(frames), PitchMapper.n_features), np.float32), np.empty(len(frames), np.float32)
    PitchMapper(target).process_into(frames, features, f0)
    np.testing.assert_allclose(features[:, 0], np.log2(f0) - 7.5, atol=1e-5)
    return np.log2(f0)


def sentence(mean, n=SENTENCE):
    """A melody that falls by 0.4 octaves over the sentence, with an accent twice a second."""
    time = np.arange(n)
    return mean + 0.2 - 0.4 * (time % SENTENCE) / SENTENCE + 0.12 * np.sin(2 * np.pi * time / 50)


@pytest.mark.parametrize("mean", [6.6, 7.2, 8.0])
def test_a_sentence_keeps_its_melody_and_arrives_in_the_voices_range(mean):
    said, heard = spoken(sentence(mean)), sentence(mean)
    # the first word finds the mean
    assert np.corrcoef(said[20:], heard[20:])[0, 1] > 0.99
    assert np.polyfit(heard[20:], said[20:], 1)[0] == pytest.approx(1, abs=0.12)
    # the guess before the first word still counts for a fifth, and a sentence begins above its mean
    assert abs(said.mean() - TARGET) < 0.36


def test_after_a_minute_the_mean_is_known():
    said = spoken(sentence(6.8, n=24 * SENTENCE))
    assert abs(said[-2 * SENTENCE :].mean() - TARGET) < 0.03


def test_an_octave_is_followed_and_more_is_not():
    heard = np.full(400, 7.0)
    heard[200:210] = 7.9
    heard[300:310] = 8.9
    said = spoken(heard)
    assert said[205] - said[195] == pytest.approx(0.9, abs=0.02)
    assert said[300:310].max() == pytest.approx(TARGET + 1, abs=1e-4)


def test_what_is_unvoiced_stays_so_and_changes_nothing():
    frames = np.zeros((40, 3), np.float32)
    frames[::2, 0] = 120
    features, f0 = np.empty((40, PitchMapper.n_features), np.float32), np.empty(40, np.float32)
    PitchMapper(TARGET).process_into(frames, features, f0)
    assert not f0[1::2].any()
    np.testing.assert_allclose(np.log2(f0[::2]), spoken(np.full(20, np.log2(120))), atol=1e-5)
