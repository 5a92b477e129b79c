"""The packaged speech, and folders of recordings: what is taken, and what is refused."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.command_line import obey_permissions

import edgevc
from edgevc.audio.wav_writer import write_wav
from edgevc.errors import AudioFileError, ConfigError
from edgevc.quantize import calibration_speech
from edgevc.quantize.calibration_speech import (
    MAX_CLIP_SECONDS,
    MAX_SECONDS,
    check_speech,
    default_clips,
    held_out_clips,
    load_folder,
    material_sha256,
    mu_law_codes,
    mu_law_samples,
)
from edgevc.quantize.dataset import load_dataset

MAX_BYTES = 600_000
MU_LAW_SNR_DB = 33.0
"""Measured: 37.8 dB at full scale, 36.3 dB at -20 dB; 3 dB of room."""


def voiced(seconds, rate=16_000, level=0.3):
    """A buzz with a formant-like envelope, 120 Hz: voiced for the tracker."""
    time = np.arange(round(seconds * rate)) / rate
    buzz = sum(np.cos(2 * np.pi * 120 * k * time) / k for k in range(1, 12))
    return (level * buzz / np.abs(buzz).max()).astype(np.float32)


def test_the_packaged_speech_is_small_and_lies_in_the_package():
    file = Path(edgevc.__file__).with_name("quantize") / "calibration_speech.npz"
    assert file.stat().st_size <= MAX_BYTES


@pytest.mark.parametrize("clips", [default_clips, held_out_clips])
def test_the_packaged_speech_is_speech(clips):
    taken = clips()
    check_speech(taken, "the packaged set")
    for name, samples in taken:
        assert samples.dtype == np.float32, name
        assert samples.ndim == 1
        assert np.abs(samples).max() <= 1.0
    peaks = [20 * np.log10(np.abs(samples).max()) for _, samples in taken]
    assert max(peaks) - min(peaks) > 15.0
    assert np.max(peaks) > -6.0


def test_no_sentence_and_no_voice_is_in_both_sets():
    def speakers(clips):
        return {name.split(" ")[1] for name, _ in clips}

    assert not speakers(default_clips()) & speakers(held_out_clips())
    tool = (Path(__file__).resolve().parents[2] / "tools/make_calibration_speech.py").read_text(encoding="utf-8")
    sentences = re.findall(r'Take\(.*"([^"]+)"\)', tool)
    assert len(sentences) == len(set(sentences)) == len(default_clips()) + len(held_out_clips())


def test_the_packaged_speech_has_quiet_and_noisy_clips():
    floors = [np.percentile(np.abs(samples), 5) / np.abs(samples).max() for _, samples in default_clips()]
    assert np.min(floors) < 5e-4
    assert np.max(floors) > 1e-3


def test_a_missing_file_is_an_error_that_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(calibration_speech, "PACKAGED", tmp_path / "none.npz")
    with pytest.raises(ConfigError, match="install edgevc again"):
        default_clips()


@pytest.mark.parametrize("level_db", [0, -10, -20])
def test_mu_law_keeps_its_quality_in_the_quiet_parts_of_a_clip(rng, level_db):
    samples = (np.clip(rng.laplace(0, 0.1, 16_000), -1, 1) * 10 ** (level_db / 20)).astype(np.float32)
    error = mu_law_samples(mu_law_codes(samples)) - samples
    assert 10 * np.log10(np.sum(samples**2) / np.sum(error**2)) > MU_LAW_SNR_DB


def test_mu_law_keeps_silence_and_full_scale_exact():
    assert mu_law_samples(mu_law_codes(np.array([0.0, 1.0, -1.0], np.float32))).tolist() == [0.0, 1.0, -1.0]


def test_a_folder_is_read_below_and_in_order(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    write_wav(tmp_path / "b.WAV", voiced(3, 48_000), 48_000)
    write_wav(tmp_path / "deep" / "er" / "a.wav", voiced(4), 16_000)
    (tmp_path / "notes.txt").write_text("no sound")
    (tmp_path / ".hidden.wav").write_bytes(b"damaged")
    clips = load_folder(tmp_path)
    assert [name for name, _ in clips] == ["b.WAV", "deep/er/a.wav"]
    assert [len(samples) for _, samples in clips] == [48_000, 64_000]


def test_flac_and_ogg_are_read(tmp_path):
    soundfile.write(tmp_path / "a.flac", voiced(3), 16_000)
    soundfile.write(tmp_path / "b.ogg", voiced(3), 16_000)
    assert [name for name, _ in load_folder(tmp_path)] == ["a.flac", "b.ogg"]


def test_a_large_folder_is_cut_to_ten_minutes_from_many_files(tmp_path):
    sound = np.tile(voiced(1), 31)
    for i in range(25):
        write_wav(tmp_path / f"{i:02d}.wav", sound, 16_000)
    clips = load_folder(tmp_path)
    assert sum(len(samples) for _, samples in clips) / 16_000 == MAX_SECONDS
    assert all(len(samples) / 16_000 <= MAX_CLIP_SECONDS for _, samples in clips)
    names = [name for name, _ in clips]
    assert names == sorted(names)
    assert names != [f"{i:02d}.wav" for i in range(len(names))]
    assert [name for name, _ in load_folder(tmp_path)] == names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "must be a folder of recordings, got nothing"),
        ({}, r"needs .wav, .flac, .ogg, .opus files, got none"),
        ({"a.wav": voiced(4.9)}, "at least 5 s of speech, got 4.9 s"),
        ({"a.wav": np.zeros(160_000, np.float32)}, "holds no speech: the loudest of 10 s is -100 dB, silence"),
        ({"a.wav": voiced(10, level=1e-4)}, "silence; record louder"),
        (
            {"a.wav": np.random.default_rng(1).normal(0, 0.1, 160_000).astype(np.float32)},
            "in no 10 s of 10 s is 1 s voiced",
        ),
    ],
    ids=["missing", "empty", "short", "zeros", "too quiet", "noise"],
)
def test_a_folder_without_speech_is_refused(tmp_path, content, message):
    folder = tmp_path / "speech"
    if content is not None:
        folder.mkdir()
        for name, samples in content.items():
            write_wav(folder / name, samples, 16_000, subtype="float32")
    with pytest.raises(ConfigError, match=message):
        load_folder(folder)


def test_minutes_of_noise_do_not_add_up_to_speech(rng):
    noise = [(f"{i}", rng.normal(0, 0.1, 160_000).astype(np.float32)) for i in range(6)]
    with pytest.raises(ConfigError, match="no speech"):
        check_speech(noise, "noise")


def test_a_file_instead_of_a_folder_is_refused(tmp_path):
    write_wav(tmp_path / "a.wav", voiced(6), 16_000)
    with pytest.raises(ConfigError, match="got a file"):
        load_folder(tmp_path / "a.wav")


def test_a_damaged_recording_is_named(tmp_path):
    write_wav(tmp_path / "a.wav", voiced(6), 16_000)
    (tmp_path / "b.wav").write_bytes(b"RIFFnonsense")
    with pytest.raises(AudioFileError, match=r"b\.wav"):
        load_folder(tmp_path)


@pytest.mark.parametrize(("rate", "top"), [(2_000, 1_000), (8_000, 4_000), (11_025, 5_512), (15_999, 7_999)])
def test_a_recording_that_lacks_the_upper_bands_is_refused(tmp_path, rate, top):
    write_wav(tmp_path / "a.wav", voiced(6), 16_000)
    write_wav(tmp_path / "b.wav", voiced(6, rate), rate)
    rule = (
        rf"b\.wav: .* must have at least 16000 Hz, got {rate} Hz, which holds nothing above {top} Hz; record it again"
    )
    with pytest.raises(AudioFileError, match=rule):
        load_folder(tmp_path)


def test_resampling_is_said_once_for_all_recordings(tmp_path):
    for name, rate in (("a", 48_000), ("b", 44_100), ("c", 48_000), ("d", 16_000)):
        write_wav(tmp_path / f"{name}.wav", voiced(6, rate), rate)
    said = []
    load_folder(tmp_path, said.append)
    assert said == ["3 of 4 recordings resampled from 44100, 48000 Hz to 16000 Hz"]
    assert load_dataset(tmp_path).note == said[0]
    for name in "abc":
        (tmp_path / f"{name}.wav").unlink()
    write_wav(tmp_path / "e.wav", voiced(6), 16_000)
    assert load_dataset(tmp_path).note == ""


def test_a_rate_that_cannot_be_resampled_is_refused(tmp_path):
    write_wav(tmp_path / "a.wav", voiced(6), 200_001)
    with pytest.raises(AudioFileError, match=r"even above 192000 .*got 200001; resample it first"):
        load_folder(tmp_path)


def test_a_folder_that_cannot_be_read_is_named_and_not_left_out(tmp_path):
    (tmp_path / "secret").mkdir(mode=0)
    write_wav(tmp_path / "a.wav", voiced(6), 16_000)
    code = "import sys, pathlib, edgevc.quantize.calibration_speech as c\nc.load_folder(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=obey_permissions)
    assert f"AudioFileError: the folder {tmp_path}/secret cannot be read: Permission denied; take it out" in done.stderr


def test_the_hash_tells_material_apart_and_not_names():
    clips = [("a", voiced(1)), ("b", voiced(2))]
    same = [("c", voiced(1)), ("d", voiced(2))]
    joined = [("a", np.concatenate([voiced(1), voiced(2)]))]
    touched = [("a", voiced(1)), ("b", voiced(2) * np.float32(0.5))]
    assert material_sha256(clips) == material_sha256(same)
    assert len({material_sha256(clips), material_sha256(joined), material_sha256(touched), material_sha256([])}) == 4
