"""Whisper's encoder as an ear: read from its file, heard in blocks, and targets stored for others to learn."""

import struct
from dataclasses import asdict, replace

import numpy as np
import pytest
import soundfile as sf
import torch
import tune_ear
from scipy.signal import lfilter
from vctrain import checkpoint
from vctrain.data.front_end import HOP_LENGTH
from vctrain.data.speech import IGNORE, EncoderSampler, Utterance, load_targets, splice
from vctrain.device import mixed_precision
from vctrain.errors import UserError
from vctrain.models.ear import EarConfig, WhisperEar, interpolate
from vctrain.models.whisper import (
    LONGEST_ROWS,
    ROW_AHEAD,
    WhisperEncoder,
    block_mask,
    endless_positions,
    log_mel,
    read_ctranslate2,
)
from vctrain.teachers import StoredTeacher, encode

pytestmark = pytest.mark.tools

SMALL = {"size": 64, "n_layers": 2, "heard": (0, 1), "hidden": 24}


@pytest.fixture
def noise():
    return torch.from_numpy(0.05 * np.random.default_rng(4).standard_normal((1, 48_000)).astype(np.float32))


def ear_of(**options):
    torch.manual_seed(2)
    return WhisperEar(EarConfig(**SMALL | options)).eval()


def ctranslate2_file(path, variables, aliases):
    """As CTranslate2's own converter writes binary version 6."""

    def text(value):
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    data = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<I", 3)
    data += struct.pack("<I", len(variables))
    for name, value in variables.items():
        kind = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}[str(value.dtype)]
        data += text(name) + struct.pack("<B", value.ndim) + struct.pack(f"<{value.ndim}I", *value.shape)
        data += struct.pack("<BI", kind, value.nbytes) + value.tobytes()
    data += struct.pack("<I", len(aliases)) + b"".join(text(a) + text(b) for a, b in aliases.items())
    path.write_bytes(data)


def test_whispers_log_mels_are_those_of_its_own_front_end(noise):
    from faster_whisper.feature_extractor import FeatureExtractor

    samples = noise[0] * torch.linspace(0, 1, 48_000)
    theirs = FeatureExtractor()(samples.numpy(), padding=0)
    ours = log_mel(samples[None])[0].numpy()
    assert ours[:, : theirs.shape[1]] == pytest.approx(theirs, abs=1e-4)


def test_a_ctranslate2_file_is_read_and_its_encoder_taken(tmp_path, noise):
    wanted = WhisperEncoder(64, 2)
    torch.manual_seed(1)
    for parameter in wanted.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    wanted.positions = torch.randn(LONGEST_ROWS, 64)
    names = {
        "attention_norm": "self_attention/layer_norm",
        "joint": "self_attention/linear_0",
        "out": "self_attention/linear_1",
        "norm": "ffn/layer_norm",
        "expand": "ffn/linear_0",
        "project": "ffn/linear_1",
        "last_norm": "layer_norm",
    }
    variables = {"encoder/num_heads": np.array(1, np.int8), "decoder/other": np.zeros((2, 3), np.float16)}
    for name, value in wanted.state_dict().items():
        *where, kind = name.split(".")
        layer = f"layer_{where[1]}/" if where and where[0] == "layers" else ""
        module = names.get(where[-1], where[-1]) if where else "position_encodings"
        kind = {"positions": "encodings"}.get(kind, kind)
        if "norm" in module:
            kind = {"weight": "gamma", "bias": "beta"}[kind]
        variables[f"encoder/{layer}{module}/{kind}"] = value.numpy()
    ctranslate2_file(tmp_path / "model.bin", variables, {"decoder/same": "decoder/other"})
    found = read_ctranslate2(tmp_path / "model.bin")
    assert np.array_equal(found["decoder/same"], found["decoder/other"])
    mels = log_mel(noise)
    with torch.no_grad():
        assert torch.equal(WhisperEncoder.load(tmp_path)(mels), wanted(mels))


@pytest.mark.parametrize("content", [b"", b"abc", struct.pack("<IH", 6, 60_000), bytes(4000)])
def test_another_file_is_refused_in_a_line(tmp_path, content):
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(UserError, match=r"model.bin"):
        WhisperEncoder.load(tmp_path)


def test_a_row_hears_its_block_and_so_much_before_it():
    mask = block_mask(23, block=4, back=8)
    for row in range(23):
        begin = row // 4 * 4
        assert [j for j in range(23) if mask[row, j]] == list(range(max(0, begin - 8), min(23, begin + 4)))


def test_endless_positions_go_on_as_they_began():
    positions = endless_positions(64)
    following = torch.cat([positions, positions[:1]])
    # a step turns every wave by the same angle, the last step too
    steps = (following[1:] * following[:-1]).reshape(LONGEST_ROWS, 2, 32).sum(1)
    assert steps.numpy() == pytest.approx(steps[:1].expand_as(steps).numpy(), abs=1e-3)
    # and within the 3 s that a row hears they are nearly Whisper's own
    radians = 10_000.0 ** (-torch.arange(32) / 31)
    own = torch.cat([(100 * radians).sin(), (100 * radians).cos()])
    assert (positions[100] - own).abs().max() < 0.25


@pytest.mark.parametrize(("block", "front_end", "ahead"), [(3, "whisper", ROW_AHEAD), (11, "edgevc", 480)])
def test_nothing_beyond_the_stated_latency_is_heard(noise, block, front_end, ahead):
    latency = (block - 1) * 320 + ahead
    ear = ear_of(block=block, back=2 * block, neighbours=0, latency=latency, loudest=1.5, front_end=front_end)
    changed_from = 20_000
    other = noise.clone()
    other[:, changed_from:] *= -3
    with torch.no_grad():
        before, after = ear.content_frames(noise)[0], ear.content_frames(other)[0]
    differ = (before != after).any(-1)
    first = int(differ.float().argmax())
    # frame k belongs to sample 160 k
    assert differ.any()
    assert HOP_LENGTH * first > changed_from - latency - HOP_LENGTH
    assert HOP_LENGTH * first < changed_from


def test_the_ear_of_studio_hears_no_further_than_it_says(noise):
    torch.manual_seed(2)
    ear = WhisperEar(replace(tune_ear.STUDIO, **SMALL)).eval()
    other = noise.clone()
    other[:, 30_000:] *= -3
    with torch.no_grad():
        content = [encode(ear, x)[0][0] for x in (noise, other)]
    # frame m is out when sample 160 (m + 1) has come
    same = (content[0] == content[1]).all(-1)
    assert same[: 30_000 // HOP_LENGTH].all()
    assert not same[30_000 // HOP_LENGTH + 22 :].all()


def test_the_runtimes_front_end_is_brought_near_whispers():
    rng = np.random.default_rng(5)
    ear = ear_of(front_end="edgevc", loudest=1.5)

    def speech_like(seed):
        rng = np.random.default_rng(seed)
        colour = lfilter([1], [1, -1.6 * np.cos(rng.uniform(0.2, 2)), 0.8], rng.standard_normal(32_000))
        loud = np.abs(np.sin(np.arange(32_000) / 2000)) ** 2 + 1e-3
        return torch.from_numpy((0.01 * colour * loud).astype(np.float32))[None]

    missed = ear.fit_front_end([speech_like(i) for i in range(30)])
    assert missed < 0.1
    other = speech_like(int(rng.integers(100, 200)))
    with torch.no_grad():
        found, wanted = ear.mels(other)[0], log_mel(other, 1.5)[0]
    n = min(found.shape[1], wanted.shape[1])
    assert (found[:, :n] - wanted[:, :n]).square().mean() < 0.15 * wanted.var()


def test_whole_attention_hears_everything(noise):
    ear = ear_of()
    other = noise.clone()
    other[:, 40_000:] = 0
    with torch.no_grad():
        assert (ear.content_frames(noise)[0, 0] != ear.content_frames(other)[0, 0]).any()


@pytest.mark.parametrize("latency", [240, 480, 3840])
def test_frames_line_up_with_a_converters(noise, latency):
    ear = ear_of(latency=latency)
    with torch.no_grad(), mixed_precision(torch.device("cpu")):
        grid = ear.content_frames(noise).float()[0]
    content, phones = encode(ear, noise)
    assert content.shape == (1, 300, 48)
    assert phones.shape == (1, 300, 40)
    m = 200
    place = (HOP_LENGTH * (m + 1) - latency) / HOP_LENGTH
    low = int(place)
    wanted = grid[low] * (1 - (place - low)) + grid[low + 1] * (place - low)
    assert content[0, m].detach().numpy() == pytest.approx(wanted.numpy(), abs=1e-5)


def test_the_middle_row_alone_gives_what_all_rows_give():
    head = ear_of().head
    rows = torch.randn(2, 9, head.norm.normalized_shape[0], generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = head(rows)[:, 8:10]
        assert head.of_middle(rows[:, 3:6]).numpy() == pytest.approx(expected.numpy(), abs=1e-5)


def test_a_head_without_neighbours_begins_as_one_with_them():
    wide, narrow = ear_of().head, ear_of(neighbours=0).head
    narrow.init_from(wide)
    # where rows do not change, both say the same
    rows = torch.randn(1, 1, 128).expand(1, 9, 128)
    with torch.no_grad():
        assert narrow(rows).numpy() == pytest.approx(wide(rows).numpy(), abs=1e-5)


def test_the_first_and_the_last_row_go_on():
    rows = torch.arange(4.0)[:, None]
    assert interpolate(rows, torch.tensor([-3.0, 0.25, 2.5, 9.0]))[:, 0].tolist() == [0, 0.25, 2.5, 3]


def counted(tmp_path, n_frames=100):
    """A recording whose every sample tells the frame of 160 that it lies in, and targets that say the same."""
    samples = np.repeat(np.arange(n_frames), HOP_LENGTH).astype(np.int16)
    # answer k belongs to sample 160 k, which begins frame k
    targets = np.repeat(np.arange(n_frames + 1)[:, None], 3, 1).astype(np.float16)
    (tmp_path / "targets").mkdir()
    np.save(tmp_path / "targets" / "a.npy", targets)
    sf.write(tmp_path / "a.flac", samples, 16_000)
    return samples, load_targets(tmp_path, "a.flac")


def test_stored_answers_come_in_the_aligners_frames(tmp_path):
    _, targets = counted(tmp_path)
    # frame k is centred at sample 205 + 160 k
    assert targets[10, 0] == pytest.approx(10 + 205 / 160, abs=0.01)
    assert load_targets(tmp_path, "b.flac") is None


def test_spliced_words_keep_their_answers(tmp_path):
    samples, targets = counted(tmp_path)
    utterance = Utterance(
        "a", "u", "train", samples, np.zeros(105, np.int8), np.arange(0, 90, 9, dtype=np.int32), targets
    )
    rng = np.random.default_rng(0)
    for _ in range(5):
        spliced = splice([utterance], 16_000, rng)
        assert len(spliced.targets) == len(spliced.labels)
        centres = spliced.samples[205 + HOP_LENGTH * np.arange(len(spliced.labels))]
        # a sample tells the beginning of its frame, the answer the place within
        assert np.abs(spliced.targets[:, 0].astype(float) - 205 / 160 % 1 - centres).max() <= 0.1


@pytest.mark.parametrize("latency", [160, 480])
def test_a_crops_answers_are_of_what_was_heard_a_latency_ago(tmp_path, latency):
    samples, targets = counted(tmp_path, 400)
    none = np.zeros(0, np.int32)
    silent = np.full(405, IGNORE, np.int8)
    sampler = EncoderSampler([Utterance("a", "u", "train", samples, silent, none, targets)], None, latency, 3, 0)
    for _ in range(10):
        _, clean, labels, found = sampler.crop(100)
        assert set(labels.tolist()) <= {0, IGNORE}
        known = np.flatnonzero(np.isfinite(found[:, 0]))
        known = known[(known > 6) & (known < 95)]
        sounds = clean[HOP_LENGTH * (known + 1) - latency] * 32768
        inside = sounds > 5
        assert np.abs(sounds - found[known, 0])[inside].max() < 1.5
        assert inside.sum() > 20


def test_a_recording_without_answers_teaches_nothing(tmp_path):
    heard = Utterance("a", "u", "train", np.ones(32_000, np.int16), np.zeros(205, np.int8), np.zeros(0, np.int32))
    *_, found = EncoderSampler([heard], None, 480, 3, 0).crop(100)
    assert np.isnan(found).all()


def test_a_stored_teacher_is_content_with_its_own_answers(tmp_path):
    ear = ear_of()
    checkpoint.save(tmp_path / "encoder.pt", model=ear.state_dict(), ear=asdict(ear.config))
    teacher = StoredTeacher(tmp_path / "encoder.pt")
    wanted = torch.randn(2, 50, 48)
    with torch.no_grad():
        assert teacher.loss(wanted, wanted, ear.phones(wanted)) == pytest.approx(0, abs=1e-5)
        off = wanted.clone()
        off[0] += 1
        assert teacher.loss(wanted, off, ear.phones(off)) > 0.3
        # where nothing is known nothing counts
        partly = wanted.clone()
        partly[0] = float("nan")
        assert teacher.loss(partly, off, ear.phones(off)) == pytest.approx(0, abs=1e-5)
        assert teacher.loss(torch.full_like(wanted, float("nan")), off, ear.phones(off)) == 0
