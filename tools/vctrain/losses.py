"""Distances between sounds."""

from __future__ import annotations

import torch
from torch import Tensor

RESOLUTIONS = ((512, 128), (1024, 256), (256, 64))
"""FFT size and hop of each spectrogram, in samples."""


def multi_resolution_stft(output: Tensor, target: Tensor) -> Tensor:
    """Mean over three resolutions of log-magnitude distance plus spectral convergence; (B, T) each.

    Yamamoto, Song and Kim, Parallel WaveGAN, 2020.
    """
    total = output.new_zeros(())
    for n_fft, hop in RESOLUTIONS:
        window = torch.hann_window(n_fft, device=output.device)
        a, b = (
            torch.stft(x, n_fft, hop, window=window, return_complex=True).abs().clamp(min=1e-4)
            for x in (output, target)
        )
        total = total + (a.log() - b.log()).abs().mean() + (a - b).norm() / b.norm()
    return total / len(RESOLUTIONS)
