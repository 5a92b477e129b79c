"""What `edgevc doctor` and `edgevc tune` ask about sound devices."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from edgevc.errors import AudioDeviceError


@dataclass(frozen=True)
class DeviceFacts:
    """One device as PortAudio lists it."""

    name: str
    inputs: int
    """Channels."""
    outputs: int
    sample_rate: float
    """Hz, the device's own."""
    default_input: bool = False
    default_output: bool = False


def available_backends() -> list[str]:
    """Return who can drive devices here; empty where nobody can."""
    found = []
    if importlib.util.find_spec("pyaudio") is not None:
        found.append("PyAudio")
    return found


def list_facts() -> list[DeviceFacts]:
    """Return every device.

    Raises:
        AudioDeviceError: PortAudio cannot be asked.
    """
    from edgevc.backends.base import quiet_load

    try:
        with quiet_load():
            import pyaudio

            audio = pyaudio.PyAudio()
    except (ImportError, OSError) as error:
        raise AudioDeviceError(f"PortAudio cannot be asked for devices: {error}; install libportaudio2") from error
    try:
        defaults = []
        for ask in (audio.get_default_input_device_info, audio.get_default_output_device_info):
            try:
                defaults.append(int(ask()["index"]))
            except OSError:
                defaults.append(-1)
        facts = []
        for index in range(audio.get_device_count()):
            info = audio.get_device_info_by_index(index)
            facts.append(
                DeviceFacts(
                    str(info["name"]),
                    int(info["maxInputChannels"]),
                    int(info["maxOutputChannels"]),
                    float(info["defaultSampleRate"]),
                    index == defaults[0],
                    index == defaults[1],
                )
            )
        return facts
    finally:
        audio.terminate()
