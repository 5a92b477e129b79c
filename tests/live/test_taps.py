"""Taps: everything that went through, in order, without holding the sound up; and a muted session that listens."""

import dataclasses
import logging

import numpy as np
import pytest
from helpers.live_doubles import HOP, QUIET, RATE, Stage, noise, playing
from helpers.poisoned import Poisoned

from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter
from edgevc.converter.bench import speech_like
from edgevc.live.chain import VoiceChain
from edgevc.live.converters import WARM_UP_CALLS
from edgevc.live.mode_fades import WARM_UP_HOPS
from edgevc.quantize.float_model import mel_distance

AFTER_A_PAUSE = 0.4
"""Log-mel, natural; measured 0.32, and 1.13 where the encoder rested too."""


class Ear:
    """Keeps what it is given."""

    def __init__(self):
        self.chunks = []

    def on_chunk(self, chunk):
        self.chunks.append(chunk)


def stage_with(ear, samples, config=QUIET, **port):
    stage = Stage(playing(samples), config, **port)
    stage.session.add_tap(ear)
    return stage


def test_a_tap_is_given_every_sample_in_order():
    samples, ear = noise(3), Ear()
    stage = stage_with(ear, samples)
    stage.run(2)
    assert [chunk.position for chunk in ear.chunks] == list(range(0, stage.stats.hops * HOP, HOP))
    dry = np.concatenate([chunk.dry for chunk in ear.chunks])
    wet = np.concatenate([chunk.wet for chunk in ear.chunks])
    assert np.array_equal(dry, samples[: len(dry)])
    lag = stage.session.chain_latency
    assert np.array_equal(wet[lag:], np.float32(0.5) * samples[: len(wet) - lag])
    assert {chunk.mode for chunk in ear.chunks} == {"convert"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        ear.chunks[0].mode = "mute"


def test_phones_are_those_of_the_chunk_and_stay_what_they_are():
    samples, ear = noise(3), Ear()
    stage = stage_with(ear, samples)
    stage.run(2)
    loudness = np.abs(samples).reshape(-1, HOP).max(1)
    found = np.concatenate([chunk.phones for chunk in ear.chunks])
    assert np.array_equal(found[:, 0], loudness[: len(found)])


def test_a_tap_that_was_taken_off_hears_no_more():
    ear = Ear()
    stage = stage_with(ear, noise(3))
    stage.run(1)
    stage.session.remove_tap(ear)
    stage.session.remove_tap(ear)
    heard = len(ear.chunks)
    stage.run(1)
    assert len(ear.chunks) == heard


def test_a_tap_that_fails_is_taken_off_and_the_sound_goes_on(caplog):
    class Broken:
        calls = 0

        def on_chunk(self, chunk):
            self.calls += 1
            raise ValueError("a mistake of somebody's")

    samples, broken, ear = noise(3), Broken(), Ear()
    stage = stage_with(broken, samples)
    stage.session.add_tap(ear)
    stage.run(2)
    assert broken.calls == 1
    assert len(ear.chunks) == stage.stats.hops
    assert stage.stats.output_underflows == 0
    errors = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.ERROR]
    assert errors == ["Broken hears no more: it failed"]


def test_a_muted_session_that_listens_keeps_device_and_encoder_and_is_silent():
    ear = Ear()
    stage = stage_with(ear, noise(12), dataclasses.replace(QUIET, mode="mute", listening=True))
    stage.run(10)
    assert stage.stats.state == "running"
    assert len(stage.ports) == 1
    assert not stage.tape.samples.any()
    assert len(ear.chunks) == stage.stats.hops >= 990
    assert all(chunk.phones is not None and chunk.mode == "mute" for chunk in ear.chunks)
    # what was heard cost the encoder alone; the calls are those of the warm-up
    converter = stage.converters[1]
    assert converter.heard == stage.stats.hops
    assert converter.calls == WARM_UP_CALLS


def test_a_muted_session_that_does_not_listen_rests_and_gives_no_phones():
    ear = Ear()
    stage = stage_with(ear, noise(12), dataclasses.replace(QUIET, mode="mute"))
    stage.run(6)
    assert stage.stats.state == "resting"
    assert ear.chunks
    assert all(chunk.phones is None for chunk in ear.chunks)


def test_a_resting_session_that_shall_listen_wakes_up():
    ear = Ear()
    stage = stage_with(ear, noise(20), dataclasses.replace(QUIET, mode="mute"))
    stage.run(6)
    assert stage.stats.state == "resting"
    stage.session.set_listening(True)
    ear.chunks.clear()
    stage.run(2)
    assert stage.stats.state == "running"
    assert all(chunk.phones is not None for chunk in ear.chunks)
    assert len(ear.chunks) >= 180
    assert not stage.tape.samples[-RATE:].any()
    stage.session.set_listening(False)
    stage.run(6)
    assert stage.stats.state == "resting"


def test_who_listened_speaks_again_as_after_any_pause():
    samples = noise(6)
    stage = stage_with(Ear(), samples, dataclasses.replace(QUIET, mode="mute", listening=True))
    stage.run(2)
    before = len(stage.tape.samples)
    stage.session.set_mode("convert")
    stage.run(1)
    heard = np.flatnonzero(stage.tape.samples[before:])
    # the converter hears 100 ms before it is heard itself
    assert WARM_UP_HOPS * HOP <= heard[0] <= WARM_UP_HOPS * HOP + 1600
    # then without a gap
    assert np.diff(heard).max() == 1


def test_who_listened_sounds_right_sooner_than_who_did_not():
    """The decoder heard nothing in the pause and is warm after 100 ms, where the encoder went on."""
    bundle = ModelBundle.default()
    converter = VoiceConverter(bundle, "litert")
    samples = speech_like(3.0)
    expected = converter.stream(bundle.voices[0].name).process(samples)[2 * RATE :]
    errors = []
    for pause in (samples[RATE : 2 * RATE], samples[:0]):
        stream = converter.stream(bundle.voices[0].name)
        stream.process(samples[:RATE])
        stream.hear(pause)
        late = slice(WARM_UP_HOPS * HOP, 2 * WARM_UP_HOPS * HOP)
        errors.append(mel_distance([expected[late]], [stream.process(samples[2 * RATE :])[late]]))
    assert errors[0] < AFTER_A_PAUSE < 2 * AFTER_A_PAUSE < errors[1]


def test_a_listener_whose_encoder_became_nan_is_cleared_while_it_is_muted():
    bundle = ModelBundle.default()
    converter = VoiceConverter(bundle, "litert")
    converter = VoiceConverter.of_graphs(bundle, Poisoned(converter.encoder, (20,)), converter.decoder)
    stream = converter.stream(bundle.voices[0].name)
    stream.hear(speech_like(0.5))
    assert stream.n_model_resets == 1
    assert np.isfinite(stream.phones).all()


def test_bypass_that_listens_lets_the_dry_voice_through_untouched():
    samples, ear = noise(4), Ear()
    stage = stage_with(ear, samples, dataclasses.replace(QUIET, mode="bypass", listening=True))
    stage.run(2)
    wet = np.concatenate([chunk.wet for chunk in ear.chunks])
    lag = stage.session.chain_latency
    assert np.array_equal(wet[lag:], samples[: len(wet) - lag])
    assert all(chunk.phones is not None for chunk in ear.chunks)


@pytest.mark.parametrize("hops", [1, 4])
def test_real_phones_are_the_encoders(hops):
    bundle = ModelBundle.default()
    converter = VoiceConverter(bundle, "litert", hops)
    ear = Ear()
    chain = VoiceChain({hops: converter}, hops, bundle.voices[0].name, QUIET, [ear])
    stream = converter.stream(bundle.voices[0].name)
    samples = speech_like(1.0)
    assert stream.phones is None
    expected = []
    for start in range(0, len(samples) - hops * HOP + 1, hops * HOP):
        piece = samples[start : start + hops * HOP]
        chain.process(piece)
        stream.process(piece)
        expected.append(stream.phones.copy())
    found = np.concatenate([chunk.phones for chunk in ear.chunks])
    assert found.shape == (len(expected) * hops, len(bundle.phones))
    assert np.array_equal(found, np.concatenate(expected))
    # log-probabilities
    assert np.exp(found).sum(1) == pytest.approx(1.0, abs=0.05)
