"""An accompaniment comes in time, at its gain, whatever its rate, and ends without a word."""

import os

import numpy as np
import pytest

from edgevc.audio.backing import BackingTrack
from edgevc.audio.wav_writer import write_wav
from edgevc.errors import AudioFileError, ConfigError

RATE = 16_000
# The file's 16 bits, and the resampler's ripple of 0.002 dB.
TOLERANCE = {16_000: 1e-4, 48_000: 3e-4, 44_100: 3e-4, 8_000: 3e-4, 2_000: 3e-4, 352_800: 3e-4}


def tone(rate, seconds=1.0):
    time = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * 440 * time) * np.hanning(len(time))).astype(np.float32)


@pytest.fixture
def track(tmp_path):
    made = []

    def make(rate=RATE, **settings):
        path = tmp_path / f"{rate}.wav"
        write_wav(path, tone(rate), rate)
        made.append(BackingTrack(path, **settings))
        return made[-1]

    yield make
    for backing in made:
        backing.close()


def mixed(backing, n, length):
    out = np.zeros(n, np.float32)
    for start in range(0, n, length):
        backing.mix_into(out[start : start + length])
    return out


@pytest.mark.parametrize("rate", list(TOLERANCE))
@pytest.mark.parametrize("delay", [0, 1, 480])
def test_it_comes_exactly_delay_samples_later_at_its_gain(track, rate, delay):
    with track(rate, gain_db=-6.0, delay=delay) as backing:
        out = mixed(backing, 2 * RATE, 160)
        assert backing.finished
    expected = np.zeros(2 * RATE)
    expected[delay : delay + RATE] = tone(RATE) * 10 ** (-6 / 20)
    np.testing.assert_allclose(out, expected, rtol=0, atol=TOLERANCE[rate])
    assert not out[:delay].any()
    assert not out[delay + RATE :].any()


def test_it_does_not_depend_on_how_the_output_is_cut(track):
    expected = mixed(track(44_100, delay=77), 20_000, 20_000)
    for length in (1, 160, 999):
        assert np.array_equal(mixed(track(44_100, delay=77), 20_000, length), expected)


def test_it_is_added_to_what_is_there_and_silent_after_its_end(track):
    backing = track()
    voice = np.full(RATE, 0.25, np.float32)
    backing.mix_into(voice)
    np.testing.assert_allclose(voice, 0.25 + tone(RATE), rtol=0, atol=1e-4)
    rest = np.full(500, 0.25, np.float32)
    backing.mix_into(rest)
    assert np.array_equal(rest, np.full(500, 0.25, np.float32))
    assert backing.finished


def test_restart_begins_anew(track):
    backing = track(48_000, delay=10)
    first = mixed(backing, 5_000, 160)
    backing.restart(10)
    assert not backing.finished
    assert np.array_equal(mixed(backing, 5_000, 160), first)


def test_closed_it_is_silent(track):
    backing = track()
    backing.close()
    assert not mixed(backing, 1_000, 160).any()


def test_what_cannot_be_meant_is_refused(track, tmp_path):
    with pytest.raises(ConfigError, match=r"in dB must be within -60..20, got 21.0"):
        track(gain_db=21.0)
    with pytest.raises(ConfigError, match="delay must be at least 0 samples, got -1"):
        track(delay=-1)
    with pytest.raises(AudioFileError, match="cannot be opened"):
        BackingTrack(tmp_path / "no.wav")
    write_wav(tmp_path / "odd.wav", tone(2_000), 200_001)
    with pytest.raises(AudioFileError, match=r"sample rate must be within .* got 200001; resample it first"):
        BackingTrack(tmp_path / "odd.wav")
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path / "pipe", tmp_path):
        with pytest.raises(AudioFileError, match=r"accompaniment must be a regular file.* save it to a file first"):
            BackingTrack(source)
