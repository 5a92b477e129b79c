"""A device that fails, vanishes or falls silent, and feedback: the session goes on, counts it and says it once."""

import dataclasses
import logging

import numpy as np
import pytest
from helpers.live_doubles import QUIET, RATE, Stage, noise, playing

from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter
from edgevc.errors import AudioDeviceError, ModelError
from edgevc.live.converters import load_converters

# A sample of full scale at the limiter's ceiling; nothing in these tests comes near it.
CEILING = 10 ** (-0.3 / 20)


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture(scope="module")
def default_bundle():
    return ModelBundle.default()


def real_stage(samples, bundle, engine, config=QUIET, **port):
    converters = {hops: VoiceConverter(bundle, engine, hops) for hops in {config.chunk_hops, 1}}
    return Stage(playing(samples), config, converters, **port)


TONE = (0.2 * np.sin(2 * np.pi * 100 * np.arange(12 * RATE) / RATE)).astype(np.float32)


def test_a_device_that_goes_on_but_says_that_it_is_of_no_use_is_opened_again():
    stage = Stage(playing(TONE))
    stage.run(1)
    # as ALSA's plugin for PulseAudio does after an underrun: blocks come, later and later, at the cost of a core
    stage.port.complain("its driver spins")
    stage.run(3)
    assert stage.stats.device_restarts == 1
    assert stage.stats.state == "running"


def test_a_device_that_vanishes_is_found_again(caplog):
    samples = noise(40)
    stage = Stage(playing(samples))
    stage.run(2)
    stage.port.vanish()
    stage.plugged_in = False
    stage.run(10)
    assert stage.stats.state == "reconnecting"
    stage.plugged_in = True
    stage.run(7)
    assert stage.stats.state == "running"
    assert stage.stats.device_restarts == 1
    played = len(stage.tape.samples)
    stage.run(1)
    assert len(stage.tape.samples) == played + RATE
    assert stage.tape.samples[-RATE:].any()
    assert len(warnings_of(caplog)) == 2
    assert "unplugged" in warnings_of(caplog)[0]


def test_the_delay_between_attempts_grows_to_five_seconds():
    stage = Stage(playing(noise(3)))
    stage.run(1)
    stage.port.vanish()
    stage.plugged_in = False
    stage.attempts.clear()
    stage.run(30)
    waits = np.diff(stage.attempts)
    assert waits[:4].tolist() == pytest.approx([0.5, 1.0, 2.0, 4.0])
    assert waits[4:].tolist() == pytest.approx([5.0] * len(waits[4:]))


def test_a_device_may_come_back_with_another_rate():
    def source(position, n):
        return (0.2 * np.sin(2 * np.pi * 440 * (position + np.arange(n)) / stage.port.input_rate)).astype(np.float32)

    stage = Stage(source)
    stage.run(1)
    stage.port.vanish("now at another rate")
    stage.port_arguments = {"input_rate": 48_000, "output_rate": 48_000, "block_length": 480}
    stage.run(3)
    played = stage.tape.samples[-24_000:]
    spectrum = np.abs(np.fft.rfft(played * np.hanning(len(played))))
    assert np.argmax(spectrum) * 48_000 / len(played) == pytest.approx(440, abs=2)
    assert np.abs(played).max() == pytest.approx(0.1, rel=1e-2)
    assert stage.stats.device_restarts == 1


def test_a_device_that_falls_silent_is_opened_again(caplog):
    stage = Stage(playing(noise(20)))
    stage.run(1)
    stage.port.freeze(1e9)
    stage.run(5)
    assert stage.stats.state == "running"
    assert stage.stats.device_restarts == 1
    assert any("brought nothing" in message for message in warnings_of(caplog))


def test_counters_of_a_lost_device_are_kept():
    stage = Stage(playing(noise(20)), cost=lambda now, hops: 0.1 if 1 <= now < 1.01 else 0.001)
    stage.run(2)
    underflows = stage.stats.output_underflows
    assert underflows > 0
    stage.port.vanish()
    stage.run(3)
    assert stage.stats.device_restarts == 1
    assert stage.stats.output_underflows == underflows


def test_no_device_at_the_start_is_an_error():
    stage = Stage(playing(TONE))
    stage.plugged_in = False
    with pytest.raises(AudioDeviceError, match="no such device"):
        stage.session.start()


def test_an_unknown_voice_is_refused_before_a_device_is_opened(default_bundle):
    with pytest.raises(ModelError, match="nobody"):
        load_converters(dataclasses.replace(QUIET, voice="nobody"))


def test_feedback_is_turned_down_and_counted():
    class Room(Stage):
        """What the loudspeaker plays comes back to the microphone, louder."""

        def hear(self, position, n):
            played = self.tape.samples[-400:][:n] if len(self.tape.blocks) > 3 else np.zeros(0, np.float32)
            block = noise(n / RATE, seed=position, level=0.001)
            block[: len(played)] += 5.0 * played[:n]
            return np.clip(block, -1, 1)

    stage = Room(None, dataclasses.replace(QUIET, feedback_guard=True, mode="bypass"))
    stage.source = stage.hear
    stage.run(8)
    assert stage.stats.feedback_events >= 1
