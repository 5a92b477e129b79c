"""Content, pitch and a voice to the filters of the source-filter synthesis."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vctrain import checkpoint
from vctrain.alternatives import N_EXCITATION, excitation_spectrum
from vctrain.modules.causal import CausalStack
from vctrain.synthesis import N_BINS, N_FILTERS

N_PITCH = 4
"""Pitch inputs of a frame, see `pitch_features`."""


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of the decoder."""

    content_size: int = 48
    channels: int = 208
    n_blocks: int = 6
    kernel_size: int = 7
    expansion: int = 3
    n_voices: int = 3
    embedding_size: int = 64
    synthesis: str = "learnt-phase"
    """One of `vctrain.alternatives.SYNTHESES`; only the first can be exported."""

    @property
    def conditioning_size(self) -> int:
        """Scale and shift for each channel of each block."""
        return self.n_blocks * 2 * self.channels


def pitch_features(f0: Tensor, periodicity: Tensor, level: Tensor) -> Tensor:
    """f0 in Hz (0: unvoiced), periodicity 0..1, level in dB, each (B, N), to (B, N, 4) near unit range."""
    voiced = (f0 > 0).float()
    octaves = (torch.log2(f0.clamp(min=1.0)) - 7.5) * voiced
    return torch.stack([octaves, voiced, periodicity, ((level + 40) / 20).clamp(-3, 2)], dim=-1)


class Decoder(nn.Module):
    """Predicts, frame by frame and causally, what the core's `SourceFilter` turns into sound."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.input = nn.Linear(config.content_size + N_PITCH, config.channels)
        self.stack = CausalStack(config.channels, config.n_blocks, config.kernel_size, config.expansion)
        self.norm = nn.LayerNorm(config.channels)
        self.filters = nn.Linear(config.channels, N_FILTERS)
        self.excitation = nn.Linear(N_EXCITATION, config.channels) if config.synthesis == "excited-istft" else None
        self.embedding = nn.Embedding(config.n_voices, config.embedding_size)
        self.conditioning = nn.Linear(config.embedding_size, config.conditioning_size)
        nn.init.normal_(self.filters.weight, std=0.01)
        nn.init.normal_(self.conditioning.weight, std=0.02)
        nn.init.zeros_(self.conditioning.bias)
        with torch.no_grad():
            # starts as a quiet, zero-phase voice
            self.filters.bias[:N_BINS] = -4
            self.filters.bias[N_BINS : 2 * N_BINS] = 0
            self.filters.bias[2 * N_BINS :] = -5

    def new_state(self, batch: int = 1) -> list[Tensor]:
        """The state at the start of a stream."""
        return self.stack.new_state(batch)

    def voice(self, weights: Tensor) -> Tensor:
        """Conditioning (B, conditioning_size) of mixtures of the trained voices, weights (B, n_voices)."""
        return self.conditioning(weights @ self.embedding.weight)

    def forward(
        self, content: Tensor, pitch: Tensor, voice: Tensor, state: list[Tensor], f0: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """content: (B, N, 48), pitch: (B, N, 4), voice: (B, conditioning_size). Returns filters (B, N, 771), state.

        f0: (B, N), for the synthesis "excited-istft" only.
        """
        channels = self.config.channels
        parts = voice[:, None].split(channels, dim=-1)
        conditioning = [(parts[2 * i], parts[2 * i + 1]) for i in range(self.config.n_blocks)]
        x = self.input(torch.cat([content, pitch], dim=-1))
        if self.excitation is not None:
            if f0 is None:
                raise ValueError("the synthesis excited-istft needs f0")
            x = x + self.excitation(excitation_spectrum(f0))
        x, state = self.stack(x, state, conditioning)
        return self.filters(self.norm(x)), state


def load_decoder(path: Path) -> Decoder:
    """The averaged weights of a run's decoder.pt; FileNotFoundError where there is none."""
    saved = checkpoint.load(path)
    if saved is None:
        raise FileNotFoundError(f"expected {path}; run tools/train_decoder.py first")
    decoder = Decoder(DecoderConfig(**saved["config"]))
    decoder.load_state_dict({k[7:]: v for k, v in saved["average"].items() if k.startswith("module.")})
    return decoder
