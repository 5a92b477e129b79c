"""What a WAV file says of how it was made, read by libsndfile and byte by byte."""

import struct

import numpy as np
import pytest
import soundfile

from edgevc.audio.provenance import Provenance
from edgevc.audio.reader import read_audio
from edgevc.audio.wav_writer import WavWriter

RATE = 16_000
MADE = Provenance.of_conversion("model default 1.0, sha256 00ff", marked=True)


def write(path, provenance, samples, subtype="pcm16", **options):
    with WavWriter(path, RATE, subtype, provenance=provenance, **options) as writer:
        writer.write(samples)


def chunks(data):
    """Name to content, in the order of the file."""
    found, place = {}, 12
    while place < len(data):
        name, size = data[place : place + 4], struct.unpack("<I", data[place + 4 : place + 8])[0]
        found[name] = data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2
    return found


@pytest.mark.parametrize("subtype", ["pcm16", "float32"])
def test_libsndfile_reads_software_and_comment_and_the_samples_are_the_same(subtype, tmp_path, rng):
    samples = rng.uniform(-1, 1, 1_001).astype(np.float32)
    write(tmp_path / "made.wav", MADE, samples, subtype)
    write(tmp_path / "plain.wav", None, samples, subtype)
    with soundfile.SoundFile(tmp_path / "made.wav") as file:
        assert file.software == MADE.software
        assert file.comment == "voice converted; model default 1.0, sha256 00ff; watermark"
        assert np.array_equal(file.read(dtype="float32"), read_audio(tmp_path / "plain.wav")[0])
    assert np.array_equal(read_audio(tmp_path / "made.wav")[0], read_audio(tmp_path / "plain.wav")[0])


def test_the_bext_chunk_is_version_1_and_names_the_program(tmp_path):
    write(tmp_path / "made.wav", MADE, np.zeros(10, np.float32))
    data = (tmp_path / "made.wav").read_bytes()
    assert struct.unpack("<I", data[4:8])[0] == len(data) - 8
    found = chunks(data)
    assert list(found) == [b"fmt ", b"bext", b"LIST", b"data"]
    bext = found[b"bext"]
    assert bext[:256].rstrip(b"\0").decode() == MADE.comment
    assert bext[256:288].rstrip(b"\0").decode() == MADE.software
    # EBU Tech 3285: version at 346, coding history from 602 on
    assert struct.unpack("<H", bext[346:348])[0] == 1
    assert bext[602:].decode() == f"A=PCM,F=16000,W=16,M=mono,T={MADE.software}\r\n"


def test_a_file_whose_program_is_killed_says_it_too_and_is_whole(tmp_path):
    writer = WavWriter(tmp_path / "a.wav", RATE, in_place=True, provenance=MADE)
    for n in (400, 601):
        writer.write(np.full(n, 0.25, np.float32))
        writer.refresh()
    data = (tmp_path / "a.wav").read_bytes()
    assert len(chunks(data)[b"data"]) == 2 * 1_001
    assert struct.unpack("<I", data[4:8])[0] == len(data) - 8
    writer.salvage()
    assert len(read_audio(tmp_path / "a.wav")[0]) == 1_001


def test_a_name_from_a_hostile_model_stays_one_short_line_of_ascii():
    said = Provenance.of_conversion("model \x1b[2J\n\u202e" + "x" * 5_000, marked=False).chunks(RATE, 16)
    assert len(said) < 1_500
    assert b"\x1b" not in said
    assert "\u202e".encode() not in said


def test_an_unconverted_recording_does_not_say_converted():
    assert "voice converted" not in Provenance.of_recording().comment
