"""Finds sound devices by name, chooses rates and channel counts that they take, and opens them.

Indexes move when something is plugged in, so a device is named by its host API and its own name, without the card's
number. PortAudio looks for devices only when it is initialised: every function here initialises it anew, so that what
was plugged in since is found, as long as this process has no stream open.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevc.devices.endpoint import INPUT, OUTPUT, Device, Endpoint
from edgevc.devices.port import AudioPort, DeviceSettings
from edgevc.errors import AudioDeviceError, ConfigError
from edgevc.files import runtime_dir
from edgevc.limits import SAMPLE_RATE
from edgevc.stderr import quiet_stderr

if TYPE_CHECKING:
    from types import ModuleType

OTHER_RATES = (48_000, 44_100, 32_000, 16_000, 96_000, 24_000, 22_050, 8_000)
"""Hertz, tried in this order where a device refuses the rate that it calls its own."""
QUEUE_SECONDS = 2.0
"""Sound that each queue of a port holds at least."""
_SOUND_SERVERS = ("pulse", "pipewire")
# "USB Audio: - (hw:1,0)": the card's number depends on what else is plugged in.
_ADDRESS = re.compile(r"(?::? ?-)? \((hw:\d+,\d+)\)$")


class SoundLibrary(ABC):
    """PortAudio through one of the two modules that drive it. Use it inside `with`."""

    backend: str
    open: Callable[[Endpoint, Endpoint], AudioPort]

    def __enter__(self) -> SoundLibrary:
        os.environ.setdefault("JACK_NO_START_SERVER", "1")
        with quiet_stderr():
            self._initialise()
        return self

    def __exit__(self, *_: object) -> None:
        self._terminate()

    @abstractmethod
    def _initialise(self) -> None: ...

    @abstractmethod
    def _terminate(self) -> None: ...

    @abstractmethod
    def _list(self) -> list[dict[str, Any]]: ...

    @abstractmethod
    def refusal(self, input: tuple[Device, int] | None, output: tuple[Device, int] | None, sample_rate: int) -> str:
        """Say why the device and channel count of one side, or of both as one stream, do not open; "" if they do."""

    def devices(self) -> list[Device]:
        """Return the devices that were there when the library was entered."""
        return _named(self._list())


class _CppLibrary(SoundLibrary):
    backend = "portaudio"

    def __init__(self, module: ModuleType) -> None:
        from edgevc.devices.portaudio import PortAudioPort

        self._module: Any = module
        self.open = PortAudioPort

    def _initialise(self) -> None:
        error = self._module.initialise()
        if error < 0:
            raise AudioDeviceError(f"PortAudio does not start: {self._module.error_text(error)}")
        self._module.silence_libraries()

    def _terminate(self) -> None:
        self._module.terminate()

    def _list(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self._module.list_devices()
        for device in listed:
            device["name"] = device["name"].decode("utf-8", "replace")
            device["host_api"] = device["host_api"].decode("utf-8", "replace")
        return listed

    def refusal(self, input: tuple[Device, int] | None, output: tuple[Device, int] | None, sample_rate: int) -> str:
        with quiet_stderr():
            error = self._module.is_format_supported(
                input[0].index if input else -1,
                input[1] if input else 0,
                output[0].index if output else -1,
                output[1] if output else 0,
                float(sample_rate),
            )
        return "" if error == 0 else str(self._module.error_text(error))


class _PyAudioLibrary(SoundLibrary):
    backend = "pyaudio"

    def __init__(self, module: ModuleType) -> None:
        from edgevc.devices.pyaudio import PyAudioPort

        self._module: Any = module
        self._audio: Any = None
        self.open = PyAudioPort

    def _initialise(self) -> None:
        try:
            self._audio = self._module.PyAudio()
        except OSError as error:
            raise AudioDeviceError(f"PortAudio does not start: {error}") from error
        _silence_libraries()

    def _terminate(self) -> None:
        self._audio.terminate()
        self._audio = None

    def _list(self) -> list[dict[str, Any]]:
        audio, defaults = self._audio, {}
        for direction, ask in (
            (INPUT, audio.get_default_input_device_info),
            (OUTPUT, audio.get_default_output_device_info),
        ):
            # no default device is an OSError
            with contextlib.suppress(OSError):
                defaults[direction] = ask()["index"]
        apis = [audio.get_host_api_info_by_index(i)["name"] for i in range(audio.get_host_api_count())]
        return [
            {
                "index": index,
                "name": info["name"],
                "host_api": apis[info["hostApi"]],
                "input_channels": info["maxInputChannels"],
                "output_channels": info["maxOutputChannels"],
                "sample_rate": info["defaultSampleRate"],
                "input_latency": info["defaultLowInputLatency"],
                "output_latency": info["defaultLowOutputLatency"],
                "is_default_input": defaults.get(INPUT) == index,
                "is_default_output": defaults.get(OUTPUT) == index,
            }
            for index in range(audio.get_device_count())
            for info in [audio.get_device_info_by_index(index)]
        ]

    def refusal(self, input: tuple[Device, int] | None, output: tuple[Device, int] | None, sample_rate: int) -> str:
        arguments: dict[str, Any] = {}
        for side, found in ((INPUT, input), (OUTPUT, output)):
            if found is not None:
                arguments[f"{side}_device"] = found[0].index
                arguments[f"{side}_channels"] = found[1]
                arguments[f"{side}_format"] = self._module.paFloat32
        try:
            with quiet_stderr():
                self._audio.is_format_supported(float(sample_rate), **arguments)
        except ValueError as error:
            return str(error.args[0] if error.args else error)
        return ""


def sound_library(backend: str = "auto") -> SoundLibrary:
    """Return the module that drives devices: "portaudio" (callback in C++), "pyaudio", or "auto", the first there is.

    Raises:
        ConfigError: there is no backend of this name.
        AudioDeviceError: the backend is not installed.
    """
    if backend not in ("auto", "portaudio", "pyaudio"):
        raise ConfigError(f"backend must be auto, portaudio or pyaudio, got {backend!r}")
    reasons = []
    if backend in ("auto", "portaudio"):
        try:
            # not `from edgevc import`: mypy and the package know that it may be missing
            import edgevc._portaudio as cpp

            return _CppLibrary(cpp)
        except ImportError as error:
            reasons.append(_why_no_callback(error))
    if backend in ("auto", "pyaudio"):
        try:
            import pyaudio

            return _PyAudioLibrary(pyaudio)
        except ImportError as error:
            reasons.append(
                f"PyAudio is not installed ({error}); install Debian's portaudio19-dev, then "
                '`pip install "edgevc[audio]"`'
            )
    raise AudioDeviceError("no sound device can be used: " + "; or ".join(reasons))


def _why_no_callback(error: ImportError) -> str:
    # the callback was built; only the library that it drives is not there
    if "libportaudio" in str(error):
        return f"PortAudio's library is not installed ({error}); sudo apt-get install libportaudio2"
    return f"this build has no PortAudio callback ({error}); install Debian's portaudio19-dev, then build edgevc again"


def list_devices(backend: str = "auto") -> list[Device]:
    """Look for devices and return them.

    Raises:
        AudioDeviceError: no backend is installed, or PortAudio does not start.
    """
    with sound_library(backend) as library:
        return library.devices()


def find_device(devices: Sequence[Device], wanted: str | None, direction: str) -> Device:
    """Return the one device that is meant.

    Args:
        devices: what there is.
        wanted: None or "default": the system's default; otherwise, in this order, its whole name, with or without the
            host API; its address ("hw:1,0"); a glob ("USB*"); a part of the name, all in any case. "#3" is the index.
        direction: "input" or "output".

    Raises:
        AudioDeviceError: no device matches, or more than one.
    """
    usable = [device for device in devices if device.channels(direction) > 0]
    if not usable:
        raise AudioDeviceError(
            f"there is no {direction} device; connect one, or see `edgevc doctor`"
            if devices
            else "there is no sound device; connect one, or see `edgevc doctor`"
        )
    if wanted is None or wanted.casefold() == "default":
        for device in usable:
            if device.is_default_input if direction == INPUT else device.is_default_output:
                return device
        return usable[0]
    found = _matching(usable, wanted)
    if len(found) == 1:
        return found[0]
    names = "\n".join(f"  {device.name}" for device in (found or usable))
    if found:
        raise AudioDeviceError(f"{wanted!r} must match one {direction} device, got {len(found)}; name one of:\n{names}")
    raise AudioDeviceError(f"no {direction} device matches {wanted!r}; there are:\n{names}")


def _matching(devices: Sequence[Device], wanted: str) -> list[Device]:
    if re.fullmatch(r"#\d+", wanted):
        return [device for device in devices if device.index == int(wanted[1:])]
    text = wanted.casefold()
    tests: list[Callable[[str], bool]] = [lambda name: name == wanted, lambda name: name.casefold() == text]
    if re.search(r"[*?\[]", wanted):
        tests.append(lambda name: fnmatchcase(name.casefold(), text))
    else:
        tests.append(lambda name: text in name.casefold())
    for test in tests:
        found = [d for d in devices if test(d.name) or test(d.short_name) or (d.address and test(d.address))]
        if found:
            return found
    return []


def choose_endpoints(library: SoundLibrary, settings: DeviceSettings) -> tuple[Endpoint, Endpoint]:
    """Return how to open the devices that the settings name: at rates and channel counts that they take.

    A device whose hardware takes 16 kHz, or behind which a sound server resamples, is opened at 16 kHz; every other at
    its own default rate, then at others, until one is accepted.

    Raises:
        AudioDeviceError: a device is missing or takes no rate, as one that another program holds.
    """
    devices = library.devices()
    source = find_device(devices, settings.input, INPUT)
    target = find_device(devices, settings.output, OUTPUT)
    if source.index == target.index:
        # one stream, one clock: only if both sides together accept what each accepts
        for rate in _rates(source):
            for n_in, n_out in zip(_channels(source, INPUT), _channels(target, OUTPUT), strict=False):
                if not library.refusal((source, n_in), (target, n_out), rate):
                    return (
                        _endpoint(source, INPUT, n_in, rate, settings.block_ms),
                        _endpoint(target, OUTPUT, n_out, rate, settings.block_ms),
                    )
    return _choose(library, source, INPUT, settings.block_ms), _choose(library, target, OUTPUT, settings.block_ms)


def _choose(library: SoundLibrary, device: Device, direction: str, block_ms: float) -> Endpoint:
    reason = ""
    for rate in _rates(device):
        for channels in _channels(device, direction):
            side = (device, channels)
            refusal = library.refusal(side if direction == INPUT else None, side if direction == OUTPUT else None, rate)
            if not refusal:
                return _endpoint(device, direction, channels, rate, block_ms)
            reason = reason or refusal
    raise AudioDeviceError(
        f"{device.name} cannot be opened as {direction}: {reason}; close the program that uses it, or choose another "
        "device (`edgevc devices`)"
    )


def _rates(device: Device) -> list[int]:
    first = [SAMPLE_RATE] if device.address or _is_sound_server(device) else []
    return list(dict.fromkeys([*first, device.sample_rate, *OTHER_RATES]))


def _channels(device: Device, direction: str) -> list[int]:
    most = min(device.channels(direction), 64)
    few = [1, 2] if _is_sound_server(device) else [2, 1]
    return list(dict.fromkeys(min(count, most) for count in (*few, most)))


def _is_sound_server(device: Device) -> bool:
    """Whether PulseAudio or PipeWire stands behind the device and resamples: it is listed at 44.1 kHz in any case."""
    name = device.short_name.casefold()
    return name in _SOUND_SERVERS or (name == "default" and _sound_server_runs())


def _sound_server_runs() -> bool:
    if os.environ.get("PULSE_SERVER"):
        return True
    runtime = runtime_dir()
    pulse = os.environ.get("PULSE_RUNTIME_PATH", "")
    places = [f"{pulse}/native" if pulse else "", "/var/run/pulse/native"]
    if runtime is not None:
        places += [str(runtime / "pulse/native"), str(runtime / "pipewire-0")]
    return any(place and Path(place).exists() for place in places)


def _endpoint(device: Device, direction: str, channels: int, sample_rate: int, block_ms: float) -> Endpoint:
    block_length = max(1, round(sample_rate * block_ms / 1000))
    capacity = 1 << (int(sample_rate * QUEUE_SECONDS + 2 * block_length) - 1).bit_length()
    latency = device.input_latency if direction == INPUT else device.output_latency
    return Endpoint(device, channels, sample_rate, block_length, max(0.0, latency), capacity)


def open_port(settings: DeviceSettings) -> AudioPort:
    """Look for the devices that the settings name, and open them; `start` of the result begins to exchange samples.

    Raises:
        ConfigError: there is no backend of this name.
        AudioDeviceError: no backend is installed, a device is missing, ambiguous or in use.
    """
    with sound_library(settings.backend) as library:
        return library.open(*choose_endpoints(library, settings))


_AlsaHandler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)
# lives as long as the library may call it
_NO_MESSAGE = _AlsaHandler(lambda *_: None)


def _silence_libraries() -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(_NO_MESSAGE)


def _named(listed: list[dict[str, Any]]) -> list[Device]:
    devices = []
    seen: Counter[str] = Counter()
    for values in listed:
        short = str(values["name"]).strip()
        match = _ADDRESS.search(short)
        address = match[1] if match else ""
        if match:
            short = short[: match.start()]
        name = f"{values['host_api']}: {short}"
        seen[name] += 1
        if seen[name] > 1:
            name = f"{name} ({seen[name]})"
        devices.append(
            Device(
                index=int(values["index"]),
                name=name,
                host_api=values["host_api"],
                short_name=short,
                address=address,
                input_channels=int(values["input_channels"]),
                output_channels=int(values["output_channels"]),
                sample_rate=round(values["sample_rate"]),
                input_latency=float(values["input_latency"]),
                output_latency=float(values["output_latency"]),
                is_default_input=bool(values["is_default_input"]),
                is_default_output=bool(values["is_default_output"]),
            )
        )
    return devices
