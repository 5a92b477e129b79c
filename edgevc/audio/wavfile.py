"""Reads and writes audio files as mono float32: WAV by a parser of our own, FLAC and OGG through soundfile."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from edgevc.errors import AudioFileError, ConfigError

_LOG = logging.getLogger(__name__)

MIN_RATE = 1_000
"""Hertz; the lowest sample rate a file may have."""

MAX_RATE = 768_000
"""Hertz; the highest sample rate a file may have."""

MAX_SAMPLES = 1 << 28
"""The most samples read_audio() returns (1 GiB of float32, 4.6 hours at 16 kHz)."""

# No file has more chunks before its samples; a hostile one could make the search for them last for hours.
_MAX_CHUNKS = 1_000

# What is held of an encoded file at a time. One frame of 65,535 channels of 8 bytes fits.
_PIECE_BYTES = 1 << 20

# Frames decoded at a time from FLAC and OGG, of up to 255 channels.
_PIECE_FRAMES = 1 << 12

# The data size of a program that could not know it, because its output was a pipe.
_UNKNOWN_SIZE = 0xFFFFFFFF

_PCM, _FLOAT, _EXTENSIBLE = 0x0001, 0x0003, 0xFFFE

# After the format tag, every sub-format of WAVE_FORMAT_EXTENSIBLE ends with these bytes (mmreg.h).
_SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")

Source = str | os.PathLike[str] | BinaryIO


class _Decoder(Protocol):
    sample_rate: int
    n_channels: int
    n_frames: int | None

    def read(self, n_frames: int) -> NDArray[np.float32]:
        """Return at most n_frames frames as (T, n_channels); empty at the end of the file."""
        ...

    def close(self) -> None:
        """Free what the decoder holds, but leave the file open."""
        ...


class AudioReader:
    """Reads one audio file block by block, so that memory stays flat however long it is.

    WAV may be PCM of 8, 16, 24 or 32 bits or float of 32 or 64 bits, plain, extensible or RF64, cut short, or of
    unknown length as pipes leave it. FLAC and OGG need the package soundfile. All channels are averaged.

    Use it as a context manager; a file object that was passed in is not closed.
    """

    def __init__(self, source: Source) -> None:
        """Open the file and read its header.

        Args:
            source: A path, or a binary file object, which need not seek if it holds WAV.

        Raises:
            AudioFileError: The file cannot be opened, is of no known kind, or its header breaks a rule.

        """
        self._owned: BinaryIO | None = None
        file: BinaryIO
        if isinstance(source, (str, os.PathLike)):
            self.name = os.fspath(source)
            try:
                self._owned = file = Path(source).open("rb")  # noqa: SIM115 (close() closes it)
            except (OSError, ValueError) as error:
                raise AudioFileError(f"{self.name}: cannot be opened: {error}") from error
        else:
            file = source
            self.name = str(getattr(source, "name", "<audio stream>"))
        try:
            self._decoder = _open_decoder(_Bytes(file, self.name))
        except BaseException:
            if self._owned is not None:
                self._owned.close()
            raise
        self._position = 0

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
            AudioFileError: The file cannot be read, or holds NaN or infinity.

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
            AudioFileError: As read().

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
        """Close the file, unless it was passed in open."""
        self._decoder.close()
        if self._owned is not None:
            self._owned.close()

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _mono(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        # float64: the sum of two channels may be beyond float32 although their mean is not.
        mono = frames[:, 0] if frames.shape[1] == 1 else frames.mean(axis=1, dtype=np.float64).astype(np.float32)
        finite = np.isfinite(mono)
        if not finite.all():
            first = int(np.argmin(finite))
            raise AudioFileError(f"{self.name}: samples must be finite, got {mono[first]} at {self._position + first}")
        self._position += mono.size
        return mono


def read_audio(source: Source, max_samples: int = MAX_SAMPLES) -> tuple[NDArray[np.float32], int, int]:
    """Read a whole audio file; see AudioReader for the kinds, and for reading long ones in blocks.

    Args:
        source: A path, or a binary file object.
        max_samples: A longer file is refused, since a small compressed file can hold hours.

    Returns:
        The mean of all channels with shape (T,), float32, full scale 1.0; the sample rate in hertz; the channel count.

    Raises:
        AudioFileError: The file cannot be read, breaks a rule of its format, is too long, or holds NaN or infinity.

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


class WavWriter:
    """Writes a mono WAV file block by block; the file appears complete, or not at all.

    The samples go to a temporary file in the same folder, which takes the wanted name when the `with` block ends
    without an error; otherwise it is deleted, and a file that had the name before stays as it was.
    """

    def __init__(self, path: str | os.PathLike[str], sample_rate: int, subtype: str = "pcm16") -> None:
        """Create the temporary file.

        Args:
            path: Where the file shall be; replaced if it exists.
            sample_rate: Hertz, an integer in [1000, 768000].
            subtype: "pcm16" (rounded without dither, clipped at full scale) or "float32" (as it is).

        Raises:
            ConfigError: sample_rate or subtype is not allowed.
            AudioFileError: The file cannot be created, or `path` is a device, a pipe or a folder.

        """
        self._temporary: Path | None = None
        if isinstance(sample_rate, bool) or not isinstance(sample_rate, (int, np.integer)):
            raise ConfigError(f"sample_rate must be an integer in hertz, got {sample_rate!r}")
        if not MIN_RATE <= sample_rate <= MAX_RATE:
            raise ConfigError(f"sample_rate must be in [{MIN_RATE}, {MAX_RATE}] Hz, got {sample_rate}")
        if subtype not in ("pcm16", "float32"):
            raise ConfigError(f'subtype must be "pcm16" or "float32", got {subtype!r}')
        self.sample_rate = int(sample_rate)
        self.subtype = subtype
        self.n_samples = 0
        """Samples written so far."""
        self.clipped_samples = 0
        """How many of them were beyond full scale and clipped; always 0 for float32."""
        self.name = os.fspath(path)
        try:
            # Through a symbolic link to the file behind it, which stays one file with two names.
            self._target = Path(os.path.realpath(path))
            # Replacing a device or a pipe by a file would break the machine, with enough rights to do it.
            if self._target.exists() and not self._target.is_file():
                raise AudioFileError(f"{self.name}: must be a regular file or not exist")
            temporary = self._target.with_name(f".edgevc-{secrets.token_hex(8)}.tmp")
            # "x": never through a file or a link that somebody put there.
            self._file = temporary.open("xb")
            self._temporary = temporary
            self._file.write(self._header())
        except (OSError, ValueError) as error:
            self.abort()
            raise AudioFileError(f"{self.name}: cannot be written: {error}") from error

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append samples of shape (T,), float32, full scale 1.0.

        Raises:
            TypeError: `samples` is not a float32 array.
            ConfigError: `samples` has not one axis.
            AudioFileError: They hold NaN or infinity, the disk is full, the file is closed, or it would pass 4 GiB.

        """
        if not isinstance(samples, np.ndarray):
            raise TypeError(f"expected a NumPy array of float32, got {type(samples).__name__}")
        if samples.dtype != np.float32:
            raise TypeError(f"expected float32, got {samples.dtype}")
        if samples.ndim != 1:
            raise ConfigError(f"samples must have shape (T,), got {samples.shape}")
        if self._temporary is None:
            raise AudioFileError(f"{self.name}: is closed, and takes no more samples")
        finite = np.isfinite(samples)
        if not finite.all():
            first = int(np.argmin(finite))
            raise AudioFileError(
                f"{self.name}: samples must be finite, got {samples[first]} at {self.n_samples + first}"
            )
        size = (self.n_samples + samples.size) * self._bytes_per_sample
        if size > _UNKNOWN_SIZE - 64:
            raise AudioFileError(
                f"{self.name}: a WAV file must stay below 4 GiB, got {size} bytes; write several files"
            )
        clipped = 0
        if self.subtype == "float32":
            encoded = samples.astype("<f4", copy=False).tobytes()
        else:
            clipped = int(np.count_nonzero(np.abs(samples) > 1.0))
            scaled = np.rint(np.clip(samples, -1.0, 1.0) * np.float32(32_768))
            encoded = np.minimum(scaled, 32_767).astype("<i2").tobytes()
        try:
            self._file.write(encoded)
        except OSError as error:
            raise AudioFileError(f"{self.name}: cannot be written: {error}") from error
        self.n_samples += samples.size
        self.clipped_samples += clipped

    def close(self) -> None:
        """Complete the file and give it its name; do nothing after the first time or after abort()."""
        if self._temporary is None:
            return
        try:
            self._file.seek(0)
            self._file.write(self._header())
            self._file.flush()
            # Else a power cut soon after, common on boards, could leave the name on an empty file.
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.replace(self._target)
        except OSError as error:
            self.abort()
            raise AudioFileError(f"{self.name}: cannot be written: {error}") from error
        self._temporary = None
        if self.clipped_samples:
            _LOG.warning("%s: %d of %d samples clipped", self.name, self.clipped_samples, self.n_samples)

    def salvage(self) -> None:
        """Complete the file with what the disk has taken, after a write that failed; give up where that fails too."""
        if self._temporary is None:
            return
        temporary, self._temporary = self._temporary, None
        descriptor = self._file.fileno()
        try:
            size = os.fstat(descriptor).st_size
            self.n_samples = max(0, size - len(self._header())) // self._bytes_per_sample
            # past the buffer, which holds what found no room
            os.pwrite(descriptor, self._header(), 0)
            temporary.replace(self._target)
        except OSError as error:
            _LOG.warning("%s: what was written cannot be kept: %s", self.name, error)
            temporary.unlink(missing_ok=True)
        finally:
            with contextlib.suppress(OSError):
                self._file.close()

    def abort(self) -> None:
        """Delete what was written; a file that had the name before stays as it was."""
        if self._temporary is None:
            return
        temporary, self._temporary = self._temporary, None
        try:
            self._file.close()
        except OSError:
            # A full disk shows again when the buffer is emptied; the file goes anyway.
            _LOG.debug("%s: closing failed", temporary)
        temporary.unlink(missing_ok=True)

    def __enter__(self) -> WavWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    @property
    def _bytes_per_sample(self) -> int:
        return 2 if self.subtype == "pcm16" else 4

    def _header(self) -> bytes:
        width = self._bytes_per_sample
        size = self.n_samples * width
        if self.subtype == "pcm16":
            chunks = b"fmt " + struct.pack("<IHHIIHH", 16, _PCM, 1, self.sample_rate, self.sample_rate * 2, 2, 16)
        else:
            # Other formats than PCM carry an extension size and the chunk "fact" (RIFF 1994, "New WAVE Types").
            chunks = b"fmt " + struct.pack("<IHHIIHHH", 18, _FLOAT, 1, self.sample_rate, self.sample_rate * 4, 4, 32, 0)
            chunks += b"fact" + struct.pack("<II", 4, self.n_samples)
        chunks += b"data" + struct.pack("<I", size)
        return b"RIFF" + struct.pack("<I", 4 + len(chunks) + size) + b"WAVE" + chunks


def write_wav(
    path: str | os.PathLike[str], samples: NDArray[np.float32], sample_rate: int, subtype: str = "pcm16"
) -> int:
    """Write a mono WAV file, complete or not at all; see WavWriter.

    Args:
        path: Where the file shall be; replaced if it exists.
        samples: Shape (T,), float32, full scale 1.0, finite.
        sample_rate: Hertz, an integer in [1000, 768000].
        subtype: "pcm16" (rounded without dither, clipped at full scale) or "float32" (as it is).

    Returns:
        How many samples were beyond full scale and clipped; always 0 for float32.

    Raises:
        TypeError: `samples` is not a float32 array.
        ConfigError: sample_rate, subtype or the shape of `samples` is not allowed.
        AudioFileError: The samples hold NaN or infinity, or the file cannot be written.

    """
    with WavWriter(path, sample_rate, subtype) as writer:
        writer.write(samples)
    return writer.clipped_samples


class _Bytes:
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
                part = self.file.read(min(n_bytes, _PIECE_BYTES))
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
            n_read = len(self.read(min(n_bytes, _PIECE_BYTES)))
            if n_read == 0:
                return
            n_bytes -= n_read


def _open_decoder(data: _Bytes) -> _Decoder:
    head = data.read(12)
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:] == b"WAVE":
        return _WavDecoder(data, head)
    if head[:4] in (b"fLaC", b"OggS"):
        return _SoundfileDecoder(data, len(head))
    raise AudioFileError(
        f"{data.name}: must be a WAV, FLAC or OGG file, got the first bytes {head!r}; "
        "convert it, for example with `ffmpeg -i IN -c:a pcm_s16le OUT.wav`"
    )


class _WavDecoder:
    """RIFF WAVE, read front to back. Sources: RIFF 1991 and 1994, Microsoft's mmreg.h, EBU Tech 3306 (RF64)."""

    def __init__(self, data: _Bytes, head: bytes) -> None:
        self._data = data
        self._width = 0
        riff_size = int(struct.unpack("<I", head[4:8])[0])
        long_size: int | None = None
        for _ in range(_MAX_CHUNKS):
            header = data.read(8)
            if len(header) < 8:
                raise AudioFileError(f"{data.name}: must have a data chunk, got the end of the file first")
            kind, size = header[:4], int(struct.unpack("<I", header[4:])[0])
            if kind == b"data":
                break
            if kind == b"fmt ":
                if self._width:
                    raise AudioFileError(f"{data.name}: must have one fmt chunk, got a second one")
                content = data.read(min(size, 40))
                self._read_format(content, size)
            elif kind == b"ds64" and head[:4] != b"RIFF":
                content = data.read(min(size, 28))
                if len(content) < 28:
                    raise AudioFileError(f"{data.name}: the ds64 chunk must have 28 bytes, got {len(content)}")
                long_size = int(struct.unpack("<Q", content[8:16])[0])
            else:
                content = b""
            # Chunks of odd size are followed by one byte of padding, which the size does not count.
            data.skip(size - len(content) + size % 2)
        else:
            raise AudioFileError(f"{data.name}: must have a data chunk among the first {_MAX_CHUNKS}, got none")
        if not self._width:
            raise AudioFileError(f"{data.name}: must have a fmt chunk before the data chunk, got none")
        if size == _UNKNOWN_SIZE and long_size is not None:
            size = long_size
        # Where the RIFF size counts further chunks, 0 means an empty file; else that the writer never came back.
        elif size == 0 and not data.position - 8 < riff_size < _UNKNOWN_SIZE:
            size = _UNKNOWN_SIZE
        self._until_end = size == _UNKNOWN_SIZE
        self._left = size
        self.n_frames = None if self._until_end else size // (self._width * self.n_channels)
        self._warned = False

    def read(self, n_frames: int) -> NDArray[np.float32]:
        frame_bytes = self._width * self.n_channels
        n_bytes = min(n_frames, max(_PIECE_BYTES // frame_bytes, 1)) * frame_bytes
        if not self._until_end:
            n_bytes = min(n_bytes, self._left)
        raw = self._data.read(n_bytes)
        if not self._until_end:
            self._left -= len(raw)
            if len(raw) < n_bytes and not self._warned:
                self._warned = True
                _LOG.warning("%s: cut short, %d bytes of samples are missing", self._data.name, self._left)
        # A last frame that is not whole is dropped.
        n_whole = len(raw) // frame_bytes
        return self._decode(raw[: n_whole * frame_bytes]).reshape(n_whole, self.n_channels)

    def close(self) -> None:
        """Free nothing: all is in the file."""

    def _read_format(self, content: bytes, size: int) -> None:
        name = self._data.name
        if len(content) < 16:
            raise AudioFileError(f"{name}: the fmt chunk must have at least 16 bytes, got {min(size, len(content))}")
        tag, self.n_channels, self.sample_rate, _, frame_bytes, bits = struct.unpack("<HHIIHH", content[:16])
        if tag == _EXTENSIBLE:
            if len(content) < 40 or content[26:40] != _SUBFORMAT_TAIL:
                raise AudioFileError(f"{name}: the extensible fmt chunk must name a known sub-format, got {content!r}")
            tag = struct.unpack("<H", content[24:26])[0]
        if (tag, bits) not in ((_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)):
            raise AudioFileError(
                f"{name}: must be PCM (1) of 8, 16, 24 or 32 bits or float (3) of 32 or 64 bits, got format {tag} "
                f"of {bits} bits; convert it, for example with `ffmpeg -i IN -c:a pcm_s16le OUT.wav`"
            )
        if self.n_channels < 1:
            raise AudioFileError(f"{name}: must have at least 1 channel, got {self.n_channels}")
        if not MIN_RATE <= self.sample_rate <= MAX_RATE:
            raise AudioFileError(f"{name}: sample rate must be in [{MIN_RATE}, {MAX_RATE}] Hz, got {self.sample_rate}")
        # block_align is 16 bits wide; with many channels it cannot hold the product.
        if frame_bytes != (self.n_channels * bits // 8) % 65_536:
            raise AudioFileError(
                f"{name}: block align must be {self.n_channels * bits // 8} bytes "
                f"({self.n_channels} channels of {bits} bits), got {frame_bytes}"
            )
        self._tag = tag
        self._width = bits // 8

    def _decode(self, raw: bytes) -> NDArray[np.float32]:
        samples: NDArray[np.float32]
        if self._tag == _FLOAT:
            # Beyond float32 becomes infinity, which the reader refuses; NaN may carry any payload.
            with np.errstate(all="ignore"):
                samples = np.frombuffer(raw, f"<f{self._width}").astype(np.float32)
        elif self._width == 1:
            # The only unsigned width.
            samples = (np.frombuffer(raw, np.uint8).astype(np.float32) - np.float32(128)) / np.float32(128)
        elif self._width == 3:
            wide = np.zeros((len(raw) // 3, 4), np.uint8)
            # The three bytes become the upper ones of 32 bits, which keeps the sign.
            wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
            samples = wide.view("<i4")[:, 0].astype(np.float32) / np.float32(1 << 31)
        else:
            full_scale = np.float32(1 << (8 * self._width - 1))
            samples = np.frombuffer(raw, f"<i{self._width}").astype(np.float32) / full_scale
        return samples


class _SoundfileDecoder:
    """FLAC and OGG through libsndfile."""

    def __init__(self, data: _Bytes, n_read: int) -> None:
        try:
            import soundfile
        except (ImportError, OSError) as error:
            # OSError: the package is there, but not the library libsndfile.
            raise AudioFileError(
                f'{data.name}: FLAC and OGG need soundfile; install it with `pip install "edgevc[audio]"`'
            ) from error
        self._name = data.name
        self._error: type[Exception] = soundfile.SoundFileError
        try:
            data.file.seek(-n_read, os.SEEK_CUR)
        except (OSError, ValueError) as error:
            raise AudioFileError(f"{data.name}: FLAC and OGG must be read from a file that can seek") from error
        try:
            self._sound: Any = soundfile.SoundFile(data.file)
        except (self._error, OSError, ValueError, TypeError) as error:
            raise AudioFileError(f"{data.name}: is damaged: {error}") from error
        self.sample_rate = int(self._sound.samplerate)
        self.n_channels = int(self._sound.channels)
        # libsndfile gives 0 or its largest number where a stream does not say
        frames = int(self._sound.frames)
        self.n_frames: int | None = frames if 0 < frames < 1 << 60 else None
        if not MIN_RATE <= self.sample_rate <= MAX_RATE:
            raise AudioFileError(
                f"{data.name}: sample rate must be in [{MIN_RATE}, {MAX_RATE}] Hz, got {self.sample_rate}"
            )

    def read(self, n_frames: int) -> NDArray[np.float32]:
        try:
            frames: NDArray[np.float32] = self._sound.read(
                min(n_frames, _PIECE_FRAMES), dtype="float32", always_2d=True
            )
        except (self._error, OSError, ValueError, TypeError) as error:
            raise AudioFileError(f"{self._name}: is damaged: {error}") from error
        return frames

    def close(self) -> None:
        self._sound.close()
