"""The steps of training as commands: what goes on where it stopped, and what ends in one clear line."""

import inspect
import json
import re
import sys
from dataclasses import replace

import align
import evaluate_gate
import export_onnx
import numpy as np
import prepare_data
import pytest
import soundfile as sf
import train_encoder
import train_pitch
from vctrain import checkpoint, device, recipes, trainer
from vctrain.data import alignment, corpora
from vctrain.data.corpora import listed
from vctrain.data.sources import NEEDED
from vctrain.errors import UserError
from vctrain.evaluation.noise import Kitchen
from vctrain.variants import MODELS

pytestmark = pytest.mark.tools

RATE = 16_000


@pytest.fixture
def data(tmp_path):
    """Three speakers, half a second of each one's phones at a time."""
    rng = np.random.default_rng(3)
    rows, entries = [], []
    for speaker, split in (("kathleen", "train"), ("ls19", "test"), ("bdl", "test")):
        path = f"audio/{speaker}/u.flac"
        (tmp_path / path).parent.mkdir(parents=True)
        sf.write(tmp_path / path, rng.normal(0, 0.1, 3 * RATE), RATE)
        row = {"speaker": speaker, "utterance": "u", "text": "a", "split": split, "path": path, "seconds": 3.0}
        rows.append(row)
        phones = [["AA", 0, 50], ["B", 50, 50], ["SIL", 100, 195]]
        entries.append({"path": path, "text": "a", "seconds": 3.0, "phones": phones, "words": [0, 50, 100]})
    for name, content in (("utterances", rows), ("phones", entries)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(x) + "\n" for x in content))
    (tmp_path / "noises").mkdir()
    sf.write(tmp_path / "noises" / "1-1-A.ogg", rng.normal(0, 0.1, RATE), RATE)
    return tmp_path


def run(monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", *map(str, arguments)])
    module.main()


def mistake(monkeypatch, capsys, module, *arguments):
    """The only line that a command says of a user's mistake."""
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, module, *arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{module.__name__}.py: error: ")
    return line


@pytest.fixture
def train(monkeypatch, data):
    """Trains tiny's encoder for a few small steps."""

    def call(*options, steps=3):
        always = ("--data", data, "--noises", data / "noises", "--run", data / "run", "--variant", "tiny")
        sizes = ("--batch", 2, "--frames", 120, "--threads", 1, "--steps", steps)
        run(monkeypatch, train_encoder, *always, *sizes, *options)
        return checkpoint.load(data / "run" / "encoder.pt")

    return call


def test_a_stopped_encoder_goes_on_from_its_checkpoint(monkeypatch, train, data, capsys):
    class Sampler(train_encoder.EncoderSampler):
        left = 2

        def batch(self, *sizes):
            if not Sampler.left:
                raise KeyboardInterrupt
            Sampler.left -= 1
            return super().batch(*sizes)

    with monkeypatch.context() as patch:
        patch.setattr(train_encoder, "EncoderSampler", Sampler)
        patch.setattr(trainer, "CHECKPOINT_SECONDS", 0)
        with pytest.raises(KeyboardInterrupt):
            train()
    stopped = checkpoint.load(data / "run" / "encoder.pt")
    assert stopped["step"] == 2
    capsys.readouterr()
    done = train()
    assert "from step 2" in capsys.readouterr().out
    assert done["step"] == 3
    assert done["schedule"]["last_epoch"] == 3
    assert done["optimizer"]["state"][0]["step"] == 3
    assert set(done["scores"]) == {"ls19", "bdl, unseen prompts"}


def test_the_driver_trains_by_a_recipe(train_program, data, monkeypatch):
    places = recipes.Places(data / "work", data=data, noises=data / "noises", device="cpu", jobs=1)
    changes = {"batch": "2", "frames": "120", "steps": "2", "compile": "false"}
    places = replace(places, changes={f"encoder.{option}": value for option, value in changes.items()})
    (step,) = recipes.chosen(recipes.steps("tiny", places), "encoder")
    train_program(step)
    saved = checkpoint.load(data / "work" / "runs" / "tiny" / "encoder.pt")
    assert saved["step"] == 2
    assert saved["config"]["channels"] == MODELS["tiny"].encoder.channels


@pytest.fixture
def train_program(monkeypatch):
    """Runs a step in this process: another one would take a minute to import PyTorch."""

    def call(step):
        monkeypatch.setattr(sys, "argv", list(step.command[1:]))
        train_encoder.main()

    return call


@pytest.mark.parametrize(
    ("options", "said"), [({"steps": 4}, "begun with steps 3, this command says 4"), ({}, "has no trained, average,")]
)
def test_an_encoder_does_not_go_on_from_another_training(train, data, capsys, options, said):
    train()
    path = data / "run" / "encoder.pt"
    if not options:
        # as save_weights.py keeps it
        checkpoint.save(path, **{key: checkpoint.load(path)[key] for key in ("model", "config", "step", "scores")})
    before = path.read_bytes()
    with pytest.raises(SystemExit):
        train(**options)
    line = capsys.readouterr().err
    assert said in line
    assert "take another --run folder" in line
    assert path.read_bytes() == before


def test_the_device_is_cuda_where_there_is_one_and_asking_for_a_missing_one_is_an_error(monkeypatch):
    monkeypatch.setattr(device.torch.cuda, "is_available", lambda: True)
    assert [device.pick(name).type for name in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]
    monkeypatch.setattr(device.torch.cuda, "is_available", lambda: False)
    assert device.pick("auto").type == "cpu"
    with pytest.raises(UserError, match="--device cuda: PyTorch finds no CUDA device"):
        device.pick("cuda")


def test_an_encoder_begins_with_no_other_size(train, data, capsys):
    train(steps=1)
    with pytest.raises(SystemExit):
        train("--variant", "default", "--run", data / "other", "--start-from", data / "run" / "encoder.pt")
    assert "only begin with the weights of one of its own size" in capsys.readouterr().err


def test_a_missing_folder_is_named(monkeypatch, data, capsys, tmp_path):
    there = ("--noises", data / "noises", "--run", data / "run")
    line = mistake(monkeypatch, capsys, train_encoder, "--data", tmp_path / "no", *there)
    assert f"expected {tmp_path / 'no' / 'utterances.jsonl'}, which tools/prepare_data.py writes" in line
    line = mistake(monkeypatch, capsys, train_pitch, "--data", data, "--noises", tmp_path / "no", "--run", data / "run")
    assert f"expected the .ogg files of ESC-10 below {tmp_path / 'no'}" in line
    line = mistake(monkeypatch, capsys, prepare_data, "--clones", tmp_path / "no", "--out", tmp_path / "out")
    assert "expected a git clone at" in line
    assert not (tmp_path / "out").exists()
    line = mistake(monkeypatch, capsys, export_onnx, "--run", tmp_path / "no", "--out", tmp_path / "out")
    assert "encoder.pt; run tools/train_encoder.py first" in line
    line = mistake(monkeypatch, capsys, evaluate_gate, "--bundle", tmp_path / "no", "--data", data)
    assert str(tmp_path / "no") in line


def test_every_clone_that_is_read_is_looked_for_first():
    read = re.findall(r'_clone\(clones, "([^"]+)"', inspect.getsource(corpora))
    assert set(read) == {source.repository for source in NEEDED}
    assert len(read) > 4


def test_a_kitchen_is_never_silent(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected ESC-10's 'Rain' recordings of fold 5"):
        Kitchen(tmp_path).add(np.ones(100, np.float32), "u")


def test_phones_of_another_recording_are_refused_and_aligned_again(monkeypatch, data):
    rows = listed(data)
    rows[0]["text"] = "b"
    del rows[2]
    (data / "utterances.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=r"phones of audio/kathleen/u.flac are of another recording.*align.py again"):
        list(alignment.aligned(data))
    asked = []
    monkeypatch.setattr(align, "ProcessPoolExecutor", lambda jobs: Pool(asked))
    run(monkeypatch, align, "--data", data)
    assert [row["path"] for _, row in asked] == ["audio/kathleen/u.flac"]
    assert [entry["path"] for entry in listed(data, "phones")] == ["audio/ls19/u.flac", "audio/kathleen/u.flac"]
    assert [row["speaker"] for row, _ in alignment.aligned(data)] == ["ls19", "kathleen"]


class Pool:
    """Aligns at once, and every text with one phone."""

    def __init__(self, asked):
        self.asked = asked

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        pass

    def map(self, function, jobs, chunksize):
        self.asked += jobs
        return ({key: row[key] for key in ("path", "text", "seconds")} | {"phones": [], "words": []} for _, row in jobs)


def test_frames_are_centred_where_the_aligner_has_them():
    centres = 205 + 160 * np.arange(5)
    assert alignment.label_index(centres).tolist() == [0, 1, 2, 3, 4]
    assert alignment.label_index(centres - 79).tolist() == [0, 1, 2, 3, 4]
    assert alignment.label_index(centres + 81).tolist() == [1, 2, 3, 4, 5]
    assert alignment.label_index(np.array([0])).tolist() == [-1]
