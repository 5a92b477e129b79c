"""What an encoder in training hears."""

from pathlib import Path

import numpy as np
import pytest
import torch
import train_encoder
from torch._dynamo.utils import counters
from vctrain.data.front_end import HOP_LENGTH
from vctrain.data.speech import IGNORE, EncoderSampler, Utterance, splice
from vctrain.models.content_encoder import load_encoder

pytestmark = pytest.mark.tools

TOOLS = Path(__file__).resolve().parents[2] / "tools"


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


def test_spliced_words_keep_their_labels():
    rng = np.random.default_rng(1)
    utterances = []
    for n in range(3):
        labels = rng.integers(1, 40, 65).astype(np.int8)
        # every sample tells the label of its frame
        samples = np.zeros(60 * HOP_LENGTH + 125, np.int16)
        samples[125:] = np.repeat(labels[:60], HOP_LENGTH) * np.int16(100)
        utterances.append(Utterance("anna", f"u{n}", "train", samples, labels, np.arange(0, 60, 7, dtype=np.int32)))
    orders = set()
    for _ in range(20):
        spliced = splice(utterances, 20_000, rng)
        assert len(spliced.samples) >= 20_000
        assert len(spliced.samples) - 125 == len(spliced.labels) * HOP_LENGTH
        # label k is centred at sample 160 k + 205
        centres = spliced.samples[205 + HOP_LENGTH * np.arange(len(spliced.labels))]
        assert centres.tolist() == (spliced.labels.astype(int) * 100).tolist()
        orders.add(spliced.labels.tobytes())
    assert len(orders) == 20


@pytest.mark.parametrize("latency", [240, 480, 4800])
def test_a_crops_labels_are_of_what_was_heard_a_latency_ago(latency):
    rng = np.random.default_rng(2)
    labels = np.repeat(rng.integers(1, 40, 100), 8).astype(np.int8)
    samples = np.pad(np.repeat(labels * np.int16(100), HOP_LENGTH), (125, 0))
    utterance = Utterance("anna", "u", "train", samples, labels, np.arange(0, 800, 40, dtype=np.int32))
    sampler = EncoderSampler([utterance], None, latency, seed=3, noise_share=0)
    for _ in range(10):
        _, clean, found, _ = sampler.crop(200)
        heard = found != IGNORE
        assert heard.tolist() == [m >= 2 + -(-latency // HOP_LENGTH) for m in range(200)]
        centres = HOP_LENGTH * (np.arange(200)[heard] + 1) - latency
        sounds = np.round(clean[centres] * 32768 / 100).astype(int)
        # resampling blurs where one label ends and the next begins
        assert (sounds == found[heard]).mean() > 0.9


# PyTorch's own compiler calls what PyTorch has deprecated
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_compiled_encoder_hears_and_learns_as_the_plain_one():
    plain = load_encoder(TOOLS / "weights" / "tiny" / "encoder.pt")
    # as train_encoder.py does it: compiled, then copied for the moving average
    compiled = load_encoder(TOOLS / "weights" / "tiny" / "encoder.pt")
    compiled.compile(dynamic=False)
    counters.clear()
    average = torch.optim.swa_utils.AveragedModel(compiled)
    mels = torch.randn(2, 50, 80, generator=torch.Generator().manual_seed(1))
    gradients = []
    for encoder in (plain, compiled):
        content, phones, _ = encoder(mels, encoder.new_state(2))
        (content.square().mean() + phones.square().mean()).backward()
        gradients.append({name: p.grad for name, p in encoder.named_parameters()})
    assert counters["stats"]["unique_graphs"] == 1
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        apart = float((gradients[1][name] - gradient).norm() / (gradient.norm() + 1e-9))
        # measured 9e-7 at most
        assert apart < 1e-4, name
    with torch.no_grad():
        heard = average.module(mels, plain.new_state(2))[0]
        assert torch.equal(heard, plain(mels, plain.new_state(2))[0])
