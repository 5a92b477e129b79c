"""Slow float64 versions of the front end, written from the definitions and sharing nothing with the core."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def dft(signal: Array) -> NDArray[np.complex128]:
    """Bins 0 .. n / 2 of the DFT of a real signal (n,), by the definition's double sum."""
    n = len(signal)
    k, t = np.arange(n // 2 + 1)[:, None], np.arange(n)[None, :]
    # k * t mod n first: the angle stays small, so that the sine of it is exact to float64
    return np.exp(-2j * np.pi * (k * t % n) / n) @ signal.astype(np.float64)


def hann(length: int) -> Array:
    """Periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)


def povey(length: int) -> Array:
    """Kaldi's window: symmetric Hann to the power 0.85."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / (length - 1))) ** 0.85


def hz_to_mel(hertz: Array, scale: str) -> Array:
    """HTK: 2595 log10(1 + f / 700). Slaney: 3 f / 200 below 1 kHz, then 27 mels for each factor of 6.4."""
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hertz / 700.0)
    return np.where(
        hertz < 1000.0, 3.0 * hertz / 200.0, 15.0 + 27.0 * np.log(np.maximum(hertz, 1.0) / 1000) / np.log(6.4)
    )


def mel_to_hz(mel: Array, scale: str) -> Array:
    """The inverse of hz_to_mel."""
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    return np.where(mel < 15.0, 200.0 * mel / 3.0, 1000.0 * 6.4 ** ((mel - 15.0) / 27.0))


def mel_filterbank(
    n_mels: int,
    n_fft: int,
    fmin: float,
    fmax: float,
    scale: str = "htk",
    interpolation: str = "hertz",
    norm: str = "none",
    sample_rate: int = 16_000,
) -> Array:
    """Triangles (n_mels, n_fft // 2 + 1); interpolation says over what their sides are straight."""
    ends = hz_to_mel(np.array([fmin, fmax]), scale)
    edges_mel = np.linspace(ends[0], ends[1], n_mels + 2)
    edges_hertz = mel_to_hz(edges_mel, scale)
    bins = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    edges, places = (edges_hertz, bins) if interpolation == "hertz" else (edges_mel, hz_to_mel(bins, scale))
    bank = np.zeros((n_mels, len(bins)))
    for m in range(n_mels):
        left, centre, right = edges[m : m + 3]
        rising, falling = (places - left) / (centre - left), (right - places) / (right - centre)
        bank[m] = np.maximum(0.0, np.minimum(rising, falling))
        if norm == "slaney":
            bank[m] *= 2.0 / (edges_hertz[m + 2] - edges_hertz[m])
    return bank


def power_frames(
    samples: Array, window: Array, hop_length: int, n_fft: int, remove_dc: bool = False, preemphasis: float = 0.0
) -> Array:
    """Power spectra (L, n_fft // 2 + 1) of every whole frame, without padding."""
    win_length = len(window)
    rows = []
    for start in range(0, len(samples) - win_length + 1, hop_length):
        frame = samples[start : start + win_length].astype(np.float64)
        if remove_dc:
            frame = frame - frame.mean()
        previous = np.concatenate([frame[:1], frame[:-1]])
        frame = (frame - preemphasis * previous) * window
        rows.append(np.abs(dft(np.pad(frame, (0, n_fft - win_length)))) ** 2)
    return np.array(rows).reshape(len(rows), n_fft // 2 + 1)


def edgevc_log_mel(samples: Array) -> Array:
    """The preset `edgevc`: what the shipped models were trained with."""
    power = power_frames(samples, hann(400), 160, 512)
    return np.log(power @ mel_filterbank(80, 512, 20.0, 8000.0).T + 1e-5)


def dct_ii(frames: Array, n_coefficients: int) -> Array:
    """Orthonormal DCT-II of the last axis, first n_coefficients."""
    n = frames.shape[-1]
    k, t = np.arange(n_coefficients)[:, None], np.arange(n)[None, :]
    basis = np.sqrt(2.0 / n) * np.cos(np.pi * k * (2 * t + 1) / (2 * n))
    basis[0] /= np.sqrt(2.0)
    return frames @ basis.T
