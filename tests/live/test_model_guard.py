"""A model that goes wrong is counted, told of, cleared, and never noise at full scale."""

import dataclasses
import logging

import numpy as np
import pytest
from helpers.live_doubles import HOP, QUIET, RATE, PlainConverter, PlainStream, Stage, noise, playing
from helpers.poisoned import stage_of

from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter
from edgevc.converter.bench import speech_like
from edgevc.live.model_guard import LOUD_ENOUGH, MAX_ABOVE_INPUT


def warnings_of(caplog):
    return [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]


def test_a_state_that_became_nan_is_counted_told_and_cleared(caplog):
    stage = stage_of(speech_like(8.0), at_hops=(200,))
    stage.run(6)
    stats = stage.stats
    assert stats.bad_frames == 5
    assert stats.model_resets == 1
    assert len([text for text in warnings_of(caplog) if "no sound" in text]) == 1
    output = stage.tape.samples
    assert np.isfinite(output).all()
    # it speaks again
    assert np.abs(output[-2 * RATE :]).max() > 0.01


def test_a_model_that_is_never_right_is_cleared_once_a_second_and_told_once(caplog):
    stage = stage_of(speech_like(8.0), at_hops=range(1, 10_000))
    stage.run(6)
    stats = stage.stats
    assert stats.bad_frames == stats.hops
    assert 5 <= stats.model_resets <= 7
    assert len(warnings_of(caplog)) == 1
    assert not stage.tape.samples.any()
    assert stats.state == "running"


class Roaring(PlainConverter):
    """From a moment on it roars at full scale, whatever it hears."""

    def __init__(self, since, until=1e9):
        super().__init__()
        self.since, self.until = since, until

    def stream(self, voice, settings=None):
        class Stream(PlainStream):
            heard = 0

            def process(self, samples):
                wet = super().process(samples)
                self.heard += len(samples)
                if self.converter.since <= self.heard / RATE < self.converter.until:
                    wet = np.sign(noise(len(samples) / RATE, seed=self.heard)).astype(np.float32)
                return wet

        return Stream(self, voice, settings)


def rms(samples):
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


@pytest.mark.parametrize("level", [0.0, 0.003, 0.05])
def test_a_model_that_roars_is_turned_down_towards_its_input(level, caplog):
    samples = noise(30, level=level)
    stage = Stage(playing(samples), QUIET, {1: Roaring(since=4.0)})
    stage.run(20)
    allowed = np.sqrt(max(LOUD_ENOUGH, MAX_ABOVE_INPUT * level**2))
    assert allowed < 0.25
    end = rms(stage.tape.samples[-5 * RATE :])
    assert end == pytest.approx(allowed, rel=0.1)
    stats = stage.stats
    assert stats.loud_hops > 1000
    told = [text for text in warnings_of(caplog) if "far louder" in text]
    assert len(told) == 1


def test_after_it_the_voice_comes_back_as_it_was():
    samples = noise(60, level=0.05)
    stage = Stage(playing(samples), QUIET, {1: Roaring(since=4.0, until=6.0)})
    stage.run(50)
    loud = stage.stats.loud_hops
    stage.run(5)
    assert stage.stats.loud_hops == loud
    delay = round(stage.stats.latency.total * RATE / 1000) - HOP
    output = stage.tape.samples
    end = len(output) - delay
    assert np.array_equal(output[-RATE:], np.float32(0.5) * samples[end - RATE : end])


@pytest.mark.parametrize("voice_index", [0, -1])
@pytest.mark.parametrize("level", [1.0, 0.1, 0.01, 0.0])
def test_a_model_that_works_is_let_through_bit_for_bit(level, voice_index):
    bundle = ModelBundle.default()
    voice = bundle.voices[voice_index].name
    samples = np.float32(level) * speech_like(12.0)
    converter = VoiceConverter(bundle, "litert")
    stage = Stage(playing(samples), dataclasses.replace(QUIET, voice=voice), {1: converter})
    stage.run(11)
    assert stage.stats.loud_hops == stage.stats.bad_frames == stage.stats.model_resets == 0
    delay = round(stage.stats.latency.total * RATE / 1000) - HOP
    output = stage.tape.samples[delay:]
    assert np.array_equal(output, converter.convert(samples, voice)[: len(output)])
