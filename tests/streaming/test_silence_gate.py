"""Silence stays silent: the gate hears no speech, turns it down, and leaves the words alone."""

import copy

import numpy as np
import pytest

from edgevc.audio.reader import read_audio
from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter, VoiceSettings
from edgevc.converter.silence_gate import CLOSING_DB_PER_HOP, DEPTH_DB, HOLD_HOPS, SilenceGate

VOICE = "kathleen"
RATE = 16_000
HOP = 160


@pytest.fixture(scope="module")
def converter():
    return VoiceConverter(ModelBundle.default())


@pytest.fixture(scope="module")
def sentence(examples):
    return read_audio(examples / "sentence.wav")[0]


@pytest.fixture(scope="module")
def examples(request):
    return request.config.rootpath / "examples"


def pink_noise(seconds, dbfs, seed=3):
    n = int(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(n))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 20)), n)
    return (noise / noise.std() * 10 ** (dbfs / 20)).astype(np.float32)


def level(samples):
    return 10 * np.log10(np.mean(samples.astype(float) ** 2) + 1e-20)


def test_room_noise_is_turned_down_by_the_gate_and_only_by_it(converter):
    room = pink_noise(4, -50)
    gated = converter.convert(room, VOICE)[RATE:]
    # measured -92.3 and -62.3: the decoder makes little of noise by itself
    assert level(gated) < -65
    assert level(converter.convert(room, VOICE, VoiceSettings(gate=False))[RATE:]) > level(gated) + 20


def test_words_are_left_alone_even_right_after_silence(converter, sentence):
    room = pink_noise(2, -60)
    input_ = np.concatenate([room, sentence])
    gated, open_ = (converter.convert(input_, VOICE, VoiceSettings(gate=gate))[len(room) :] for gate in (True, False))
    frames = [x[: len(x) // HOP * HOP].reshape(-1, HOP) for x in (open_, gated)]
    loud = np.array([level(x) for x in frames[0]]) > -45
    lost = np.array([level(a) - level(b) for a, b in zip(*frames, strict=True)])[loud]
    assert loud.sum() > 100
    # the first of them may still be opening
    assert np.mean(lost > 1) < 0.02


@pytest.mark.parametrize("hops", [1, 2, 4])
def test_the_gate_does_not_depend_on_how_the_input_is_cut(converter, sentence, hops):
    input_ = np.concatenate([sentence[:RATE], pink_noise(1, -55), sentence[:RATE]])
    whole = VoiceConverter(ModelBundle.default(), chunk_hops=1).convert(input_, VOICE)
    stream = VoiceConverter(ModelBundle.default(), chunk_hops=hops).stream(VOICE)
    pieces = [stream.process(input_[i : i + 777]) for i in range(0, len(input_), 777)]
    output = np.concatenate([*pieces, stream.flush()])[stream.latency :]
    np.testing.assert_array_equal(output, whole)


def test_a_fork_closes_as_its_origin_does(converter, sentence):
    stream = converter.stream(VOICE)
    stream.process(np.concatenate([sentence[:RATE], pink_noise(0.3, -55)]))
    twin = copy.copy(stream)
    rest = pink_noise(0.5, -55, seed=8)
    np.testing.assert_array_equal(stream.process(rest), twin.process(rest))


def test_it_opens_at_once_and_closes_slowly_to_its_depth():
    gate = SilenceGate()
    gains = [gate.process(0.9) for _ in range(HOLD_HOPS + 30)]
    assert gains[:HOLD_HOPS] == [0.0] * HOLD_HOPS
    assert gains[HOLD_HOPS] == -CLOSING_DB_PER_HOP
    assert gains[-1] == -DEPTH_DB
    assert gate.process(0.1) == 0.0
    assert gate.process(0.9) == 0.0
