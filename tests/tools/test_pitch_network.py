"""The pitch tracker's network in torch and in the core: the same weights give the same probabilities."""

import re

import numpy as np
import pytest
import torch
from vctrain.models.pitch_network import GRID_MIN, GRID_PER_OCTAVE, LATENCIES, N_FEATURES, PitchNetwork, weights_file

from edgevc import _core

pytestmark = pytest.mark.tools

# measured 1e-6: float32 sums in another order, carried along by the recurrence
MAX_DIFFERENCE = 2e-5


def compiled_network(latency):
    source = weights_file(latency).read_text()

    def array(name):
        found = re.search(rf"k{name}\[\] = {{(.*?)}};", source, re.DOTALL)
        return torch.tensor([float(value.rstrip("f")) for value in found[1].replace("\n", "").strip(" ,").split(",")])

    network = PitchNetwork()
    with torch.no_grad():
        for name, (weight, bias) in network.layers().items():
            weight.copy_(array(f"{name}Weights").reshape(weight.shape) * array(f"{name}Scales")[:, None])
            bias.copy_(array(f"{name}Bias"))
    return network


@pytest.mark.parametrize("latency", LATENCIES)
def test_the_core_says_what_torch_says(latency):
    rng = np.random.default_rng(4)
    seconds = np.arange(16000 * 4) / 16000
    cycles = np.cumsum(140 + 40 * np.sin(2 * np.pi * 0.7 * seconds)) / 16000
    voice = sum(np.cos(2 * np.pi * k * cycles) / k for k in range(1, 20)) * (seconds % 1 < 0.7)
    samples = (0.05 * voice + 0.002 * rng.normal(size=len(seconds))).astype(np.float32)
    features = _core.pitch_features(samples)
    assert features.shape == (400, N_FEATURES)
    with torch.no_grad():
        expected = compiled_network(latency)(torch.from_numpy(features)[None])[0].softmax(-1).numpy()
    found = _core.pitch_probabilities(samples, latency)
    assert np.abs(found - expected).max() < MAX_DIFFERENCE
    # it is a voice that both hear, not a constant
    voiced = found[:, 0] < 0.5
    assert 0.4 < voiced.mean() < 0.95
    said = GRID_MIN * 2 ** (found[voiced, 1:].argmax(1) / GRID_PER_OCTAVE)
    assert 95 < np.median(said) < 185
