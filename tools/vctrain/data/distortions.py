"""What microphones, rooms and telephones do to sound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from vctrain.data.corpora import SAMPLE_RATE


def unit_power(samples: NDArray[np.floating]) -> NDArray[np.float32]:
    """Brought to a mean square of one; silence stays silence."""
    return (samples / (np.sqrt((samples**2).mean()) + 1e-9)).astype(np.float32)


def shape_spectrum(samples: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A random smooth equaliser of some +-6 dB: microphones and rooms colour, phones stay."""
    spectrum = fft.rfft(samples)
    octaves = np.log2(np.maximum(np.arange(len(spectrum)) / len(spectrum) * 8000, 50) / 50)
    curve = np.interp(octaves, np.linspace(0, 7.4, 8), rng.normal(0, 4.0, 8)).astype(np.float32)
    return fft.irfft(spectrum * 10 ** (curve / 20), len(samples)).astype(np.float32)


def reverberate(samples: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A random room: the sound itself, and behind it noise that falls by 60 dB within 0.1 to 0.6 s."""
    n = int(SAMPLE_RATE * 0.4)
    seconds = np.arange(n) / SAMPLE_RATE
    decay = 10 ** (-3 * seconds / rng.uniform(0.1, 0.6))
    tail = rng.standard_normal(n) * decay * (seconds > 0.002)
    direct_to_reverberant = rng.uniform(0, 15)
    tail *= 10 ** (-direct_to_reverberant / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    size = 1 << (len(samples) + n - 1).bit_length()
    wet = fft.irfft(fft.rfft(samples, size) * fft.rfft(tail, size), size)[: len(samples)]
    return wet.astype(np.float32)


def companded(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Through the 8 bits of a telephone: mu-law of ITU-T G.711, mu = 255, on the whole range of the samples."""
    loudest = float(np.abs(samples).max()) + 1e-9
    small = np.sign(samples) * np.log1p(255 * np.abs(samples) / loudest) / np.log(256)
    coarse = np.round(small * 127) / 127
    return (np.sign(coarse) * (256 ** np.abs(coarse) - 1) / 255 * loudest).astype(np.float32)
