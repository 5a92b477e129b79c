"""Writes mono WAV files that appear complete, or not at all."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import struct
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from edgevc.audio.source import MAX_RATE, MIN_RATE
from edgevc.audio.wav_reader import FLOAT, PCM, UNKNOWN_SIZE
from edgevc.errors import AudioFileError, ConfigError

_LOG = logging.getLogger(__name__)


class WavWriter:
    """Writes a mono WAV file block by block; the file appears complete, or not at all.

    The samples go to a temporary file in the same folder, which takes the wanted name when the `with` block ends
    without an error; otherwise it is deleted, and a file that had the name before stays as it was.

    A conversion can be made again, a recording of what happens now cannot: with `in_place` the file has its own name
    from the start, replaces nothing, and is whole after each `refresh()`, however the program ends.
    """

    def __init__(
        self, path: str | os.PathLike[str], sample_rate: int, subtype: str = "pcm16", *, in_place: bool = False
    ) -> None:
        """Create the temporary file, or the file itself.

        Args:
            path: Where the file shall be; replaced if it exists.
            sample_rate: Hertz, an integer in [1000, 768000].
            subtype: "pcm16" (rounded without dither, clipped at full scale) or "float32" (as it is).
            in_place: Write under the file's own name, which must not exist; see refresh().

        Raises:
            ConfigError: sample_rate or subtype is not allowed.
            AudioFileError: The file cannot be created, or `path` is a device, a pipe or a folder; with `in_place` also
                where the file exists, and the cause is then FileExistsError.

        """
        self._in_place = in_place
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
            hidden = self._target.with_name(f".edgevc-{secrets.token_hex(8)}.tmp")
            temporary = self._target if in_place else hidden
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
        if size > UNKNOWN_SIZE - 64:
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

    def refresh(self, *, sync: bool = False) -> None:
        """Bring the file and its header up to date: a program that is killed now leaves a file that all can read.

        Args:
            sync: Wait until the disk has it, so that a power cut leaves it as well.

        Raises:
            AudioFileError: The disk is full, or the file is closed.

        """
        if self._temporary is None:
            raise AudioFileError(f"{self.name}: is closed, and takes no more samples")
        try:
            self._file.flush()
            # At its place, not the file's position: that one stays at the end.
            os.pwrite(self._file.fileno(), self._header(), 0)
            if sync:
                os.fdatasync(self._file.fileno())
        except OSError as error:
            raise AudioFileError(f"{self.name}: cannot be written: {error}") from error

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
            if self._in_place:
                self.salvage()
            else:
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
            if not self._in_place:
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
            chunks = b"fmt " + struct.pack("<IHHIIHH", 16, PCM, 1, self.sample_rate, self.sample_rate * 2, 2, 16)
        else:
            # Other formats than PCM carry an extension size and the chunk "fact" (RIFF 1994, "New WAVE Types").
            chunks = b"fmt " + struct.pack("<IHHIIHHH", 18, FLOAT, 1, self.sample_rate, self.sample_rate * 4, 4, 32, 0)
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
