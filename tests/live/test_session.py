"""The whole live session: equal to a file's conversion, switched without a click, through every fault."""

import dataclasses
import logging
import resource
import signal
import threading
import time

import numpy as np
import pytest
from helpers.live_doubles import HOP, QUIET, RATE, PlainConverter, Stage, noise, playing

from edgevc.audio.reader import read_audio
from edgevc.audio.wav_writer import write_wav
from edgevc.bundle import ENGINES, ModelBundle
from edgevc.converter import VoiceConverter
from edgevc.converter.bench import speech_like
from edgevc.dsp.features import LogMel
from edgevc.errors import ConfigError, ModelError, OutputError
from edgevc.live.chain import VoiceChain

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


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("chunk_hops", "block"), [(1, 160), (4, 160), (1, 333)])
def test_live_gives_what_a_file_gives_sample_for_sample(default_bundle, engine, chunk_hops, block):
    samples = speech_like(4.0)
    config = dataclasses.replace(QUIET, chunk_hops=chunk_hops, voice=default_bundle.voices[1].name)
    stage = real_stage(samples, default_bundle, engine, config, block_length=block)
    stage.run(3.5)
    delay = round(stage.stats.latency.total * RATE / 1000) - block
    output = stage.tape.samples[delay:]
    offline = VoiceConverter(default_bundle, engine, chunk_hops).convert(samples, config.voice)
    assert np.abs(offline).max() < CEILING
    assert len(output) > 3 * RATE
    assert np.array_equal(output, offline[: len(output)])
    assert np.abs(output).max() > 0.01


def test_bad_samples_are_taken_as_silence_as_a_file_would_take_them(default_bundle):
    samples = speech_like(3.0)
    stage = real_stage(samples, default_bundle, "litert")
    stage.run(1.0)
    stage.port.spoil(200)
    stage.run(1.5)
    repaired = samples.copy()
    repaired[RATE : RATE + 200] = 0
    delay = round(stage.stats.latency.total * RATE / 1000) - HOP
    output = stage.tape.samples[delay:]
    offline = VoiceConverter(default_bundle, "litert").convert(repaired, default_bundle.voices[0].name)
    assert stage.stats.bad_samples == 200
    assert np.array_equal(output, offline[: len(output)])


# --- switching

TONE = (0.2 * np.sin(2 * np.pi * 100 * np.arange(12 * RATE) / RATE)).astype(np.float32)
# Of the tone: 2 pi 100 / 16000 * 0.2 at full level. Fades of 20 ms add 0.2 * pi / 2 / 320 = 0.001.
TONE_STEP = 0.0079
FADE_STEP = 0.0015


def largest_step(samples):
    return float(np.abs(np.diff(samples)).max())


@pytest.mark.parametrize("before", ["convert", "bypass", "mute"])
@pytest.mark.parametrize("after", ["convert", "bypass", "mute"])
def test_modes_change_without_a_click(before, after):
    stage = Stage(playing(TONE), dataclasses.replace(QUIET, mode=before))
    stage.run(1)
    stage.session.set_mode(after)
    stage.run(1)
    output = stage.tape.samples
    level = {"convert": 0.1, "bypass": 0.2, "mute": 0.0}
    assert np.abs(output[RATE // 2 : RATE]).max() == pytest.approx(level[before], abs=1e-4)
    assert np.abs(output[-RATE // 2 :]).max() == pytest.approx(level[after], abs=1e-4)
    # the start of the tone itself is none of the change's business
    assert largest_step(output[RATE // 2 :]) < TONE_STEP * max(level[before], level[after]) / 0.2 + FADE_STEP
    assert stage.stats.mode == after


def test_a_session_muted_for_long_gives_the_device_back_until_it_is_heard_again(caplog):
    stage = Stage(playing(TONE))
    stage.run(1)
    first = stage.session.link.port
    stage.session.set_mode("mute")
    stage.run(6)
    assert stage.stats.state == "resting"
    assert stage.session.link.port is None
    assert stage.stats.input_level == -120.0
    hops = stage.stats.hops
    stage.run(2)
    assert stage.stats.hops == hops
    stage.session.set_mode("convert")
    stage.run(1)
    assert stage.stats.state == "running"
    assert stage.session.link.port is not first
    assert np.abs(stage.tape.samples[-RATE // 2 :]).max() == pytest.approx(0.1, rel=0.01)
    assert stage.stats.device_restarts == 0
    assert not warnings_of(caplog)


def test_a_muted_session_does_not_run_the_converter():
    stage = Stage(playing(TONE))
    stage.run(1)
    stage.session.set_mode("mute")
    stage.run(1)
    converter = stage.converters[1]
    calls = converter.calls
    stage.run(2)
    assert converter.calls == calls
    assert not stage.tape.samples[-RATE:].any()
    stage.session.set_mode("convert")
    stage.run(1)
    assert converter.calls >= calls + 95
    delay = round(stage.stats.latency.total * RATE / 1000) - HOP
    output = stage.tape.samples
    end = len(output) - delay
    assert np.array_equal(output[-1000:], 0.5 * TONE[end - 1000 : end])
    assert largest_step(output[RATE // 2 :]) < TONE_STEP / 2 + FADE_STEP
    assert stage.stats.output_underflows == stage.stats.hops_dropped == 0


def test_voices_fade_into_each_other():
    stage = Stage(playing(TONE))
    stage.run(1)
    assert stage.session.next_voice() == "quarter"
    stage.run(1)
    output = stage.tape.samples
    assert np.abs(output[RATE // 2 : RATE]).max() == pytest.approx(0.1, abs=1e-4)
    assert np.abs(output[-RATE // 2 :]).max() == pytest.approx(0.05, abs=1e-4)
    assert largest_step(output[RATE // 2 :]) < TONE_STEP / 2 + FADE_STEP
    assert stage.stats.voice == "quarter"


def test_real_voices_change_as_smoothly_as_they_speak(default_bundle):
    samples = speech_like(6.0)
    first, second = (voice.name for voice in default_bundle.voices[:2])
    stage = real_stage(samples, default_bundle, "litert", dataclasses.replace(QUIET, voice=first))
    stage.run(2.0)
    stage.session.set_voice(second)
    stage.run(2.0)
    output = stage.tape.samples
    delay = round(stage.stats.latency.total * RATE / 1000) - HOP
    converter = VoiceConverter(default_bundle, "litert")
    before = converter.convert(samples, first)
    after = converter.convert(samples, second)
    assert np.array_equal(output[delay : 2 * RATE], before[: 2 * RATE - delay])
    change = output[2 * RATE : round(2.3 * RATE)]
    own = max(largest_step(before), largest_step(after))
    assert largest_step(change) <= own
    # then it sounds as the new voice does; its waveform began at another phase
    late = slice(round(3.0 * RATE), round(3.8 * RATE))
    found, old, new = (
        LogMel().process(np.ascontiguousarray(voice))
        for voice in (
            output[late],
            before[late.start - delay : late.stop - delay],
            after[late.start - delay : late.stop - delay],
        )
    )
    # measured 0.19 and 1.3
    assert np.abs(found - new).mean() < 0.3 * np.abs(found - old).mean()


def test_gain_glides():
    stage = Stage(playing(TONE))
    stage.run(1)
    stage.session.set_gain_db(-6.0)
    stage.run(1)
    output = stage.tape.samples
    assert np.abs(output[-RATE // 2 :]).max() == pytest.approx(0.1 * 10 ** (-6 / 20), abs=1e-4)
    assert largest_step(output[RATE // 2 :]) < TONE_STEP / 2 + FADE_STEP


def test_the_limiter_is_always_on():
    stage = Stage(playing(5 * TONE), dataclasses.replace(QUIET, gain_db=20.0))
    stage.run(1)
    assert np.abs(stage.tape.samples).max() <= CEILING + 1e-6


def test_an_accompaniment_comes_with_the_voice_that_was_sung_to_it(tmp_path):
    clicks = np.zeros(2 * RATE, np.float32)
    clicks[4000::4000] = 0.5
    write_wav(tmp_path / "clicks.wav", clicks, RATE)
    config = dataclasses.replace(QUIET, backing=tmp_path / "clicks.wav", backing_gain_db=-6.0)
    stage = Stage(playing(0.5 * clicks), config)
    stage.run(1.5)
    stage.session.stop()
    output = stage.tape.samples
    places = np.nonzero(np.abs(output) > 0.1)[0]
    # the voice's click and the accompaniment's are one
    assert len(places) > 3
    assert (np.diff(places) == 4000).all()
    assert output[places] == pytest.approx(0.125 + 0.5 * 10 ** (-6 / 20), abs=1e-3)


def test_a_pitch_is_passed_on():
    stage = Stage(playing(TONE))
    stage.run(0.5)
    stage.session.set_semitones(3.0)
    stage.run(0.5)
    assert stage.converters[1].streams[0].settings.semitones == 3.0


@pytest.mark.parametrize(
    ("method", "value", "rule"),
    [
        ("set_mode", "loud", "mode must be one of convert, bypass, mute"),
        ("set_voice", "nobody", "voice must be one of half, quarter"),
        ("set_gain_db", 41.0, "gain must be a number within -40..40 dB"),
        ("set_gain_db", float("nan"), "gain must be a number within -40..40 dB"),
        ("set_semitones", -25.0, "pitch must be a number within -24..24 semitones"),
    ],
)
def test_wrong_settings_are_refused_and_change_nothing(method, value, rule):
    stage = Stage(playing(TONE))
    before = stage.stats
    with pytest.raises(ConfigError, match=rule):
        getattr(stage.session, method)(value)
    assert stage.stats == before


# --- recording


def test_a_recording_holds_the_dry_input_and_the_output(tmp_path):
    samples = np.round(noise(3) * 32768).astype(np.float32) / np.float32(32768)
    paths = (tmp_path / "in.wav", tmp_path / "out.wav")
    stage = Stage(playing(samples), dataclasses.replace(QUIET, record=paths))
    stage.run(2)
    stage.session.stop()
    dry, output = (read_audio(path)[0] for path in paths)
    assert np.array_equal(dry, samples[: len(dry)])
    assert len(dry) == len(output) == stage.stats.hops * HOP
    lag = 480 + 16
    assert np.abs(output[lag:] - 0.5 * samples[: len(output) - lag]).max() <= 1 / 65536 + 1e-7
    assert stage.stats.recording_errors == 0


def test_a_full_disk_ends_the_recording_and_not_the_sound(tmp_path, caplog):
    paths = (tmp_path / "in.wav", tmp_path / "out.wav")
    stage = Stage(playing(noise(12)), dataclasses.replace(QUIET, record=paths))
    # a file may grow to 100 kB: 3.2 s
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        stage.run(4)
        deadline = time.monotonic() + 10
        while not stage.stats.recording_errors and time.monotonic() < deadline:
            time.sleep(0.01)
        stage.run(4)
        stage.session.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert stage.stats.recording_errors == 1
    assert len([message for message in warnings_of(caplog) if "recording ends" in message]) == 1
    assert stage.tape.samples[-RATE:].any()
    assert stage.stats.output_underflows == 0
    for path in paths:
        # what the disk took can be listened to
        assert 1.9 * RATE <= len(read_audio(path)[0]) <= 3.2 * RATE


def test_a_recording_that_cannot_be_created_is_an_error(tmp_path):
    config = dataclasses.replace(QUIET, record=(tmp_path / "in.wav", tmp_path / "missing" / "out.wav"))
    with pytest.raises(OutputError, match="missing"):
        Stage(playing(TONE), config)
    assert list(tmp_path.iterdir()) == []


# --- threads


def test_stats_and_settings_from_other_threads_do_no_harm():
    samples = noise(30)
    stage = Stage(playing(samples))
    done = threading.Event()
    errors = []

    def ask():
        try:
            while not done.is_set():
                stats = stage.stats
                assert stats.hops >= 0
                assert stats.latency.total >= 0
                stage.session.set_mode("bypass")
                stage.session.set_mode("convert")
                stage.session.next_voice()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    stage.run(5)
    done.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert stage.stats.output_underflows == 0


def test_the_worker_ends_and_its_error_reaches_who_waits():
    class Broken(PlainConverter):
        def work(self, hops):
            if self.calls > 100:
                raise ModelError("the engine gave up")

    stage = Stage(playing(noise(5)), converters={1: Broken()})
    stage.session.start()
    with pytest.raises(ModelError, match="gave up"):
        stage.session.wait(30)
    stage.session.stop()
    assert stage.stats.state == "stopped"


def test_a_session_can_be_stopped_twice():
    stage = Stage(playing(noise(5)))
    stage.session.start()
    stage.session.stop()
    stage.session.stop()
    assert stage.stats.state == "stopped"


def test_batch_moves_the_real_streams_memory_without_a_seam(default_bundle):
    samples = speech_like(4.0)
    converters = {hops: VoiceConverter(default_bundle, "litert", hops) for hops in (1, 2, 4)}
    chain = VoiceChain(converters, 1, default_bundle.voices[0].name, QUIET)
    pieces, position = [], 0
    for hops in [1] * 40 + [4] * 20 + [2] * 20 + [1] * 40 + [4] * 10:
        if hops != chain.chunk_hops:
            chain.set_chunk_hops(hops)
        pieces.append(chain.process(samples[position : position + hops * HOP]))
        position += hops * HOP
    output = np.concatenate(pieces)[chain.latency :]
    offline = converters[1].convert(samples, default_bundle.voices[0].name)[: len(output)]
    # the engines round differently for other shapes: measured 1e-3 of the signal
    error = np.sqrt(np.mean((output - offline) ** 2) / np.mean(offline**2))
    assert error < 0.02, error
