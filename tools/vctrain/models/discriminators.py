"""Judges of naturalness for adversarial training; never exported."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain import device


class SpectrogramDiscriminator(nn.Module):
    """Looks at one compressed complex spectrogram and knows which voice it should be.

    The voice enters as in the projection discriminator (Miyato and Koyama, 2018).
    """

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int, n_voices: int, channels: int = 16) -> None:
        super().__init__()
        self.n_fft, self.hop_length = n_fft, hop_length
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(2, channels, (5, 5), (2, 1), (2, 2)),
                nn.Conv2d(channels, 2 * channels, (5, 5), (2, 2), (2, 2)),
                nn.Conv2d(2 * channels, 2 * channels, (5, 5), (2, 2), (2, 2)),
                nn.Conv2d(2 * channels, 2 * channels, (3, 3), (2, 1), 1),
            ]
        )
        self.verdict = nn.Conv2d(2 * channels, 1, 3, 1, 1)
        self.voices = nn.Embedding(n_voices, 2 * channels)

    def forward(self, samples: Tensor, voice: Tensor) -> tuple[Tensor, list[Tensor]]:
        """samples: (B, T), voice: weights (B, n_voices). Returns verdicts (B, 1, F', N') and every layer's features."""
        spectrum = torch.stft(samples, self.n_fft, self.hop_length, window=self.window, return_complex=True)
        x = torch.stack([spectrum.real, spectrum.imag], dim=1)
        # square-root compression: quiet detail counts too
        x = x / (x.square().sum(1, keepdim=True) + 1e-6).pow(0.25)
        features = []
        with device.mixed_precision(samples.device):
            for layer in self.layers:
                x = F.leaky_relu(layer(x), 0.2)
                features.append(x)
            verdict = self.verdict(x) + (x * (voice @ self.voices.weight)[:, :, None, None]).sum(1, keepdim=True)
        return verdict.float(), features


class Discriminators(nn.Module):
    """Three resolutions side by side."""

    def __init__(self, n_voices: int) -> None:
        super().__init__()
        sizes = ((512, 128), (1024, 256), (256, 64))
        self.parts = nn.ModuleList(SpectrogramDiscriminator(n, hop, n_voices) for n, hop in sizes)

    def forward(self, samples: Tensor, voice: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        """One (verdict, features) per resolution."""
        return [part(samples, voice) for part in self.parts]
