"""The pitch tracker's network; the same definitions in C++ are csrc/include/edgevc/pitch_network.h."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

N_FEATURES = 121
GRID_SIZE = 50
GRID_PER_OCTAVE = 16
GRID_MIN = 60.0
"""Hertz. F0 classes lie at GRID_MIN * 2 ** (k / GRID_PER_OCTAVE)."""
HIDDEN = 64
LATENCIES = (480, 240)
"""Samples from the newest one to the centre of the frame that is classified: the core carries one network for each."""


def weights_file(latency: int) -> Path:
    """Where the core keeps the network's weights."""
    return Path(__file__).resolve().parents[3] / "csrc" / "src" / f"pitch_network_weights_{latency}.cc"


class PitchNetwork(nn.Module):
    """Features of every hop to logits: unvoiced, then the F0 classes, for a frame some samples before the newest."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.Linear(N_FEATURES, HIDDEN)
        self.memory = nn.GRU(HIDDEN, HIDDEN, batch_first=True)
        self.output = nn.Linear(HIDDEN, 1 + GRID_SIZE)

    def forward(self, features: Tensor) -> Tensor:
        """(B, N, N_FEATURES) to (B, N, 1 + GRID_SIZE), from the start of a stream."""
        return self.output(self.memory(self.input(features).relu())[0])

    def layers(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Weight and bias of each layer, by its name in the core."""
        gru: Any = self.memory
        return {
            "Input": (self.input.weight, self.input.bias),
            "FromInput": (gru.weight_ih_l0, gru.bias_ih_l0),
            "FromState": (gru.weight_hh_l0, gru.bias_hh_l0),
            "Output": (self.output.weight, self.output.bias),
        }
