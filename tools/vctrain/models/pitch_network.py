"""The pitch tracker's network; the same definitions in C++ are csrc/include/edgevc/pitch_network.h."""

from __future__ import annotations

from torch import Tensor, nn

N_FEATURES = 121
GRID_SIZE = 50
GRID_PER_OCTAVE = 16
GRID_MIN = 60.0
"""Hertz. F0 classes lie at GRID_MIN * 2 ** (k / GRID_PER_OCTAVE)."""
HIDDEN = 64


class PitchNetwork(nn.Module):
    """Features of every hop to logits: unvoiced, then the F0 classes, for the frame 480 samples before the newest."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.Linear(N_FEATURES, HIDDEN)
        self.memory = nn.GRU(HIDDEN, HIDDEN, batch_first=True)
        self.output = nn.Linear(HIDDEN, 1 + GRID_SIZE)

    def forward(self, features: Tensor) -> Tensor:
        """(B, N, N_FEATURES) to (B, N, 1 + GRID_SIZE), from the start of a stream."""
        return self.output(self.memory(self.input(features).relu())[0])
