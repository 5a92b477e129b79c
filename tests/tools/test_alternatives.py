"""The syntheses to compare the shipped one with do what their names say."""

import math

import numpy as np
import pytest
import torch
from vctrain import synthesis
from vctrain.alternatives import SYNTHESES, inverse_stft, minimum_phase
from vctrain.export.graphs import FoldedDecoder
from vctrain.models.decoder import Decoder, DecoderConfig
from vctrain.synthesis import N_BINS, N_FFT, N_FILTERS, synthesize
from vctrain.teachers import decode_batch

pytestmark = pytest.mark.tools

SILENT = synthesis.LOG_MAGNITUDE_RANGE[0]


def one_pole(radius):
    return torch.log(1 / (1 - radius * torch.exp(-2j * math.pi * torch.arange(N_BINS) / N_FFT)))


def filters(log_magnitude, phase, n_frames=60):
    row = torch.cat([log_magnitude, phase, torch.full((N_BINS,), SILENT)])
    return row.expand(1, n_frames, N_FILTERS)


def test_minimum_phase_is_found_from_the_magnitude_alone():
    response = one_pole(0.9)
    f0, noise = torch.full((1, 60), 140.0), torch.zeros(1, 160 * 61)
    expected = synthesize(filters(response.real, response.imag), f0, noise)
    found = minimum_phase(filters(response.real, torch.full((N_BINS,), 7.0)), f0, noise)
    assert expected.abs().max() > 1
    # the cepstrum of 512 points folds what a decay of 0.9 per sample leaves behind
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_the_inverse_stft_has_unit_power_and_its_pulses_in_the_middle():
    torch.manual_seed(1)
    rows = torch.zeros(1, 400, N_FILTERS)
    rows[..., N_BINS : 2 * N_BINS] = torch.rand(1, 400, N_BINS) * 2 * math.pi
    sound = inverse_stft(rows, torch.zeros(1, 400), torch.zeros(1))
    # two Hann windows that overlap add powers of 3/4 in the mean
    assert float(sound[:, 320:].square().mean()) == pytest.approx(0.75, rel=0.03)
    pulse = inverse_stft(torch.zeros(1, 4, N_FILTERS), torch.zeros(1, 4), torch.zeros(1))[0]
    assert np.flatnonzero(pulse.numpy() > 1).tolist() == [160, 320, 480]


@pytest.mark.parametrize("name", SYNTHESES)
def test_a_decoder_learns_through_it(name):
    torch.manual_seed(2)
    decoder = Decoder(DecoderConfig(channels=32, n_blocks=2, synthesis=name))
    batch = {
        "content": torch.randn(2, 30, 48),
        "pitch": torch.randn(2, 30, 4),
        "f0": torch.full((2, 30), 120.0),
        "voice": torch.eye(3)[:2],
        "gain": torch.ones(2, 1),
    }
    sound = decode_batch(decoder, batch)
    assert sound.shape == (2, 4800)
    sound.square().mean().backward()
    used = [p for p in decoder.parameters() if p.grad is not None and p.grad.abs().max() > 0]
    assert len(used) == len(list(decoder.parameters()))
    assert all(torch.isfinite(p.grad).all() for p in used)


def test_only_the_runtimes_synthesis_is_exported():
    with pytest.raises(ValueError, match="istft"):
        FoldedDecoder(Decoder(DecoderConfig(channels=32, n_blocks=2, synthesis="istft")))
