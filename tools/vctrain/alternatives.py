"""Ways from a decoder's frames to sound: the one that is shipped, and others to compare it with.

All take what `vctrain.synthesis.synthesize` takes, return what it returns, and have the same latency. Only
"learnt-phase" exists in C++.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vctrain.synthesis import (
    LOG_MAGNITUDE_RANGE,
    N_BINS,
    N_FFT,
    SEGMENT_LENGTH,
    WINDOW,
    overlap_add,
    pulse_segments,
    synthesize,
)

N_EXCITATION = 2 * N_BINS


def minimum_phase(filters: Tensor, f0: Tensor, noise: Tensor) -> Tensor:
    """Source-filter with magnitudes only: the harmonic filter's phase is the least that its magnitude allows.

    Through the real cepstrum, folded: Oppenheim and Schafer, Discrete-Time Signal Processing, 3rd ed., 2010, 13.5.
    """
    magnitude = filters[..., :N_BINS].clamp(*LOG_MAGNITUDE_RANGE)
    cepstrum = torch.fft.irfft(magnitude.to(torch.complex64), N_FFT)
    fold = torch.zeros(N_FFT, device=filters.device)
    fold[0] = fold[N_FFT // 2] = 1
    fold[1 : N_FFT // 2] = 2
    phase = torch.fft.rfft(cepstrum * fold, N_FFT).imag
    return synthesize(torch.cat([magnitude, phase, filters[..., 2 * N_BINS :]], dim=-1), f0, noise)


def inverse_stft(filters: Tensor, f0: Tensor, noise: Tensor) -> Tensor:
    """The spectrum itself, magnitude and phase, without a source: Siuzdak, Vocos, 2023.

    A frame's segment has the same 320 samples and the same window as a source-filter's excitation; phase 0 is a pulse
    in its middle. The third part of the filters is not used.
    """
    log_magnitude = filters[..., :N_BINS].clamp(*LOG_MAGNITUDE_RANGE)
    spectrum = torch.polar(log_magnitude.exp(), filters[..., N_BINS : 2 * N_BINS])
    segments = torch.fft.irfft(spectrum, N_FFT).roll(SEGMENT_LENGTH // 2, -1)[..., :SEGMENT_LENGTH]
    # unit power for magnitude 1 and any phases, as with a source
    return overlap_add(segments * N_FFT**0.5 * WINDOW.to(filters.device))


def excitation_spectrum(f0: Tensor) -> Tensor:
    """Spectra of the pulse trains (B, N, 514), real parts then imaginary ones, square-root compressed."""
    spectrum = torch.fft.rfft(pulse_segments(f0) * WINDOW.to(f0.device), N_FFT)
    spectrum = spectrum / (spectrum.abs() + 1e-3).sqrt()
    return torch.cat([spectrum.real, spectrum.imag], dim=-1)


SYNTHESES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "learnt-phase": synthesize,
    "minimum-phase": minimum_phase,
    "istft": inverse_stft,
    "excited-istft": inverse_stft,
}
"""By name; "excited-istft" is the one whose decoder is also given `excitation_spectrum`."""
