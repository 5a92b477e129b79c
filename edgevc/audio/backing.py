"""An accompaniment mixed into a converted voice, in time with it."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from edgevc.arrays import within
from edgevc.audio.rates import resampler_to_16k
from edgevc.audio.reader import AudioReader
from edgevc.errors import AudioFileError, ConfigError
from edgevc.limits import BACKING_GAIN_DB

BLOCK_SIZE = 4_096
"""Samples of the file decoded at once: short enough for a hop to wait for them."""


class BackingTrack:
    """Reads an audio file of any rate and channel count as 16 kHz mono, piece by piece, and adds it to a signal.

    The voice leaves a converter later than it went in. Set `delay` to that latency in samples, and the accompaniment
    that sounded at the singer's ear with a note comes out with that note. The resampler's own delay is taken off.

    Past its end the track is silent. One object serves one thread at a time. Use it as a context manager.
    """

    def __init__(self, source: str | os.PathLike[str], gain_db: float = 0.0, delay: int = 0) -> None:
        """Open the file; nothing but its header is read.

        Args:
            source: WAV, FLAC or OGG (the last two need soundfile).
            gain_db: of the accompaniment, -60 to 20 dB.
            delay: samples of silence at 16 kHz before it, at least 0.

        Raises:
            ConfigError: gain_db or delay is out of range.
            AudioFileError: the file cannot be read, or only once, as a pipe.
        """
        within(gain_db, BACKING_GAIN_DB, "the gain of the accompaniment in dB")
        self.path = Path(source)
        """Of the file."""
        if self.path.exists() and not self.path.is_file():
            raise AudioFileError(
                f"{source}: the accompaniment must be a regular file, which can be read from its start again; "
                "save it to a file first"
            )
        self._gain = np.float32(10 ** (gain_db / 20))
        self._reader: AudioReader | None = None
        self.restart(delay)

    def restart(self, delay: int) -> None:
        """Begin anew, `delay` samples from now.

        Raises:
            ConfigError: the delay is negative.
            AudioFileError: the file can no longer be read.
        """
        if delay < 0:
            raise ConfigError(f"delay must be at least 0 samples, got {delay}")
        self.close()
        self._reader = AudioReader(self.path)
        try:
            self._resampler = resampler_to_16k(self._reader.sample_rate, self._reader.name)
        except AudioFileError:
            self.close()
            raise
        self._skip = self._resampler.latency
        self._silence = delay
        self._waiting = np.zeros(0, np.float32)
        self._ended = False

    @property
    def finished(self) -> bool:
        """Whether all of the track has been mixed in."""
        return self._ended and not len(self._waiting)

    def mix_into(self, samples: NDArray[np.float32]) -> None:
        """Add the next len(samples) samples of the track to `samples`, float32 (T,), in place.

        The sum may exceed full scale; limit it.

        Raises:
            AudioFileError: the file is damaged; what was read before has been added.
        """
        start = min(self._silence, len(samples))
        self._silence -= start
        while start < len(samples) and not self.finished:
            if not len(self._waiting):
                self._read()
            n = min(len(samples) - start, len(self._waiting))
            samples[start : start + n] += self._waiting[:n]
            self._waiting = self._waiting[n:]
            start += n

    def _read(self) -> None:
        """Fetch the next block; sets `_ended` with the last one."""
        if self._reader is None:
            self._ended = True
            return
        try:
            block = self._reader.read(BLOCK_SIZE)
        except AudioFileError:
            # the track ends here; the voice goes on
            self._ended = True
            raise
        self._ended = len(block) < BLOCK_SIZE
        parts = [self._resampler.process(block)]
        if self._ended:
            parts.append(self._resampler.flush())
        waiting = np.concatenate(parts) * self._gain
        skipped = min(self._skip, len(waiting))
        self._skip -= skipped
        self._waiting = waiting[skipped:]

    def close(self) -> None:
        """Close the file; the track is silent from here on."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def __enter__(self) -> BackingTrack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
