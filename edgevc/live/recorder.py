"""Records the dry input and the output of a live session without ever holding the sound up."""

from __future__ import annotations

import logging
import queue
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevc.audio.wav_writer import WavWriter
from edgevc.errors import AudioFileError

_LOG = logging.getLogger(__name__)

_QUEUE_CHUNKS = 500
_WRITE_SAMPLES = 16_000
_Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


class Recorder:
    """Two WAV files, written by a thread of its own from a bounded queue; what goes wrong is counted and logged once.

    On a full disk both files end with what it took. Where the disk is too slow, chunks are left out of both files, so
    that they stay in step.
    """

    def __init__(self, paths: tuple[Path, Path], sample_rate: int) -> None:
        """Create both files and start the thread.

        Args:
            paths: for the dry input and the output; they appear when the recording ends.
            sample_rate: of both, Hz.

        Raises:
            AudioFileError: one of them cannot be created.
        """
        self._writers: list[WavWriter] = []
        try:
            for path in paths:
                self._writers.append(WavWriter(path, sample_rate))
        except AudioFileError:
            for writer in self._writers:
                writer.abort()
            raise
        self._queue: queue.Queue[_Pair | None] = queue.Queue(_QUEUE_CHUNKS)
        self.errors = 0
        """Writes that failed and chunks that found no room in the queue."""
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="edgevc-recorder", daemon=True)
        self._thread.start()

    def put(self, dry: NDArray[np.float32], output: NDArray[np.float32]) -> None:
        """Append one chunk to each file; never waits. The arrays must not be written to any more."""
        if self._failed:
            return
        try:
            self._queue.put_nowait((dry, output))
        except queue.Full:
            if not self.errors:
                _LOG.warning("the disk is too slow for the recording; parts of it are left out")
            self.errors += 1

    def close(self) -> None:
        """Write what is in the queue and complete the files; may be called twice."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        chunks: list[_Pair] = []
        ended = False
        while not ended:
            chunk = self._queue.get()
            ended = chunk is None
            if chunk is not None:
                chunks.append(chunk)
            if ended or sum(len(dry) for dry, _ in chunks) >= _WRITE_SAMPLES:
                self._write(chunks)
                chunks = []
        for writer in self._writers:
            try:
                writer.close()
            except AudioFileError as error:
                self._fail(error)

    def _write(self, chunks: list[_Pair]) -> None:
        if self._failed or not chunks:
            return
        try:
            for writer, parts in zip(self._writers, zip(*chunks, strict=True), strict=True):
                writer.write(np.concatenate(parts))
        except AudioFileError as error:
            self._fail(error)
            for writer in self._writers:
                writer.salvage()

    def _fail(self, error: AudioFileError) -> None:
        if not self._failed:
            _LOG.warning("the recording ends here: %s; the sound goes on", error)
        self._failed = True
        self.errors += 1
