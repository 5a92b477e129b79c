"""The streaming resampler: its quality, its latency, and the promises of every stream."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from edgevc.dsp.resample import Resampler, resample
from edgevc.errors import ConfigError

DEVICE_RATES = (8_000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000)
PAIRS = [(rate, 16_000) for rate in DEVICE_RATES] + [(16_000, rate) for rate in DEVICE_RATES]
# No common factor: the filter table would be too large, and is interpolated.
ODD_PAIRS = [(44_101, 16_000), (16_000, 44_101), (192_000, 4_001), (4_001, 191_999)]

# Required; measured -75.7 dB or lower for every pair.
STOP_BAND_DB = -70.0
# Measured 0.0010 dB.
PASS_BAND_RIPPLE_DB = 0.002
# Largest sample of the difference from an ideal sine at 1 kHz; measured 2.4e-5 to 11.025 kHz, below 2e-6 elsewhere.
SINE_TOLERANCE = 1e-4
# Largest sample of the difference from soxr, at a peak of 0.56; measured 7.9e-5 at 44.1 kHz, where soxr's own pass band
# is 0.008 dB off, and 1.4e-5 at 48 kHz.
SOXR_TOLERANCE = {44_100: 2e-4, 48_000: 7e-5}

GOLDEN = Path(__file__).parents[1] / "golden"


def noise(rng, n):
    return (0.3 * rng.standard_normal(n)).astype(np.float32)


def tone(frequency, sample_rate, seconds=0.25):
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    return np.cos(2 * np.pi * frequency * time + 0.3).astype(np.float32)


def whole(stream, samples):
    return np.concatenate((stream.process(samples), stream.flush()))


def rounded(n_in, from_rate, to_rate):
    return math.floor(Fraction(n_in * to_rate, from_rate) + Fraction(1, 2))


def decibel(amplitude):
    return 20 * np.log10(amplitude + 1e-12)


def fit(samples, frequency, sample_rate):
    """Amplitude of the tone in the middle half of the samples, and the peak amplitude of all that is not the tone."""
    quarter = samples.size // 4
    middle = samples[quarter:-quarter].astype(np.float64)
    angle = 2 * np.pi * frequency * np.arange(middle.size) / sample_rate
    basis = np.stack((np.cos(angle), np.sin(angle)), axis=1)
    weights, *_ = np.linalg.lstsq(basis, middle, rcond=None)
    return np.hypot(*weights), np.sqrt(2 * np.mean((middle - basis @ weights) ** 2))


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS + ODD_PAIRS[:2])
def test_tones_in_the_pass_band_keep_their_level_and_stay_alone(from_rate, to_rate):
    for frequency in np.linspace(60, 0.9 * min(from_rate, to_rate) / 2, 25):
        gain, rest = fit(resample(tone(frequency, from_rate), from_rate, to_rate), frequency, to_rate)
        assert abs(decibel(gain)) < PASS_BAND_RIPPLE_DB, frequency
        assert decibel(rest) < STOP_BAND_DB, frequency


@pytest.mark.parametrize(("from_rate", "to_rate"), [pair for pair in PAIRS + ODD_PAIRS[:3] if pair[0] > pair[1]])
def test_tones_above_the_new_nyquist_frequency_leave_no_alias(from_rate, to_rate):
    for frequency in np.linspace(to_rate / 2, from_rate / 2, 41):
        result = resample(tone(frequency, from_rate), from_rate, to_rate)
        quarter = result.size // 4
        alias = np.sqrt(2 * np.mean(result[quarter:-quarter].astype(np.float64) ** 2))
        assert decibel(alias) < STOP_BAND_DB, frequency


@pytest.mark.parametrize(("from_rate", "to_rate"), [pair for pair in PAIRS if pair[0] < pair[1]])
def test_tones_up_to_the_old_nyquist_frequency_leave_no_image(from_rate, to_rate):
    for frequency in np.linspace(0.9 * from_rate / 2, 0.999 * from_rate / 2, 12):
        _, image = fit(resample(tone(frequency, from_rate), from_rate, to_rate), frequency, to_rate)
        assert decibel(image) < STOP_BAND_DB, frequency


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS + ODD_PAIRS[:2])
def test_a_sine_comes_out_as_the_ideal_sine_at_the_same_time(from_rate, to_rate):
    result = resample(tone(1_000, from_rate), from_rate, to_rate)
    ideal = np.cos(2 * np.pi * 1_000 * np.arange(result.size) / to_rate + 0.3)
    quarter = result.size // 4
    np.testing.assert_allclose(result[quarter:-quarter], ideal[quarter:-quarter], rtol=0, atol=SINE_TOLERANCE)


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS + ODD_PAIRS)
def test_a_constant_stays_a_constant(from_rate, to_rate):
    result = resample(np.full(2 * from_rate // 10, 0.5, np.float32), from_rate, to_rate)
    quarter = result.size // 4
    # Rounding of float32 sums over up to 4,600 taps; measured 3e-7.
    np.testing.assert_allclose(result[quarter:-quarter], 0.5, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("from_rate", "to_rate"), [(44_100, 16_000), (48_000, 16_000), (16_000, 44_100), (16_000, 48_000)]
)
def test_result_agrees_with_soxr(from_rate, to_rate):
    # tests/golden/make_resample.py made the numbers; its signal is repeated here, from the definition.
    draw = np.random.default_rng(7)
    time = np.arange(int(0.06 * from_rate)) / from_rate
    tones = sum(np.cos(2 * np.pi * (f * time + draw.random())) for f in np.linspace(150, 6_900, 10))
    signal = (0.1 * tones * np.exp(-0.5 * ((time - 0.03) / 0.005) ** 2)).astype(np.float32)
    with np.load(GOLDEN / "resample_soxr.npz") as golden:
        expected = golden[f"{from_rate}_{to_rate}"]
    tolerance = SOXR_TOLERANCE[max(from_rate, to_rate)]
    np.testing.assert_allclose(resample(signal, from_rate, to_rate), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("from_rate", "to_rate"), [*PAIRS, *ODD_PAIRS, (16_000, 16_000)])
def test_output_does_not_depend_on_how_the_input_is_cut(from_rate, to_rate, rng):
    samples = noise(rng, 6_000)
    expected = whole(Resampler(from_rate, to_rate), samples)
    for length in (1, 7, 160, 1_000):
        stream = Resampler(from_rate, to_rate)
        pieces = [stream.process(samples[i : i + length]) for i in range(0, samples.size, length)]
        assert np.array_equal(np.concatenate([*pieces, stream.flush()]), expected), length
    stream = Resampler(from_rate, to_rate)
    cuts = np.sort(rng.integers(0, samples.size + 1, 60))
    pieces = [stream.process(piece) for piece in np.split(samples, cuts)]
    assert np.array_equal(np.concatenate([*pieces, stream.flush()]), expected)


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS + ODD_PAIRS)
def test_every_sample_comes_with_the_input_that_completes_it(from_rate, to_rate, rng):
    stream = Resampler(from_rate, to_rate)
    n_out = 0
    for n_in, sample in enumerate(noise(rng, 700), start=1):
        n_out += stream.process(np.array([sample])).size
        assert n_out == -(-n_in * to_rate // from_rate), n_in


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS)
def test_no_output_waits_for_more_input_than_it_uses(from_rate, to_rate):
    # Output that could have come earlier would not change with the sample that brought it.
    silence = np.zeros(441, np.float32)
    for n_before in range(441, 441 + 12):
        quiet, loud = Resampler(from_rate, to_rate), Resampler(from_rate, to_rate)
        for stream in (quiet, loud):
            stream.process(np.zeros(n_before, np.float32))
        expected, changed = quiet.process(silence[:1]), loud.process(np.full(1, 1e6, np.float32))
        assert expected.size == changed.size
        assert np.all(expected != changed)


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS + ODD_PAIRS)
def test_a_click_comes_out_after_exactly_the_latency(from_rate, to_rate):
    # At a place where input and output grids meet, so that the peak falls on an output sample.
    divisor = math.gcd(from_rate, to_rate)
    up, down = to_rate // divisor, from_rate // divisor
    samples = np.zeros(down + from_rate // 10, np.float32)
    samples[down] = 1.0
    stream = Resampler(from_rate, to_rate)
    result = whole(stream, samples)
    assert np.argmax(np.abs(result)) == up + stream.latency
    # Linear phase: the same to both sides of the peak.
    reach = min(stream.latency - 1, result.size - 1 - up - stream.latency, up + stream.latency)
    middle = up + stream.latency
    np.testing.assert_allclose(
        result[middle - reach : middle], result[middle + 1 : middle + reach + 1][::-1], rtol=0, atol=1e-6
    )


def test_latency_is_the_stated_one():
    stated = {
        (48_000, 16_000): 48,
        (44_100, 16_000): 48,
        (16_000, 48_000): 144,
        (16_000, 44_100): 133,
        (16_000, 8_000): 48,
        (8_000, 16_000): 96,
        (16_000, 16_000): 0,
    }
    assert {rates: Resampler(*rates).latency for rates in stated} == stated
    assert Resampler(44_100, 16_000).input_latency == Fraction(48 * 441, 160)
    assert Resampler(48_000, 16_000).input_latency == 144


@pytest.mark.parametrize(("from_rate", "to_rate"), [*PAIRS, *ODD_PAIRS, (16_000, 16_000)])
@pytest.mark.parametrize("n_in", [1, 2, 3, 159, 160, 1_000, 4_410])
def test_flush_completes_the_stated_number_of_samples(from_rate, to_rate, n_in, rng):
    stream = Resampler(from_rate, to_rate)
    samples = noise(rng, n_in)
    assert whole(stream, samples).size == rounded(n_in, from_rate, to_rate) + stream.latency
    assert resample(samples, from_rate, to_rate).size == rounded(n_in, from_rate, to_rate)


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS + ODD_PAIRS)
def test_flush_and_reset_leave_a_new_stream(from_rate, to_rate, rng):
    samples, other = noise(rng, 2_000), noise(rng, 1_234)
    expected = whole(Resampler(from_rate, to_rate), samples)
    stream = Resampler(from_rate, to_rate)
    stream.process(other)
    stream.flush()
    assert stream.flush().size == 0
    assert np.array_equal(whole(stream, samples), expected)
    stream.process(other)
    stream.reset()
    assert stream.flush().size == 0
    assert np.array_equal(whole(stream, samples), expected)


def test_two_streams_share_nothing(rng):
    samples = noise(rng, 4_000)
    expected = Resampler(44_100, 16_000).process(samples)
    one, two = Resampler(44_100, 16_000), Resampler(44_100, 16_000)
    pieces = []
    for i in range(0, samples.size, 100):
        pieces.append(one.process(samples[i : i + 100]))
        two.process(-samples[i : i + 100])
    assert np.array_equal(np.concatenate(pieces), expected)


def test_samples_that_are_not_finite_count_as_silence(rng):
    for rates in ((48_000, 16_000), (16_000, 16_000)):
        bad = noise(rng, 3_000)
        bad[[5, 700, 701, 2_000]] = np.nan, np.inf, -np.inf, 3e38
        good = bad.copy()
        good[[5, 700, 701, 2_000]] = 0.0
        stream = Resampler(*rates)
        assert np.array_equal(stream.process(bad), Resampler(*rates).process(good))
        assert stream.replaced_samples == 4
        stream.reset()
        assert stream.replaced_samples == 0


def test_equal_rates_copy(rng):
    samples = noise(rng, 500)
    result = resample(samples, 16_000, 16_000)
    assert np.array_equal(result, samples)
    assert not np.shares_memory(result, samples)


def test_process_into_writes_what_process_returns(rng):
    samples = noise(rng, 1_000)
    expected = Resampler(44_100, 16_000).process(samples)
    stream = Resampler(44_100, 16_000)
    out = np.full(stream.max_output(1_000) + 3, 9.0, np.float32)
    n_out = stream.process_into(samples, out)
    assert np.array_equal(out[:n_out], expected)
    assert np.all(out[n_out:] == 9.0)


def test_process_into_refuses_an_output_it_cannot_use(rng):
    stream = Resampler(16_000, 16_000)
    samples = noise(rng, 100)
    with pytest.raises(ConfigError, match="100 samples, got 99"):
        stream.process_into(samples, np.zeros(99, np.float32))
    with pytest.raises(ConfigError, match="overlap"):
        stream.process_into(samples, samples)
    with pytest.raises(ConfigError, match="contiguous"):
        stream.process_into(samples, np.zeros(400, np.float32)[::2])
    frozen = np.zeros(100, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ConfigError, match="read-only"):
        stream.process_into(samples, frozen)
    with pytest.raises(TypeError, match="expected a float32 array, got float64"):
        stream.process_into(samples, np.zeros(100))


def test_wrong_input_is_refused_with_rule_and_value(rng):
    stream = Resampler(48_000, 16_000)
    with pytest.raises(TypeError, match="expected a float32 array, got float64"):
        stream.process(np.zeros(10))
    with pytest.raises(TypeError, match="got list"):
        stream.process([0.0])
    with pytest.raises(ConfigError, match=r"shape \(T,\), mono, got \(2, 5\)"):
        stream.process(np.zeros((2, 5), np.float32))
    with pytest.raises(ConfigError, match="finite, got nan at index 3"):
        resample(np.array([0, 0, 0, np.nan], np.float32), 48_000, 16_000)
    with pytest.raises(ConfigError, match="n_in"):
        stream.max_output(-1)


@pytest.mark.parametrize("rate", [3_999, 192_001, 0, -16_000])
def test_rates_out_of_range_are_refused(rate):
    with pytest.raises(ConfigError, match=f"4000, 192000.* got {rate}"):
        Resampler(rate, 16_000)
    with pytest.raises(ConfigError, match=f"4000, 192000.* got {rate}"):
        Resampler(16_000, rate)


@pytest.mark.parametrize("rate", [16_000.0, "16000", True])
def test_rates_that_are_no_integers_are_refused(rate):
    with pytest.raises(TypeError, match="integer"):
        Resampler(rate, 16_000)


def test_strided_input_is_taken_as_it_reads(rng):
    samples = noise(rng, 1_000)
    assert np.array_equal(
        Resampler(48_000, 16_000).process(samples[::2]), Resampler(48_000, 16_000).process(samples[::2].copy())
    )


def test_empty_input_gives_empty_output():
    stream = Resampler(48_000, 16_000)
    assert stream.process(np.zeros(0, np.float32)).shape == (0,)
    assert stream.flush().size == 0
    assert resample(np.zeros(0, np.float32), 48_000, 16_000).shape == (0,)
