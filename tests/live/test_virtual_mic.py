"""The microphone that other programs record from, in a real private PulseAudio."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers.pulse import virtual_sound

from edgevc.devices.virtual_mic import NAME, SINK, VirtualMicrophone, virtual_microphone
from edgevc.errors import AudioDeviceError, ConfigError

RATE = 48_000


@pytest.fixture(scope="module")
def sound():
    with virtual_sound(RATE) as server:
        yield server


def names(sound):
    lines = sound.pactl("list", "short", "sinks") + sound.pactl("list", "short", "sources")
    return {line.split("\t")[1] for line in lines.splitlines()}


def readers():
    done = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True)
    return sum(f"--device={SINK}.monitor" in line for line in done.stdout.splitlines())


def test_it_is_there_while_it_is_needed_and_gone_afterwards(sound):
    before, running = names(sound), readers()
    microphone = VirtualMicrophone(RATE)
    microphone.open()
    assert {NAME, SINK} <= names(sound)
    microphone.close()
    microphone.close()
    assert names(sound) == before
    assert readers() == running


def test_what_is_played_into_it_is_what_another_program_records(sound, rng):
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.float32)
    with virtual_microphone(None):
        assert os.environ["PULSE_SINK"] == SINK
        with sound.recording(NAME) as finish:
            time.sleep(0.5)
            # no --device: the variable leads there, as it does for PortAudio
            path = sound.folder / "tone.raw"
            path.write_bytes(np.rint(tone * 32767).astype("<i2").tobytes())
            subprocess.run(
                ["paplay", "--raw", f"--rate={RATE}", "--channels=1", "--format=s16le", str(path)],
                env=dict(os.environ),
                check=True,
                timeout=20,
            )
            time.sleep(0.5)
            heard = finish().astype(np.float32) / 32768
    assert "PULSE_SINK" not in os.environ
    spectrum = np.abs(np.fft.rfft(heard))
    assert np.argmax(spectrum) / len(heard) * RATE == pytest.approx(440, abs=1)
    assert np.sqrt(np.mean(heard**2)) > 0.1


def test_what_a_killed_session_left_is_used_again_and_then_removed(sound):
    before = names(sound)
    code = "import os; from edgevc.devices.virtual_mic import VirtualMicrophone as V; V(48000).open(); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ)).returncode == 9
    assert {NAME, SINK} <= names(sound)
    microphone = VirtualMicrophone(RATE)
    microphone.open()
    assert len([name for name in names(sound) if name == NAME]) == 1
    microphone.close()
    assert names(sound) == before


def test_a_killed_session_takes_its_reader_along(sound):
    running = readers()
    code = "import os; from edgevc.devices.virtual_mic import VirtualMicrophone as V; V(48000).open(); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ)).returncode == 9
    end = time.monotonic() + 5
    while readers() > running and time.monotonic() < end:
        time.sleep(0.1)
    assert readers() == running
    microphone = VirtualMicrophone(RATE)
    microphone.open()
    microphone.close()


def test_half_of_it_is_completed(sound):
    before = names(sound)
    microphone = VirtualMicrophone(RATE)
    microphone.open()
    sound.pactl("unload-module", sound.module(f"source_name={NAME}"))
    other = VirtualMicrophone(RATE)
    other.open()
    assert {NAME, SINK} <= names(sound)
    other.close()
    microphone.close()
    assert names(sound) == before


def test_a_server_that_goes_away_does_not_stop_the_end(sound):
    microphone = VirtualMicrophone(RATE)
    microphone.open()
    # nobody finds the server any more
    here, elsewhere = sound.folder / "native", sound.folder / "elsewhere"
    here.rename(elsewhere)
    microphone.close()
    elsewhere.rename(here)
    for name in (f"source_name={NAME}", f"sink_name={SINK}"):
        sound.pactl("unload-module", sound.module(name))


def test_without_a_server_or_pactl_it_says_what_is_needed(tmp_path):
    nowhere = {"PATH": os.environ["PATH"], "PULSE_SERVER": "unix:/nowhere", "HOME": str(tmp_path)}
    with pytest.raises(AudioDeviceError, match="pactl info"):
        VirtualMicrophone(RATE, nowhere).open()
    with pytest.raises(AudioDeviceError, match="pulseaudio-utils"):
        VirtualMicrophone(RATE, {"PATH": str(tmp_path)}).open()


def test_it_excludes_another_output():
    with pytest.raises(ConfigError, match="leave one of them out"), virtual_microphone("USB*"):
        pass
