"""Networks and losses compute on the device of their weights: a tensor left on the CPU is an error on any other."""

import contextlib

import pytest
import torch
import train_decoder
import train_encoder
from vctrain import device
from vctrain.data.front_end import HOP_LENGTH
from vctrain.losses import multi_resolution_stft
from vctrain.models.content_encoder import ContentEncoder
from vctrain.models.decoder import Decoder
from vctrain.models.discriminators import Discriminators
from vctrain.models.ear import EarConfig, WhisperEar
from vctrain.models.pitch_network import PitchNetwork
from vctrain.teachers import decode_batch, encode, encode_batch
from vctrain.variants import MODELS

pytestmark = pytest.mark.tools

# shapes and devices without values: what mixes devices fails, as it would on a GPU
META = torch.device("meta")
WIDTH = 60


@pytest.mark.parametrize(("capability", "expected"), [("AVX512", True), ("AVX2", False), ("DEFAULT", False)])
def test_bfloat16_is_for_processors_that_multiply_it(monkeypatch, capability, expected):
    monkeypatch.undo()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    with device.mixed_precision(torch.device("cpu")):
        found = torch.nn.Linear(4, 4)(torch.zeros(1, 4)).dtype
    assert found == (torch.bfloat16 if expected else torch.float32)


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch):
    """The meta device has none."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())


@pytest.fixture(scope="module")
def encoder():
    return ContentEncoder(MODELS["tiny"].encoder).to(META)


def test_an_encoder_and_its_augmentation(encoder, rng):
    samples = torch.zeros(2, HOP_LENGTH * WIDTH, device=META)
    content, phones = encode(encoder, samples)
    assert content.device == phones.device == META
    assert encoder(train_encoder.log_mel(samples), encoder.new_state(2))[0].shape == (2, WIDTH, 48)
    mels = train_encoder.mask_mels(train_encoder.warp_mels(train_encoder.log_mel(samples), rng), rng)
    assert mels.device == META


def test_a_decoder_its_discriminators_and_losses(encoder):
    decoder = Decoder(MODELS["tiny"].decoder).to(META)
    batch = {
        "heard": torch.zeros(2, HOP_LENGTH * WIDTH),
        "frames": torch.arange(WIDTH).expand(2, WIDTH),
        "pitch": torch.zeros(2, WIDTH, 4),
        "f0": torch.zeros(2, WIDTH),
        "voice": torch.eye(3)[:2],
        "gain": torch.ones(2, 1),
    }
    # the batch comes from the CPU
    batch, phones = encode_batch(encoder, batch)
    output = decode_batch(decoder, batch)
    assert output.shape == (2, HOP_LENGTH * WIDTH)
    assert output.device == phones.device == META
    discriminators = Discriminators(3).to(META)
    real, fake = (discriminators(output, batch["voice"]) for _ in range(2))
    losses = [train_decoder.discriminator_loss(real, fake), *train_decoder.generator_losses(real, fake)]
    losses += [multi_resolution_stft(output, output), train_decoder.phone_loss(encoder, output, phones, 480)]
    assert {loss.device for loss in losses} == {META}


@pytest.mark.parametrize("front_end", ["whisper", "edgevc"])
def test_whispers_encoder_as_an_ear(front_end):
    config = EarConfig(size=64, n_layers=2, heard=(0, 1), hidden=24, block=3, front_end=front_end, loudest=1.5)
    content, phones = WhisperEar(config).to(META).encode(torch.zeros(1, HOP_LENGTH * WIDTH, device=META))
    assert content.shape == (1, WIDTH, 48)
    assert phones.device == META


def test_the_pitch_network_is_where_it_was_moved():
    network = PitchNetwork().to(META)
    assert device.of(network) == META
    assert device.moved({"a": torch.zeros(2)}, META)["a"].device == META
