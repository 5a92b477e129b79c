"""Sound in PyTorch: the synthesis of the core, its log-mels, and distances between sounds.

The synthesis is csrc's `SourceFilter`, differentiable: a frame stands for 320 samples around its centre; pulses at its
F0 and white noise are filtered in the frequency domain and laid over those of its neighbours.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812 (as everywhere)
from torch import Tensor

from edgevc.dsp.features import LogMel
from edgevc.limits import HOP_LENGTH, SAMPLE_RATE

SEGMENT_LENGTH = 320
N_FFT = 512
N_BINS = N_FFT // 2 + 1
HIGHEST_HARMONIC = 7600.0
LOG_MAGNITUDE_RANGE = (-14.0, 4.0)
RESOLUTIONS = ((512, 128), (1024, 256), (256, 64))
"""FFT size and hop of each spectrogram, in samples."""
_WINDOW = 0.5 - 0.5 * torch.cos(2 * math.pi * torch.arange(SEGMENT_LENGTH) / SEGMENT_LENGTH)
_HANN = {n_fft: torch.hann_window(n_fft) for n_fft, _ in RESOLUTIONS}


def pulses(f0: Tensor) -> Tensor:
    """Return spectra of windowed unit-power pulse trains (B, N, bins) at f0 (B, N) in hertz; nothing where it is 0.

    The phase grows by the mean of both neighbours' frequencies over a hop; the sum of equal cosines is in closed form
    (Dirichlet kernel).
    """
    f0 = f0.double()
    voiced = f0 > 0
    previous = F.pad(f0, (1, 0))[:, :-1]
    previous = torch.where(previous > 0, previous, f0)
    step = torch.where(voiced, math.pi * HOP_LENGTH * (previous + f0) / SAMPLE_RATE, 0.0)
    phase = torch.cumsum(step, 1).remainder(2 * math.pi)
    safe = torch.where(voiced, f0, 100.0)[..., None]
    offset = torch.arange(SEGMENT_LENGTH, dtype=torch.float64) - SEGMENT_LENGTH // 2
    theta = (phase[..., None] + 2 * math.pi / SAMPLE_RATE * safe * offset).remainder(2 * math.pi)
    harmonics = torch.floor(HIGHEST_HARMONIC / safe)
    half = torch.sin(theta / 2)
    tiny = half.abs() < 1e-6
    kernel = torch.where(tiny, 2 * harmonics + 1, torch.sin((harmonics + 0.5) * theta) / torch.where(tiny, 1.0, half))
    train = torch.where(voiced[..., None], (kernel - 1) / torch.sqrt(2 * harmonics), 0.0).float()
    return torch.fft.rfft(train * _WINDOW, N_FFT)


def synthesize(filters: Tensor, excitation: Tensor, noise: Tensor) -> Tensor:
    """Return sound (B, 160 N).

    Args:
        filters: (B, N, 3 * bins): log-magnitude and phase for the pulses, log-magnitude for the noise.
        excitation: of `pulses`.
        noise: (B, 160 (N + 1)), of unit variance.
    """
    low, high = LOG_MAGNITUDE_RANGE
    harmonic, phase, breath = filters.split(N_BINS, -1)
    noises = torch.fft.rfft(noise.unfold(-1, SEGMENT_LENGTH, HOP_LENGTH) * _WINDOW, N_FFT)
    spectrum = excitation * torch.polar(harmonic.clamp(low, high).exp(), phase) + noises * breath.clamp(low, high).exp()
    segments = torch.fft.irfft(spectrum, N_FFT)
    n = segments.shape[1]
    total = (n - 1) * HOP_LENGTH + N_FFT
    sound = F.fold(segments.transpose(1, 2), (1, total), kernel_size=(1, N_FFT), stride=(1, HOP_LENGTH))
    return cast(Tensor, sound[:, 0, 0, : n * HOP_LENGTH])


class LogMels:
    """The converter's front end: (B, T) to (B, N, mels); frame m ends with sample 160 (m + 1)."""

    def __init__(self) -> None:
        """Take window and filterbank from the core."""
        front_end = LogMel()
        self._config = front_end.config
        self._window = torch.from_numpy(front_end.window.copy())
        self._filters = torch.from_numpy(front_end.filterbank.T.copy())

    def __call__(self, samples: Tensor) -> Tensor:
        """Return log-mels; what lies before the start counts as zeros."""
        config = self._config
        frames = F.pad(samples, (config.win_length - HOP_LENGTH, 0)).unfold(-1, config.win_length, HOP_LENGTH)
        spectrum = torch.fft.rfft(frames * self._window, config.n_fft)
        power = spectrum.real.square() + spectrum.imag.square()
        return torch.log(power @ self._filters + config.log_floor)


def spectral_distance(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean over three resolutions of log-magnitude distance and spectral convergence; (B, T) each.

    Yamamoto, Song and Kim, Parallel WaveGAN, 2020.
    """
    total = output.new_zeros(())
    for n_fft, hop in RESOLUTIONS:
        a, b = (
            torch.stft(x, n_fft, hop, window=_HANN[n_fft], return_complex=True).abs().clamp(min=1e-4)
            for x in (output, target)
        )
        total = total + (a.log() - b.log()).abs().mean() + (a - b).norm() / b.norm()
    return total / len(RESOLUTIONS)
