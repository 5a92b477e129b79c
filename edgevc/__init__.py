"""edgevc changes the voice and keeps the words, live, on small boards."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

try:
    from edgevc import _core as _core
except ImportError as error:
    raise ImportError(
        "edgevc's C++ core is not built; run `pip install .` in the source folder, "
        "or leave the source folder if edgevc is already installed"
    ) from error

if TYPE_CHECKING:
    from edgevc.audio.reader import read_audio as read_audio
    from edgevc.audio.wav_writer import write_wav as write_wav
    from edgevc.bundle import ModelBundle as ModelBundle
    from edgevc.converter import ConverterStream as ConverterStream
    from edgevc.converter import VoiceConverter as VoiceConverter
    from edgevc.errors import EdgevcError as EdgevcError

_HOMES = {
    "ConverterStream": "converter",
    "EdgevcError": "errors",
    "ModelBundle": "bundle",
    "VoiceConverter": "converter",
    "read_audio": "audio.reader",
    "write_wav": "audio.wav_writer",
}

__all__ = ["ConverterStream", "EdgevcError", "ModelBundle", "VoiceConverter", "read_audio", "write_wav"]


def __getattr__(name: str) -> Any:
    """Import a public name, or look the version up, when it is asked for: `import edgevc` costs 3 ms, NumPy 100."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"edgevc.{_HOMES[name]}"), name)
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("edgevc")
    except PackageNotFoundError:
        # built in place for development, without an installation
        return "0+unknown"
