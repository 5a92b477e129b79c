"""Devices are found by name, and opened as they can be opened; no sound card is needed for this."""

import os
import sys

import pytest

from edgevc.devices import catalogue as devices
from edgevc.devices.catalogue import SoundLibrary, choose_endpoints, find_device, sound_library
from edgevc.errors import AudioDeviceError, ConfigError
from edgevc.live.config import LiveConfig
from edgevc.stderr import quiet_stderr


def listed(name, inputs=2, outputs=2, rate=44_100.0, default=False):
    return {
        "name": name, "host_api": "ALSA", "input_channels": inputs, "output_channels": outputs, "sample_rate": rate,
        "input_latency": 0.01, "output_latency": 0.02, "is_default_input": default, "is_default_output": default,
    }  # fmt: skip


class FakeLibrary(SoundLibrary):
    """Accepts only the rates and channel counts in `accepts`, per device name."""

    backend = "fake"

    def __init__(self, found, accepts=None):
        self.found = [{**device, "index": index} for index, device in enumerate(found)]
        self.accepts = accepts or {}

    def _initialise(self): ...

    def _terminate(self): ...

    def _list(self):
        return self.found

    def refusal(self, input, output, sample_rate):
        for side in (input, output):
            if side is not None and (sample_rate, side[1]) not in self.accepts.get(side[0].short_name, ()):
                return "Invalid sample rate"
        return ""


CARDS = [
    listed("HDA Intel PCH: ALC257 Analog (hw:0,0)", default=True),
    listed("USB Audio: - (hw:1,0)", inputs=1, outputs=0),
    listed("USB Audio: - (hw:1,1)", inputs=0, outputs=2),
    listed("pulse", inputs=32, outputs=32),
    listed("HDMI 0", inputs=0),
]


@pytest.fixture
def cards():
    return FakeLibrary(CARDS).devices()


def test_names_are_unique_and_free_of_the_cards_number(cards):
    assert [device.name for device in cards] == [
        "ALSA: HDA Intel PCH: ALC257 Analog",
        "ALSA: USB Audio",
        "ALSA: USB Audio (2)",
        "ALSA: pulse",
        "ALSA: HDMI 0",
    ]
    assert [device.address for device in cards] == ["hw:0,0", "hw:1,0", "hw:1,1", "", ""]


@pytest.mark.parametrize(
    ("wanted", "direction", "index"),
    [
        (None, "input", 0),
        ("default", "output", 0),
        ("ALSA: USB Audio", "input", 1),
        ("usb*", "input", 1),
        ("USB*", "output", 2),
        ("alc257", "input", 0),
        ("PULSE", "output", 3),
        ("pulse", "input", 3),
        ("hw:1,1", "output", 2),
        ("#4", "output", 4),
    ],
)
def test_a_device_is_found_by_name_glob_part_or_index(cards, wanted, direction, index):
    assert find_device(cards, wanted, direction).index == index


def test_a_whole_name_wins_over_names_that_contain_it():
    found = FakeLibrary([listed("Mic 2"), listed("Mic")]).devices()
    assert find_device(found, "mic", "input").index == 1


def test_what_is_not_there_or_not_clear_is_refused_with_the_names(cards):
    with pytest.raises(AudioDeviceError, match=r"no input device matches 'HDMI'; there are:\n  ALSA: HDA"):
        find_device(cards, "HDMI", "input")
    with pytest.raises(AudioDeviceError, match=r"'a\*' must match one output device, got 4"):
        find_device(cards, "a*", "output")
    with pytest.raises(AudioDeviceError, match="there is no sound device"):
        find_device([], None, "input")
    with pytest.raises(AudioDeviceError, match="there is no output device"):
        find_device(cards[1:2], None, "output")


def endpoints(found, accepts, **settings):
    with FakeLibrary(found, accepts) as library:
        return choose_endpoints(library, LiveConfig(**settings))


def test_hardware_that_takes_16_khz_is_opened_at_16_khz():
    card = "HDA Intel PCH: ALC257 Analog"
    source, target = endpoints(CARDS, {card: {(16_000, 2), (44_100, 2)}})
    assert (source.sample_rate, target.sample_rate) == (16_000, 16_000)
    assert (source.channels, target.channels) == (2, 2)
    assert (source.block_length, source.device.index, target.device.index) == (160, 0, 0)


def test_hardware_that_does_not_is_opened_at_its_own_rate_and_channels():
    accepts = {"USB Audio": {(48_000, 1), (44_100, 2)}}
    source, target = endpoints(CARDS, accepts, input="USB*", output="USB*", block_ms=20.0)
    assert (source.sample_rate, source.channels, source.block_length) == (48_000, 1, 960)
    assert (target.sample_rate, target.channels, target.block_length) == (44_100, 2, 882)
    # Two seconds at least: what the scheduler drops, it shall count.
    assert source.capacity == 131_072


def test_a_sound_server_resamples_itself_and_gets_16_khz_mono(monkeypatch):
    source, target = endpoints(CARDS, {"pulse": {(16_000, 1), (44_100, 2)}}, input="pulse", output="pulse")
    assert (source.sample_rate, source.channels, target.sample_rate, target.channels) == (16_000, 1, 16_000, 1)
    default = [listed("default", 32, 32, default=True)]
    accepts = {"default": {(16_000, 1), (16_000, 2), (44_100, 2)}}
    for server, rate in (("unix:/nowhere", 16_000), ("", 44_100)):
        monkeypatch.setenv("PULSE_SERVER", server)
        for name in ("XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(devices.Path, "exists", lambda _: False)
        assert endpoints(default, accepts)[0].sample_rate == rate


def test_a_device_that_takes_nothing_is_refused_with_the_reason():
    with pytest.raises(AudioDeviceError, match=r"USB Audio cannot be opened as input: Invalid sample rate; close"):
        endpoints(CARDS, {"pulse": {(16_000, 1)}}, input="USB*", output="pulse")


def test_a_wrong_or_missing_backend_is_refused_with_what_to_do(monkeypatch):
    with pytest.raises(ConfigError, match="got 'jack'"):
        sound_library("jack")
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    with pytest.raises(AudioDeviceError, match=r'pip install "edgevc\[audio\]"'):
        sound_library("pyaudio")
    monkeypatch.setitem(sys.modules, "edgevc._portaudio", None)
    with pytest.raises(AudioDeviceError, match="build edgevc again; or PyAudio is not installed"):
        sound_library("auto")


def test_a_missing_library_is_told_from_a_missing_build(monkeypatch):
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "edgevc._portaudio":
                raise ImportError("libportaudio.so.2: cannot open shared object file: No such file or directory")

    monkeypatch.delitem(sys.modules, "edgevc._portaudio", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(AudioDeviceError, match=r"libportaudio\.so\.2.*; sudo apt-get install libportaudio2$"):
        sound_library("portaudio")


def test_what_c_libraries_write_to_stderr_is_kept_away_and_the_rest_is_not(capfd):
    os.write(2, b"before ")
    with quiet_stderr():
        os.write(2, b"ALSA lib pcm.c: Unknown PCM")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"
