"""Noise that training hears, and decoders that learn in it."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from vctrain.data import synthetic_noise
from vctrain.data.front_end import HOP_LENGTH
from vctrain.data.noise import KITCHEN, Noises, draw_snr, mix_at_snr, varied
from vctrain.data.voices import CONTEXT_FRAMES, VoiceRecording, VoiceSampler, normalise, track_pitch
from vctrain.models.content_encoder import load_encoder
from vctrain.teachers import encode_batch

pytestmark = pytest.mark.tools

RATE = 16_000
ROOT = Path(__file__).resolve().parents[2]
LATENCY = 480


def decibels(power):
    return 10 * np.log10(power)


@pytest.fixture
def folder(tmp_path):
    """Recordings that training may hear are low tones, those of the evaluation high ones."""
    seconds = np.arange(RATE) / RATE
    for number, kind in enumerate((*KITCHEN, "Dog bark"), 1):
        (tmp_path / f"{number:03d} - {kind}").mkdir()
        for fold, hertz in ((1, 300 + 50 * number), (5, 6000)):
            path = tmp_path / f"{number:03d} - {kind}" / f"{fold}-1-A.ogg"
            sf.write(path, 0.3 * np.sin(2 * np.pi * hertz * seconds), RATE)
    return tmp_path


@pytest.fixture
def noises(folder):
    return Noises.load(folder)


def test_noise_is_of_unit_power_and_another_one_each_time(noises, rng):
    drawn = [noises.draw(8000, rng) for _ in range(20)]
    assert all(noise.shape == (8000,) and noise.dtype == np.float32 for noise in drawn)
    assert [float((noise**2).mean()) for noise in drawn] == pytest.approx([1.0] * 20, abs=1e-4)
    assert not any(np.array_equal(a, b) for a, b in itertools.pairwise(drawn))


def test_what_the_evaluation_hears_is_never_drawn(noises):
    assert len(noises.recordings) == 4
    assert [len(recordings) for _, recordings in noises.kitchen] == [1, 1, 1]
    for recording in (*noises.recordings, *(r for _, recordings in noises.kitchen for r in recordings)):
        spectrum = np.abs(np.fft.rfft(recording)) ** 2
        assert spectrum[5000:].sum() < 0.01 * spectrum.sum()


def test_without_a_kitchen_noise_is_other_recordings_and_made_at_random(folder, rng):
    noises = Noises.load(folder / "004 - Dog bark")
    assert (len(noises.recordings), noises.kitchen) == (1, [])
    assert float((noises.draw(4000, rng) ** 2).mean()) == pytest.approx(1, abs=1e-4)


def test_a_folder_without_recordings_is_no_folder_of_noises(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected the \.ogg files of ESC-10 below"):
        Noises.load(tmp_path)


def test_a_recording_is_heard_at_other_speeds_and_in_both_directions(rng):
    seconds = np.arange(5 * RATE) / RATE
    # a rising tone from 500 to 1500 Hz
    recording = np.sin(2 * np.pi * (500 * seconds + 100 * seconds**2)).astype(np.float32)
    middles, rises = [], []
    for _ in range(60):
        heard = varied(recording, RATE, rng)
        assert heard.shape == (RATE,)
        assert heard.dtype == np.float32
        crossings = np.flatnonzero(np.diff(np.signbit(heard)))
        middles.append(len(crossings) / 2)
        half = RATE // 2
        rises.append((crossings > half).sum() - (crossings <= half).sum())
    assert np.min(middles) < 500
    assert np.max(middles) > 1500
    assert 10 < sum(rise > 0 for rise in rises) < 50


def test_speech_is_heard_around_the_evaluations_noise(rng):
    drawn = [draw_snr(rng) for _ in range(2000)]
    assert np.mean(drawn) == pytest.approx(10, abs=0.6)
    assert np.std(drawn) == pytest.approx(6, abs=0.4)


def test_noise_lies_as_far_below_speech_as_was_asked_for(rng):
    speech = rng.normal(0, 0.1, 16_000).astype(np.float32)
    noise = np.sign(rng.normal(size=16_000)).astype(np.float32)
    added = mix_at_snr(speech, noise, 7.0) - speech
    assert decibels((speech**2).mean() / (added**2).mean()) == pytest.approx(7.0, abs=0.01)


def test_a_decoder_learns_clean_speech_from_what_is_heard_in_noise(noises):
    samples = normalise(sf.read(ROOT / "examples" / "sentence.wav", dtype="float32")[0])
    samples = np.pad(samples, (0, -len(samples) % HOP_LENGTH))
    recordings = [VoiceRecording(voice, samples, track_pitch(samples, LATENCY)) for voice in range(3)]
    encoder = load_encoder(ROOT / "tools" / "weights" / "encoder.pt")
    clean, noisy = (
        encode_batch(encoder, VoiceSampler(recordings, LATENCY, 4, source).batch(24, 60))[0]
        for source in (None, noises)
    )
    width = CONTEXT_FRAMES + 60
    for batch in (clean, noisy):
        assert batch["content"].shape == (24, width, 48)
        assert batch["pitch"].shape == (24, width, 4)
        assert batch["f0"].shape == (24, width)
        assert torch.isfinite(batch["content"]).all()
        # the target is a piece of the recording, bit for bit
        for target in batch["target"].numpy():
            piece = target[CONTEXT_FRAMES * HOP_LENGTH :][:4000]
            assert piece.any()
            where = np.flatnonzero(samples == piece[np.abs(piece).argmax()])
            at = [w - np.abs(piece).argmax() for w in where]
            assert any(np.array_equal(samples[a : a + 4000], piece[: len(samples[a : a + 4000])]) for a in at)
    # pauses are not silent any more
    assert noisy["pitch"][..., 3].quantile(0.05) > clean["pitch"][..., 3].quantile(0.05)


def test_no_silence_follows_what_an_encoder_hears_of_a_voice(rng):
    samples = rng.normal(0, 0.1, 400 * HOP_LENGTH).astype(np.float32)
    pitch = np.zeros((400, 3), np.float32)
    sampler = VoiceSampler([VoiceRecording(voice, samples, pitch) for voice in range(3)], LATENCY, 4)
    heard = sampler.batch(24, 60)["heard"]
    assert (heard[:, -400:].abs().amax(1) > 0).all()


def kurtosis(x):
    return float(((x - x.mean()) ** 4).mean() / x.var() ** 2)


def test_a_ring_is_short_and_dies_away(rng):
    for _ in range(20):
        sound = synthetic_noise.ring(rng)
        assert len(sound) < 0.2 * 16_000
        assert float((sound**2).sum()) == pytest.approx(1)
        half = len(sound) // 2
        assert (sound[half:] ** 2).sum() < 0.1 * (sound[:half] ** 2).sum()


def test_showers_reach_from_single_drops_to_rain(rng):
    peaked = [kurtosis(synthetic_noise.shower(16_000, rng)) for _ in range(40)]
    # of Gaussian noise it is 3
    assert np.min(peaked) < 6
    assert np.max(peaked) > 50


def test_ticking_comes_back_within_a_second(rng):
    for _ in range(10):
        energy = np.convolve(synthetic_noise.ticking(64_000, rng) ** 2, np.ones(320), "same")
        loud = np.flatnonzero(energy > 0.05 * energy.max())
        assert np.diff(loud).max() < 1.6 * 16_000


def test_hum_is_harmonic(rng):
    spectrum = np.abs(np.fft.rfft(synthetic_noise.hum(32_000, rng) * np.hanning(32_000))) ** 2
    few = np.sort(spectrum)[-len(spectrum) // 10 :]
    assert few.sum() > 0.9 * spectrum.sum()


def test_household_noise_is_never_silent_nor_twice_the_same(rng):
    drawn = [synthetic_noise.household(4000, rng) for _ in range(50)]
    assert all(noise.shape == (4000,) and np.isfinite(noise).all() and noise.any() for noise in drawn)
    assert not any(np.array_equal(a, b) for a, b in itertools.pairwise(drawn))
