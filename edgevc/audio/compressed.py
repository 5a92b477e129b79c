"""FLAC and OGG through the package soundfile, which is imported when the first such file is opened."""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgevc.audio.source import CONVERT_IT, MAX_RATE, MIN_RATE, RESAMPLE_IT, ByteSource
from edgevc.errors import AudioFileError, MissingPackageError

# Frames decoded at a time, of up to 255 channels.
_PIECE_FRAMES = 1 << 12

# How the first packet of an Ogg stream begins, for codecs that libsndfile does not read there.
_OTHER_OGG = {b"Speex   ": "Speex", b"\x7fFLAC": "FLAC", b"\x80theora": "Theora video", b"fishead": "a skeleton"}


class CompressedDecoder:
    """FLAC and OGG (Vorbis, Opus) through libsndfile."""

    def __init__(self, data: ByteSource, head: bytes) -> None:
        """Open the file.

        Args:
            data: just behind `head`, and able to seek.
            head: the first bytes of the audio.

        Raises:
            AudioFileError: it is damaged, of another codec, or cannot seek.
            MissingPackageError: soundfile is not installed.
        """
        try:
            import soundfile
        except (ImportError, OSError) as error:
            # OSError: the package is there, but not the library libsndfile.
            raise MissingPackageError(f"{data.name}: reading FLAC or OGG", "soundfile", "audio") from error
        self._name = data.name
        self._error: type[Exception] = soundfile.SoundFileError
        try:
            start = data.file.seek(-len(head), os.SEEK_CUR)
        except (OSError, ValueError) as error:
            raise AudioFileError(
                f"{data.name}: FLAC and OGG must be read from a file that can seek; save it to a file first"
            ) from error
        try:
            self._sound: Any = _forward_only(soundfile)(_Tail(data.file, start) if start else data.file)
        except (self._error, OSError, ValueError, TypeError) as error:
            codec = _other_codec(head)
            if codec is not None:
                raise AudioFileError(
                    f"{data.name}: must be FLAC, Ogg Vorbis or Ogg Opus, got Ogg with {codec}; {CONVERT_IT}"
                ) from error
            raise self._damaged(error) from error
        self.sample_rate = int(self._sound.samplerate)
        self.n_channels = int(self._sound.channels)
        # libsndfile gives 0 or its largest number where a stream does not say
        frames = int(self._sound.frames)
        self.n_frames: int | None = frames if 0 < frames < 1 << 60 else None
        if not MIN_RATE <= self.sample_rate <= MAX_RATE:
            bounds = f"[{MIN_RATE}, {MAX_RATE}] Hz"
            raise AudioFileError(f"{data.name}: sample rate must be in {bounds}, got {self.sample_rate}; {RESAMPLE_IT}")

    def read(self, n_frames: int) -> NDArray[np.float32]:
        """Return at most n_frames frames as (T, n_channels); empty at the end of the file.

        Raises:
            AudioFileError: the file is damaged.
        """
        try:
            frames: NDArray[np.float32] = self._sound.read(
                min(n_frames, _PIECE_FRAMES), dtype="float32", always_2d=True
            )
        except (self._error, OSError, ValueError, TypeError) as error:
            raise self._damaged(error) from error
        return frames

    def close(self) -> None:
        """Free the decoder, but leave the file open."""
        self._sound.close()

    def _damaged(self, error: Exception) -> AudioFileError:
        # libsndfile's own words, without the Python object that soundfile puts in front of them
        reason = str(getattr(error, "error_string", error)).rstrip(".")
        return AudioFileError(f"{self._name}: is damaged: {reason}; copy it again")


class _Tail(io.RawIOBase):
    """A file from a place on, behind tags that libsndfile does not know."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file = file
        self._start = start

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset + self._start if whence == os.SEEK_SET else offset, whence) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _forward_only(soundfile: Any) -> Any:
    """Return a SoundFile that never seeks: after each block it would, which fails in a FLAC that has no length."""

    class Forward(soundfile.SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            return False

    return Forward


def _other_codec(head: bytes) -> str | None:
    """Name the codec of an Ogg stream that libsndfile cannot read; None for the others."""
    if head[:4] != b"OggS" or len(head) < 28:
        return None
    # a page header of 27 bytes and its table of segments stand before the first packet
    packet = head[27 + head[26] :]
    return next((name for magic, name in _OTHER_OGG.items() if packet.startswith(magic)), None)
