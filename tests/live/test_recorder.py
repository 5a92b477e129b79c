"""Recordings: under their own names from the first chunk on, whole at any moment, and never in place of another."""

import logging
import os
import time
import wave

import numpy as np
import pytest
from helpers.live_doubles import QUIET, RATE, Stage, noise, playing

from edgevc.audio.reader import read_audio
from edgevc.audio.wav_writer import WavWriter, write_wav
from edgevc.errors import ConfigError, OutputError
from edgevc.live.recorder import Recorder
from edgevc.live.taps import Chunk

TIME_LIMIT_S = 30.0
CHUNK = 1600
BLOCK = (0.25 * np.sin(np.arange(CHUNK) / 10)).astype(np.float32)


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "in.wav", tmp_path / "out.wav"


def chunk(dry, wet):
    return Chunk(0, dry, wet, None, "convert")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def frames(path):
    """As a program sees it that believes the header."""
    with wave.open(str(path)) as file:
        return file.getnframes()


def wait_for(condition):
    end = time.monotonic() + TIME_LIMIT_S
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def record(paths, seconds, **options):
    recorder = Recorder(paths, RATE, **options)
    for _ in range(round(seconds * RATE / CHUNK)):
        recorder.on_chunk(chunk(BLOCK, 0.5 * BLOCK))
    recorder.close()
    return recorder


def test_nothing_is_created_before_there_is_sound(paths, tmp_path):
    recorder = Recorder(paths, RATE)
    recorder.close()
    recorder.close()
    assert names(tmp_path) == []


def test_after_each_second_the_files_are_whole_under_their_own_names(paths, tmp_path):
    recorder = Recorder(paths, RATE)
    for seconds in (1, 2, 3):
        for _ in range(RATE // CHUNK):
            recorder.on_chunk(chunk(BLOCK, 0.5 * BLOCK))
        wait_for(lambda: all(path.exists() and frames(path) == seconds * RATE for path in paths))  # noqa: B023
        assert names(tmp_path) == ["in.wav", "out.wav"]
    recorder.close()
    for path, factor in zip(paths, (1.0, 0.5), strict=True):
        expected = np.tile(np.float32(factor) * BLOCK, 3 * RATE // CHUNK)
        assert np.abs(read_audio(path)[0] - expected).max() <= 1 / 65536 + 1e-7


def test_what_a_lost_device_brought_does_not_wait_for_the_next(paths):
    recorder = Recorder(paths, RATE)
    recorder.on_chunk(chunk(BLOCK, BLOCK))
    wait_for(lambda: all(path.exists() and frames(path) == CHUNK for path in paths))
    recorder.close()


@pytest.mark.parametrize("taken", [("in.wav",), ("out.wav",), ("in.wav", "out.wav")])
def test_earlier_recordings_are_kept_and_the_pair_gets_one_number(paths, tmp_path, taken, caplog):
    for name in taken:
        write_wav(tmp_path / name, BLOCK, RATE)
    before = {name: (tmp_path / name).read_bytes() for name in taken}
    record(paths, 0.5)
    assert {name: (tmp_path / name).read_bytes() for name in taken} == before
    assert frames(tmp_path / "in-2.wav") == frames(tmp_path / "out-2.wav") == RATE // 2
    record(paths, 0.3)
    assert frames(tmp_path / "in-3.wav") == frames(tmp_path / "out-3.wav") == 3 * RATE // 10
    told = [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert len(told) == 2
    assert "in-2.wav" in told[0]


def test_a_link_that_leads_nowhere_is_not_followed(paths, tmp_path):
    paths[0].symlink_to(tmp_path / "elsewhere.wav")
    record(paths, 0.2)
    assert names(tmp_path) == ["in-2.wav", "in.wav", "out-2.wav"]


def test_a_name_that_is_taken_between_the_look_and_the_opening_is_not_replaced(paths, tmp_path, monkeypatch):
    opened = []

    class Late(WavWriter):
        def __init__(self, path, *arguments, **options):
            if not opened:
                tmp_path.joinpath("out.wav").write_bytes(b"another session")
            opened.append(path)
            super().__init__(path, *arguments, **options)

    monkeypatch.setattr("edgevc.live.recorder.WavWriter", Late)
    record(paths, 0.2)
    assert paths[1].read_bytes() == b"another session"
    assert names(tmp_path) == ["in-2.wav", "out-2.wav", "out.wav"]


def test_a_recording_goes_on_in_another_file_before_the_format_ends(paths, tmp_path):
    recorder = record(paths, 5.0, max_seconds=2.0)
    assert names(tmp_path) == ["in-2.wav", "in-3.wav", "in.wav", "out-2.wav", "out-3.wav", "out.wav"]
    assert [frames(tmp_path / name) for name in ("in.wav", "in-2.wav", "in-3.wav")] == [2 * RATE, 2 * RATE, RATE]
    assert recorder.errors == 0


def test_what_cannot_be_recorded_is_told_at_the_start(tmp_path):
    good = tmp_path / "in.wav"
    with pytest.raises(ConfigError, match="two recordings"):
        Recorder((good, tmp_path / "." / "in.wav"), RATE)
    with pytest.raises(OutputError, match="no folder"):
        Recorder((good, tmp_path / "missing" / "out.wav"), RATE)
    with pytest.raises(OutputError, match="regular file"):
        Recorder((good, tmp_path), RATE)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="regular file"):
        Recorder((good, tmp_path / "pipe"), RATE)
    assert names(tmp_path) == ["pipe"]


def test_a_folder_that_goes_away_ends_the_recording_and_not_the_sound(tmp_path, caplog):
    folder = tmp_path / "card"
    folder.mkdir()
    recorder = Recorder((folder / "in.wav", folder / "out.wav"), RATE)
    folder.rmdir()
    recorder.on_chunk(chunk(BLOCK, BLOCK))
    wait_for(lambda: recorder.errors == 1)
    recorder.on_chunk(chunk(BLOCK, BLOCK))
    recorder.close()
    assert recorder.errors == 1
    assert len([entry for entry in caplog.records if "recording ends" in entry.getMessage()]) == 1


def test_a_session_that_finds_no_device_leaves_earlier_recordings_alone(paths, tmp_path):
    import dataclasses

    from edgevc.errors import AudioDeviceError

    for path in paths:
        write_wav(path, BLOCK, RATE)
    before = [path.read_bytes() for path in paths]
    stage = Stage(playing(noise(1)), dataclasses.replace(QUIET, record=paths))
    stage.plugged_in = False
    with pytest.raises(AudioDeviceError):
        stage.session.start()
    stage.session.stop()
    assert names(tmp_path) == ["in.wav", "out.wav"]
    assert [path.read_bytes() for path in paths] == before


# --- the writer that stands behind it


def test_a_file_written_in_place_is_whole_after_each_refresh(tmp_path):
    writer = WavWriter(tmp_path / "a.wav", RATE, in_place=True)
    for n in (1, 2, 3):
        writer.write(BLOCK)
        writer.refresh(sync=n == 2)
        assert frames(tmp_path / "a.wav") == n * CHUNK
    writer.close()
    with pytest.raises(OutputError, match="closed"):
        writer.refresh()
    assert np.array_equal(read_audio(tmp_path / "a.wav")[0][:CHUNK], read_audio(tmp_path / "a.wav")[0][CHUNK:-CHUNK])


def test_a_file_written_in_place_replaces_nothing(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"mine")
    with pytest.raises(OutputError) as caught:
        WavWriter(tmp_path / "a.wav", RATE, in_place=True)
    assert isinstance(caught.value.__cause__, FileExistsError)
    assert (tmp_path / "a.wav").read_bytes() == b"mine"
