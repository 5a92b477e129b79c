"""Bytes of an audio file or pipe, and the limits that every kind of audio file keeps."""

from __future__ import annotations

import os
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from edgevc.errors import AudioFileError

MIN_RATE = 1_000
"""Hertz; the lowest sample rate a file may have."""

MAX_RATE = 768_000
"""Hertz; the highest sample rate a file may have."""

PIECE_BYTES = 1 << 20
"""What is held of an encoded file at a time. One frame of 65,535 channels of 8 bytes fits."""

Source = str | os.PathLike[str] | BinaryIO


class Decoder(Protocol):
    """What reads one kind of file."""

    sample_rate: int
    n_channels: int
    n_frames: int | None

    def read(self, n_frames: int) -> NDArray[np.float32]:
        """Return at most n_frames frames as (T, n_channels); empty at the end of the file."""
        ...

    def close(self) -> None:
        """Free what the decoder holds, but leave the file open."""
        ...


class ByteSource:
    """A binary file that fails with AudioFileError only, and needs no seek to skip."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file = file
        self.name = name
        self.position = 0

    def read(self, n_bytes: int) -> bytes:
        """Return n_bytes bytes, fewer only at the end of the file."""
        parts = []
        while n_bytes > 0:
            try:
                part = self.file.read(min(n_bytes, PIECE_BYTES))
            except (OSError, ValueError) as error:
                raise AudioFileError(f"{self.name}: cannot be read: {error}") from error
            if part is not None and not isinstance(part, bytes):
                raise AudioFileError(f"{self.name}: must be opened for bytes, got {type(part).__name__}")
            if not part:
                break
            parts.append(part)
            n_bytes -= len(part)
            self.position += len(part)
        return b"".join(parts)

    def skip(self, n_bytes: int) -> None:
        """Move forward, at most to the end of the file."""
        while n_bytes > 0:
            n_read = len(self.read(min(n_bytes, PIECE_BYTES)))
            if n_read == 0:
                return
            n_bytes -= n_read
