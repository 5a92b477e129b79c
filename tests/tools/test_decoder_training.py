"""What decoder training asks of its output, on real weights."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from train_decoder import misheard
from vctrain import checkpoint
from vctrain.data.front_end import HOP_LENGTH, LATENCY, log_mel
from vctrain.models.content_encoder import ContentEncoder, EncoderConfig

pytestmark = pytest.mark.tools

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(scope="module")
def encoder():
    saved = checkpoint.load(TOOLS / "weights" / "encoder.pt")
    encoder = ContentEncoder(EncoderConfig(**saved["config"]))
    encoder.load_state_dict({name: value.float() for name, value in saved["model"].items()})
    return encoder.eval()


def test_the_source_itself_delayed_as_the_output_is_heard_best(encoder):
    samples = soundfile.read(TOOLS.parent / "examples" / "sentence.wav", dtype="float32")[0]
    samples = torch.from_numpy(samples[: len(samples) // HOP_LENGTH * HOP_LENGTH])[None]
    with torch.no_grad():
        phones = encoder(log_mel(samples), encoder.new_state())[1]
        unclear = {}
        for delay in (LATENCY - HOP_LENGTH, LATENCY, LATENCY + HOP_LENGTH):
            output = torch.nn.functional.pad(samples, (delay, 0))[:, : samples.shape[1]]
            unclear[delay] = float(misheard(encoder, output, phones))
        noise = torch.from_numpy(np.random.default_rng(1).normal(size=samples.shape).astype(np.float32) * 0.1)
        unclear["noise"] = float(misheard(encoder, noise, phones))
    # measured 2e-5; a frame off 0.19, noise 5.3
    assert unclear[LATENCY] < 1e-3
    assert min(unclear[LATENCY - HOP_LENGTH], unclear[LATENCY + HOP_LENGTH]) > 0.05
    assert unclear["noise"] > 1
