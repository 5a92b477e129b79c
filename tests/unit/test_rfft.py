"""The real FFT against the definition, and its own inverse."""

import numpy as np
import pytest
from helpers import reference

from edgevc import _core

# Largest error over the largest bin, white noise and tones, measured 2.2e-7 (x86-64); factor 5.
FORWARD_TOLERANCE = 1.1e-6
# Largest error of a round trip of samples in [-1, 1], measured 6.0e-7 (65536 points, x86-64); factor 5.
ROUND_TRIP_TOLERANCE = 3e-6
# Largest error of the inverse of a white spectrum, measured 9.7e-8 (8 points, x86-64); factor 5.
INVERSE_TOLERANCE = 5e-7

SIZES = [8, 16, 32, 64, 128, 256, 512, 1024, 2048]


@pytest.mark.parametrize("size", SIZES)
def test_forward_is_the_dft_of_the_definition(size):
    rng = np.random.default_rng(size)
    for signal in (rng.uniform(-1, 1, size), np.cos(0.7 * np.arange(size)), np.ones(size), np.eye(size)[3]):
        signal = signal.astype(np.float32)
        expected = reference.dft(signal)
        error = np.abs(_core.Rfft(size).forward(signal) - expected).max() / np.abs(expected).max()
        assert error < FORWARD_TOLERANCE


@pytest.mark.parametrize("size", [*SIZES, 4096, 65536])
def test_inverse_undoes_forward(size):
    signal = np.random.default_rng(size).uniform(-1, 1, size).astype(np.float32)
    fft = _core.Rfft(size)
    assert np.abs(fft.inverse(fft.forward(signal)) - signal).max() < ROUND_TRIP_TOLERANCE


@pytest.mark.parametrize("size", SIZES)
def test_inverse_is_that_of_numpy(size):
    rng = np.random.default_rng(size)
    spectrum = (rng.standard_normal(size // 2 + 1) + 1j * rng.standard_normal(size // 2 + 1)).astype(np.complex64)
    expected = np.fft.irfft(spectrum.astype(np.complex128), size)
    assert np.abs(_core.Rfft(size).inverse(spectrum) - expected).max() < INVERSE_TOLERANCE


def test_a_call_leaves_nothing_for_the_next():
    rng = np.random.default_rng(0)
    fft, signal = _core.Rfft(512), rng.standard_normal(512).astype(np.float32)
    first = fft.forward(signal)
    fft.forward(rng.standard_normal(512).astype(np.float32))
    fft.inverse(first)
    np.testing.assert_array_equal(fft.forward(signal), first)


@pytest.mark.parametrize("size", [-8, 0, 4, 12, 500, 131072])
def test_sizes_other_than_powers_of_two_are_refused(size):
    with pytest.raises(ValueError, match=rf"power of two in \[8, 65536\], got {size}"):
        _core.Rfft(size)


def test_arrays_of_another_length_are_refused():
    fft = _core.Rfft(16)
    with pytest.raises(ValueError, match=r"signal must have shape \(16,\), got \(15,\)"):
        fft.forward(np.zeros(15, np.float32))
    with pytest.raises(ValueError, match="spectrum must have shape"):
        fft.inverse(np.zeros(8, np.complex64))
