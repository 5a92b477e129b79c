"""Metrics, baselines and statistics of the evaluation: what they compute has known answers here."""

import numpy as np
import pytest
from scipy.signal import lfilter
from vctrain import baselines, metrics
from vctrain.evaluation import statistics
from vctrain.evaluation.statistics import Score, difference, equal_error_rate, summarise

pytestmark = pytest.mark.tools

RATE = 16_000


def vowel(f0_hz, seconds=1.0, formants=(700.0, 1200.0, 2600.0, 3600.0)):
    """Pulses and a little noise through resonances 80 Hz wide."""
    time = np.arange(int(seconds * RATE)) / RATE
    turns = np.cumsum(f0_hz * 2 ** (0.2 * np.sin(2 * np.pi * 1.5 * time))) / RATE
    output = np.diff(np.floor(turns), prepend=0) + 0.01 * np.random.default_rng(1).standard_normal(len(time))
    radius = np.exp(-np.pi * 80 / RATE)
    for hertz in formants:
        output = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * hertz / RATE), radius**2], output)
    return (0.5 * output / np.abs(output).max()).astype(np.float32)


def resonance(samples, low, high):
    """Hertz of the strongest peak of a smooth spectrum (linear prediction) between two limits."""
    frame = samples[4000:12000].astype(float) * np.hanning(8000)
    r = np.correlate(frame, frame, "full")[7999:8018]
    predictor = np.linalg.solve([[r[abs(i - j)] for j in range(18)] for i in range(18)], r[1:])
    response = 1 / np.abs(np.fft.rfft(np.concatenate([[1], -predictor]), 16_000))
    return low + int(np.argmax(response[low:high]))


def scores_of(values, voice="a"):
    return [Score("s", voice, f"u{i}", {"x": (float(v), 1.0)}) for i, v in enumerate(values)]


# Baselines


def test_mcadams_moves_the_formants_and_keeps_length_and_pitch():
    source = vowel(120.0)
    bent = baselines.mcadams(source)
    assert bent.shape == source.shape
    assert bent.dtype == np.float32
    for hertz in (700, 1200, 3600):
        moved = RATE / (2 * np.pi) * (2 * np.pi * hertz / RATE) ** baselines.MCADAMS_COEFFICIENT
        # measured: within 8 Hz
        assert resonance(source, hertz - 250, hertz + 250) == pytest.approx(hertz, abs=20)
        assert resonance(bent, int(moved) - 250, int(moved) + 250) == pytest.approx(moved, abs=25)
    # measured 3.6 cents
    melody = metrics.compare_melodies(metrics.f0(source), metrics.f0(bent))
    assert melody.cents_error < 10
    assert melody.correlation > 0.99


def test_mcadams_with_coefficient_one_gives_the_sound_back(sentence):
    same = baselines.mcadams(sentence, coefficient=1.0)
    assert np.abs(same - sentence).max() < 1e-4


def test_mcadams_of_silence_is_silence():
    assert not baselines.mcadams(np.zeros(1000, np.float32)).any()


def test_pitch_and_formants_moves_the_median_pitch_as_far_as_it_is_told():
    source = vowel(120.0)
    moved = baselines.pitch_and_formants(source, 7.0)
    assert moved.shape == source.shape
    before, after = metrics.f0_range(metrics.f0(source)), metrics.f0_range(metrics.f0(moved))
    assert after[1] - before[1] == pytest.approx(7.0, abs=0.3)


# Figures


def test_the_error_in_cents_of_a_pure_transposition_is_zero():
    contour = 120 * 2 ** (0.3 * np.sin(np.arange(200) / 9))
    contour[50:80] = 0
    melody = metrics.compare_melodies(contour, contour * 1.5)
    assert melody.cents_error == pytest.approx(0, abs=1e-9)
    assert melody.correlation == pytest.approx(1)
    assert melody.n_frames == 170


def test_half_the_frames_100_cents_too_high_are_50_cents_off():
    contour = 120 * 2 ** (0.3 * np.sin(np.arange(200) / 9))
    wrong = contour * np.where(np.arange(200) < 100, 2 ** (100 / 1200), 1)
    assert metrics.compare_melodies(contour, wrong).cents_error == pytest.approx(50)


def test_too_few_voiced_frames_give_no_figure():
    melody = metrics.compare_melodies(np.zeros(100), np.full(100, 120.0))
    assert np.isnan(melody.cents_error)
    assert metrics.f0_range(np.zeros(100)) is None


def test_edit_errors_count_substitutions_insertions_and_deletions():
    assert metrics.edit_errors(["a", "b", "c", "d"], ["a", "x", "c", "d"]) == 1
    assert metrics.edit_errors(["a", "b", "c"], ["a", "b", "c", "d"]) == 1
    assert metrics.edit_errors(["a", "b", "c"], []) == 3


@pytest.mark.parametrize(
    ("genuine", "impostor", "expected"),
    [
        ([0.9, 0.8, 0.7], [0.1, 0.2, 0.3], 0.0),
        ([0.1, 0.2, 0.3], [0.9, 0.8, 0.7], 1.0),
        ([0.5, 0.5], [0.5, 0.5, 0.5], 0.5),
        ([0.9, 0.8, 0.7, 0.2], [0.1, 0.1, 0.3, 0.75], 0.25),
    ],
)
def test_equal_error_rates_of_known_scores(genuine, impostor, expected):
    assert equal_error_rate(np.array(genuine), np.array(impostor)) == pytest.approx(expected)


def test_a_weight_of_two_is_the_trial_twice():
    genuine, impostor = np.array([0.9, 0.4, 0.7]), np.array([0.1, 0.6, 0.3])
    weighted = equal_error_rate(genuine, impostor, np.array([1.0, 2.0, 0.0]), np.ones(3))
    assert weighted == pytest.approx(equal_error_rate(np.array([0.9, 0.4, 0.4]), impostor))


def test_the_bootstrap_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        figure = summarise(scores_of(rng.normal(5, 1, 30)), draws=200)["x"]
        covered += figure["low"] <= 5 <= figure["high"]
    # measured 186; binomial: 190 +- 3, and the percentile bootstrap of 30 is a little narrow
    assert 178 <= covered <= 199


def test_the_same_seed_gives_the_same_interval():
    scores = scores_of(np.random.default_rng(1).normal(size=12))
    assert summarise(scores) == summarise(scores)
    assert summarise(scores) != summarise(scores, seed=2)


def test_words_count_alike_and_pairs_count_alike():
    scores = [
        Score("s", "a", "u1", {"wer": (1, 10)}),
        Score("s", "a", "u2", {"wer": (3, 6)}),
        Score("s", "b", "u1", {"wer": (10, 10)}),
    ]
    assert summarise(scores)["wer"]["mean"] == pytest.approx((4 / 16 + 1) / 2)


def test_one_utterance_has_no_interval():
    assert summarise(scores_of([2.0]))["x"] == {"mean": 2.0, "low": None, "high": None}


def test_paired_differences_are_taken_utterance_by_utterance():
    first, second = scores_of([1, 2, 3]), scores_of([0.5, 1.5, 2.5])[:2]
    figure = summarise(difference(first, second))["x"]
    assert figure == {"mean": 0.5, "low": 0.5, "high": 0.5}


def test_the_eer_figure_has_an_interval_around_its_mean():
    rng = np.random.default_rng(5)
    verifications = [
        statistics.Verification(s, float(rng.normal(1)), (float(rng.normal(0)), float(rng.normal(0))))
        for s in scores_of(range(60))
    ]
    figure = statistics.eer_figure(verifications)
    assert figure["low"] < figure["mean"] < figure["high"]
    assert figure["mean"] == pytest.approx(0.31, abs=0.1)
    assert statistics.eer_figure([]) is None
