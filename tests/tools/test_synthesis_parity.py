"""The core's synthesis and the one that training differentiates are the same."""

import numpy as np
import pytest
import torch
from vctrain import synthesis

from edgevc import _core

pytestmark = pytest.mark.tools

# measured 3e-6 on x86-64 for signals of about unit power; the torch side sums in another order
TOLERANCE = 2e-5


def xorshift_noise(n_samples: int, seed: int) -> np.ndarray:
    state, out = seed, np.empty(n_samples, np.float32)
    for i in range(n_samples):
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        out[i] = np.float32(state) * np.float32(3.46410161514 / 4294967296.0) - np.float32(1.73205080757)
    return out


def random_frames(n_frames: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    filters = rng.normal(0, 1, (n_frames, synthesis.N_FILTERS)).astype(np.float32)
    filters[:, : synthesis.N_BINS] -= 2
    filters[:, 2 * synthesis.N_BINS :] -= 3
    f0 = (150 + 60 * np.sin(np.arange(n_frames) / 7)).astype(np.float32)
    f0[20:30] = 0
    f0[45] = 0
    return filters, f0


def test_core_and_torch_synthesis_agree():
    filters, f0 = random_frames(80)
    core = _core.SourceFilter(seed=5)
    # training knows no watermark
    core.set_marked(False)
    sound = np.empty(80 * 160, np.float32)
    core.process_into(filters, f0, sound)
    noise = torch.from_numpy(xorshift_noise(81 * 160, 5))[None]
    expected = synthesis.synthesize(torch.from_numpy(filters)[None], torch.from_numpy(f0)[None], noise)[0].numpy()
    assert np.abs(expected).max() > 0.5
    assert np.abs(sound - expected).max() < TOLERANCE * np.abs(expected).max()


def test_flat_filters_return_white_noise_and_pulses_of_unit_power():
    filters = np.zeros((400, synthesis.N_FILTERS), np.float32)
    filters[:, 2 * synthesis.N_BINS :] = -14
    sound = np.empty(400 * 160, np.float32)
    core = _core.SourceFilter()
    core.set_marked(False)
    core.process_into(filters, np.full(400, 125, np.float32), sound)
    assert np.isclose((sound[3200:] ** 2).mean(), 1.0, rtol=0.02)
    filters[:, 2 * synthesis.N_BINS :] = 0
    core.reset()
    core.process_into(filters, np.zeros(400, np.float32), sound)
    assert np.isclose((sound[3200:] ** 2).mean(), 1.0, rtol=0.02)
