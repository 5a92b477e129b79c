"""What an encoder in training hears."""

import numpy as np
import pytest
import torch
import train_encoder

pytestmark = pytest.mark.tools


def test_hidden_bands_are_the_recordings_mean_and_of_bounded_width():
    torch.manual_seed(3)
    mels = torch.randn(6, 30, 80)
    rng = np.random.default_rng(0)
    hidden_somewhere = 0
    for _ in range(40):
        masked = train_encoder.mask_mels(mels, rng)
        for before, after in zip(mels, masked, strict=True):
            changed = (before != after).all(0)
            # a band is hidden in every frame or in none
            assert torch.equal(changed, (before != after).any(0))
            assert int(changed.sum()) <= 24
            assert torch.equal(after[:, ~changed], before[:, ~changed])
            assert after[:, changed].numpy() == pytest.approx(float(before.mean()), abs=1e-6)
            hidden_somewhere += bool(changed.any())
    assert 0.8 * 240 < hidden_somewhere < 240
