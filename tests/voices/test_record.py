"""Sentences that are read into a microphone: found, judged, and read again. Some 4 s."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from edgevc.audio.reader import read_audio
from edgevc.dsp.resample import resample
from edgevc.quantize.calibration_speech import default_clips
from edgevc.voice_maker.check import measure
from edgevc.voice_maker.hearing import read_words
from edgevc.voice_maker.record import Reader, judged, sentences

RATE = 16_000
SENTENCE = "Five thin boys chased a small white dog."


@pytest.fixture(scope="module")
def clips():
    """What synthesisers say, the noisy clips left out."""
    quiet = [samples for _, samples in default_clips() if measure([samples]).snr_db > 30]
    return [0.3 * samples / np.abs(samples).max() for samples in quiet]


def room(rng, seconds, level=3e-5):
    return (level * rng.standard_normal(round(seconds * RATE))).astype(np.float32)


def blocks_of(samples, size=320):
    return [samples[i : i + size].astype(np.float32) for i in range(0, len(samples) - size + 1, size)]


def test_sentences_are_found_between_pauses(clips, rng):
    parts = [room(rng, 1.5)]
    for clip in clips[:3]:
        parts += [clip, room(rng, 1.3)]
    reader = Reader(blocks_of(np.concatenate(parts)), RATE)
    assert reader.noise_db == pytest.approx(-90.5, abs=1)
    for clip in clips[:3]:
        take = reader.take(SENTENCE)
        assert take.problems == ()
        assert len(take.samples) / RATE == pytest.approx(len(clip) / RATE, abs=0.9)
        # nothing of it is cut off
        assert np.square(take.samples).sum() > 0.98 * np.square(clip).sum()
    assert reader.take(SENTENCE) is None


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda x: np.clip(8 * x, -0.5, 0.5), "clipped"),
        (lambda x: 0.003 * x, "soft|softer"),
        (lambda x: x[: RATE // 3], "too short"),
    ],
)
def test_what_is_bad_is_named(clips, spoil, why):
    take = judged(spoil(clips[0]).astype(np.float32), RATE, SENTENCE, -75.0)
    assert any(word in " ".join(take.problems) for word in why.split("|"))


def test_a_loud_room_is_named(clips):
    assert "only" in " ".join(judged(clips[0].astype(np.float32), RATE, SENTENCE, -30.0).problems)


def test_sentences_hold_every_phone():
    words = {word.strip(",.?'").lower() for sentence in sentences() for word in sentence.split()}
    assert len(sentences()) >= 45
    assert len(words) > 280
    assert not {word for word in words if not word.replace("'", "").isalpha()}
    assert read_words()


def test_the_command_records_from_a_pipe_repeats_what_is_bad_and_goes_on(clips, rng, tmp_path, run, monkeypatch):
    def speak(*parts):
        sound = np.concatenate([room(rng, 1.5), *(np.concatenate([part, room(rng, 1.3)]) for part in parts)])
        # a converter clips at its own rate
        data = (np.clip(resample(sound.astype(np.float32), RATE, 48_000), -1, 1) * 32767).astype("<i2").tobytes()
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        return run("voice", "record", tmp_path / "me", "--raw").out

    said = speak(clips[0], 20 * clips[1], clips[1])
    assert "clipped" in said
    assert "once more" in said
    assert said.count("good:") == 2
    assert "the microphone has ended" in said
    kept = sorted((tmp_path / "me").iterdir())
    assert [path.name for path in kept] == ["01.wav", "02.wav"]
    samples, rate, _ = read_audio(kept[1])
    assert rate == 48_000
    assert len(samples) / rate == pytest.approx(len(clips[1]) / RATE, abs=0.9)
    # what is there stays, and the next sentence is asked for
    before = [path.read_bytes() for path in kept]
    assert "\n03  " in speak(clips[2])
    assert [path.read_bytes() for path in kept] == before
    assert (tmp_path / "me" / "03.wav").exists()
    run("voice", "record", tmp_path / "me", "--raw", "--raw-rate", "10", code=2)
    run("voice", "record", tmp_path / "me", "--raw", "--minutes", "0", code=2)
