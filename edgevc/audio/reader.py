"""Reads audio files of every kind as mono float32: WAV by a parser of our own, FLAC and OGG through soundfile."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgevc.audio.compressed import CompressedDecoder
from edgevc.audio.pcm import mean_of_channels
from edgevc.audio.source import CONVERT_IT, ByteSource, Decoder, Source
from edgevc.audio.wav_reader import WavDecoder
from edgevc.errors import AudioFileError, ConfigError

MAX_SAMPLES = 1 << 28
"""The most samples read_audio() returns (1 GiB of float32, 4.6 hours at 16 kHz)."""

_HEAD_BYTES = 12

# Of an ID3v2 tag.
_TAG_HEADER_BYTES = 10

# What is looked at of an Ogg file to name its codec: a page header of up to 282 bytes, and the packet's first bytes.
_PAGE_BYTES = 282

# Taggers put a second ID3v2 tag before the first; nobody means ten.
_MAX_TAGS = 10

_LOG = logging.getLogger(__name__)

# Where the mean of the channels is so much weaker than they are (30 dB), they cancel each other.
_CANCELLED = 1e-3


class AudioReader:
    """Reads one audio file block by block, so that memory stays flat however long it is.

    WAV may be PCM of 8, 16, 24 or 32 bits or float of 32 or 64 bits, plain, extensible or RF64, cut short, or of
    unknown length as pipes leave it. FLAC and OGG need the package soundfile. All channels are averaged.

    Use it as a context manager; a file object that was passed in is not closed.
    """

    def __init__(self, source: Source) -> None:
        """Open the file and read its header.

        Args:
            source: a path, or a binary file object, which need not seek if it holds WAV.

        Raises:
            AudioFileError: the file cannot be opened, is of no known kind, or its header breaks a rule.
            MissingPackageError: it is FLAC or OGG, and soundfile is not installed.
        """
        self._owned: BinaryIO | None = None
        file: BinaryIO
        if isinstance(source, (str, os.PathLike)):
            self.name = os.fspath(source)
            try:
                self._owned = file = Path(source).open("rb")  # noqa: SIM115 (close() closes it)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise AudioFileError(f"{self.name}: cannot be opened: {reason}; check the path") from error
        else:
            file = source
            self.name = str(getattr(source, "name", "<audio stream>"))
        try:
            self._decoder = _open_decoder(ByteSource(file, self.name))
        except BaseException:
            if self._owned is not None:
                self._owned.close()
            raise
        self._position = 0
        # of the mean, and the mean of the channels' own
        self._energy = self._channel_energy = 0.0

    @property
    def sample_rate(self) -> int:
        """Hertz, in [1000, 768000]."""
        return self._decoder.sample_rate

    @property
    def n_channels(self) -> int:
        """Channels in the file; what is read is their mean."""
        return self._decoder.n_channels

    @property
    def n_samples(self) -> int | None:
        """Length in samples as the header has it, None where it does not say; a file cut short gives fewer."""
        return self._decoder.n_frames

    def read(self, n_samples: int) -> NDArray[np.float32]:
        """Return the next samples, shape (T,), float32; T is n_samples, or less only at the end of the file.

        Raises:
            ConfigError: n_samples is negative.
            AudioFileError: the file cannot be read, or holds NaN or infinity.
        """
        if n_samples < 0:
            raise ConfigError(f"n_samples must be at least 0, got {n_samples}")
        parts: list[NDArray[np.float32]] = []
        while n_samples > 0:
            frames = self._decoder.read(n_samples)
            if frames.shape[0] == 0:
                break
            parts.append(self._mono(frames))
            n_samples -= frames.shape[0]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def blocks(self, block_size: int = 65_536) -> Iterator[NDArray[np.float32]]:
        """Yield the rest of the file in arrays of shape (block_size,), float32; the last one may be shorter.

        Raises:
            ConfigError: block_size is below 1.
            AudioFileError: as read().
        """
        if block_size < 1:
            raise ConfigError(f"block_size must be at least 1, got {block_size}")
        while True:
            block = self.read(block_size)
            if block.size:
                yield block
            if block.size < block_size:
                return

    def close(self) -> None:
        """Close the file, unless it was passed in open; warn where its channels cancelled each other."""
        self._decoder.close()
        if self._owned is not None:
            self._owned.close()
        if self._energy < _CANCELLED * self._channel_energy:
            _LOG.warning(
                "%s: the channels cancel each other, so that their mean is nearly silent; take one of them, for "
                "example with `ffmpeg -i IN -af pan=mono|c0=c0 OUT.wav`",
                self.name,
            )
        self._energy = self._channel_energy = 0.0

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _mono(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        n_channels = frames.shape[1]
        mono = mean_of_channels(frames)
        finite = np.isfinite(mono)
        if not finite.all():
            first = int(np.argmin(finite))
            raise AudioFileError(
                f"{self.name}: samples must be finite, got {mono[first]} at {self._position + first}; repair the file"
            )
        if n_channels > 1:
            self._energy += _energy(mono)
            self._channel_energy += _energy(frames.reshape(-1)) / n_channels
        self._position += mono.size
        return mono


def _energy(samples: NDArray[np.float32]) -> float:
    return float(np.einsum("i,i->", samples, samples, dtype=np.float64))


def read_audio(source: Source, max_samples: int = MAX_SAMPLES) -> tuple[NDArray[np.float32], int, int]:
    """Read a whole audio file; see AudioReader for the kinds, and for reading long ones in blocks.

    Args:
        source: a path, or a binary file object.
        max_samples: a longer file is refused, since a small compressed file can hold hours.

    Returns:
        The mean of all channels with shape (T,), float32, full scale 1.0; the sample rate in hertz; the channel count.

    Raises:
        AudioFileError: the file cannot be read, breaks a rule of its format, is too long, or holds NaN or infinity.
    """
    with AudioReader(source) as reader:
        parts: list[NDArray[np.float32]] = []
        n_samples = 0
        for block in reader.blocks():
            n_samples += block.size
            if n_samples > max_samples:
                raise AudioFileError(
                    f"{reader.name}: must hold at most {max_samples} samples, got more; read it with AudioReader.blocks"
                )
            parts.append(block)
        samples = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        return samples, reader.sample_rate, reader.n_channels


def _open_decoder(data: ByteSource) -> Decoder:
    head = data.read(_TAG_HEADER_BYTES)
    for _ in range(_MAX_TAGS):
        if head[:3] != b"ID3":
            break
        # the last four bytes count what follows, in seven bits each
        low_bits = [byte & 0x7F for byte in head[6:]]
        data.skip(sum(bits << shift for bits, shift in zip(low_bits, (21, 14, 7, 0), strict=False)))
        head = data.read(_TAG_HEADER_BYTES)
    head += data.read(_HEAD_BYTES - len(head))
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:] == b"WAVE":
        return WavDecoder(data, head)
    if head[:4] in (b"fLaC", b"OggS"):
        return CompressedDecoder(data, head + data.read(_PAGE_BYTES))
    raise AudioFileError(f"{data.name}: must be a WAV, FLAC or OGG file, got the first bytes {head!r}; {CONVERT_IT}")
