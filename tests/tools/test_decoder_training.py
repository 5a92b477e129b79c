"""What decoder training asks of its output, on real weights."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from train_decoder import misheard
from vctrain.data.front_end import HOP_LENGTH
from vctrain.models.content_encoder import load_encoder
from vctrain.teachers import ContentTeacher, divergence, hear

pytestmark = pytest.mark.tools

TOOLS = Path(__file__).resolve().parents[2] / "tools"


LATENCY = 480


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(TOOLS / "weights" / "encoder.pt").eval()


@pytest.fixture(scope="module")
def samples():
    sentence = soundfile.read(TOOLS.parent / "examples" / "sentence.wav", dtype="float32")[0]
    return torch.from_numpy(sentence[: len(sentence) // HOP_LENGTH * HOP_LENGTH])[None]


def delayed(samples, by):
    return torch.nn.functional.pad(samples, (by, 0))[:, : samples.shape[1]]


# 240: an output between two frames
@pytest.mark.parametrize("latency", [LATENCY, 240])
def test_the_source_itself_delayed_as_the_output_is_heard_best(encoder, samples, latency):
    with torch.no_grad():
        phones = hear(encoder, samples)[1]
        delays = (latency - HOP_LENGTH, latency, latency + HOP_LENGTH)
        unclear = {delay: float(misheard(encoder, delayed(samples, delay), phones, latency)) for delay in delays}
        noise = torch.from_numpy(np.random.default_rng(1).normal(size=samples.shape).astype(np.float32) * 0.1)
        unclear["noise"] = float(misheard(encoder, noise, phones, latency))
    # measured 2e-5; a frame off 0.19, noise 5.3
    assert unclear[latency] < 1e-3
    assert min(unclear[latency - HOP_LENGTH], unclear[latency + HOP_LENGTH]) > 0.05
    assert unclear["noise"] > 1


@pytest.mark.parametrize("latency", [LATENCY, 240])
def test_a_teachers_answers_belong_to_the_students_frames(encoder, samples, latency):
    teacher = ContentTeacher(TOOLS / "weights" / "encoder.pt")
    content, phones = teacher.answers(samples, latency)
    # a student with the teacher's own weights that hears the sound so much earlier
    with torch.no_grad():
        earlier = hear(encoder, samples[:, LATENCY - latency :])
    count = min(content.shape[1], earlier[0].shape[1])
    start = 60  # past what the shorter history changes
    assert float((content - earlier[0])[:, start:count].abs().mean()) < 0.15 * float(content.abs().mean())
    assert float(divergence(phones[:, start:count], earlier[1][:, start:count]).mean()) < 0.05
