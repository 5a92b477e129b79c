"""FLAC and Opus files that appear complete, or not at all, through the package soundfile."""

from __future__ import annotations

import logging
import os
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevc.arrays import as_mono_float32, require_finite
from edgevc.audio.provenance import Provenance
from edgevc.errors import MissingPackageError, OutputError
from edgevc.files import AtomicFile, cannot_write

_LOG = logging.getLogger(__name__)

KINDS = {".flac": ("FLAC", "PCM_16"), ".opus": ("OGG", "OPUS")}
"""Suffix of a file's name to libsndfile's container and codec."""


def require_soundfile(name: str) -> Any:
    """Return the module soundfile.

    Raises:
        MissingPackageError: it, or the library libsndfile, is not installed; `name` is what needs it.
    """
    try:
        import soundfile
    except (ImportError, OSError) as error:
        # OSError: the package is there, but not the library libsndfile.
        raise MissingPackageError(f"{name}: writing FLAC or Opus", "soundfile", "audio") from error
    return soundfile


class CompressedWriter:
    """Writes a mono FLAC (16 bits) or Opus file block by block, as `WavWriter` does with WAV.

    An Opus stream has a serial number, which libsndfile draws: the same sound gives other bytes each time.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate: int,
        *,
        provenance: Provenance | None = None,
        durable: bool = True,
    ) -> None:
        """Create the temporary file.

        Args:
            path: where the file shall be, ending in .flac or .opus; replaced if it exists.
            sample_rate: hertz; for Opus 8000, 12000, 16000, 24000 or 48000.
            provenance: what the file's comments say of how it was made; None: nothing.
            durable: see `WavWriter`.

        Raises:
            MissingPackageError: soundfile is not installed.
            OutputError: the file cannot be created, or the codec does not know the rate.
        """
        self.name = os.fspath(path)
        self._durable = durable
        soundfile = require_soundfile(self.name)
        self._error: type[Exception] = soundfile.SoundFileError
        container, codec = KINDS[os.path.splitext(self.name)[1].lower()]  # noqa: PTH122
        self.n_samples = 0
        """Samples written so far."""
        self.clipped_samples = 0
        """How many of them were beyond full scale and clipped."""
        self._file = AtomicFile(path)
        try:
            self._sound = soundfile.SoundFile(
                self._file.file, "w", samplerate=sample_rate, channels=1, format=container, subtype=codec
            )
            if provenance is not None:
                # Vorbis comments, which FLAC has as well
                self._sound.software = provenance.software
                self._sound.comment = provenance.comment
        except (self._error, OSError, ValueError) as error:
            self._file.abort()
            raise self._cannot_write(error) from error

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append samples of shape (T,), float32, full scale 1.0.

        Raises:
            TypeError: `samples` is not a float32 array.
            ConfigError: `samples` has not one axis, or holds NaN or infinity.
            OutputError: the disk is full, or the file is closed.
        """
        samples = as_mono_float32(samples)
        if not self._file.open:
            raise OutputError(f"{self.name}: is closed, and takes no more samples; open another one")
        require_finite(samples, f"{self.name}: samples")
        try:
            self._sound.write(np.clip(samples, -1.0, 1.0))
        except (self._error, OSError) as error:
            raise self._cannot_write(error) from error
        self.clipped_samples += int(np.count_nonzero(np.abs(samples) > 1.0))
        self.n_samples += samples.size

    def close(self) -> None:
        """Complete the file and give it its name; do nothing after the first time or after abort()."""
        if not self._file.open:
            return
        try:
            self._sound.close()
            self._file.file.flush()
            if self._durable:
                os.fdatasync(self._file.file.fileno())
        except (self._error, OSError, ValueError) as error:
            self._file.abort()
            raise self._cannot_write(error) from error
        self._file.commit()
        if self.clipped_samples:
            _LOG.warning("%s: %d of %d samples clipped", self.name, self.clipped_samples, self.n_samples)

    def abort(self) -> None:
        """Delete what was written; a file that had the name before stays as it was."""
        if self._file.open:
            try:
                self._sound.close()
            except (self._error, OSError, ValueError) as error:
                # it is thrown away, as on a full disk
                _LOG.debug("%s: %s", self.name, error)
        self._file.abort()

    def _cannot_write(self, error: Exception) -> OutputError:
        if isinstance(error, OSError):
            return cannot_write(self.name, error)
        reason = str(getattr(error, "error_string", error)).rstrip(".")
        return OutputError(f"{self.name}: cannot be written: {reason}; check the space on the disk")

    def __enter__(self) -> CompressedWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()
