"""The high-pass in front of everything: its response, its start, and what it does to silence and bad samples."""

import copy

import numpy as np
import pytest

from edgevc import _core

RATE = 16_000


def noise(rng, n, scale=0.3):
    return (scale * rng.standard_normal(n)).astype(np.float32)


@pytest.mark.parametrize("rate", [4_000, 16_000, 48_000, 192_000])
@pytest.mark.parametrize("cutoff", [5.0, 20.0, 200.0])
def test_the_response_is_butterworths(rate, cutoff):
    n = 16 * rate
    impulse = np.zeros(n, np.float32)
    # a sample before the impulse, or the filter would take it for an offset
    impulse[0], impulse[rate] = 1e-9, 1.0
    response = np.abs(np.fft.rfft(_core.HighPass(rate, cutoff).process(impulse)[rate:], n))
    frequency = np.fft.rfftfreq(n, 1 / rate)[1:-1]
    # the bilinear transform maps a frequency to its tangent
    warped = np.tan(np.pi * frequency / rate) / np.tan(np.pi * cutoff / rate)
    expected = warped**4 / np.sqrt(1 + warped**8)
    np.testing.assert_allclose(response[1:-1], expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("offset", [0.01, -0.3, 0.9])
def test_an_offset_from_the_first_sample_on_makes_no_thump(offset, rng):
    hiss = noise(rng, RATE, 1e-4)
    out = _core.HighPass(RATE).process(hiss + np.float32(offset))
    # no more than the hiss of the first sample; measured at most 4e-4
    assert np.abs(out).max() < 1e-3
    assert abs(out[RATE // 2 :].mean()) < 1e-6


def test_zeros_before_the_offset_change_nothing(rng):
    samples = noise(rng, RATE) + np.float32(0.2)
    alone = _core.HighPass(RATE).process(samples)
    behind = _core.HighPass(RATE).process(np.concatenate([np.zeros(777, np.float32), samples]))
    assert not behind[:777].any()
    assert np.array_equal(behind[777:], alone)


def test_output_does_not_depend_on_how_the_input_is_cut(rng):
    samples = np.concatenate([np.zeros(300), 0.1 + noise(rng, 3_000), np.zeros(30_000), noise(rng, 700)])
    samples = samples.astype(np.float32)
    samples[[5, 400, 401, 33_999]] = [np.nan, np.inf, 2e6, -np.inf]
    whole = _core.HighPass(RATE)
    expected = whole.process(samples)
    for length in (1, 7, 160, 1_000):
        stream = _core.HighPass(RATE)
        parts = [stream.process(samples[i : i + length]) for i in range(0, len(samples), length)]
        assert np.array_equal(np.concatenate(parts), expected), length
        assert stream.replaced_samples == whole.replaced_samples == 4
    in_place = samples.copy()
    _core.HighPass(RATE).process_into(in_place, in_place)
    assert np.array_equal(in_place, expected)


def test_reset_is_a_new_filter_and_a_copy_has_the_same_future(rng):
    first, second = 0.3 + noise(rng, 1_000), noise(rng, 1_000)
    used = _core.HighPass(RATE)
    used.process(np.append(first, np.float32(np.nan)))
    used.reset()
    assert used.replaced_samples == 0
    assert np.array_equal(used.process(first), _core.HighPass(RATE).process(first))
    twin = copy.copy(used)
    expected = used.process(second)
    assert np.array_equal(twin.process(second), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.1e6, -3e38])
def test_a_bad_sample_is_silence_is_counted_and_leaves_no_trace(bad, rng):
    samples = noise(rng, 2_000) + np.float32(0.3)
    with_bad = np.insert(samples, [0, 1_000], np.float32(bad)).astype(np.float32)
    stream = _core.HighPass(RATE)
    out = stream.process(with_bad)
    assert (out[0], out[1_001], stream.replaced_samples) == (0.0, 0.0, 2)
    assert np.array_equal(np.delete(out, [0, 1_001]), _core.HighPass(RATE).process(samples))


def test_silence_ends_in_zeros():
    stream = _core.HighPass(RATE)
    stream.process(np.full(1_600, 0.5, np.float32))
    out = stream.process(np.zeros(RATE, np.float32))
    assert out[0] != 0.0
    assert not out[RATE // 2 :].any()
    assert np.abs(out[out != 0.0]).min() >= 1e-10


def test_settings_out_of_range_and_wrong_arrays_are_refused():
    for rate in (3_999, 192_001):
        with pytest.raises(ValueError, match=rf"sample_rate must be in \[4000, 192000\] Hz, got {rate}"):
            _core.HighPass(rate)
    for cutoff in (4.9, 201.0, float("nan")):
        with pytest.raises(ValueError, match=r"cutoff must be in \[5, 200\] Hz, got"):
            _core.HighPass(RATE, cutoff)
    with pytest.raises(TypeError):
        _core.HighPass(RATE).process(np.zeros(5))
    samples = np.zeros(10, np.float32)
    with pytest.raises(ValueError, match="overlap"):
        _core.HighPass(RATE).process_into(samples[:8], samples[2:])
