"""The resampler whose ratio moves: as good as the fixed one, without a click, however the input is cut."""

import numpy as np
import pytest

from edgevc.dsp.resample import AdaptiveResampler, Resampler
from edgevc.errors import ConfigError

PAIRS = [(48_000, 16_000), (44_100, 16_000), (16_000, 48_000), (16_000, 44_100), (8_000, 16_000), (16_000, 16_000)]
UNEQUAL = PAIRS[:-1]
# Rows of the filter table are interpolated; measured -98 dB.
SAME_AS_FIXED_DB = -90.0
# Required -70; measured -75.5 dB.
STOP_BAND_DB = -70.0
# Loudest 20 ms above 2 kHz while the ratio of a 1 kHz tone jumps from one limit to the other; measured -88 dB, where a
# jump of the phase by a tenth of a turn gives -23 dB.
SPLASH_DB = -75.0


def noise(rng, n):
    return (0.3 * rng.standard_normal(n)).astype(np.float32)


def tone(frequency, rate, seconds):
    return np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate).astype(np.float32)


def whole(stream, samples):
    return np.concatenate((stream.process(samples), stream.flush()))


@pytest.mark.parametrize(("from_rate", "to_rate"), UNEQUAL)
def test_at_ratio_1_it_does_what_the_fixed_one_does(from_rate, to_rate, rng):
    samples = noise(rng, 20_000)
    fixed, adaptive = Resampler(from_rate, to_rate), AdaptiveResampler(from_rate, to_rate)
    assert adaptive.latency == fixed.latency
    expected, result = whole(fixed, samples), whole(adaptive, samples)
    assert result.shape == expected.shape
    assert 20 * np.log10(np.abs(result - expected).max() / np.abs(expected).max() + 1e-12) < SAME_AS_FIXED_DB


def test_equal_rates_are_a_pure_delay_until_the_ratio_is_moved(rng):
    samples = noise(rng, 5_000)
    stream = AdaptiveResampler(16_000, 16_000)
    assert stream.latency == 48
    stream.set_ratio(1.0)
    result = whole(stream, samples)
    assert np.array_equal(result[48:], samples)
    assert not result[:48].any()


def test_equal_rates_keep_the_latency_when_the_ratio_is_moved():
    # The ratio is moved and moved back within the fade: what comes out then is the filter's, at the same place.
    samples = tone(500, 16_000, 1.0)
    stream = AdaptiveResampler(16_000, 16_000)
    parts = [stream.process(samples[:4_000])]
    stream.set_ratio(1.001)
    stream.set_ratio(1.0)
    parts.append(stream.process(samples[4_000:]))
    result = np.concatenate(parts)
    # Flat within 0.002 dB; measured 2e-5.
    np.testing.assert_allclose(result[48:], samples[:-48], rtol=0, atol=2e-4)
    assert not np.array_equal(result[8_048:], samples[8_000:-48])


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS)
def test_output_does_not_depend_on_how_the_input_is_cut(from_rate, to_rate, rng):
    samples = noise(rng, 12_000)
    moves = {2_000: 1.005, 4_000: 0.98, 4_030: 1.02, 9_000: 1.0}

    def run(cuts):
        stream, parts, position = AdaptiveResampler(from_rate, to_rate), [], 0
        for end in sorted({*cuts, *moves, len(samples)}):
            announced = stream.next_output(end - position)
            parts.append(stream.process(samples[position:end]))
            assert parts[-1].size == announced <= stream.max_output(end - position)
            position = end
            if end in moves:
                stream.set_ratio(moves[end])
        return np.concatenate([*parts, stream.flush()])

    expected = run(())
    for cuts in (range(0, 12_000, 1), range(0, 12_000, 160), np.sort(rng.integers(0, 12_000, 40)).tolist()):
        assert np.array_equal(run(cuts), expected)


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS)
@pytest.mark.parametrize("ratio", [0.98, 0.9995, 1.0003, 1.02])
def test_a_tone_moves_by_the_ratio_and_stays_alone(from_rate, to_rate, ratio):
    stream = AdaptiveResampler(from_rate, to_rate)
    stream.set_ratio(ratio)
    result = stream.process(tone(1_000, from_rate, 1.0))
    assert len(result) == pytest.approx(to_rate * ratio, abs=0.02 * to_rate / 50 + 2)
    middle = result[to_rate // 4 : to_rate * 3 // 4].astype(np.float64)
    angle = 2 * np.pi * 1_000 / ratio / to_rate * np.arange(len(middle))
    basis = np.stack((np.cos(angle), np.sin(angle)), axis=1)
    weights, *_ = np.linalg.lstsq(basis, middle, rcond=None)
    assert np.hypot(*weights) == pytest.approx(1.0, abs=1e-3)
    assert 20 * np.log10(np.sqrt(2 * np.mean((middle - basis @ weights) ** 2))) < -80


@pytest.mark.parametrize(("from_rate", "to_rate"), [pair for pair in PAIRS if pair[0] > pair[1]])
@pytest.mark.parametrize("ratio", [0.99, 1.0, 1.01])
def test_tones_above_the_new_nyquist_frequency_leave_no_alias(from_rate, to_rate, ratio):
    for frequency in np.linspace(to_rate / 2, from_rate / 2, 21):
        stream = AdaptiveResampler(from_rate, to_rate)
        stream.set_ratio(ratio)
        result = stream.process(tone(frequency, from_rate, 0.3))[to_rate // 20 :]
        assert 20 * np.log10(np.sqrt(2 * np.mean(result.astype(np.float64) ** 2)) + 1e-12) < STOP_BAND_DB, frequency


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS)
def test_the_ratio_moves_without_a_click(from_rate, to_rate):
    samples = tone(1_000, from_rate, 3.0)
    stream = AdaptiveResampler(from_rate, to_rate)
    parts = []
    for second, ratio in enumerate((1.02, 0.98, 1.0)):
        parts.append(stream.process(samples[second * from_rate : second * from_rate + from_rate // 2]))
        stream.set_ratio(ratio)
        parts.append(stream.process(samples[second * from_rate + from_rate // 2 : (second + 1) * from_rate]))
    result = np.concatenate(parts)
    length = to_rate // 50
    window = np.blackman(length)
    starts = range(length, len(result) - length, length // 4)
    spectra = (np.abs(np.fft.rfft(result[start : start + length] * window))[40:] for start in starts)
    assert 20 * np.log10(max(np.sqrt(np.sum(s**2)) for s in spectra) / (length / 4)) < SPLASH_DB


@pytest.mark.parametrize("skew", [0.99, 1.01])
def test_a_servo_on_the_queue_holds_two_clocks_that_differ_by_one_percent(skew):
    # A device that takes 160 * skew samples per hop; the ratio follows the fill of the queue before it.
    stream = AdaptiveResampler(16_000, 16_000)
    hop = tone(1_000, 16_000, 0.01)
    fill, owed, integral, fills = 480.0, 0.0, 0.0, []
    for _ in range(3_000):
        fill += stream.process(hop).size
        owed += 160 * skew
        fill -= int(owed)
        owed -= int(owed)
        fills.append(fill)
        error = (480 - fill) / 16_000
        integral += 0.02 * error
        stream.set_ratio(float(np.clip(1 + 0.5 * error + integral, 0.98, 1.02)))
    assert np.min(fills) > 0
    assert np.abs(np.array(fills[-500:]) - 480).max() < 16
    assert stream.ratio == pytest.approx(skew, abs=1e-3)


def test_reset_and_flush_leave_a_new_stream(rng):
    samples = noise(rng, 2_000)
    expected = whole(AdaptiveResampler(44_100, 16_000), samples)
    stream = AdaptiveResampler(44_100, 16_000)
    for end in (stream.reset, stream.flush):
        stream.set_ratio(1.01)
        stream.process(noise(rng, 777))
        end()
        assert stream.ratio == 1.0
        assert np.array_equal(whole(stream, samples), expected)
    assert stream.flush().size == 0


def test_bad_samples_are_replaced_and_counted(rng):
    samples = noise(rng, 1_000)
    clean = samples.copy()
    samples[10:13] = np.nan, np.inf, 1e31
    clean[10:13] = 0
    stream = AdaptiveResampler(48_000, 16_000)
    assert np.array_equal(stream.process(samples), AdaptiveResampler(48_000, 16_000).process(clean))
    assert stream.replaced_samples == 3


def test_settings_out_of_range_are_refused():
    stream = AdaptiveResampler(16_000, 16_000)
    for ratio in (0.97, 1.03, float("nan")):
        with pytest.raises(ConfigError, match=r"ratio must be in \[0.98, 1.02\]"):
            stream.set_ratio(ratio)
    with pytest.raises(ConfigError, match="from_rate"):
        AdaptiveResampler(100, 16_000)
    with pytest.raises(TypeError):
        AdaptiveResampler(16_000.0, 16_000)
    with pytest.raises(ConfigError, match="n_in"):
        stream.next_output(-1)
