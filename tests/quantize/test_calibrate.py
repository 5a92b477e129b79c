"""Ranges come from speech that was streamed through the graph; feeds make what a graph takes."""

import numpy as np
import pytest
from helpers import streaming_nets as nets

from edgevc.audio.wav_writer import write_wav
from edgevc.dsp.features import LogMel
from edgevc.errors import ConfigError
from edgevc.quantize.calibrate import METHODS, activation_sqnr_db, observe
from edgevc.quantize.dataset import MAX_CALIBRATION_S, MAX_HELD_OUT_S, Dataset, load_dataset
from edgevc.quantize.feeds import Feed, choose_feeds
from edgevc.quantize.float_graph import FloatGraph
from edgevc.quantize.prepare import load_graph_file


def speech_of(rng, seconds=2.0):
    def clip(name):
        return (name, (0.1 * rng.standard_normal(int(seconds * 16_000))).astype(np.float32))

    return Dataset((clip("a"), clip("b")), (clip("c"),), "")


@pytest.fixture
def model(tmp_path, rng):
    prepared = load_graph_file(nets.save(nets.mixer(), tmp_path / "net.onnx"))
    return FloatGraph(prepared, "0" * 64, choose_feeds(prepared, {}), speech_of(rng))


def quantizer_of(model):
    return model.quantizers["onnx"][model.name]


def test_min_max_is_what_a_streamed_state_reaches(model):
    """The range at a block's first Gemm is that of x + 0.5 state, not that of x alone."""
    quantizer = quantizer_of(model)
    found = observe(model, model.name, quantizer, "min-max").ranges[quantizer.activation("blocks.0.expand")]
    weights, bias = quantizer.linear("input")
    low, high = np.inf, -np.inf
    for calls in model.calls(model.name, "calibration"):
        state = np.zeros(nets.WIDTH, np.float32)
        for (frame,) in calls:
            state = frame[0] @ weights + bias + np.float32(0.5) * state
            low, high = min(low, state.min()), max(high, state.max())
    assert found == pytest.approx((low, high), rel=1e-4)


def test_other_methods_clip_inside_the_extremes_and_every_method_repeats(model):
    quantizer = quantizer_of(model)
    whole = observe(model, model.name, quantizer, "min-max").ranges
    for method in METHODS:
        first, second = (observe(model, model.name, quantizer, method).ranges for _ in range(2))
        assert first == second
        for tensor, (low, high) in first.items():
            assert whole[tensor][0] <= low <= 0 or whole[tensor][0] > 0
            assert high <= whole[tensor][1]
        if method != "min-max":
            assert any(high < 0.999 * whole[tensor][1] for tensor, (_, high) in first.items())


def test_an_unknown_method_is_refused(model):
    with pytest.raises(ConfigError, match="--method must be one of min-max, percentile, entropy"):
        observe(model, model.name, quantizer_of(model), "magic")


def test_weights_alone_round_better_than_weights_and_activations(model):
    quantizer = quantizer_of(model)
    seen = observe(model, model.name, quantizer, "min-max")
    figures = [activation_sqnr_db(quantizer, "blocks.1.expand", s, seen) for s in ("weight-only", "dynamic", "static")]
    assert figures[0] > figures[1] > figures[2] > 25


def test_a_log_mel_feed_gives_the_converters_frames(rng):
    samples = (0.1 * rng.standard_normal(3200)).astype(np.float32)
    calls = list(Feed("logmel", (1, 80), 0).calls(samples))
    np.testing.assert_array_equal(np.concatenate(calls), LogMel(primed=True).process(samples))


def test_a_sample_feed_overlaps_and_ends_with_the_newest(rng):
    samples = rng.standard_normal(1024).astype(np.float32)
    calls = list(Feed("samples", (1, 512), 128).calls(samples))
    assert len(calls) == 8
    np.testing.assert_array_equal(calls[0][0, :384], 0)
    np.testing.assert_array_equal(calls[0][0, 384:], samples[:128])
    np.testing.assert_array_equal(calls[-1][0], samples[512:])


def test_a_magnitude_feed_is_the_spectrum_of_its_window(rng):
    samples = rng.standard_normal(1024).astype(np.float32)
    last = list(Feed("magnitude", (1, 1, 257), 128).calls(samples))[-1]
    np.testing.assert_allclose(last[0, 0], np.abs(np.fft.rfft(samples[512:])), rtol=1e-5)


def test_feeds_follow_from_shapes_and_can_be_named(tmp_path):
    prepared = load_graph_file(nets.save(nets.lstm(), tmp_path / "net.onnx"), ["memory=memory_next"])
    assert str(choose_feeds(prepared, {})["mag"]) == "magnitude:128"
    assert str(choose_feeds(prepared, {"mag": "magnitude:256"})["mag"]) == "magnitude:256"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"nothing": "samples"}, "no such input"),
        ({"mag": "colours"}, "must be one of samples, spectrum, magnitude"),
        ({"mag": "samples:none"}, "hop must be a number"),
        ({"mag": "samples:0"}, "hop must be within 1..257"),
        ({"mag": "logmel"}, "needs 80 as last size"),
        ({"mag": "zeros"}, "all are constant"),
    ],
)
def test_a_feed_that_does_not_fit_is_refused(tmp_path, wanted, message):
    prepared = load_graph_file(nets.save(nets.lstm(), tmp_path / "net.onnx"), ["memory=memory_next"])
    with pytest.raises(ConfigError, match=message):
        choose_feeds(prepared, wanted)


def test_the_packaged_speech_is_bounded_and_apart_from_what_judges():
    speech = load_dataset(None)
    assert 10 < speech.material.seconds <= MAX_CALIBRATION_S
    assert sum(len(samples) for _, samples in speech.held_out) <= MAX_HELD_OUT_S * 16_000
    assert not {name for name, _ in speech.calibration} & {name for name, _ in speech.held_out}
    assert len(speech.material.sha256) == 64


def test_a_folder_is_split_and_the_same_every_time(tmp_path):
    for i, (_, samples) in enumerate([*load_dataset(None).calibration, *load_dataset(None).held_out][:6]):
        write_wav(tmp_path / f"{i}.wav", samples, 16_000)
    first, second = load_dataset(tmp_path), load_dataset(tmp_path)
    assert first.material.sha256 == second.material.sha256
    assert [name for name, _ in first.held_out] == ["3.wav"]
    assert len(first.calibration) == 5


def test_a_folder_without_speech_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="got none below"):
        load_dataset(tmp_path)
    for i in range(4):
        write_wav(tmp_path / f"{i}.wav", np.zeros(64_000, np.float32), 16_000)
    with pytest.raises(ConfigError, match="holds no speech"):
        load_dataset(tmp_path)
