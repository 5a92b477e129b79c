"""A live session as a program uses it: settings by keyword, `with`, controls, voices of its own, models that hang."""

import dataclasses
import gc
import sys
import threading
import time
import weakref

import numpy as np
import pytest
from helpers.live_doubles import HOP, QUIET, RATE, PlainConverter, Stage, noise, playing

import edgevc
from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter
from edgevc.converter.bench import speech_like
from edgevc.errors import AudioDeviceError, ConfigError, ModelError
from edgevc.live import hang_watch
from edgevc.live.config import LiveConfig
from edgevc.live.session import SWITCH_SECONDS, LiveSession
from edgevc.testing.simulated_port import FakePort, SimulatedClock

TIME_LIMIT_S = 30.0


def simulated(samples, clock):
    return lambda: FakePort(clock, playing(samples), lambda position, played: None)


def test_a_with_statement_is_all_that_is_needed():
    clock = SimulatedClock()
    with edgevc.LiveSession(
        voice="anon", gain_db=-3, realtime=False, open_port=simulated(noise(2), clock), clock=clock
    ) as session:
        assert session.stats().state == "running"
        session.apply("mode", "mute")
        assert session.stats().mode == "mute"
        assert (session.voice, session.gain_db) == ("anon", -3.0)
        assert sys.getswitchinterval() <= SWITCH_SECONDS
    assert session.stats().state == "stopped"
    assert not [thread for thread in threading.enumerate() if thread.name == "edgevc-live"]


def test_settings_stand_on_top_of_a_configuration_and_are_checked():
    def session(*arguments, **settings):
        return LiveSession(*arguments, converters={1: PlainConverter(), 2: PlainConverter(2)}, **settings)

    found = session(dataclasses.replace(QUIET, preroll_ms=20.0), chunk_hops=2, eq=((200, -3, 1.0),), voice="quarter")
    assert found.config == dataclasses.replace(
        QUIET, preroll_ms=20.0, chunk_hops=2, eq=((200.0, -3.0, 1.0),), voice="quarter"
    )
    with pytest.raises(ConfigError, match="unknown setting 'vioce'; did you mean voice"):
        session(vioce="quarter")
    with pytest.raises(ConfigError, match=r"gain_db must be a number within -40\.\.40 dB, got 99"):
        session(gain_db=99)
    with pytest.raises(ConfigError, match="max_latency_ms must hold two blocks"):
        session(max_latency_ms=20.0, preroll_ms=100.0)
    with pytest.raises(ConfigError, match="served by `edgevc live`"):
        session(metrics="127.0.0.1:1")


def test_paths_are_taken_as_python_has_them(tmp_path):
    record = (tmp_path / "in.wav", tmp_path / "out.wav")
    session = LiveSession(converters={1: PlainConverter()}, record=record)
    session.stop()
    assert session.config.record == record
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_model_or_voice_is_an_error_at_once(tmp_path):
    with pytest.raises(edgevc.EdgevcError, match="nothing"):
        LiveSession(model=tmp_path / "nothing")
    with pytest.raises(ModelError, match="nobody"):
        LiveSession(voice="nobody")


def test_a_device_that_is_not_there_ends_the_with_statement_before_it_begins(tmp_path):
    def missing():
        raise AudioDeviceError("no such device")

    with (
        pytest.raises(AudioDeviceError, match="no such device"),
        LiveSession(QUIET, open_port=missing, converters={1: PlainConverter()}) as session,
    ):
        pytest.fail(f"{session} began")


def test_a_session_that_ended_leaves_nothing_behind():
    def life():
        stage = Stage(playing(noise(1)))
        stage.run(0.5)
        stage.session.stop()
        return weakref.ref(stage.session)

    ended = [life() for _ in range(3)]
    gc.collect()
    assert [session() for session in ended] == [None, None, None]


def test_an_error_inside_counts_more_than_that_of_the_worker():
    class Broken(PlainConverter):
        def work(self, hops):
            if self.calls > 100:
                raise ModelError("the engine gave up")

    def run(error):
        stage = Stage(playing(noise(5)), converters={1: Broken()})
        with stage.session as session:
            while session.stats().state != "stopped":
                time.sleep(0.01)
            if error is not None:
                raise error

    with pytest.raises(ModelError, match="gave up"):
        run(None)
    with pytest.raises(KeyError):
        run(KeyError("mine"))


def test_a_voice_that_is_not_in_the_bundle_speaks():
    bundle = ModelBundle.default()
    first, second = bundle.voices[0].name, bundle.voices[1].name
    voices = [bundle.voice(name) for name in (first, second)]
    mixture = dataclasses.replace(
        voices[0],
        spec=dataclasses.replace(voices[0].spec, name="mixture"),
        conditioning=(voices[0].conditioning + voices[1].conditioning) / 2,
    )
    converter = VoiceConverter(bundle, "litert")
    samples = speech_like(3.0)
    stage = Stage(playing(samples), dataclasses.replace(QUIET, voice=first), {1: converter})
    stage.session.open()
    stage.session.set_voice(mixture)
    assert stage.stats.voice == "mixture"
    assert stage.session.voices == (*(voice.name for voice in bundle.voices), "mixture")
    stage.run(2.5)
    # the state of before is first's: after a while both have heard the same
    delay = round(stage.stats.latency.total * RATE / 1000) - HOP
    output = stage.tape.samples[delay:][RATE : 2 * RATE]
    error = {
        voice.spec.name: float(np.abs(output - converter.convert(samples, voice)[RATE : 2 * RATE]).mean())
        for voice in (*voices, mixture)
    }
    assert min(error, key=error.get) == "mixture", error
    stage.session.set_voice(second)
    assert stage.stats.voice == second


# --- a model that hangs


class Hanging(PlainConverter):
    """Its call after so many does not come back before it is let go."""

    def __init__(self, calls):
        super().__init__()
        self.let_go = threading.Event()
        self.last = calls

    def work(self, hops):
        if self.calls > self.last:
            self.let_go.wait(TIME_LIMIT_S)


def test_a_call_that_does_not_come_back_ends_the_session(monkeypatch):
    monkeypatch.setattr(hang_watch, "HANG_SECONDS", 0.5)
    monkeypatch.setattr(hang_watch, "CONFIRM_SECONDS", 0.2)
    converter = Hanging(calls=30)
    started = time.monotonic()

    def now_and_then(position, n):
        return np.zeros(n, np.float32)

    # real time goes on beside the simulated one
    clock = SimulatedClock()
    monkeypatch.setattr(clock, "now", lambda: time.monotonic() - started)
    port = FakePort(SimulatedClock(), now_and_then, lambda position, played: None)
    session = LiveSession(QUIET, open_port=lambda: port, converters={1: converter}, clock=clock)
    session.start()
    try:
        while session.stats().state != "stopped":
            assert time.monotonic() - started < TIME_LIMIT_S, "nobody noticed"
            time.sleep(0.02)
        with pytest.raises(ModelError, match="has not come back"):
            session.stop()
    finally:
        converter.let_go.set()


def test_a_process_that_was_stopped_in_a_call_goes_on(monkeypatch):
    monkeypatch.setattr(hang_watch, "HANG_SECONDS", 5.0)
    stage = Stage(playing(noise(60)), cost=lambda now, hops: 20.0 if 2.0 <= now < 2.01 else 0.001)
    seen = []

    def cost(now, hops):
        seen.append(stage.stats.state)
        return 20.0 if 2.0 <= now < 2.01 else 0.001

    stage.converters[1].cost = cost
    stage.run(30)
    assert stage.stats.state == "running"
    assert set(seen) <= {"running", "starting"}


def test_the_default_configuration_is_what_a_session_begins_with():
    session = LiveSession(converters={1: PlainConverter()})
    assert session.config == LiveConfig()
    assert session.voices == ("half", "quarter")


def test_one_thread_moves_a_session_and_another_is_told_so():
    stage = Stage(playing(noise(1.0)))
    stage.run(0.1)
    entered, leave = threading.Event(), threading.Event()

    def wait():
        if not entered.is_set():
            entered.set()
            leave.wait(10)

    stage.converters[1].work = lambda hops: wait()
    mover = threading.Thread(target=stage.run, args=(0.2,))
    mover.start()
    assert entered.wait(10)
    try:
        with pytest.raises(RuntimeError, match=r"in use by another thread; let one thread alone call step\(\)"):
            stage.session.step()
    finally:
        leave.set()
        mover.join()
    # whole, and free again
    hops = stage.stats.hops
    stage.run(0.1)
    assert stage.stats.hops > hops
    assert stage.stats.state == "running"


def test_a_session_with_a_worker_is_moved_by_nobody_else():
    clock = SimulatedClock()
    port = FakePort(clock, playing(noise(60.0)), lambda position, block: None)
    with LiveSession(
        QUIET, open_port=lambda: port, converters={1: PlainConverter(clock=clock)}, clock=clock
    ) as session:
        for _ in range(50):
            with pytest.raises(RuntimeError, match="in use by another thread"):
                session.step()
        session.apply("gain", 3.0)
