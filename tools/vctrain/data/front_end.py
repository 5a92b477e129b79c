"""The converter's front end for training: the same log-mels as `edgevc.dsp.features`, in batches, in torch."""

from __future__ import annotations

import numpy as np
import torch
from librosa.filters import mel as mel_filters
from torch import Tensor

SAMPLE_RATE = 16_000
HOP_LENGTH = 160
WIN_LENGTH = 400
N_FFT = 512
N_MELS = 80
LOG_FLOOR = 1e-5

_WINDOW = torch.hann_window(WIN_LENGTH, periodic=True)
_MEL = torch.from_numpy(
    mel_filters(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS, fmin=20, fmax=8000, htk=True, norm=None).T.astype(
        np.float32
    )
)


def log_mel(samples: Tensor) -> Tensor:
    """(B, T) to (B, N, 80): frame m ends with sample 160 * (m + 1); what lies before the start is zero."""
    padded = torch.nn.functional.pad(samples, (WIN_LENGTH - HOP_LENGTH, 0))
    frames = padded.unfold(-1, WIN_LENGTH, HOP_LENGTH) * _WINDOW.to(samples.device)
    spectrum = torch.fft.rfft(frames, N_FFT)
    # a third of the time of the square of abs()
    power = spectrum.real.square() + spectrum.imag.square()
    return torch.log(power @ _MEL.to(samples.device) + LOG_FLOOR)
