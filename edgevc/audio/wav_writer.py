"""Writes mono WAV files that appear complete, or not at all."""

from __future__ import annotations

import contextlib
import logging
import os
import struct
from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgevc.arrays import as_mono_float32, require_finite
from edgevc.audio.provenance import Provenance
from edgevc.audio.source import MAX_RATE, MIN_RATE
from edgevc.audio.wav_reader import FLOAT, PCM, UNKNOWN_SIZE
from edgevc.errors import ConfigError, EdgevcError, OutputError
from edgevc.files import AtomicFile, NewFile, cannot_write

_LOG = logging.getLogger(__name__)

SUBTYPE_BYTES = {"pcm16": 2, "float32": 4}
"""Bytes of a sample of each kind that is written."""


def wav_header(sample_rate: int, subtype: str, n_samples: int | None, provenance: Provenance | None = None) -> bytes:
    """Return all that stands before the samples of a mono WAV file; as long for any number of samples.

    Args:
        sample_rate: hertz.
        subtype: "pcm16" or "float32".
        n_samples: how many follow; None where that is not known yet, which readers take for "until the end".
        provenance: what the file says of how it was made.
    """
    width = SUBTYPE_BYTES[subtype]
    size = UNKNOWN_SIZE if n_samples is None else n_samples * width
    if subtype == "pcm16":
        chunks = b"fmt " + struct.pack("<IHHIIHH", 16, PCM, 1, sample_rate, sample_rate * width, width, 8 * width)
    else:
        # Other formats than PCM carry an extension size and the chunk "fact" (RIFF 1994, "New WAVE Types").
        chunks = b"fmt " + struct.pack("<IHHIIHHH", 18, FLOAT, 1, sample_rate, sample_rate * width, width, 8 * width, 0)
        chunks += b"fact" + struct.pack("<II", 4, UNKNOWN_SIZE if n_samples is None else n_samples)
    if provenance is not None:
        chunks += provenance.chunks(sample_rate, 8 * width)
    chunks += b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", min(4 + len(chunks) + size, UNKNOWN_SIZE)) + b"WAVE" + chunks


def encode_pcm16(samples: NDArray[np.float32]) -> bytes:
    """Return finite samples as 16-bit little-endian PCM, rounded without dither and clipped at full scale."""
    scaled = np.rint(np.clip(samples, -1.0, 1.0) * np.float32(32_768))
    encoded: bytes = np.minimum(scaled, 32_767).astype("<i2").tobytes()
    return encoded


class WavWriter:
    """Writes a mono WAV file block by block; the file appears complete, or not at all.

    The samples go to a temporary file in the same folder, which takes the wanted name when the `with` block ends
    without an error; otherwise it is deleted, and a file that had the name before stays as it was.

    A conversion can be made again, a recording of what happens now cannot: with `in_place` the file has its own name
    from the start, replaces nothing, and is whole after each `refresh()`, however the program ends.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate: int,
        subtype: str = "pcm16",
        *,
        in_place: bool = False,
        provenance: Provenance | None = None,
        seal: Callable[[BinaryIO, BinaryIO], None] | None = None,
        durable: bool = True,
    ) -> None:
        """Create the temporary file, or the file itself.

        Args:
            path: where the file shall be; replaced if it exists.
            sample_rate: hertz, an integer in [1000, 768000].
            subtype: "pcm16" (rounded without dither, clipped at full scale) or "float32" (as it is).
            in_place: write under the file's own name, which must not exist; see refresh().
            provenance: what the file says of how it was made; None: nothing.
            seal: writes the file that takes the name, given the whole one and an empty one; not with `in_place`.
            durable: close() waits until the disk has the samples; False where the caller sees to that for many files.

        Raises:
            ConfigError: sample_rate or subtype is not allowed.
            OutputError: the file cannot be created, or `path` is a device, a pipe or a folder; with `in_place` also
                where the file exists, and the cause is then FileExistsError.
        """
        if isinstance(sample_rate, bool) or not isinstance(sample_rate, (int, np.integer)):
            raise ConfigError(f"sample_rate must be an integer in hertz, got {sample_rate!r}")
        if not MIN_RATE <= sample_rate <= MAX_RATE:
            raise ConfigError(f"sample_rate must be in [{MIN_RATE}, {MAX_RATE}] Hz, got {sample_rate}")
        if subtype not in SUBTYPE_BYTES:
            raise ConfigError(f'subtype must be "pcm16" or "float32", got {subtype!r}')
        self.sample_rate = int(sample_rate)
        self.subtype = subtype
        self.n_samples = 0
        """Samples written so far."""
        self.clipped_samples = 0
        """How many of them were beyond full scale and clipped; always 0 for float32."""
        self.name = os.fspath(path)
        self._in_place = in_place
        self._provenance = provenance
        self._seal = seal
        self._durable = durable
        self._file: AtomicFile | NewFile = NewFile(path) if in_place else AtomicFile(path)
        try:
            header = self._header(None)
            self._header_bytes = len(header)
            self._append(header)
        except OutputError:
            self.abort()
            raise

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append samples of shape (T,), float32, full scale 1.0.

        Raises:
            TypeError: `samples` is not a float32 array.
            ConfigError: `samples` has not one axis, or holds NaN or infinity.
            OutputError: the disk is full, the file is closed, or it would pass 4 GiB.
        """
        samples = as_mono_float32(samples)
        self._require_open()
        if not samples.size:
            return
        require_finite(samples, f"{self.name}: samples")
        size = (self.n_samples + samples.size) * SUBTYPE_BYTES[self.subtype]
        if size > UNKNOWN_SIZE - self._header_bytes:
            raise OutputError(f"{self.name}: a WAV file must stay below 4 GiB, got {size} bytes; write several files")
        if self.subtype == "float32":
            self._append(samples.astype("<f4", copy=False).tobytes())
        else:
            self._append(encode_pcm16(samples))
            self.clipped_samples += int(np.count_nonzero(np.abs(samples) > 1.0))
        self.n_samples += samples.size

    def refresh(self, *, sync: bool = False) -> None:
        """Bring the file's header up to date: a program that is killed now leaves a file that all can read.

        Args:
            sync: wait until the disk has it, so that a power cut leaves it as well.

        Raises:
            OutputError: the disk is full, or the file is closed.
        """
        self._require_open()
        try:
            descriptor = self._file.file.fileno()
            # At its place, not the file's position: that one stays at the end.
            os.pwrite(descriptor, self._header(self.n_samples), 0)
            if sync:
                # Else a power cut soon after, common on boards, could leave the name on an empty file.
                os.fdatasync(descriptor)
        except OSError as error:
            raise cannot_write(self.name, error) from error

    def close(self) -> None:
        """Complete the file and give it its name; do nothing after the first time or after abort()."""
        if not self._file.open:
            return
        try:
            self.refresh(sync=self._durable)
            if self._seal is not None:
                self._file = self._sealed(self._seal)
            self._file.commit()
        except EdgevcError:
            if self._in_place:
                self.salvage()
            else:
                self.abort()
            raise
        if self.clipped_samples:
            _LOG.warning("%s: %d of %d samples clipped", self.name, self.clipped_samples, self.n_samples)

    def _sealed(self, seal: Callable[[BinaryIO, BinaryIO], None]) -> AtomicFile:
        """Return the sealed file; the other one is deleted."""
        sealed = AtomicFile(self.name)
        try:
            self._file.file.seek(0)
            seal(self._file.file, sealed.file)
            sealed.file.flush()
            os.fdatasync(sealed.file.fileno())
        except OSError as error:
            sealed.abort()
            raise cannot_write(self.name, error) from error
        except BaseException:
            sealed.abort()
            raise
        self._file.abort()
        return sealed

    def salvage(self) -> None:
        """Complete the file with what the disk has taken, after a write that failed; give up where that fails too."""
        if not self._file.open:
            return
        try:
            written = os.fstat(self._file.file.fileno()).st_size - len(self._header(0))
            self.n_samples = max(0, written) // SUBTYPE_BYTES[self.subtype]
            self.refresh()
            self._file.commit()
        except (OSError, OutputError) as error:
            _LOG.warning("%s: what was written cannot be kept: %s", self.name, error)
            if self._in_place:
                with contextlib.suppress(OutputError):
                    self._file.commit()
            else:
                self.abort()

    def abort(self) -> None:
        """Delete what was written; a file that had the name before stays as it was."""
        self._file.abort()

    def _header(self, n_samples: int | None) -> bytes:
        return wav_header(self.sample_rate, self.subtype, n_samples, self._provenance)

    def _append(self, data: bytes) -> None:
        # no buffer: after a full disk it would still hold what found no room
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file.file.fileno(), rest) :]
        except OSError as error:
            raise cannot_write(self.name, error) from error

    def _require_open(self) -> None:
        if not self._file.open:
            raise OutputError(f"{self.name}: is closed, and takes no more samples; open another one")

    def __enter__(self) -> WavWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def write_wav(
    path: str | os.PathLike[str], samples: NDArray[np.float32], sample_rate: int, subtype: str = "pcm16"
) -> int:
    """Write a mono WAV file, complete or not at all; see WavWriter.

    Args:
        path: where the file shall be; replaced if it exists.
        samples: shape (T,), float32, full scale 1.0, finite.
        sample_rate: hertz, an integer in [1000, 768000].
        subtype: "pcm16" (rounded without dither, clipped at full scale) or "float32" (as it is).

    Returns:
        How many samples were beyond full scale and clipped; always 0 for float32.

    Raises:
        TypeError: `samples` is not a float32 array.
        ConfigError: sample_rate or subtype is not allowed, or `samples` have another shape, or hold NaN or infinity.
        OutputError: the file cannot be written.
    """
    with WavWriter(path, sample_rate, subtype) as writer:
        writer.write(samples)
    return writer.clipped_samples
