"""FLAC and OGG through the package soundfile, which is imported when the first such file is opened."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevc.audio.source import MAX_RATE, MIN_RATE, ByteSource
from edgevc.errors import AudioFileError

# Frames decoded at a time, of up to 255 channels.
_PIECE_FRAMES = 1 << 12


class CompressedDecoder:
    """FLAC and OGG through libsndfile."""

    def __init__(self, data: ByteSource, n_read: int) -> None:
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
        """Return at most n_frames frames as (T, n_channels); empty at the end of the file.

        Raises:
            AudioFileError: The file is damaged.

        """
        try:
            frames: NDArray[np.float32] = self._sound.read(
                min(n_frames, _PIECE_FRAMES), dtype="float32", always_2d=True
            )
        except (self._error, OSError, ValueError, TypeError) as error:
            raise AudioFileError(f"{self._name}: is damaged: {error}") from error
        return frames

    def close(self) -> None:
        """Free the decoder, but leave the file open."""
        self._sound.close()
