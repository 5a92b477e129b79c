"""Audio files: every kind that is read, and hostile ones."""

import builtins
import io
import os
import struct
import subprocess
import sys
import threading
import time
import tracemalloc

import numpy as np
import pytest
import soundfile
from helpers.command_line import write_stereo
from helpers.wav_bytes import GOOD_DATA, SUBFORMAT_TAIL, UNKNOWN_SIZE, chunk, encode, fmt, riff

from edgevc.audio.reader import AudioReader, read_audio
from edgevc.errors import AudioFileError, MissingPackageError


def read(content):
    return read_audio(io.BytesIO(content))


class Pipe(io.RawIOBase):
    """A source that cannot seek, and gives a few bytes at a time."""

    def __init__(self, content):
        self._content = io.BytesIO(content)

    def readable(self):
        return True

    def readinto(self, buffer):
        part = self._content.read(min(len(buffer), 7))
        buffer[: len(part)] = part
        return len(part)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_pcm_of_every_width_is_scaled_to_one(width):
    full = 1 << (8 * width - 1)
    integers = np.array([-full, -full // 2, -1, 0, 1, full // 2, full - 1], np.int64)
    samples, sample_rate, n_channels = read(riff(fmt(1, 8 * width), chunk(b"data", encode(integers, width))))
    assert samples.dtype == np.float32
    assert np.array_equal(samples, (integers / full).astype(np.float32))
    assert (sample_rate, n_channels) == (16_000, 1)


@pytest.mark.parametrize("bits", [32, 64])
def test_float_is_read_as_it_is(bits):
    values = np.array([0.0, -1.0, 1.0, 0.1, 3.5, -1e-30])
    samples, _, _ = read(riff(fmt(3, bits), chunk(b"data", values.astype(f"<f{bits // 8}").tobytes())))
    assert np.array_equal(samples, values.astype(np.float32))


@pytest.mark.parametrize(("tag", "bits"), [(1, 16), (1, 24), (3, 32)])
def test_extensible_names_the_format_in_its_sub_format(tag, bits):
    extension = struct.pack("<HHIH", 22, bits, 0, tag) + SUBFORMAT_TAIL
    data = chunk(b"data", bytes(range(24)) if tag == 1 else np.linspace(-1, 1, 6).astype("<f4").tobytes())
    plain = read(riff(fmt(tag, bits, 2), data))[0]
    assert np.array_equal(read(riff(fmt(0xFFFE, bits, 2, extension=extension), data))[0], plain)


@pytest.mark.parametrize("n_channels", [1, 2, 3, 6, 40_000])
def test_channels_are_averaged(n_channels, rng):
    frames = rng.integers(-32_768, 32_768, (5, n_channels)).astype("<i2")
    # 40,000 channels do not fit into the 16 bits of the block align.
    header = struct.pack("<HHIIHH", 1, n_channels, 16_000, 0, n_channels * 2 % 65_536, 16)
    samples, _, found = read(riff(chunk(b"fmt ", header), chunk(b"data", frames.tobytes())))
    assert found == n_channels
    np.testing.assert_allclose(samples, frames.mean(axis=1) / 32_768, rtol=0, atol=1e-7)


def test_chunks_of_odd_size_and_unknown_name_are_skipped_with_their_padding():
    data = chunk(b"data", struct.pack("<3h", 1, 2, 3))
    content = riff(chunk(b"JUNK", b"abc"), fmt(1, 16), chunk(b"LIST", b"x" * 2_000_001), data, chunk(b"id3 ", b"tail"))
    assert np.array_equal(read(content)[0], np.array([1, 2, 3], np.float32) / 32_768)


def test_a_data_chunk_cut_short_gives_its_whole_frames(caplog):
    content = riff(fmt(1, 16, 2), chunk(b"data", struct.pack("<5h", 2, 4, 6, 8, 10), size=4_000))
    assert np.array_equal(read(content)[0], np.array([3, 7], np.float32) / 32_768)
    assert "cut short" in caplog.text


@pytest.mark.parametrize("data_size", [0, UNKNOWN_SIZE])
@pytest.mark.parametrize("riff_size", [0, 36, UNKNOWN_SIZE])
def test_a_file_from_a_pipe_is_read_to_its_end(data_size, riff_size):
    content = riff(fmt(1, 16), chunk(b"data", struct.pack("<3h", 1, 2, 3), size=data_size), size=riff_size)
    assert np.array_equal(read(content)[0], np.array([1, 2, 3], np.float32) / 32_768)


def test_an_empty_data_chunk_before_others_is_empty():
    samples, sample_rate, _ = read(riff(fmt(1, 16), chunk(b"data", b""), chunk(b"LIST", b"abcdefgh")))
    assert samples.shape == (0,)
    assert sample_rate == 16_000


def test_rf64_takes_the_size_from_ds64():
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, 6, 3, 0))
    data = chunk(b"data", struct.pack("<3h", 1, 2, 3), size=UNKNOWN_SIZE)
    content = riff(ds64, fmt(1, 16), data, chunk(b"LIST", b"abcd"), magic=b"RF64", size=UNKNOWN_SIZE)
    assert np.array_equal(read(content)[0], np.array([1, 2, 3], np.float32) / 32_768)


@pytest.mark.parametrize("long_size", [0, (1 << 64) - 1])
def test_rf64_from_a_pipe_is_read_to_its_end(long_size):
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, long_size, 0, 0))
    data = chunk(b"data", struct.pack("<3h", 1, 2, 3), size=UNKNOWN_SIZE)
    content = riff(ds64, fmt(1, 16), data[:-1], magic=b"RF64", size=UNKNOWN_SIZE)
    reader = AudioReader(io.BytesIO(content))
    assert reader.n_samples is None
    assert np.array_equal(reader.read(9), np.array([1, 2], np.float32) / 32_768)


@pytest.mark.parametrize("size", [0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0])
def test_a_size_that_recorders_leave_in_a_pipe_is_no_length_and_no_loss(size, caplog):
    content = riff(
        fmt(1, 16), chunk(b"data", struct.pack("<3h", 1, 2, 3), size=size), size=min(size + 36, UNKNOWN_SIZE)
    )
    for source in (io.BytesIO(content), Pipe(content)):
        reader = AudioReader(source)
        assert reader.n_samples is None
        assert np.array_equal(reader.read(9), np.array([1, 2, 3], np.float32) / 32_768)
    assert caplog.text == ""


def test_such_a_size_counts_where_the_file_is_that_long(tmp_path):
    with (tmp_path / "long.wav").open("wb") as file:
        file.write(riff(fmt(1, 16), chunk(b"data", b"", size=0x80000000)))
        file.truncate(0x80000000 + 44)
    with AudioReader(tmp_path / "long.wav") as reader:
        assert reader.n_samples == 0x40000000


def id3(n_bytes):
    size = bytes((n_bytes >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + bytes(n_bytes)


@pytest.mark.parametrize("tags", [id3(10), id3(0), id3(300), id3(200_000) + id3(5)], ids=len)
def test_an_id3_tag_before_the_audio_is_skipped(tags, rng):
    content = riff(fmt(1, 16), chunk(b"data", rng.bytes(400), size=0), size=0)
    expected = read(content)[0]
    assert expected.size == 200
    assert np.array_equal(read(tags + content)[0], expected)
    assert np.array_equal(read_audio(Pipe(tags + content))[0], expected)
    flac = io.BytesIO()
    soundfile.write(flac, expected, 16_000, format="FLAC")
    assert np.array_equal(read(tags + flac.getvalue())[0], expected)
    # a file that was handed over in the middle begins there
    source = io.BytesIO(b"before it" + flac.getvalue())
    source.seek(9)
    assert np.array_equal(read_audio(source)[0], expected)


def test_a_flac_that_does_not_say_how_long_it_is_is_read_whole(rng):
    target = io.BytesIO()
    samples = rng.uniform(-0.5, 0.5, 30_000)
    soundfile.write(target, samples, 16_000, format="FLAC")
    content = bytearray(target.getvalue())
    # the 36 bits of total_samples in STREAMINFO, which an encoder that writes into a pipe leaves at 0
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    reader = AudioReader(io.BytesIO(bytes(content)))
    assert reader.n_samples is None
    np.testing.assert_allclose(np.concatenate(list(reader.blocks(777))), samples, rtol=0, atol=1.01 / 32_768)


@pytest.mark.parametrize(("packet", "codec"), [(b"Speex   1.2", "Speex"), (b"\x7fFLAC\1\0", "FLAC")])
def test_another_codec_in_ogg_is_named_and_not_called_damaged(packet, codec):
    page = b"OggS\0\2" + bytes(20) + bytes((1, len(packet))) + packet
    with pytest.raises(AudioFileError, match=f"got Ogg with {codec}; convert it, for example with `ffmpeg"):
        read(page + bytes(500))


def test_a_damaged_ogg_is_called_that_without_the_name_of_a_python_object(rng):
    target = io.BytesIO()
    soundfile.write(target, rng.uniform(-0.5, 0.5, 4_000), 16_000, format="OGG")
    content = bytearray(target.getvalue())
    content[40:600] = bytes(560)
    with pytest.raises(AudioFileError, match=r"is damaged: [^<>]*; copy it again$"):
        read(bytes(content))


def test_chunks_of_holes_take_no_time(tmp_path):
    path = tmp_path / "holes.wav"
    with path.open("wb") as file:
        file.write(b"RIFF\0\0\0\0WAVE")
        for _ in range(900):
            file.write(b"junk" + struct.pack("<I", UNKNOWN_SIZE - 1))
            file.seek(UNKNOWN_SIZE - 1, os.SEEK_CUR)
        file.write(fmt(1, 16) + chunk(b"data", bytes(320)))
    begun = time.process_time()
    assert read_audio(path)[0].size == 160
    # 31 s for four of them when they were read; 900 take 5 ms
    assert time.process_time() - begun < 2


def test_channels_that_cancel_each_other_are_named(rng, caplog):
    left = rng.integers(-9_000, 9_000, 4_000)
    for right, warned in ((left, False), (-left, True), (0 * left, False), (-left + rng.integers(-2, 3, 4_000), True)):
        frames = np.stack([left, right], axis=1).astype("<i2")
        caplog.clear()
        with AudioReader(io.BytesIO(riff(fmt(1, 16, 2), chunk(b"data", frames.tobytes())))) as reader:
            assert reader.read(5_000).size == 4_000
        assert ("the channels cancel each other" in caplog.text) == warned


def test_a_pipe_that_does_not_block_is_read_to_its_end(rng):
    content = riff(fmt(1, 16), chunk(b"data", rng.bytes(300_000)))
    for buffering in (-1, 0):
        reading, writing = os.pipe()
        os.set_blocking(reading, False)

        def feed(descriptor=writing):
            with os.fdopen(descriptor, "wb", buffering=0) as target:
                for start in range(0, len(content), 50_000):
                    time.sleep(0.01)
                    target.write(content[start : start + 50_000])

        thread = threading.Thread(target=feed)
        thread.start()
        with os.fdopen(reading, "rb", buffering=buffering) as source:
            assert np.array_equal(read_audio(source)[0], read(content)[0])
        thread.join()


def test_a_source_that_cannot_seek_is_read_as_a_file(rng):
    data = rng.integers(-32_768, 32_768, 3_000).astype("<i2").tobytes()
    content = riff(chunk(b"JUNK", b"abc"), fmt(1, 16, 2), chunk(b"data", data))
    assert np.array_equal(read_audio(Pipe(content))[0], read(content)[0])


def test_a_passed_file_stays_open_and_an_own_one_is_closed(tmp_path):
    content = riff(fmt(1, 16), chunk(b"data", b"\0\0"))
    source = io.BytesIO(content)
    read_audio(source)
    assert not source.closed
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with AudioReader(path) as reader:
        pass
    with pytest.raises(AudioFileError, match="closed"):
        reader.read(1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "WAV, FLAC or OGG"),
        (b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + b"\xff\xfb\x90\x00" * 99, r"WAV, FLAC or OGG.*\\xff\\xfb.*ffmpeg"),
        (b"ID3\x04", "WAV, FLAC or OGG.*ffmpeg"),
        (b"RIFX" + riff(fmt(1, 16), GOOD_DATA)[4:], "WAV, FLAC or OGG"),
        (riff(), "must have a data chunk"),
        (riff(fmt(1, 16)), "must have a data chunk"),
        (riff(GOOD_DATA, fmt(1, 16)), "must have a fmt chunk before"),
        (riff(fmt(1, 16), fmt(1, 16), GOOD_DATA), "one fmt chunk"),
        (riff(*[chunk(b"JUNK", b"")] * 2_000), "among the first 1000"),
        (riff(chunk(b"fmt ", b"\1\0\1\0"), GOOD_DATA), "at least 16 bytes, got 4"),
        (riff(fmt(6, 8), GOOD_DATA), "got format 6 of 8 bits"),
        (riff(fmt(1, 12), GOOD_DATA), "got format 1 of 12 bits"),
        (riff(fmt(3, 16), GOOD_DATA), "got format 3 of 16 bits"),
        (riff(fmt(0xFFFE, 16), GOOD_DATA), "sub-format.*ffmpeg"),
        # the LIST chunk's padding byte is missing, so that "data" is read as "ata."
        (
            riff(fmt(1, 16), chunk(b"LIST", b"hello")[:-1], GOOD_DATA),
            "end of the file first; copy or export it again",
        ),
        (riff(fmt(1, 16, 0), GOOD_DATA), "at least 1 channel, got 0"),
        (riff(fmt(1, 16, sample_rate=0), GOOD_DATA), "1000, 768000.* got 0"),
        (riff(fmt(1, 16, sample_rate=0xFFFFFFFF // 2), GOOD_DATA), "1000, 768000.* got 2147483647"),
        (riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 2, 16_000, 0, 3, 16)), GOOD_DATA), "block align must be 4.* 3"),
        (riff(chunk(b"ds64", b"short"), fmt(1, 16), GOOD_DATA, magic=b"RF64"), "28 bytes, got 5"),
        (riff(fmt(3, 32), chunk(b"data", struct.pack("<2f", 0, np.nan))), "finite, got nan at 1"),
        (riff(fmt(3, 64), chunk(b"data", struct.pack("<2d", 1e300, 0))), "finite, got inf at 0"),
    ],
)
def test_a_broken_rule_is_named_with_the_file(content, message, tmp_path):
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    with pytest.raises(AudioFileError, match=f"broken.wav: .*{message}"):
        read_audio(path)


def test_a_missing_file_a_folder_and_text_are_named(tmp_path):
    with pytest.raises(AudioFileError, match=r"none\.wav: cannot be opened"):
        read_audio(tmp_path / "none.wav")
    with pytest.raises(AudioFileError, match="cannot be"):
        read_audio(tmp_path)
    with pytest.raises(AudioFileError, match="cannot be opened"):
        read_audio("null\0byte")
    with pytest.raises(AudioFileError, match="opened for bytes, got str"):
        read_audio(io.StringIO("RIFF"))


def test_a_header_that_promises_gigabytes_allocates_what_is_there():
    content = riff(fmt(1, 16, 65_535 // 2), chunk(b"data", b"\0" * 100, size=0xFFFFFFF0))
    tracemalloc.start()
    assert read(content)[0].size == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg"])
def test_300_corrupted_files_end_in_audio_file_error_or_in_finite_samples(kind, rng):
    if kind == "wav":
        extension = struct.pack("<HHIH", 22, 16, 0, 1) + SUBFORMAT_TAIL
        data = chunk(b"data", rng.bytes(4_000))
        good = riff(chunk(b"JUNK", b"abc"), fmt(0xFFFE, 16, 2, extension=extension), data, chunk(b"LIST", b"abcd"))
    else:
        target = io.BytesIO()
        soundfile.write(target, rng.uniform(-0.5, 0.5, 4_000), 16_000, format=kind.upper())
        good = target.getvalue()
    refused = 0
    for _ in range(300):
        bad = bytearray(good)
        for _ in range(rng.integers(1, 6)):
            # Mostly in the header, where the rules are.
            place = int(rng.integers(0, min(len(bad), 100) if rng.random() < 0.8 else len(bad)))
            action = rng.integers(0, 4)
            if action == 0:
                bad[place] = rng.integers(0, 256)
            elif action == 1:
                bad[place] ^= 1 << int(rng.integers(0, 8))
            elif action == 2:
                bad[place : place + 4] = [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"][rng.integers(0, 3)]
            elif rng.random() < 0.5:
                del bad[place : place + int(rng.integers(1, 9))]
            else:
                bad[place:place] = rng.bytes(int(rng.integers(1, 9)))
        if rng.random() < 0.2:
            del bad[int(rng.integers(0, len(bad))) :]
        try:
            samples, sample_rate, n_channels = read(bytes(bad))
        except AudioFileError:
            refused += 1
        else:
            assert np.isfinite(samples).all()
            assert 1_000 <= sample_rate <= 768_000
            assert n_channels >= 1
    # The corruptions do reach the rules.
    assert refused > 30


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        *[("WAV", name) for name in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")],
        *[("WAVEX", name) for name in ("PCM_16", "PCM_24", "FLOAT")],
        ("RF64", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("FLAC", "PCM_24"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
    ],
)
def test_soundfile_agrees(kind, subtype, tmp_path, rng):
    path = tmp_path / "a.audio"
    soundfile.write(path, rng.uniform(-0.9, 0.9, (9_000, 2)), 48_000, format=kind, subtype=subtype)
    expected, expected_rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples, sample_rate, n_channels = read_audio(path)
    assert (sample_rate, n_channels) == (expected_rate, 2)
    np.testing.assert_allclose(samples, expected.mean(axis=1), rtol=0, atol=1e-6)
    with path.open("rb") as file:
        assert np.array_equal(read_audio(file)[0], samples)


def test_without_soundfile_the_error_names_the_command(monkeypatch):
    original = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name == "soundfile":
            raise ImportError(name)
        return original(name, *arguments, **keywords)

    monkeypatch.delitem(sys.modules, "soundfile", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingPackageError, match=r'pip install "edgevc\[audio\]"'):
        read(b"fLaC" + bytes(40))
    # WAV does not need it.
    assert read(riff(fmt(1, 16), GOOD_DATA))[0].size == 2


def test_importing_the_module_imports_no_soundfile():
    code = "import sys, edgevc.audio.reader; sys.exit('soundfile' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_blocks_are_the_file_cut(rng):
    content = riff(fmt(1, 16, 2), chunk(b"data", rng.bytes(4 * 1_000)))
    whole = read(content)[0]
    for block_size in (1, 7, 250, 999, 1_000, 5_000):
        blocks = list(AudioReader(io.BytesIO(content)).blocks(block_size))
        assert np.array_equal(np.concatenate(blocks), whole)
        assert all(block.size == block_size for block in blocks[:-1])
        assert blocks[-1].size > 0
    reader = AudioReader(io.BytesIO(content))
    assert np.array_equal(np.concatenate((reader.read(10), reader.read(0), reader.read(2_000))), whole)
    assert reader.read(5).shape == (0,)


def test_a_file_beyond_the_limit_is_refused():
    content = riff(fmt(1, 16), chunk(b"data", bytes(2 * 1_001)))
    assert read_audio(io.BytesIO(content), max_samples=1_001)[0].size == 1_001
    with pytest.raises(AudioFileError, match="at most 1000 samples"):
        read_audio(io.BytesIO(content), max_samples=1_000)


def test_the_length_comes_from_the_header(tmp_path, wav, speech):
    for name in ("a.flac", "a.ogg"):
        soundfile.write(tmp_path / name, speech, 16_000)
    write_stereo(tmp_path / "stereo.wav", speech, 44_100)
    for path in (wav, tmp_path / "a.flac", tmp_path / "a.ogg", tmp_path / "stereo.wav"):
        with AudioReader(path) as reader:
            assert reader.n_samples == len(speech)
    # The size that a program leaves which wrote into a pipe.
    data = bytearray(wav.read_bytes())
    data[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "pipe.wav").write_bytes(data)
    with AudioReader(tmp_path / "pipe.wav") as reader:
        assert reader.n_samples is None
