"""Both ports pass real speech through a real sound server, sample for sample, and survive the loss of it."""

import ctypes
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.pulse import patiently, to_pcm, virtual_sound

from edgevc.audio.reader import read_audio
from edgevc.devices.catalogue import list_devices, open_port
from edgevc.errors import AudioDeviceError
from edgevc.live.config import LiveConfig

SENTENCE = Path(__file__).resolve().parents[2] / "examples" / "sentence.wav"
BACKENDS = ("portaudio", "pyaudio")
# 10 ms works as well on a machine of one's own; a shared one stops for longer than that now and then.
BLOCK_MS = 20.0
SECONDS = 2.5
# Twice through the sound server's resampler; measured 0.9996.
RESAMPLED_CORRELATION = 0.99


@pytest.fixture(scope="module")
def sound():
    with virtual_sound() as running:
        yield running


@pytest.fixture(scope="module")
def speech():
    samples, rate, _ = read_audio(SENTENCE)
    assert rate == 16_000
    return samples[: int(SECONDS * rate)]


def pass_through(port, seconds, preroll=1, until=lambda: False):
    """Hand every captured block to the playback queue; `preroll` blocks of silence stand before the first."""
    block = np.zeros(port.block_length, np.float32)
    port.write(np.zeros(preroll * port.block_length, np.float32))
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        if port.wait(port.block_length, 0.2):
            port.read_into(block)
            port.write(block)


def heard_through(sound, port, speech, preroll=1):
    """What comes out of the loudspeaker while `speech` goes into the microphone, int16 (T,)."""
    port.start()
    try:
        with sound.recording() as finish:
            worker = threading.Thread(target=pass_through, args=(port, SECONDS + 2.0, preroll))
            worker.start()
            time.sleep(0.4)
            sound.play(speech).wait(30)
            worker.join(30)
            return finish()
    finally:
        port.stop()


def aligned(heard, played):
    """The part of `heard` that correlates best with `played`."""
    n = 1 << (len(heard) + len(played)).bit_length()
    product = np.fft.rfft(heard, n) * np.conj(np.fft.rfft(played, n))
    start = int(np.argmax(np.fft.irfft(product, n)[: len(heard) - len(played) + 1]))
    return heard[start : start + len(played)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_speech_passes_sample_for_sample(sound, speech, backend):
    def attempt(sound):
        port = open_port(LiveConfig(backend=backend, block_ms=BLOCK_MS))
        assert (port.input_rate, port.output_rate, port.block_length) == (16_000, 16_000, 320)
        assert 0 < port.input_latency < 0.2
        assert 0 < port.output_latency < 0.2
        heard = heard_through(sound, port, speech)
        counters = port.counters()
        assert np.array_equal(aligned(heard, to_pcm(speech)), to_pcm(speech))
        assert counters.blocks > SECONDS * 1000 / BLOCK_MS
        assert counters.output_underflows == counters.silent_samples_played == counters.captured_samples_lost == 0

    patiently(attempt, sound)


@pytest.mark.parametrize("backend", BACKENDS)
def test_speech_passes_through_two_devices_with_a_clock_each(sound, speech, backend):
    def attempt(sound):
        settings = LiveConfig(backend=backend, input="microphone", output="speak*", block_ms=BLOCK_MS)
        port = open_port(settings)
        assert not port.shared_clock
        assert port.block_length == port.input_rate // 50
        heard = aligned(heard_through(sound, port, speech, preroll=2), to_pcm(speech))
        assert np.corrcoef(heard, to_pcm(speech))[0, 1] > RESAMPLED_CORRELATION

    patiently(attempt, sound)


@pytest.mark.parametrize("backend", BACKENDS)
def test_queues_keep_their_contract(sound, backend):
    port = open_port(LiveConfig(backend=backend, block_ms=BLOCK_MS))
    port.start()
    try:
        # silence is played and not counted before anything was written
        assert port.wait(1_600, 2.0)
        assert port.counters().output_underflows == 0
        assert not port.wait(1 << 20, 0.05)
        before = port.available()
        assert port.discard(100) == 100
        assert port.available() >= before - 100
        part = np.empty(50, np.float32)
        assert port.read_into(part) == 50
        # what has no room is not taken
        assert 16_000 <= port.write(np.zeros(200_000, np.float32)) < 200_000
        assert port.playback_fill() > 16_000
        port.stop()
        assert port.available() == port.playback_fill() == 0
        assert port.failure is None
    finally:
        port.stop()
    with pytest.raises(AudioDeviceError):
        port.start()


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_empty_playback_queue_is_silence_and_counted(sound, backend):
    port = open_port(LiveConfig(backend=backend, block_ms=BLOCK_MS))
    port.start()
    try:
        port.write(np.zeros(800, np.float32))
        assert port.wait(4_800, 2.0)
        counters = port.counters()
        assert counters.output_underflows > 5
        assert counters.silent_samples_played > 2_000
    finally:
        port.stop()


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_captured_while_nobody_reads_is_lost_and_counted(sound, backend):
    port = open_port(LiveConfig(backend=backend, block_ms=BLOCK_MS))
    port.start()
    try:
        assert port.wait(32_768, 5.0)
        end = time.monotonic() + 2.0
        while port.counters().captured_samples_lost == 0 and time.monotonic() < end:
            time.sleep(0.05)
        counters = port.counters()
        assert counters.captured_samples_lost > 0
        assert counters.input_overflows > 0
        assert port.available() == 32_768
    finally:
        port.stop()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_device_that_vanishes_is_a_failure_and_can_be_opened_when_it_is_back(backend):
    # A server of its own: what happens to it would disturb the others. PulseAudio moves a stream to another sink as
    # long as there is one, so both have to go.
    with virtual_sound() as sound:
        port = open_port(LiveConfig(backend=backend, block_ms=BLOCK_MS))
        port.start()
        pass_through(port, 0.5)
        assert port.failure is None
        for sink in ("vspk", "vmic_feed"):
            sound.pactl("unload-module", sound.module(f"sink_name={sink}"))
        began = time.monotonic()
        pass_through(port, 5.0, until=lambda: port.failure)
        assert "ALSA: default" in port.failure
        assert not port.wait(1 << 20, 5.0)
        port.stop()
        assert time.monotonic() - began < 5.0
        with pytest.raises(AudioDeviceError):
            open_port(LiveConfig(backend=backend))
        for sink in ("vmic_feed", "vspk"):
            sound.load_sink(sink)
        port = open_port(LiveConfig(backend=backend, block_ms=BLOCK_MS))
        port.start()
        assert port.wait(1_600, 3.0)
        port.stop()


def hold_the_interpreter(stop, seconds=0.06, pause=0.05):
    """As a C extension does that computes for long without releasing the interpreter."""
    libc = ctypes.PyDLL(None)
    while not stop.is_set():
        libc.usleep(int(seconds * 1e6))
        time.sleep(pause)


def test_a_thread_that_holds_the_interpreter_does_not_disturb_the_callback_in_cpp(sound, speech):
    def attempt(sound):
        stop = threading.Event()
        hog = threading.Thread(target=hold_the_interpreter, args=(stop,))
        port = open_port(LiveConfig(backend="portaudio", block_ms=BLOCK_MS))
        hog.start()
        try:
            # The worker is Python too: the queue must be longer than it may be held up.
            heard = heard_through(sound, port, speech, preroll=10)
        finally:
            stop.set()
            hog.join()
        assert port.counters().output_underflows == 0
        assert np.array_equal(aligned(heard, to_pcm(speech)), to_pcm(speech))

    patiently(attempt, sound)


def run_devices(sound, *arguments, **changes):
    command = [sys.executable, "-m", "edgevc", "devices", *arguments]
    # scripts/sanitized_python.sh names what its extensions cannot be loaded without
    changes["LD_PRELOAD"] = os.environ.get("SANITIZERS", "")
    return subprocess.run(command, env=sound.variables | changes, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("backend", BACKENDS)
def test_edgevc_devices_lists_names_and_nothing_else_is_said(sound, backend):
    done = run_devices(sound, "--backend", backend)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1] == f"through {backend}"
    assert any(line.split("  ")[0].strip() == "ALSA: default" and "32 in (default)" in line for line in lines)


def test_edgevc_devices_as_json_has_what_the_library_lists(sound):
    done = run_devices(sound, "--json")
    found = json.loads(done.stdout)
    assert found["backend"] == "portaudio"
    assert [device["name"] for device in found["devices"]] == [device.name for device in list_devices()]


def test_without_any_device_the_exit_code_is_6(sound):
    done = run_devices(sound, PULSE_SERVER="unix:/nowhere")
    assert done.returncode == 6
    assert done.stderr == "edgevc: there is no sound device; connect one, or see `edgevc doctor`\n"
