"""Records the dry input and the output of a live session without ever holding the sound up."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevc.audio.provenance import Provenance
from edgevc.audio.wav_writer import WavWriter
from edgevc.errors import ConfigError, OutputError
from edgevc.live.taps import Chunk

_LOG = logging.getLogger(__name__)

MAX_FILE_SECONDS = 129_600
"""36 h of 16-bit samples at 16 kHz; at 4 GiB, an hour later, a WAV file ends."""
REFRESH_SECONDS = 1.0
"""A session that is killed loses so much of its recording at most."""
SYNC_SECONDS = 10.0
"""A power cut loses so much more at most: a memory card that writes each second wears out."""

_QUEUE_CHUNKS = 500
_Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


class Recorder:
    """Two WAV files, written by a thread of its own from a bounded queue; what goes wrong is counted and logged once.

    The files are created when the first chunk comes, under their own names, and are whole after each second, however
    the session ends. Nothing is replaced: where one of the names is taken both files get a number before their suffix.
    On a full disk both files end with what it took. Where the disk is too slow, chunks are left out of both files, so
    that they stay in step.
    """

    def __init__(
        self,
        paths: tuple[Path, Path],
        sample_rate: int,
        max_seconds: float = MAX_FILE_SECONDS,
        provenances: tuple[Provenance | None, Provenance | None] = (None, None),
    ) -> None:
        """Look whether the files can be created, and start the thread.

        Args:
            paths: for the dry input and the output.
            sample_rate: of both, Hz.
            max_seconds: of one file; the recording goes on in the next one, which gets a number.
            provenances: what the two files say of how they were made.

        Raises:
            ConfigError: both paths are one.
            OutputError: one of them cannot be created.
        """
        if os.path.realpath(paths[0]) == os.path.realpath(paths[1]):
            raise ConfigError(f"input and output need two recordings, got {paths[0]} for both; give two names")
        for path in paths:
            _require_place(path)
        self._paths = paths
        self._sample_rate = sample_rate
        self._provenances = provenances
        self._max_samples = round(max_seconds * sample_rate)
        self._sync_samples = round(SYNC_SECONDS * sample_rate)
        self._writers: list[WavWriter] = []
        self._synced = 0
        self._queue: queue.Queue[_Pair | None] = queue.Queue(_QUEUE_CHUNKS)
        self.errors = 0
        """Writes that failed and chunks that found no room in the queue."""
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="edgevc-recorder", daemon=True)
        self._thread.start()

    def on_chunk(self, chunk: Chunk) -> None:
        """Append one chunk to each file; never waits."""
        if self._failed:
            return
        try:
            self._queue.put_nowait((chunk.dry, chunk.wet))
        except queue.Full:
            if not self.errors:
                _LOG.warning("the disk is too slow for the recording; parts of it are left out")
            self.errors += 1

    @property
    def backlog(self) -> int:
        """Chunks that wait to be written."""
        return self._queue.qsize()

    def close(self) -> None:
        """Write what is in the queue and complete the files; may be called twice."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            chunks, ended = self._gather()
            self._guarded(self._write, chunks)
        self._guarded(self._complete)

    def _gather(self) -> tuple[list[_Pair], bool]:
        """Return chunks of a second, fewer where no more come for so long, and whether they were the last."""
        chunks: list[_Pair] = []
        missing = REFRESH_SECONDS * self._sample_rate
        while missing > 0:
            try:
                chunk = self._queue.get(timeout=REFRESH_SECONDS if chunks else None)
            except queue.Empty:
                break
            if chunk is None:
                return chunks, True
            chunks.append(chunk)
            missing -= len(chunk[0])
        return chunks, False

    def _guarded(self, work: Callable[..., None], *arguments: list[_Pair]) -> None:
        if self._failed:
            return
        try:
            work(*arguments)
        except OutputError as error:
            _LOG.warning("the recording ends here: %s; the sound goes on", error)
            self._failed = True
            self.errors += 1
            for writer in self._writers:
                writer.salvage()

    def _write(self, chunks: list[_Pair]) -> None:
        if not chunks:
            return
        pair = [np.concatenate(parts) for parts in zip(*chunks, strict=True)]
        if self._writers and self._writers[0].n_samples + len(pair[0]) > self._max_samples:
            self._complete()
        if not self._writers:
            self._writers = self._create()
            self._synced = 0
        sync = self._writers[0].n_samples + len(pair[0]) - self._synced >= self._sync_samples
        for writer, samples in zip(self._writers, pair, strict=True):
            writer.write(samples)
            writer.refresh(sync=sync)
        if sync:
            self._synced = self._writers[0].n_samples

    def _create(self) -> list[WavWriter]:
        """Create the next pair of files that does not exist yet."""
        number = 0
        while True:
            number += 1
            paths = [_numbered(path, number) for path in self._paths]
            if any(os.path.lexists(path) for path in paths):
                continue
            writers: list[WavWriter] = []
            try:
                for path, provenance in zip(paths, self._provenances, strict=True):
                    writers.append(WavWriter(path, self._sample_rate, in_place=True, provenance=provenance))
            except OutputError as error:
                for writer in writers:
                    writer.abort()
                # another session was quicker
                if isinstance(error.__cause__, FileExistsError):
                    continue
                raise
            if number > 1:
                _LOG.warning("earlier recordings are kept: this one goes to %s and %s", *paths)
            return writers

    def _complete(self) -> None:
        with contextlib.ExitStack() as closing:
            for writer in self._writers:
                closing.callback(writer.close)
        self._writers = []


def _numbered(path: Path, number: int) -> Path:
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


def _require_place(path: Path) -> None:
    """Raise OutputError where no file can be created: a typo shall be told before somebody speaks."""
    folder = Path(os.path.realpath(path)).parent
    if path.exists() and not path.is_file():
        raise OutputError(f"{path}: a recording must be a regular file, this is none; choose another name")
    if not folder.is_dir():
        raise OutputError(f"{path}: cannot be recorded to: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: cannot be recorded to: the folder {folder} may not be written; choose another")
