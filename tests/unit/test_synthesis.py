"""The synthesis as Python sees it; tests/tools compares it with the training's, tests/cpp looks inside."""

import copy

import numpy as np
import pytest

from edgevc import _core

HOP, N_FILTERS = _core.SourceFilter.hop_length, _core.SourceFilter.n_filters
N_BINS = N_FILTERS // 3


def flat_filters(n_frames, harmonic=-14.0, noise=-14.0):
    filters = np.zeros((n_frames, N_FILTERS), np.float32)
    filters[:, :N_BINS], filters[:, 2 * N_BINS :] = harmonic, noise
    return filters


def speak(synthesis, filters, f0):
    out = np.empty(len(filters) * HOP, np.float32)
    synthesis.process_into(filters, np.full(len(filters), f0, np.float32), out)
    return out


def test_pulses_come_at_the_pitch_period():
    sound = speak(_core.SourceFilter(), flat_filters(100, harmonic=0.0), 100.0)[1600:]
    peaks = np.flatnonzero(sound > 0.5 * sound.max())
    assert np.all(np.diff(peaks) == 160)


def test_unvoiced_frames_have_no_pulses():
    sound = speak(_core.SourceFilter(), flat_filters(20, harmonic=0.0), 0.0)
    # the noise filter's floor, exp(-14)
    assert np.abs(sound).max() < 1e-5


def test_noise_filter_shapes_the_noise():
    filters = flat_filters(300)
    filters[:, 2 * N_BINS : 2 * N_BINS + 128] = 0.0
    power = np.abs(np.fft.rfft(speak(_core.SourceFilter(), filters, 0.0))) ** 2
    below, above = power[: len(power) * 120 // 256].mean(), power[len(power) * 140 // 256 :].mean()
    assert below > 1e3 * above


def test_sound_does_not_depend_on_how_many_frames_come_at_once():
    filters = flat_filters(30, harmonic=-1.0, noise=-3.0)
    whole = speak(_core.SourceFilter(), filters, 170.0)
    synthesis = _core.SourceFilter()
    pieces = [speak(synthesis, filters[i:j], 170.0) for i, j in ((0, 1), (1, 1), (1, 12), (12, 30))]
    assert np.array_equal(np.concatenate(pieces), whole)


def test_a_copy_has_the_same_future():
    synthesis = _core.SourceFilter()
    filters = flat_filters(8, harmonic=-1.0, noise=-3.0)
    speak(synthesis, filters, 130.0)
    twin = copy.copy(synthesis)
    assert np.array_equal(speak(synthesis, filters, 130.0), speak(twin, filters, 130.0))


@pytest.mark.parametrize(
    ("filters", "f0", "out", "error"),
    [
        (np.zeros((2, 700), np.float32), np.zeros(2, np.float32), np.zeros(320, np.float32), ValueError),
        (np.zeros((2, N_FILTERS), np.float32), np.zeros(3, np.float32), np.zeros(320, np.float32), ValueError),
        (np.zeros((2, N_FILTERS), np.float32), np.zeros(2, np.float32), np.zeros(160, np.float32), ValueError),
        (np.zeros((2, N_FILTERS)), np.zeros(2, np.float32), np.zeros(320, np.float32), TypeError),
    ],
)
def test_wrong_shapes_and_types_are_refused(filters, f0, out, error):
    with pytest.raises(error):
        _core.SourceFilter().process_into(filters, f0, out)


def test_overlap_add_refuses_a_window_that_does_not_sum_to_one():
    with pytest.raises(ValueError, match="sum to 1 at every hop of 160, but sums to 0"):
        _core.OverlapAdd(np.full(320, 0.25, np.float32), 160, 512)


def resonance(frequency, width=250.0):
    """Filters of one formant each for pulses and noise; the phase is 0, but for whole turns, which mean nothing."""
    bins = np.arange(N_BINS) * 16_000 / 512
    filters = flat_filters(100)
    filters[:, :N_BINS] = 4 * np.exp(-(((bins - frequency) / width) ** 2)) - 4
    filters[:, N_BINS : 2 * N_BINS] = 2 * np.pi * np.random.default_rng(0).integers(-3, 4, N_BINS)
    filters[:, 2 * N_BINS :] = 4 * np.exp(-(((bins - frequency) / width) ** 2)) - 4
    return filters


def strongest_frequency(sound):
    power = np.abs(np.fft.rfft(sound[1_600:] * np.hanning(len(sound) - 1_600))) ** 2
    frequencies = np.fft.rfftfreq(len(sound) - 1_600, 1 / 16_000)
    # over the harmonics, so that the envelope counts and not where one of them lies
    smooth = np.convolve(power, np.hanning(round(400 / frequencies[1])), "same")
    return frequencies[np.argmax(smooth)]


@pytest.mark.parametrize("f0", [0.0, 110.0])
@pytest.mark.parametrize("ratio", [0.6, 0.8, 1.25, 1.7])
def test_the_formant_ratio_moves_the_resonance_and_not_the_pitch(ratio, f0):
    synthesis = _core.SourceFilter()
    assert synthesis.formant_ratio == 1.0
    synthesis.set_formant_ratio(ratio)
    assert synthesis.formant_ratio == ratio
    filters = resonance(1_500.0)
    if f0:
        filters[:, 2 * N_BINS :] = -14
    sound = speak(synthesis, filters, f0)
    # Half a harmonic's distance, and the noise's own scatter; measured within 30 Hz.
    assert strongest_frequency(sound) == pytest.approx(1_500 * ratio, abs=80)
    if f0:
        spectrum = np.abs(np.fft.rfft(sound[1_600:] * np.hanning(len(sound) - 1_600)))
        loudest = np.argmax(spectrum) * 16_000 / (len(sound) - 1_600)
        # It is a harmonic of the F0, within the resolution of 1.1 Hz.
        assert abs(loudest - f0 * round(loudest / f0)) < 2


def test_a_formant_ratio_of_1_changes_nothing():
    filters = resonance(900.0)
    expected = speak(_core.SourceFilter(), filters, 130.0)
    synthesis = _core.SourceFilter()
    synthesis.set_formant_ratio(1.5)
    synthesis.set_formant_ratio(1.0)
    assert np.array_equal(speak(synthesis, filters, 130.0), expected)


def test_the_formant_ratio_survives_a_reset_and_a_copy_and_has_limits():
    synthesis = _core.SourceFilter()
    synthesis.set_formant_ratio(1.3)
    expected = speak(synthesis, resonance(900.0), 130.0)
    synthesis.reset()
    assert np.array_equal(speak(synthesis, resonance(900.0), 130.0), expected)
    assert copy.copy(synthesis).formant_ratio == 1.3
    for ratio in (0.4, 2.1, float("nan")):
        with pytest.raises(ValueError, match=r"ratio must be in \[0.5, 2\]"):
            synthesis.set_formant_ratio(ratio)
