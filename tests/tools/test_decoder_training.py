"""What decoder training asks of its output, on real weights."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import train_decoder
from train_decoder import misheard
from vctrain import checkpoint, teachers
from vctrain.data.front_end import HOP_LENGTH
from vctrain.data.voices import track_pitch
from vctrain.models.content_encoder import load_encoder
from vctrain.models.decoder import load_decoder
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


@pytest.mark.parametrize("latency", [LATENCY, 240])
def test_answers_of_a_teacher_that_hears_far_ahead_belong_to_the_students_frames(monkeypatch, samples, latency):
    teacher = ContentTeacher(TOOLS / "weights" / "encoder.pt")
    expected = teacher.answers(samples, latency)

    def hear_later(encoder, samples):
        # the same answers, 27 frames after they were known
        return tuple(torch.nn.functional.pad(x, (0, 0, 27, 0))[:, : x.shape[1]] for x in hear(encoder, samples))

    monkeypatch.setattr(teachers, "hear", hear_later)
    teacher.encoder.config = replace(teacher.encoder.config, latency=LATENCY + 27 * HOP_LENGTH)
    found = teacher.answers(samples, latency)
    for answer, other in zip(found, expected, strict=True):
        assert torch.equal(answer, other[:, :-27])


@pytest.fixture
def data(tmp_path, samples):
    """One sentence by every voice, and by somebody else."""
    folder = tmp_path / "data"
    folder.mkdir()
    with (folder / "utterances.jsonl").open("w") as file:
        for speaker in ("kathleen", "slt", "bdl", "ls1"):
            path = folder / "audio" / speaker / "1.flac"
            path.parent.mkdir(parents=True)
            soundfile.write(path, samples[0].numpy(), 16_000)
            row = {"speaker": speaker, "utterance": "1", "text": None, "split": "train", "seconds": 3.0}
            file.write(json.dumps(row | {"path": str(path.relative_to(folder))}) + "\n")
    return folder


@pytest.fixture
def train(monkeypatch, data, tmp_path):
    """Trains tiny, from the weights that are kept, for a step in which it learns."""
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(TOOLS / "weights" / "tiny" / "encoder.pt", run)

    def call(*options):
        always = ("--variant", "tiny", "--start-from", str(TOOLS / "weights" / "tiny" / "decoder.pt"), "--steps", "2")
        sizes = ("--adversarial-from", "0", "--batch", "3", "--converted", "2", "--frames", "60")
        arguments = ["train_decoder.py", "--data", str(data), "--run", str(run), *always, *sizes, *options]
        monkeypatch.setattr(sys, "argv", arguments)
        train_decoder.main()
        return run

    return call


def test_kept_weights_have_no_judges_and_wait_until_they_have_learnt(train, capsys):
    with pytest.raises(SystemExit):
        train()
    assert "has no judges; let them learn first, as in --judges-first 400" in capsys.readouterr().err
    run = train("--judges-first", "1")
    before = load_decoder(TOOLS / "weights" / "tiny" / "decoder.pt").state_dict()
    after = checkpoint.load(run / "decoder.pt")["model"]
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_while_the_judges_learn_the_decoder_stays_as_it_is(train):
    run = train("--judges-first", "2")
    before = load_decoder(TOOLS / "weights" / "tiny" / "decoder.pt").state_dict()
    saved = checkpoint.load(run / "decoder.pt")
    assert all(torch.equal(before[name], saved["model"][name]) for name in before)
    assert saved["judge_optimizer"]["state"]


@pytest.mark.parametrize("teacher", [(), ("--teacher", str(TOOLS / "weights"))], ids=["no teacher", "a teacher"])
def test_an_encoder_that_learns_too_is_kept_and_one_that_does_not_stays_as_it_is(train, samples, teacher):
    kept = (TOOLS / "weights" / "tiny" / "encoder.pt").read_bytes()
    run = train(*teacher, "--judges-first", "1")
    assert (run / "encoder.pt").read_bytes() == kept
    (run / "decoder.pt").unlink()
    before = load_encoder(run / "encoder.pt").eval()
    train(*teacher, "--judges-first", "1", "--encoder-too")
    after = load_encoder(run / "encoder.pt").eval()
    with torch.no_grad():
        apart = float(divergence(hear(before, samples)[1], hear(after, samples)[1]).mean())
    # one step of a moving average: another network, that hears the same
    assert 0 < apart < 0.01


def test_an_encoder_does_not_learn_from_a_decoder_that_has_met_no_judges_yet(train):
    kept = load_encoder(TOOLS / "weights" / "tiny" / "encoder.pt").state_dict()
    run = train("--teacher", str(TOOLS / "weights"), "--judges-first", "1", "--encoder-too", "--adversarial-from", "2")
    found = load_encoder(run / "encoder.pt").state_dict()
    assert all(torch.equal(kept[name], found[name]) for name in kept)


def test_a_teachers_pitch_is_the_trackers_whole_hops_later(samples):
    rows = track_pitch(samples[0].numpy(), LATENCY)
    assert (rows[:, 0] > 0).mean() > 0.3
    later = track_pitch(samples[0].numpy(), LATENCY + 27 * HOP_LENGTH)
    assert later.shape == rows.shape
    assert np.array_equal(later[27:], rows[:-27])
    assert not later[:27, 0].any()
