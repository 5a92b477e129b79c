"""WAV files as other programs and accidents leave them: read as what they are, or refused with a next step."""

import io
import struct

import numpy as np
import pytest
from helpers.wav_bytes import SUBFORMAT_TAIL, chunk, fmt, riff

from edgevc.audio.reader import AudioReader
from edgevc.errors import AudioFileError

VALUES = (np.sin(np.arange(1_000) / 11) * 0.3).astype(np.float64)
PCM16 = np.rint(VALUES * 32_767).astype("<i2").tobytes()
PCM24 = b"".join(int(value * 8_388_607).to_bytes(3, "little", signed=True) for value in VALUES)
IN_32 = b"".join((int(value * 8_388_607) << 8).to_bytes(4, "little", signed=True) for value in VALUES)
DATA = chunk(b"data", PCM16)
DATA24 = chunk(b"data", PCM24)
LIST = chunk(b"LIST", b"INFOISFT\x0e\0\0\0Lavf58.76.100\0")
NOISE = bytes(range(256)) * 10


def extensible(valid_bits, tag=1, size=22, tail=SUBFORMAT_TAIL):
    return struct.pack("<HHIH", size, valid_bits, 4, tag) + tail


def block_align(size, bits=16, n_channels=1):
    return chunk(b"fmt ", struct.pack("<HHIIHH", 1, n_channels, 16_000, 16_000 * size, size, bits))


READ = {
    "LIST of odd size": riff(fmt(1, 16), chunk(b"LIST", b"INFOICMT\x05\0\0\0hello"), DATA),
    "bext of odd size before fmt": riff(chunk(b"bext", b"x" * 603), fmt(1, 16), DATA),
    "chunks on both sides": riff(
        chunk(b"JUNK", bytes(28)), fmt(1, 16), LIST, chunk(b"cue ", bytes(28)), DATA, chunk(b"id3 ", b"ID3\x03"), LIST
    ),
    "size 0xffffffff": riff(fmt(1, 16), chunk(b"data", PCM16, size=0xFFFFFFFF), size=0xFFFFFFFF),
    "size 0, RIFF 0": riff(fmt(1, 16), chunk(b"data", PCM16, size=0), size=0),
    "size 0, RIFF 36": riff(fmt(1, 16), chunk(b"data", PCM16, size=0), size=36),
    "24 bits in 32": riff(fmt(0xFFFE, 32, extension=extensible(24)), chunk(b"data", IN_32)),
    "extensible of 46 bytes": riff(
        fmt(0xFFFE, 24, extension=extensible(24, size=28) + bytes(6)), chunk(b"data", PCM24)
    ),
    "no valid bits": riff(fmt(0xFFFE, 16, extension=extensible(0)), DATA),
    "fmt of 18 bytes": riff(fmt(1, 16, extension=b"\0\0"), DATA),
    "fmt of 18 bytes that promises more": riff(fmt(1, 16, extension=b"\x16\0"), DATA),
    "44056 Hz": riff(fmt(1, 16, sample_rate=44_056), DATA),
    "32 channels": riff(fmt(1, 16, 32), chunk(b"data", np.repeat(np.frombuffer(PCM16, "<i2"), 32).tobytes())),
    "two data chunks": riff(fmt(1, 16), DATA, DATA),
    "garbage after it": riff(fmt(1, 16), DATA) + NOISE,
    "float64": riff(fmt(3, 64), chunk(b"data", VALUES.astype("<f8").tobytes())),
    "BW64 with axml of odd size": riff(
        chunk(b"ds64", struct.pack("<QQQI", 0, len(PCM16), 1_000, 0)),
        *(chunk(b"axml", b"<x/>\n"), fmt(1, 16), chunk(b"data", PCM16, size=0xFFFFFFFF)),
        magic=b"BW64",
    ),
}
REFUSED = {
    "A-law": riff(fmt(6, 8, sample_rate=8_000, extension=b"\0\0"), chunk(b"data", NOISE)),
    "IMA ADPCM": riff(fmt(0x11, 4, sample_rate=8_000), chunk(b"data", NOISE)),
    "12 bits": riff(block_align(2, bits=12), DATA),
    "20 bits": riff(block_align(3, bits=20), chunk(b"data", PCM24)),
    "24 bits in 4 bytes": riff(block_align(4, bits=24), chunk(b"data", IN_32)),
    "float16": riff(fmt(3, 16), DATA),
    "ambisonic": riff(fmt(0xFFFE, 16, 4, extension=extensible(16, tail=bytes(14))), DATA),
    "no block align": riff(block_align(0), DATA),
    "stereo with the block align of mono": riff(block_align(2, n_channels=2), DATA),
    "two fmt chunks": riff(fmt(1, 16), fmt(1, 16), DATA),
    "data before fmt": riff(DATA, fmt(1, 16)),
    "FMT": riff(fmt(1, 16).replace(b"fmt", b"FMT"), DATA),
    "LIST without its padding": riff(fmt(1, 16), chunk(b"LIST", b"INFOICMT\x05\0\0\0hello")[:-1], DATA),
    "big-endian": b"RIFX" + riff(fmt(1, 16), DATA)[4:],
    "no channel": riff(fmt(1, 16, 0), DATA),
    "1 Hz": riff(fmt(1, 16, sample_rate=1), DATA),
    "empty": b"",
    "cut in the header": riff(fmt(1, 16), DATA)[:40],
    "MP3": b"\xff\xfb\x90\0" * 500,
    "HTML": b"<!DOCTYPE html><html><body>404</body></html>",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
}


@pytest.mark.parametrize("kind", READ)
def test_it_is_read_whole_and_at_its_level(kind, caplog):
    samples = np.concatenate(list(AudioReader(io.BytesIO(READ[kind])).blocks()))
    assert samples.size == 1_000
    np.testing.assert_allclose(samples, VALUES, rtol=0, atol=1 / 32_768)
    assert caplog.text == ""


@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_with_a_next_step(kind):
    with pytest.raises(AudioFileError, match=r"; (convert|resample) it.* `ffmpeg .*OUT.wav`$|; copy or export it"):
        AudioReader(io.BytesIO(REFUSED[kind]))


@pytest.mark.parametrize(("n_bytes", "n_samples"), [(0, 0), (1, 0), (2, 1)])
def test_next_to_nothing_is_read_as_that(n_bytes, n_samples):
    reader = AudioReader(io.BytesIO(riff(fmt(1, 16), chunk(b"data", PCM16[:n_bytes]))))
    assert reader.read(10).size == n_samples
