"""Recordings that are good enough and such that are not: measured without PyTorch. Some 3 s."""

import numpy as np
import pytest

from edgevc.dsp.resample import resample
from edgevc.quantize.calibration_speech import default_clips
from edgevc.voice_maker.check import LEAST_ALIKE, measure, problems

RATE = 16_000


@pytest.fixture(scope="module")
def clean():
    """What synthesisers say, the noisy clips left out, with pauses."""
    clips = [samples for _, samples in default_clips()]
    quiet = [clip for clip in clips if measure([clip]).snr_db > 30]
    pause = np.zeros(RATE // 4, np.float32)
    return [np.concatenate([clip, pause]) for clip in quiet * 3]


def names(recordings, alike=None, like_speech=0.6):
    return {(problem.name, problem.fatal) for problem in problems(measure(recordings, like_speech), alike)}


def test_clean_speech_is_good_enough(clean):
    facts = measure(clean)
    assert facts.voiced > 0.5
    assert facts.speech_seconds > 20
    assert names(clean) <= {("short", False)}


def with_noise(recordings, snr_db, rng):
    noisy = []
    for samples in recordings:
        power = np.sqrt(np.square(samples).mean()) * 10 ** (-snr_db / 20)
        noisy.append((samples + power * rng.standard_normal(len(samples))).astype(np.float32))
    return noisy


def test_noise_is_named_and_much_of_it_refused(clean, rng):
    assert ("noise", False) in names(with_noise(clean, 15, rng))
    assert ("noise", True) in names(with_noise(clean, 3, rng))


def test_a_room_that_echoes_is_named(clean, rng):
    def heard(seconds_60_db, direct_db):
        seconds = np.arange(RATE // 2) / RATE
        echo = rng.standard_normal(RATE // 2) * 10 ** (-3 * seconds / seconds_60_db)
        echo *= 10 ** (-direct_db / 20) / np.sqrt(np.square(echo).sum())
        echo[0] = 1
        size = 1 << 18
        spectrum = np.fft.rfft(echo, size)
        return [
            np.fft.irfft(np.fft.rfft(samples, size) * spectrum, size)[: len(samples)].astype(np.float32)
            for samples in clean[:6]
        ]

    assert ("room", False) in names(heard(0.5, 0))
    assert ("room", True) in names(heard(0.7, -3))


def test_clipping_is_named_and_much_of_it_refused(clean):
    assert ("clipping", True) in names([np.clip(samples * 30, -1, 1) for samples in clean])
    loud = [samples / np.abs(samples).max() for samples in clean]
    assert ("clipping", False) in names([np.clip(samples, -0.75, 0.75) for samples in loud])


def test_a_telephone_is_named(clean):
    telephone = [resample(resample(samples, RATE, 8000), 8000, RATE) for samples in clean]
    assert ("telephone", False) in names(telephone)


def test_too_little_is_refused_and_little_is_named(clean):
    assert ("short", True) in names([clean[0]])


def test_a_whisper_is_refused(clean, rng):
    """Speech whose phases are drawn by chance has no pitch."""
    whispered = []
    for samples in clean:
        out = np.zeros(len(samples) + 200)
        for start in range(0, len(samples) - 200, 100):
            spectrum = np.abs(np.fft.rfft(samples[start : start + 200] * np.hanning(200)))
            out[start : start + 200] += np.fft.irfft(spectrum * np.exp(2j * np.pi * rng.random(len(spectrum))))
        whispered.append(out.astype(np.float32))
    assert ("whisper", True) in names(whispered)


def test_silence_is_refused_and_nothing_else_is_said(rng):
    assert names([1e-5 * rng.standard_normal(30 * RATE).astype(np.float32)]) == {("silence", True)}
    assert names([np.zeros(30 * RATE, np.float32)]) == {("silence", True)}


def test_music_and_several_speakers_are_refused_by_what_networks_hear(clean):
    assert ("music", True) in names(clean, like_speech=0.2)
    assert ("speakers", True) in names(clean, alike=LEAST_ALIKE - 0.05)
    assert not {"music", "speakers"} & {name for name, _ in names(clean, alike=LEAST_ALIKE + 0.05)}


def test_what_is_fatal_comes_first(clean):
    found = problems(measure([np.clip(clean[0] * 30, -1, 1)], 0.6))
    assert [problem.fatal for problem in found] == sorted((problem.fatal for problem in found), reverse=True)
