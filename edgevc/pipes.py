"""Pipes that another program holds the other end of: it may make them non-blocking, or send a file instead of PCM."""

from __future__ import annotations

import io
import os
import select
import time
from typing import Any, BinaryIO

from edgevc.errors import AudioFileError

MAGIC_BYTES = 4
"""How much of a stream shows what it is."""

_CONTAINERS = {
    **dict.fromkeys((b"RIFF", b"RIFX", b"RF64", b"BW64"), "a WAV file"),
    b"fLaC": "a FLAC file",
    b"OggS": "an Ogg file",
    b"FORM": "an AIFF file",
    b"caff": "a CAF file",
    b".snd": "an AU file",
}


def refuse_container(head: bytes) -> None:
    """Refuse an audio file where raw PCM is meant: its header would become sound, at a rate that it does not have.

    Args:
        head: the first bytes of the stream, at least MAGIC_BYTES unless it ended before.

    Raises:
        AudioFileError: they are those of an audio file. PCM begins so once in 500 million times.
    """
    found = _CONTAINERS.get(head[:MAGIC_BYTES])
    if found is not None:
        raise AudioFileError(
            f"raw input must be PCM without a header, got {found} ({head[:MAGIC_BYTES]!r}); give the file's name "
            "instead, or send raw PCM (arecord -t raw, sox -t s16, ffmpeg -f s16le)"
        )


def read_some(source: Any, n_bytes: int) -> bytes:
    """Return what is there, 1 to n_bytes bytes, waiting where nothing is; empty only at the end.

    Args:
        source: a binary file object, buffered or not.
        n_bytes: at least 1.
    """
    # one call of the system: what a pipe holds, not all that was asked for; read1() takes "nothing yet" for the end
    readinto = getattr(source, "readinto1", None) or source.readinto
    buffer = bytearray(n_bytes)
    while (count := readinto(buffer)) is None:
        wait_until_ready(source, select.POLLIN)
    return bytes(memoryview(buffer)[:count])


def write_all(target: BinaryIO, data: bytes) -> None:
    """Write all of it and flush, waiting for room; an unbuffered or non-blocking pipe may take a part at a time."""
    rest = memoryview(data)
    while rest:
        try:
            taken: int | None = target.write(rest)
        except BlockingIOError as error:
            taken = error.characters_written
        rest = rest[taken or 0 :]
        if rest:
            wait_until_ready(target, select.POLLOUT)
    while True:
        try:
            target.flush()
        except BlockingIOError:
            wait_until_ready(target, select.POLLOUT)
        else:
            return


class WaitingWriter(io.RawIOBase):
    """Writes to the descriptor of an open file, always all of it, whoever makes it non-blocking."""

    def __init__(self, file: Any) -> None:
        """Take over from `file`, whose buffer must be empty and stay so."""
        # a file that nobody holds closes its descriptor
        self._file = file

    def fileno(self) -> int:
        """Return the descriptor."""
        return int(self._file.fileno())

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self.fileno())

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Write all of it, waiting for room; return its length in bytes."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            try:
                rest = rest[os.write(self.fileno(), rest) :]
            except BlockingIOError:
                wait_until_ready(self, select.POLLOUT)
        return size


def wait_until_ready(file: Any, event: int) -> None:
    """Sleep until a descriptor can be read (select.POLLIN) or written (select.POLLOUT), or its other end is gone."""
    try:
        poller = select.poll()
        poller.register(file.fileno(), event)
    except (OSError, ValueError, AttributeError):
        # an object that is not blocking and has no descriptor to wait for
        time.sleep(0.005)
        return
    poller.poll()
