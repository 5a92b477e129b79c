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
from train_decoder import phone_loss
from vctrain import checkpoint, teachers
from vctrain.data.front_end import HOP_LENGTH
from vctrain.data.voices import SourceSampler, VoiceRecording, VoiceSampler, track_pitch
from vctrain.errors import UserError
from vctrain.models.content_encoder import load_encoder
from vctrain.models.decoder import load_decoder
from vctrain.teachers import ContentTeacher, encode, kl_divergence

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
def test_the_phone_loss_is_least_for_the_source_delayed_as_the_output(encoder, samples, latency):
    with torch.no_grad():
        phones = encode(encoder, samples)[1]
        delays = (latency - HOP_LENGTH, latency, latency + HOP_LENGTH)
        losses = {delay: float(phone_loss(encoder, delayed(samples, delay), phones, latency)) for delay in delays}
        noise = torch.from_numpy(np.random.default_rng(1).normal(size=samples.shape).astype(np.float32) * 0.1)
        losses["noise"] = float(phone_loss(encoder, noise, phones, latency))
    # measured 2e-5; a frame off 0.19, noise 5.3
    assert losses[latency] < 1e-3
    assert min(losses[latency - HOP_LENGTH], losses[latency + HOP_LENGTH]) > 0.05
    assert losses["noise"] > 1


@pytest.mark.parametrize("latency", [LATENCY, 240])
def test_a_teachers_targets_belong_to_the_students_frames(encoder, samples, latency):
    teacher = ContentTeacher(TOOLS / "weights" / "encoder.pt")
    content, phones = teacher.targets(samples, latency)
    # a student with the teacher's own weights that hears the sound so much earlier
    with torch.no_grad():
        earlier = encode(encoder, samples[:, LATENCY - latency :])
    count = min(content.shape[1], earlier[0].shape[1])
    start = 60  # past what the shorter history changes
    assert float((content - earlier[0])[:, start:count].abs().mean()) < 0.15 * float(content.abs().mean())
    assert float(kl_divergence(phones[:, start:count], earlier[1][:, start:count]).mean()) < 0.05


@pytest.mark.parametrize("latency", [LATENCY, 240])
def test_targets_of_a_teacher_with_a_long_lookahead_belong_to_the_students_frames(monkeypatch, samples, latency):
    teacher = ContentTeacher(TOOLS / "weights" / "encoder.pt")
    expected = teacher.targets(samples, latency)

    def encode_later(encoder, samples):
        # the same answers, 27 frames after they were known
        return tuple(torch.nn.functional.pad(x, (0, 0, 27, 0))[:, : x.shape[1]] for x in encode(encoder, samples))

    monkeypatch.setattr(teachers, "encode", encode_later)
    teacher.encoder.config = replace(teacher.encoder.config, latency=LATENCY + 27 * HOP_LENGTH)
    found = teacher.targets(samples, latency)
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
        sizes = ("--adversarial-from", "0", "--batch", "3", "--converted", "2", "--frames", "60", "--threads", "1")
        arguments = ["train_decoder.py", "--data", str(data), "--run", str(run), *always, *sizes, *options]
        monkeypatch.setattr(sys, "argv", arguments)
        train_decoder.main()
        return run

    return call


def test_kept_weights_have_no_discriminators_and_these_are_trained_first(train, capsys):
    with pytest.raises(SystemExit):
        train("--discriminator-warmup", "0")
    assert "has no discriminators; train them first, as by --discriminator-warmup 400" in capsys.readouterr().err
    run = train("--discriminator-warmup", "1")
    before = load_decoder(TOOLS / "weights" / "tiny" / "decoder.pt").state_dict()
    after = checkpoint.load(run / "decoder.pt")["model"]
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_while_the_discriminators_warm_up_the_decoder_stays_as_it_is(train):
    run = train("--discriminator-warmup", "2")
    before = load_decoder(TOOLS / "weights" / "tiny" / "decoder.pt").state_dict()
    saved = checkpoint.load(run / "decoder.pt")
    assert all(torch.equal(before[name], saved["model"][name]) for name in before)
    assert saved["discriminator_optimizer"]["state"]


@pytest.mark.parametrize("teacher", [(), ("--teacher", str(TOOLS / "weights"))], ids=["no teacher", "a teacher"])
def test_an_encoder_that_learns_too_is_kept_and_one_that_does_not_stays_as_it_is(train, samples, teacher):
    kept = (TOOLS / "weights" / "tiny" / "encoder.pt").read_bytes()
    run = train(*teacher, "--discriminator-warmup", "1")
    assert (run / "encoder.pt").read_bytes() == kept
    (run / "decoder.pt").unlink()
    before = load_encoder(run / "encoder.pt").eval()
    train(*teacher, "--discriminator-warmup", "1", "--train-encoder")
    after = load_encoder(run / "encoder.pt").eval()
    with torch.no_grad():
        apart = float(kl_divergence(encode(before, samples)[1], encode(after, samples)[1]).mean())
    # one step of a moving average: another network, that hears the same
    assert 0 < apart < 0.01


def test_a_stopped_training_of_both_goes_on_and_keeps_to_what_the_encoder_was(monkeypatch, train, capsys):
    begun_with = load_encoder(TOOLS / "weights" / "tiny" / "encoder.pt").state_dict()
    step = train_decoder.Training.step

    def stop_after_two(training):
        if training.done == 2:
            raise KeyboardInterrupt
        return step(training)

    options = ("--train-encoder", "--discriminator-warmup", "1", "--steps", "3")
    with monkeypatch.context() as patch:
        patch.setattr(train_decoder.Training, "step", stop_after_two)
        patch.setattr(train_decoder, "CHECKPOINT_SECONDS", 0)
        with pytest.raises(KeyboardInterrupt):
            train(*options)
    kept = []

    def keep(training):
        kept.append(training.reference.encoder.state_dict())
        return step(training)

    monkeypatch.setattr(train_decoder.Training, "step", keep)
    capsys.readouterr()
    run = train(*options)
    assert "from step 2" in capsys.readouterr().out
    assert len(kept) == 1
    assert all(torch.equal(begun_with[name], kept[0][name]) for name in begun_with)
    saved = checkpoint.load(run / "decoder.pt")
    assert saved["step"] == 3
    learnt = load_encoder(run / "encoder.pt").state_dict()
    assert all(torch.equal(saved["encoder_average"][f"module.{name}"], learnt[name]) for name in learnt)
    assert any(not torch.equal(begun_with[name], learnt[name]) for name in learnt)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--train-encoder", "--teacher", str(TOOLS / "weights")), "decoder.pt has no encoder, encoder_average,"),
        (("--synthesis", "istft"), "was begun with synthesis learnt-phase, this command says istft"),
        (("--variant", "default"), "is a decoder of another size; give its --variant"),
    ],
)
def test_a_decoder_does_not_go_on_from_another_training(train, capsys, options, said):
    run = train("--discriminator-warmup", "1")
    before = (run / "decoder.pt").read_bytes()
    with pytest.raises(SystemExit) as ended:
        train("--discriminator-warmup", "1", *options)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert (run / "decoder.pt").read_bytes() == before


def test_an_encoder_that_learnt_too_is_not_left_behind(train, capsys):
    train("--discriminator-warmup", "1", "--train-encoder")
    with pytest.raises(SystemExit):
        train("--discriminator-warmup", "1")
    assert "was begun with train_encoder True, this command says False" in capsys.readouterr().err


def test_a_teacher_knows_the_voices_that_there_are(monkeypatch, train, capsys):
    monkeypatch.setattr(teachers, "VOICES", ("kathleen", "slt", "bdl", "anna"))
    with pytest.raises(SystemExit):
        train("--teacher", str(TOOLS / "weights"), "--discriminator-warmup", "1")
    assert "knows 3 voices, there are 4: kathleen, slt, bdl, anna" in capsys.readouterr().err


class Echo:
    """A teacher that repeats what it hears, as late as a model that hears so far ahead."""

    def __init__(self, encoder, latency):
        self.encoder = encoder
        self.encoder.config = replace(encoder.config, latency=latency)

    def convert(self, samples, batch):
        assert batch["f0"].shape[1] * HOP_LENGTH == samples.shape[1]
        return delayed(samples, self.encoder.config.latency)


@pytest.mark.parametrize(("teachers", "students"), [(480, 480), (480, 240), (4800, 480)])
def test_what_a_teacher_converts_is_as_late_as_its_student(data, teachers, students):
    student = load_encoder(TOOLS / "weights" / "tiny" / "encoder.pt").eval()
    student.config = replace(student.config, latency=students)
    teacher = Echo(load_encoder(TOOLS / "weights" / "tiny" / "encoder.pt").eval(), teachers)
    statistics = dict.fromkeys(("kathleen", "slt", "bdl"), (7.5, 0.2))
    batch = SourceSampler(data, student, statistics, 1, teacher).batch(4, 60)
    assert batch["target"].shape == batch["clean"].shape
    assert torch.equal(batch["target"][:, students:], batch["clean"][:, :-students])
    assert float(batch["clean"].abs().max()) > 0.01


def test_a_teacher_needs_at_least_the_lookahead_of_its_student(data):
    student = load_encoder(TOOLS / "weights" / "encoder.pt").eval()
    teacher = Echo(load_encoder(TOOLS / "weights" / "encoder.pt").eval(), 240)
    with pytest.raises(UserError, match="at least the lookahead of its student, got 240 samples and 480"):
        SourceSampler(data, student, {}, 1, teacher)
    short = ContentTeacher(TOOLS / "weights" / "low-latency" / "encoder.pt")
    with pytest.raises(UserError, match="got 240 samples and 480"):
        short.targets(torch.zeros(1, 1600), 480)


@pytest.mark.parametrize("latency", [LATENCY, 240])
def test_what_another_body_says_is_taken_from_where_it_says_it(latency):
    # one click in two seconds
    samples = np.zeros(2 * 16_000, np.float32)
    samples[14_000] = 1.0
    rows = np.tile(np.float32([100.0, 0.9, -20.0]), (200, 1))
    sampler = VoiceSampler([VoiceRecording(voice, samples, rows) for voice in range(3)], latency, seed=1)
    stretched = 0
    for _ in range(8):
        batch = sampler.batch(3, 100)
        for heard, frames, target in zip(batch["heard"], batch["frames"], batch["target"], strict=True):
            # what is heard may be shorter than the longest, and goes on from its beginning then
            in_target, in_heard = int(target.abs().argmax()), int(heard.abs().argmax())
            if float(target.abs().max()) < 0.5:
                continue
            # row m belongs to the target's sample 160 (m + 1), the output being `latency` behind
            row = round(in_target / HOP_LENGTH) - 1
            answer = HOP_LENGTH * (int(frames[row]) + 1) - latency
            assert abs(answer - in_heard) <= 1.5 * HOP_LENGTH
            stretched += abs(int(frames[-1]) - int(frames[0]) - (len(frames) - 1)) > 3
    assert stretched > 3


def test_an_encoder_does_not_learn_from_a_decoder_without_an_adversarial_loss_yet(train):
    kept = load_encoder(TOOLS / "weights" / "tiny" / "encoder.pt").state_dict()
    run = train(
        "--teacher", str(TOOLS / "weights"), "--discriminator-warmup", "1", "--train-encoder", "--adversarial-from", "2"
    )
    found = load_encoder(run / "encoder.pt").state_dict()
    assert all(torch.equal(kept[name], found[name]) for name in kept)


def test_a_teachers_pitch_is_the_trackers_whole_hops_later(samples):
    rows = track_pitch(samples[0].numpy(), LATENCY)
    assert (rows[:, 0] > 0).mean() > 0.3
    later = track_pitch(samples[0].numpy(), LATENCY + 27 * HOP_LENGTH)
    assert later.shape == rows.shape
    assert np.array_equal(later[27:], rows[:-27])
    assert not later[:27, 0].any()
