"""WAV files appear complete or not at all, and others read them."""

import io
import os
import subprocess
import sys
import tracemalloc
import wave

import numpy as np
import pytest
import soundfile
from helpers.wav_bytes import GOOD_DATA, fmt, riff

from edgevc.audio.reader import AudioReader, read_audio
from edgevc.audio.wav_writer import WavWriter, write_wav
from edgevc.errors import ConfigError, OutputError


def test_pcm16_returns_within_half_a_step(tmp_path, rng):
    samples = rng.uniform(-0.999, 0.999, 5_000).astype(np.float32)
    assert write_wav(tmp_path / "a.wav", samples, 22_050) == 0
    result, sample_rate, n_channels = read_audio(tmp_path / "a.wav")
    np.testing.assert_allclose(result, samples, rtol=0, atol=0.5001 / 32_768)
    assert (sample_rate, n_channels) == (22_050, 1)
    # A second time nothing changes any more.
    write_wav(tmp_path / "b.wav", result, 22_050)
    assert np.array_equal(read_audio(tmp_path / "b.wav")[0], result)


def test_float32_returns_exactly(tmp_path, rng):
    samples = (3 * rng.standard_normal(5_001)).astype(np.float32)
    assert write_wav(tmp_path / "a.wav", samples, 48_000, "float32") == 0
    assert np.array_equal(read_audio(tmp_path / "a.wav")[0], samples)


def test_clipped_samples_are_counted_and_full_scale_is_not(tmp_path, caplog):
    samples = np.array([1.0, -1.0, 1.01, -2.0, 5.0, 0.5], np.float32)
    assert write_wav(tmp_path / "a.wav", samples, 16_000) == 3
    expected = np.array([32_767, -32_768, 32_767, -32_768, 32_767, 16_384], np.float32) / 32_768
    assert np.array_equal(read_audio(tmp_path / "a.wav")[0], expected)
    assert "3 of 6 samples clipped" in caplog.text


def test_the_standard_library_agrees(tmp_path, rng):
    samples = rng.uniform(-1, 1, 1_000).astype(np.float32)
    write_wav(tmp_path / "ours.wav", samples, 44_100)
    with wave.open(str(tmp_path / "ours.wav"), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()) == (
            1,
            2,
            44_100,
            1_000,
        )
        frames = file.readframes(2_000)
    assert np.array_equal(np.frombuffer(frames, "<i2") / np.float32(32_768), read_audio(tmp_path / "ours.wav")[0])
    for width in (1, 2, 3, 4):
        with wave.open(str(tmp_path / "theirs.wav"), "wb") as file:
            file.setparams((2, width, 8_000, 0, "NONE", ""))
            file.writeframes(rng.bytes(200 * width))
        result, sample_rate, n_channels = read_audio(tmp_path / "theirs.wav")
        assert (result.size, sample_rate, n_channels) == (100, 8_000, 2)


@pytest.mark.parametrize("subtype", ["pcm16", "float32"])
def test_soundfile_reads_what_we_write(subtype, tmp_path, rng):
    write_wav(tmp_path / "a.wav", rng.uniform(-1, 1, 3_001).astype(np.float32), 24_000, subtype)
    expected, sample_rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert sample_rate == 24_000
    assert np.array_equal(read_audio(tmp_path / "a.wav")[0], expected)


def test_ten_minutes_at_48_khz_pass_in_flat_memory(tmp_path):
    block = np.zeros(48_000, np.float32)
    with WavWriter(tmp_path / "long.wav", 48_000) as writer:
        for _ in range(600):
            writer.write(block)
    tracemalloc.start()
    with AudioReader(tmp_path / "long.wav") as reader:
        n_samples = sum(part.size for part in reader.blocks(4_096))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_samples == 600 * 48_000
    # Measured 0.1 MB; the file has 57.6 MB.
    assert peak < 1 << 20


def test_writing_in_blocks_equals_writing_at_once(tmp_path, rng):
    samples = rng.uniform(-1.2, 1.2, 1_000).astype(np.float32)
    clipped = write_wav(tmp_path / "a.wav", samples, 16_000)
    with WavWriter(tmp_path / "b.wav", 16_000) as writer:
        for part in np.split(samples, [0, 1, 400, 999]):
            writer.write(part)
    assert (writer.n_samples, writer.clipped_samples) == (1_000, clipped)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_an_error_leaves_no_new_file_and_the_old_one_as_it_was(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")

    def fail_half_way():
        with WavWriter(path, 16_000) as writer:
            writer.write(np.zeros(100_000, np.float32))
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    assert path.read_bytes() == b"old"
    with pytest.raises(ConfigError, match=r"a\.wav: samples must be finite, got nan at index 1"):
        write_wav(path, np.array([0, np.nan], np.float32), 16_000)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.wav"]


def test_a_file_appears_only_when_complete(tmp_path):
    path = tmp_path / "a.wav"
    with WavWriter(path, 16_000) as writer:
        writer.write(np.zeros(100_000, np.float32))
        assert not path.exists()
    assert read_audio(path)[0].size == 100_000
    writer.close()
    writer.abort()
    assert path.exists()
    with pytest.raises(OutputError, match="closed"):
        writer.write(np.zeros(1, np.float32))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.wav"]


def test_a_failed_replace_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a.wav"
    writer = WavWriter(path, 16_000)
    path.mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        writer.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("end", ["close", "salvage"])
def test_a_full_disk_is_an_output_error_and_leaves_nothing_or_what_it_took(tmp_path, end):
    code = f"""
import resource
import numpy as np
from edgevc.audio.wav_writer import WavWriter
from edgevc.errors import OutputError
resource.setrlimit(resource.RLIMIT_FSIZE, (10_001, 10_001))
writer = WavWriter("a.wav", 16_000)
try:
    for _ in range(4):
        writer.write(np.full(2_000, 0.5, np.float32))
except OutputError as error:
    print(error)
    writer.salvage() if {end == "salvage"} else writer.abort()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "a.wav: cannot be written: File too large; make room, or choose another output\n"
    if end == "close":
        assert list(tmp_path.iterdir()) == []
    else:
        assert np.array_equal(read_audio(tmp_path / "a.wav")[0], np.full((10_001 - 44) // 2, 0.5, np.float32))
        assert [entry.name for entry in tmp_path.iterdir()] == ["a.wav"]


def test_devices_pipes_and_folders_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", os.devnull):
        with pytest.raises(OutputError, match="must be a regular file"):
            WavWriter(path, 16_000)
    with pytest.raises(OutputError, match="cannot be written"):
        WavWriter(tmp_path / "none" / "a.wav", 16_000)


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    path = tmp_path / "private.wav"
    for mode in (0o600, 0o644, 0o664):
        path.write_bytes(b"old")
        path.chmod(mode)
        write_wav(path, np.zeros(3, np.float32), 16_000)
        assert path.stat().st_mode & 0o777 == mode


def test_writing_through_a_link_keeps_the_link(tmp_path):
    (tmp_path / "real.wav").write_bytes(b"old")
    (tmp_path / "link.wav").symlink_to("real.wav")
    write_wav(tmp_path / "link.wav", np.zeros(3, np.float32), 16_000)
    assert (tmp_path / "link.wav").is_symlink()
    assert read_audio(tmp_path / "real.wav")[0].size == 3


def test_wrong_arguments_are_refused(tmp_path):
    path = tmp_path / "a.wav"
    samples = np.zeros(10, np.float32)
    with pytest.raises(TypeError, match="expected a float32 array, got float64"):
        write_wav(path, np.zeros(10), 16_000)
    with pytest.raises(TypeError, match="got list"):
        write_wav(path, [0.0], 16_000)
    with pytest.raises(ConfigError, match=r"\(2, 5\)"):
        write_wav(path, np.zeros((2, 5), np.float32), 16_000)
    for sample_rate in (0, 999, 768_001, 16_000.0, True):
        with pytest.raises(ConfigError, match="sample_rate"):
            write_wav(path, samples, sample_rate)
    with pytest.raises(ConfigError, match="pcm16"):
        write_wav(path, samples, 16_000, "pcm24")
    reader = AudioReader(io.BytesIO(riff(fmt(1, 16), GOOD_DATA)))
    with pytest.raises(ConfigError, match="got -1"):
        reader.read(-1)
    with pytest.raises(ConfigError, match="got 0"):
        next(reader.blocks(0))
    assert list(tmp_path.iterdir()) == []
