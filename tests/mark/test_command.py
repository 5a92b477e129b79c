"""`edgevc detect`, and what the other commands say of the mark."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import edgevc
from edgevc import VoiceConverter, cli
from edgevc.audio.wav_writer import encode_pcm16
from edgevc.errors import NO_MARK, AudioFileError, ConfigError

RATE = 16_000
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The sentence as it is, and as edgevc says it; each twice as long."""
    place = tmp_path_factory.mktemp("sounds")
    sentence, _ = edgevc.read(ROOT / "examples" / "sentence.wav")
    sentence = np.concatenate([sentence, sentence])
    edgevc.write(place / "natural.wav", sentence, RATE)
    edgevc.write(place / "made.wav", VoiceConverter("default", chunk_hops=4).convert(sentence, "slt"), RATE)
    return place


@pytest.fixture
def detect(capsys):
    def detect(*arguments):
        code = cli.main(["detect", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return detect


def test_a_made_sound_is_marked_and_the_sentence_is_not(detect, folder):
    code, out, err = detect(folder / "made.wav")
    assert (code, err) == (0, "")
    assert out.startswith(f"{folder / 'made.wav'}: marked, 0.")
    code, out, err = detect(folder / "natural.wav")
    assert (code, err) == (NO_MARK, "")
    assert "natural.wav: no mark found, score " in out


def test_a_folder_as_json(detect, folder):
    code, out, err = detect("--json", folder)
    assert (code, err) == (NO_MARK, "")
    made, natural = json.loads(out)
    assert (made["file"], natural["file"]) == (str(folder / "made.wav"), str(folder / "natural.wav"))
    assert made["marked"] is True
    assert made["score"] > made["threshold"]
    ((start, end),) = made["spans"]
    assert start < 1
    assert end > made["seconds"] - 1
    assert (natural["marked"], natural["spans"]) == (False, [])


def test_other_kinds_and_rates_are_read(detect, folder, tmp_path):
    made, _ = edgevc.read(folder / "made.wav")
    soundfile.write(tmp_path / "a.ogg", edgevc.resample(made, RATE, 44_100), 44_100)
    soundfile.write(tmp_path / "b.flac", np.stack([made, made], axis=1), RATE)
    edgevc.write(tmp_path / "c.wav", edgevc.resample(made, RATE, 8_000), 8_000)
    code, out, _ = detect(tmp_path)
    assert code == 0
    assert out.count(": marked, ") == 3


def test_what_cannot_be_judged_keeps_the_others_from_nothing(detect, folder, tmp_path):
    edgevc.write(tmp_path / "short.wav", np.zeros(2 * RATE, np.float32), RATE)
    (tmp_path / "broken.wav").write_bytes(b"no sound at all")
    code, out, err = detect(tmp_path / "short.wav", tmp_path / "broken.wav", tmp_path / "gone.wav", folder / "made.wav")
    assert code == AudioFileError.exit_code
    assert "short.wav: a watermark needs at least 2.5 s of sound to be found, got 2.00 s" in err
    assert len(err.splitlines()) == 3
    assert "made.wav: marked" in out


@pytest.mark.parametrize("arguments", [(), ("--raw", "a.wav"), ("--raw-rate", "8000", "a.wav")])
def test_what_makes_no_sense_is_refused(detect, arguments):
    code, _, err = detect(*arguments)
    assert code == ConfigError.exit_code
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(("name", "code"), [("made", 0), ("natural", NO_MARK)])
def test_a_stream_is_judged_while_it_comes(folder, name, code):
    sound, _ = edgevc.read(folder / f"{name}.wav")
    data = encode_pcm16(np.resize(sound, 16 * RATE))
    command = [sys.executable, "-m", "edgevc", "detect", "--raw", "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as live:
        # the first window is told before the stream ends; 4 s more, since it is read in blocks
        live.stdin.write(data[: 2 * 14 * RATE])
        live.stdin.flush()
        first = json.loads(live.stdout.readline())
        live.stdin.write(data[2 * 14 * RATE :])
        live.stdin.close()
        rest = [json.loads(line) for line in live.stdout]
        assert live.wait(120) == code
    assert (first["start"], first["end"], first["marked"]) == (0, 10, code == 0)
    assert [(line["start"], line["end"]) for line in rest[:-1]] == [(5, 15)]
    assert rest[-1]["seconds"] == 16
    assert rest[-1]["marked"] == (code == 0)


def test_convert_without_the_mark_says_so_in_log_and_file(run, folder, tmp_path):
    done = run("convert", folder / "natural.wav", tmp_path / "a.wav", "--voice", "slt", "--no-mark", warns=True)
    assert done.err.count("mark = false") == 1
    assert not edgevc.detect(*edgevc.read(tmp_path / "a.wav")).marked
    run("convert", folder / "natural.wav", tmp_path / "b.wav", "--voice", "slt")
    assert edgevc.detect(*edgevc.read(tmp_path / "b.wav")).marked
    comments = []
    for name in "ab":
        with soundfile.SoundFile(tmp_path / f"{name}.wav") as file:
            comments.append(file.comment)
    sha256 = VoiceConverter("default").bundle.sha256
    assert [comment.split("; ")[0] for comment in comments] == ["voice converted"] * 2
    assert all(sha256 in comment for comment in comments)
    assert [comment.split("; ")[-1] for comment in comments] == ["no watermark", "watermark"]


def test_what_comes_marked_goes_out_marked(run, folder, tmp_path):
    done = run("convert", folder / "made.wav", tmp_path / "a.wav", "--voice", "bdl", "--no-mark", warns=True)
    assert "made.wav carries the watermark already, so the output is marked as well" in done.err
    assert edgevc.detect(*edgevc.read(tmp_path / "a.wav")).marked


def test_info_says_what_the_settings_say(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert "watermark in what it says: on\n" in run("info").out
    (tmp_path / "edgevc").mkdir()
    (tmp_path / "edgevc" / "config.toml").write_text("[live]\nmark = false\n")
    assert "watermark in what it says: off in `edgevc live`" in run("info").out
    assert json.loads(run("info", "--json").out)["mark"] is False
