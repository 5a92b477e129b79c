"""`edgevc latency`: the test sounds are found where they are, in simulated devices and through a real PulseAudio."""

import json
import subprocess
import sys

import numpy as np
import pytest
from helpers.pulse import patiently, virtual_sound

from edgevc import cli
from edgevc.bundle import ModelBundle
from edgevc.cli.latency import sound_and_finder
from edgevc.converter import VoiceConverter
from edgevc.devices.round_trip import (
    Found,
    PassThrough,
    ProbePort,
    chirp,
    find_by_envelope,
    find_sound,
    measure,
    summarize,
    syllables,
)
from edgevc.errors import AudioDeviceError
from edgevc.live.config import LiveConfig
from edgevc.live.session import LiveSession
from edgevc.testing.simulated_port import FakePort, SimulatedClock

RATE = 16_000
BLOCK = 160
CABLE = 437
"""Samples from the simulated speaker to the simulated microphone."""
PARTS_MS = 3.0
"""By which the parts may miss the whole; 0.6 measured through PulseAudio, 0.0 simulated."""


def placed(sound, position, length, rng, noise=0.0, gain=1.0):
    recording = noise * rng.standard_normal(length)
    recording[position : position + len(sound)] += gain * sound
    return recording.astype(np.float32)


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("gain", [1.0, -0.01])
def test_a_chirp_is_found_to_the_sample_whatever_its_sign(rng, rate, gain):
    sound = chirp(rate)
    found = find_sound(placed(sound, 4321, 2 * rate, rng, gain=gain), sound, rate)
    assert found.position == pytest.approx(4321, abs=0.05)
    assert found.confidence_db > 30


def test_a_chirp_is_found_in_noise_as_loud_as_itself(rng):
    sound = chirp(RATE)
    found = find_sound(placed(sound, 5000, 2 * RATE, rng, noise=0.5), sound, RATE)
    assert found.position == pytest.approx(5000, abs=1)
    assert found.confidence_db > 5


def test_half_a_sample_is_seen():
    sound = chirp(2 * RATE)
    late = np.concatenate([np.zeros(2001, np.float32), sound, np.zeros(RATE, np.float32)])
    found = find_sound(late[::2], sound[::2], RATE)
    assert found.position == pytest.approx(1000.5, abs=0.1)


def test_the_direct_sound_counts_and_not_a_louder_echo(rng):
    sound = chirp(RATE)
    recording = placed(sound, 3000, 2 * RATE, rng, gain=0.6) + placed(sound, 3200, 2 * RATE, rng)
    assert find_sound(recording, sound, RATE).position == pytest.approx(3000, abs=0.5)


def test_noise_silence_and_music_are_not_taken_for_the_sound(rng):
    t = np.arange(2 * RATE) / RATE
    for recording in (
        rng.standard_normal(2 * RATE),
        np.zeros(2 * RATE),
        np.sin(2 * np.pi * 440 * t),
    ):
        for found in (
            find_sound(recording.astype(np.float32), chirp(RATE), RATE),
            find_by_envelope(recording.astype(np.float32), [syllables(RATE)], RATE),
        ):
            with pytest.raises(AudioDeviceError, match="nothing was heard"):
                summarize([(found, 0.0)], RATE)


@pytest.fixture(scope="module")
def converter():
    return VoiceConverter(ModelBundle.default())


def test_a_converted_voice_is_found_within_two_milliseconds(converter):
    # measured over 32 places: 0.5 ms RMS, 1.4 ms at worst
    played, find = sound_and_finder(LiveConfig(), converter, "bdl", RATE)
    for position in (1000, 1053, 1234):
        stream = converter.stream("bdl")
        quiet = np.zeros(position, np.float32)
        heard = stream.process(np.concatenate([quiet, 0.25 * played, np.zeros(RATE, np.float32)]))
        found = find(heard)
        assert abs(found.position - position - stream.latency) < 0.002 * RATE
        assert found.confidence_db > 6


class Cable:
    """What the simulated speaker plays reaches the simulated microphone CABLE samples later."""

    def __init__(self, deaf=False):
        self.played = np.zeros(1_200_000, np.float32)
        self.deaf = deaf

    def sink(self, position, samples):
        self.played[position : position + len(samples)] = samples

    def source(self, position, count):
        indices = np.arange(position - CABLE, position - CABLE + count)
        return np.where((indices >= 0) & (not self.deaf), self.played[np.maximum(indices, 0)], 0).astype(np.float32)


def simulated(deaf=False):
    clock, cable = SimulatedClock(), Cable(deaf)
    return clock, ProbePort(FakePort(clock, cable.source, cable.sink, block_length=BLOCK))


def stepper(clock, step):
    def run_for(seconds):
        end = clock.now() + seconds
        while clock.now() < end:
            step()

    return run_for


def device_latency(clock, probe, repetitions=3):
    sound = chirp(RATE)
    return measure(
        probe,
        0.25 * sound,
        lambda recording: find_sound(recording, sound, RATE),
        stepper(clock, PassThrough(probe).step),
        repetitions,
    )


def test_the_devices_own_share_is_the_cable():
    clock, probe = simulated()
    found = device_latency(clock, probe)
    # the simulated device plays a block when it takes it; the block that is being brought is in the queues
    assert found.milliseconds - found.queue_ms == pytest.approx(1000 * CABLE / RATE, abs=0.1)
    assert (found.repetitions, found.discarded) == (3, 0)
    assert found.least == found.most


@pytest.mark.parametrize("mode", ["bypass", "convert"])
def test_the_parts_of_a_simulated_session_add_up(converter, mode):
    clock, probe = simulated()
    device = device_latency(clock, probe)
    probe.stop()
    config = LiveConfig(mode=mode, feedback_guard=False, realtime=False)
    session = LiveSession(config, open_port=lambda: probe, converters={1: converter}, clock=clock)
    session.open()
    sound, find = sound_and_finder(config, converter, "kathleen", RATE)
    found = measure(probe, 0.25 * sound, find, stepper(clock, session.step), 2)
    parts = session.stats().latency
    session.stop()
    own = device.milliseconds - device.queue_ms
    total = parts.total - parts.input_device - parts.output_device + own
    assert total == pytest.approx(found.milliseconds, abs=0.2 if mode == "bypass" else PARTS_MS)


def test_a_cable_that_is_not_there_is_refused():
    clock, probe = simulated(deaf=True)
    with pytest.raises(AudioDeviceError, match="connect output and input"):
        device_latency(clock, probe)


def test_a_repetition_in_which_samples_were_lost_does_not_count():
    clock, probe = simulated()
    through = PassThrough(probe)
    steps = 0

    def step():
        nonlocal steps
        steps += 1
        through.step()
        if steps == 120:
            # the worker stands still: the device runs dry
            clock.advance(0.1)

    sound = chirp(RATE)
    found = measure(probe, 0.25 * sound, lambda heard: find_sound(heard, sound, RATE), stepper(clock, step), 3)
    assert (found.repetitions, found.discarded) == (2, 1)


def test_nothing_of_what_is_heard_is_played_again():
    clock, probe = simulated()
    through = PassThrough(probe)
    probe.send(chirp(RATE))
    run = stepper(clock, through.step)
    run(0.3)
    heard = probe.kept()
    assert np.abs(heard).max() > 0.5
    probe.send(np.zeros(1, np.float32))
    run(0.5)
    assert np.abs(probe.kept()[2 * RATE // 10 :]).max() == 0.0


def test_less_than_half_sure_is_refused_and_one_doubt_is_left_out():
    good, bad = (Found(1600.0, 30.0), 10.0), (Found(9.0, 1.0), 10.0)
    found = summarize([good, good, bad], RATE)
    assert (found.milliseconds, found.repetitions, found.discarded) == (100.0, 2, 1)
    with pytest.raises(AudioDeviceError):
        summarize([good, bad, bad], RATE)


@pytest.fixture(scope="module")
def sound():
    with virtual_sound() as server:
        yield server


def edgevc(sound, *words, sink="vmic_feed"):
    """Run edgevc with a cable: what it plays goes to the sink that the virtual microphone hears."""
    return subprocess.run(
        [sys.executable, "-m", "edgevc", "latency", *words],
        env={**sound.variables, "PULSE_SINK": sink},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_whole_chain_through_a_virtual_device_adds_up(sound):
    command = ["--through-converter", "--mode=bypass", "--block-ms=20", "--preroll-ms=20", "--repetitions=2", "--json"]

    def attempt(sound):
        done = edgevc(sound, *command)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert abs(found["parts"]["total"] - found["mouth_to_ear"]["milliseconds"]) < PARTS_MS
        assert found["mouth_to_ear"]["confidence_db"] > 30

    patiently(attempt, sound)


def test_without_a_cable_it_refuses(sound):
    def attempt(sound):
        done = edgevc(sound, "--repetitions=1", "--block-ms=20", sink="vspk")
        assert done.returncode == 6
        assert "nothing was heard" in done.stderr

    patiently(attempt, sound)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--repetitions", "0"], "1..100"),
        (["--level", "3"], "-60..0"),
        (["--through-converter", "--mode", "mute"], "cannot be heard"),
    ],
)
def test_wrong_arguments_are_refused(capsys, words, message):
    assert cli.main(["latency", *words]) == 2
    assert message in capsys.readouterr().err
