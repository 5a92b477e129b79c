"""Bytes of an audio file or pipe, and the limits that every kind of audio file keeps."""

from __future__ import annotations

import os
import select
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from edgevc.errors import AudioFileError
from edgevc.pipes import wait_until_ready

MIN_RATE = 1_000
"""Hertz; the lowest sample rate a file may have."""

MAX_RATE = 768_000
"""Hertz; the highest sample rate a file may have."""

PIECE_BYTES = 1 << 20
"""What is held of an encoded file at a time. One frame of 65,535 channels of 8 bytes fits."""

CONVERT_IT = "convert it, for example with `ffmpeg -i IN -c:a pcm_s16le OUT.wav`"
"""The next step for a file of another kind."""

RESAMPLE_IT = "resample it first, for example with `ffmpeg -i IN -ar 48000 OUT.wav`"
"""The next step for a file of a rate that is too low or too high."""

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
    """A binary file that fails with AudioFileError only; it may be a pipe, a non-blocking one too."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        """Take an open file, at the place where the audio begins."""
        self.file = file
        self.name = name
        self.position = 0
        """Bytes read and skipped."""

    def read(self, n_bytes: int) -> bytes:
        """Return n_bytes bytes, fewer only at the end of the file.

        Raises:
            AudioFileError: it cannot be read, or gives text.
        """
        parts = []
        while n_bytes > 0:
            try:
                part = self.file.read(min(n_bytes, PIECE_BYTES))
                if part is None:
                    wait_until_ready(self.file, select.POLLIN)
                    continue
            except (OSError, ValueError) as error:
                raise AudioFileError(f"{self.name}: cannot be read: {error}") from error
            if not isinstance(part, bytes):
                raise AudioFileError(f"{self.name}: must be opened for bytes, got {type(part).__name__}")
            if not part:
                break
            parts.append(part)
            n_bytes -= len(part)
            self.position += len(part)
        return b"".join(parts)

    def skip(self, n_bytes: int) -> None:
        """Move forward; where the source can seek, also beyond its end.

        Raises:
            AudioFileError: it cannot be read.
        """
        try:
            # a hole of gigabytes costs nothing on disk, and would take seconds to read
            if n_bytes > 0 and self.file.seekable():
                self.file.seek(n_bytes, os.SEEK_CUR)
                self.position += n_bytes
                return
        except (OSError, ValueError, AttributeError):
            # a pipe, or an object that only reads
            pass
        while n_bytes > 0:
            n_read = len(self.read(min(n_bytes, PIECE_BYTES)))
            if n_read == 0:
                return
            n_bytes -= n_read

    def bytes_left(self) -> int | None:
        """Return how much lies ahead; None where the source cannot seek."""
        try:
            here = self.file.tell()
            end = self.file.seek(0, os.SEEK_END)
            self.file.seek(here)
        except (OSError, ValueError, AttributeError):
            return None
        return max(0, end - here)
