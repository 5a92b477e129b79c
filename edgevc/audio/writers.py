"""One way to write a sound: the name of the file says of which kind it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO

from edgevc.audio.compressed_writer import KINDS, CompressedWriter, require_soundfile
from edgevc.audio.provenance import Provenance
from edgevc.audio.wav_writer import WavWriter
from edgevc.errors import ConfigError

SUFFIXES = (".wav", *KINDS)
"""What a written file's name may end in, in lower case."""


def check_writable_kind(path: str | os.PathLike[str]) -> None:
    """Refuse a name of no known kind, before the first second of work.

    Raises:
        ConfigError: the name does not end in one of SUFFIXES.
        MissingPackageError: its kind needs soundfile, which is not installed.
    """
    suffix = _suffix(path)
    if suffix not in SUFFIXES:
        raise ConfigError(f"the output must be a .wav, .flac or .opus file, got {os.fspath(path)}; choose another name")
    if suffix in KINDS:
        require_soundfile(os.fspath(path))


def open_writer(
    path: str | os.PathLike[str],
    sample_rate: int,
    provenance: Provenance | None = None,
    seal: Callable[[BinaryIO, BinaryIO], None] | None = None,
    *,
    durable: bool = True,
) -> WavWriter | CompressedWriter:
    """Return a writer of mono sound for a name that `check_writable_kind` lets pass; see `WavWriter`.

    Raises:
        ConfigError: there is a seal, and the name is not a .wav file's.
    """
    if _suffix(path) in KINDS:
        if seal is not None:
            raise ConfigError(f"a C2PA manifest needs a .wav file, got {os.fspath(path)}; choose another output")
        return CompressedWriter(path, sample_rate, provenance=provenance, durable=durable)
    return WavWriter(path, sample_rate, provenance=provenance, seal=seal, durable=durable)


def _suffix(path: str | os.PathLike[str]) -> str:
    return os.path.splitext(os.fspath(path))[1].lower()  # noqa: PTH122
