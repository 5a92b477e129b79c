"""Source-filter synthesis in torch: the same definitions as the core's `SourceFilter`, differentiable.

A frame stands for a segment of 320 samples centred on it, frames are 160 samples apart. Its excitation is a
band-limited pulse train at the frame's F0 and white noise, each weighted by a periodic Hann window (the windows of
neighbours sum to one). Both are filtered in the frequency domain, added, and laid over each other without a second
window: the response of a filter may ring up to 192 samples beyond its segment.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SAMPLE_RATE = 16_000
HOP_LENGTH = 160
SEGMENT_LENGTH = 320
N_FFT = 512
N_BINS = N_FFT // 2 + 1
N_FILTERS = 3 * N_BINS
"""Filter parameters of a frame: log-magnitude and phase of the harmonic filter, log-magnitude of the noise filter."""
HIGHEST_HARMONIC = 7600.0
"""Hertz; harmonics above are left out."""
LOG_MAGNITUDE_RANGE = (-14.0, 4.0)

WINDOW = 0.5 - 0.5 * torch.cos(2 * math.pi * torch.arange(SEGMENT_LENGTH) / SEGMENT_LENGTH)


def phases(f0: Tensor) -> Tensor:
    """Phase of the fundamental at each frame's centre, radians in [0, 2 pi): f0 (B, N) in Hz, 0 where unvoiced.

    Between voiced neighbours the phase grows by the mean of both frequencies over a hop, so their segments agree where
    they overlap.
    """
    f0 = f0.double()
    previous = torch.cat([torch.zeros_like(f0[:, :1]), f0[:, :-1]], dim=1)
    previous = torch.where(previous > 0, previous, f0)
    step = torch.where(f0 > 0, math.pi * HOP_LENGTH * (previous + f0) / SAMPLE_RATE, 0.0)
    return torch.cumsum(step, dim=1).remainder(2 * math.pi)


def pulse_segments(f0: Tensor) -> Tensor:
    """Unit-power pulse trains (B, N, 320) around each frame's centre; silence where f0 is 0.

    The sum of K equal cosines in closed form (Dirichlet kernel).
    """
    voiced = f0 > 0
    safe = torch.where(voiced, f0, 100.0).double()
    offset = torch.arange(SEGMENT_LENGTH, dtype=torch.float64, device=f0.device) - SEGMENT_LENGTH // 2
    theta = phases(f0)[..., None] + (2 * math.pi / SAMPLE_RATE) * safe[..., None] * offset
    theta = theta.remainder(2 * math.pi)
    harmonics = torch.floor(HIGHEST_HARMONIC / safe)[..., None]
    half = torch.sin(theta / 2)
    tiny = half.abs() < 1e-6
    kernel = torch.where(tiny, 2 * harmonics + 1, torch.sin((harmonics + 0.5) * theta) / torch.where(tiny, 1.0, half))
    pulses = (kernel - 1) / torch.sqrt(2 * harmonics)
    return torch.where(voiced[..., None], pulses, 0.0).float()


def noise_segments(noise: Tensor) -> Tensor:
    """Continuous noise (B, 160 * (N + 1)) cut into overlapping segments (B, N, 320)."""
    return noise.unfold(-1, SEGMENT_LENGTH, HOP_LENGTH)


def synthesize(filters: Tensor, f0: Tensor, noise: Tensor) -> Tensor:
    """Frames to sound.

    filters: (B, N, 771), f0: (B, N), noise: (B, 160 * (N + 1)) of unit variance. Returns (B, 160 * N): sample t is
    the sound 160 samples before frame t // 160's centre, plus t % 160, as the core emits it.
    """
    low, high = LOG_MAGNITUDE_RANGE
    harmonic = filters[..., :N_BINS].clamp(low, high).exp()
    phase = filters[..., N_BINS : 2 * N_BINS]
    breath = filters[..., 2 * N_BINS :].clamp(low, high).exp()
    window = WINDOW.to(filters.device)
    pulses = torch.fft.rfft(pulse_segments(f0) * window, N_FFT)
    noises = torch.fft.rfft(noise_segments(noise) * window, N_FFT)
    return overlap_add(torch.fft.irfft(pulses * torch.polar(harmonic, phase) + noises * breath, N_FFT))


def overlap_add(segments: Tensor) -> Tensor:
    """(B, N, L) laid over each other, HOP_LENGTH apart: (B, 160 * N), what rings beyond left out."""
    n_frames, length = segments.shape[1:]
    total = (n_frames - 1) * HOP_LENGTH + length
    sound = torch.nn.functional.fold(
        segments.transpose(1, 2), (1, total), kernel_size=(1, length), stride=(1, HOP_LENGTH)
    )
    return sound[:, 0, 0, : n_frames * HOP_LENGTH]
