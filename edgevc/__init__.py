"""edgevc changes the voice and keeps the words, live, on small boards."""

from __future__ import annotations

import importlib

try:
    from edgevc import _core as _core
except ImportError as error:
    raise ImportError(
        "edgevc's C++ core is not built; run `pip install .` in the source folder, "
        "or leave the source folder if edgevc is already installed"
    ) from error

# type checkers know the name; the module typing takes longer to import than all the rest here
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgevc.audio import read as read
    from edgevc.audio import write as write
    from edgevc.bundle import ModelBundle as ModelBundle
    from edgevc.converter import ConverterStream as ConverterStream
    from edgevc.converter import Listener as Listener
    from edgevc.converter import Speaker as Speaker
    from edgevc.converter import VoiceConverter as VoiceConverter
    from edgevc.converter import VoiceSettings as VoiceSettings
    from edgevc.converter.aio import converted as converted
    from edgevc.dsp.features import LogMel as LogMel
    from edgevc.dsp.pitch import PitchTracker as PitchTracker
    from edgevc.dsp.resample import Resampler as Resampler
    from edgevc.dsp.resample import resample as resample
    from edgevc.errors import AudioDeviceError as AudioDeviceError
    from edgevc.errors import AudioFileError as AudioFileError
    from edgevc.errors import ConfigError as ConfigError
    from edgevc.errors import EdgevcError as EdgevcError
    from edgevc.errors import EngineError as EngineError
    from edgevc.errors import GateError as GateError
    from edgevc.errors import MissingPackageError as MissingPackageError
    from edgevc.errors import ModelError as ModelError
    from edgevc.errors import OutputError as OutputError
    from edgevc.errors import ServiceError as ServiceError
    from edgevc.errors import SessionError as SessionError
    from edgevc.live.session import LiveSession as LiveSession
    from edgevc.mark import detect as detect

_HOMES = {
    "AudioDeviceError": "errors",
    "AudioFileError": "errors",
    "ConfigError": "errors",
    "ConverterStream": "converter",
    "EdgevcError": "errors",
    "EngineError": "errors",
    "GateError": "errors",
    "Listener": "converter",
    "LiveSession": "live.session",
    "LogMel": "dsp.features",
    "MissingPackageError": "errors",
    "ModelBundle": "bundle",
    "ModelError": "errors",
    "OutputError": "errors",
    "PitchTracker": "dsp.pitch",
    "Resampler": "dsp.resample",
    "ServiceError": "errors",
    "SessionError": "errors",
    "Speaker": "converter",
    "VoiceConverter": "converter",
    "VoiceSettings": "converter",
    "converted": "converter.aio",
    "detect": "mark",
    "read": "audio",
    "resample": "dsp.resample",
    "write": "audio",
}
_ROOMS = (
    "audio",
    "bundle",
    "control",
    "converter",
    "devices",
    "dsp",
    "engines",
    "errors",
    "live",
    "mark",
    "recognition",
)
"""Folders and modules that a user may look into."""

__all__ = [
    *_HOMES,
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import a public name, or look the version up, when it is asked for: `import edgevc` costs 3 ms, NumPy 100."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"edgevc.{_HOMES[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"edgevc.{name}")
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from edgevc.version import version

    return version()


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted({*__all__, *_ROOMS})
