"""RIFF WAVE, read front to back, so that pipes will do. Sources: RIFF 1991 and 1994, mmreg.h, EBU Tech 3306 (RF64)."""

from __future__ import annotations

import logging
import struct

import numpy as np
from numpy.typing import NDArray

from edgevc.audio.pcm import decode_pcm
from edgevc.audio.source import CONVERT_IT, MAX_RATE, MIN_RATE, PIECE_BYTES, RESAMPLE_IT, ByteSource
from edgevc.errors import AudioFileError

_LOG = logging.getLogger(__name__)

# No file has more chunks before its samples; a hostile one could make the search for them last for hours.
_MAX_CHUNKS = 1_000

UNKNOWN_SIZE = 0xFFFFFFFF
"""The data size of a program that could not know it, because its output was a pipe."""

# Other programs leave the largest size that they dare: sox 0x7ffff000, arecord 0x80000000. A file may be that long.
_DOUBTFUL_SIZE = 0x7FFFF000

# Bytes; a ds64 chunk that says more, or nothing, was never filled in.
_LARGEST_LONG_SIZE = 1 << 62

PCM, FLOAT, EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
"""Format tags (mmreg.h)."""

# After the format tag, every sub-format of WAVE_FORMAT_EXTENSIBLE ends with these bytes (mmreg.h).
_SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")


class WavDecoder:
    """RIFF WAVE, read front to back. Sources: RIFF 1991 and 1994, Microsoft's mmreg.h, EBU Tech 3306 (RF64)."""

    def __init__(self, data: ByteSource, head: bytes) -> None:
        """Read all that stands before the samples.

        Args:
            data: just behind `head`.
            head: the first 12 bytes.

        Raises:
            AudioFileError: a rule of the format is broken, or the encoding is not one of those that are read.
        """
        self._data = data
        self._width = 0
        start = data.position - len(head)
        riff_size = int(struct.unpack("<I", head[4:8])[0])
        size, long_size = self._find_samples(has_ds64=head[:4] != b"RIFF")
        if not self._width:
            raise AudioFileError(f"{data.name}: must have a fmt chunk before the data chunk, got none; {CONVERT_IT}")
        if size == UNKNOWN_SIZE and long_size is not None:
            size = long_size if 0 < long_size < _LARGEST_LONG_SIZE else UNKNOWN_SIZE
        # Where the RIFF size counts further chunks, 0 means an empty file; else that the writer never came back.
        elif size == 0 and not data.position - start - 8 < riff_size < UNKNOWN_SIZE:
            size = UNKNOWN_SIZE
        self._until_end = size == UNKNOWN_SIZE
        self._left = size
        doubtful = size >= _DOUBTFUL_SIZE and (self._until_end or (data.bytes_left() or 0) < size)
        self.n_frames = None if doubtful else size // (self._width * self.n_channels)
        self._warn = not doubtful

    def _find_samples(self, *, has_ds64: bool) -> tuple[int, int | None]:
        """Read up to the samples; return the data chunk's size and that of the ds64 chunk, if there is one."""
        data = self._data
        long_size: int | None = None
        for _ in range(_MAX_CHUNKS):
            header = data.read(8)
            if len(header) < 8:
                raise AudioFileError(
                    f"{data.name}: must have a data chunk, got the end of the file first; copy or export it again"
                )
            kind, size = header[:4], int(struct.unpack("<I", header[4:])[0])
            if kind == b"data":
                return size, long_size
            content = b""
            if kind == b"fmt ":
                if self._width:
                    raise AudioFileError(f"{data.name}: must have one fmt chunk, got a second one; {CONVERT_IT}")
                content = data.read(min(size, 40))
                self._read_format(content, size)
            elif kind == b"ds64" and has_ds64:
                content = data.read(min(size, 28))
                if len(content) < 28:
                    raise AudioFileError(
                        f"{data.name}: the ds64 chunk must have 28 bytes, got {len(content)}; {CONVERT_IT}"
                    )
                long_size = int(struct.unpack("<Q", content[8:16])[0])
            # Chunks of odd size are followed by one byte of padding, which the size does not count.
            data.skip(size - len(content) + size % 2)
        raise AudioFileError(
            f"{data.name}: must have a data chunk among the first {_MAX_CHUNKS}, got none; {CONVERT_IT}"
        )

    def read(self, n_frames: int) -> NDArray[np.float32]:
        """Return at most n_frames frames as (T, n_channels); empty at the end of the file.

        Raises:
            AudioFileError: the file cannot be read.
        """
        frame_bytes = self._width * self.n_channels
        n_bytes = min(n_frames, max(PIECE_BYTES // frame_bytes, 1)) * frame_bytes
        if not self._until_end:
            n_bytes = min(n_bytes, self._left)
        raw = self._data.read(n_bytes)
        if not self._until_end:
            self._left -= len(raw)
            if len(raw) < n_bytes and self._warn:
                self._warn = False
                _LOG.warning("%s: cut short, %d bytes of samples are missing", self._data.name, self._left)
        # A last frame that is not whole is dropped.
        n_whole = len(raw) // frame_bytes
        return self._decode(raw[: n_whole * frame_bytes]).reshape(n_whole, self.n_channels)

    def close(self) -> None:
        """Free nothing: all is in the file."""

    def _read_format(self, content: bytes, size: int) -> None:
        name = self._data.name
        if len(content) < 16:
            found = min(size, len(content))
            raise AudioFileError(f"{name}: the fmt chunk must have at least 16 bytes, got {found}; {CONVERT_IT}")
        tag, self.n_channels, self.sample_rate, _, frame_bytes, bits = struct.unpack("<HHIIHH", content[:16])
        if tag == EXTENSIBLE:
            if len(content) < 40 or content[26:40] != _SUBFORMAT_TAIL:
                raise AudioFileError(
                    f"{name}: the sub-format of the extensible fmt chunk must be PCM or float, got "
                    f"{content[24:40].hex()}; {CONVERT_IT}"
                )
            tag = struct.unpack("<H", content[24:26])[0]
        if (tag, bits) not in ((PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64)):
            raise AudioFileError(
                f"{name}: must be PCM (1) of 8, 16, 24 or 32 bits or float (3) of 32 or 64 bits, got format {tag} "
                f"of {bits} bits; {CONVERT_IT}"
            )
        if self.n_channels < 1:
            raise AudioFileError(f"{name}: must have at least 1 channel, got {self.n_channels}; {CONVERT_IT}")
        if not MIN_RATE <= self.sample_rate <= MAX_RATE:
            raise AudioFileError(
                f"{name}: sample rate must be in [{MIN_RATE}, {MAX_RATE}] Hz, got {self.sample_rate}; {RESAMPLE_IT}"
            )
        # block_align is 16 bits wide; with many channels it cannot hold the product.
        if frame_bytes != (self.n_channels * bits // 8) % 65_536:
            raise AudioFileError(
                f"{name}: block align must be {self.n_channels * bits // 8} bytes "
                f"({self.n_channels} channels of {bits} bits), got {frame_bytes}; {CONVERT_IT}"
            )
        self._tag = tag
        self._width = bits // 8

    def _decode(self, raw: bytes) -> NDArray[np.float32]:
        samples: NDArray[np.float32]
        if self._tag == FLOAT:
            # Beyond float32 becomes infinity, which the reader refuses; NaN may carry any payload.
            with np.errstate(all="ignore"):
                samples = np.frombuffer(raw, f"<f{self._width}").astype(np.float32)
        elif self._width == 1:
            # The only unsigned width.
            samples = (np.frombuffer(raw, np.uint8).astype(np.float32) - np.float32(128)) / np.float32(128)
        else:
            samples = decode_pcm(raw, self._width)
        return samples
