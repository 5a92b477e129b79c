"""What a batch has done: a line of JSON for each file, on the disk before the file takes its name.

A line says what the output will be (its size and hash). Once a second the lines and the outputs, under hidden names
beside their places, go to the disk together, and then the outputs are renamed. So after a power cut every file that
has its name is whole and has its line, and every line either fits its file, or names a hidden file: where that has the
line's hash it only has to be renamed, else the recording is converted again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from edgevc.batch.plan import MANIFEST
from edgevc.errors import ConfigError, OutputError, SessionError
from edgevc.files import cannot_write, sync_disk
from edgevc.text import printable

_SETTLE_SECONDS = 1.0
_PIECE = 1 << 20
_LONGEST_LINE = 1 << 18
"""Bytes; paths have 4096 at most, written as JSON some times as many."""


def hidden_name(output: str) -> str:
    """Return the name, in the same folder, under which an output lies until it is complete and recorded."""
    folder, name = os.path.split(output)
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return os.path.join(folder, f".edgevc-{digest}.part{os.path.splitext(name)[1]}")  # noqa: PTH118, PTH122


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the hash of a file's content."""
    digest = hashlib.sha256()
    with _open_regular(path) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open to read; OSError where it is no file but a pipe or a device, which has no end."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "no regular file")
    return file


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield a manifest's lines; what is longer than a line can be is passed over."""
    whole = True
    while line := file.readline(_LONGEST_LINE):
        if whole:
            yield line
        whole = line.endswith(b"\n")


@dataclass(frozen=True, slots=True)
class Done:
    """What the last line about an output says; kept for each of a million files."""

    source_bytes: int
    source_mtime_ns: int
    output_bytes: int
    settings: str
    """Hash of voice, settings and model."""


class Manifest:
    """The manifest of an output folder, open for one run; another run is kept out."""

    def __init__(self, folder: Path) -> None:
        """Read what was done before, and finish what was recorded and not yet renamed.

        Raises:
            SessionError: another run writes to this folder.
            OutputError: the manifest cannot be written.
        """
        self.path = folder / MANIFEST
        self._folder = folder
        self._settled_at = time.monotonic()
        self._waiting: list[str] = []
        self._syncing: Future[None] | None = None
        self._synced: list[str] = []
        """Outputs that get their names when the disk has them."""
        # a slow disk shall not keep the workers waiting for their next files
        self._pool = ThreadPoolExecutor(1)
        self.finished = 0
        """Outputs that an earlier run had recorded and that only had to be renamed."""
        try:
            # a link may lead anywhere, and a pipe has no end
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(self.path, flags, 0o666)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise OSError(errno.EINVAL, "no regular file")
            self._file = os.fdopen(descriptor, "a+b")
        except OSError as error:
            raise cannot_write(self.path, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise SessionError(
                f"another conversion writes to {folder}; wait for it, or choose another folder"
            ) from error
        self.done = self._read()

    def __enter__(self) -> Manifest:
        """Return the manifest."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give every recorded file its name and let go of the manifest."""
        try:
            with contextlib.suppress(OSError, OutputError):
                self.settle(now=True)
        finally:
            self._pool.shutdown()
            self._file.close()

    def _read(self) -> dict[str, Done]:
        self._file.seek(0)
        done: dict[str, Done] = {}
        whole = True
        for line in _lines(self._file):
            whole = line.endswith(b"\n")
            record = parsed_line(line)
            if record is None:
                continue
            output = record["output"]
            done.pop(output, None)
            if "error" not in record and self._in_place(output, record):
                times = record["source_bytes"], record["source_mtime_ns"]
                # one text for all that share their settings
                done[output] = Done(*times, record["output_bytes"], sys.intern(record["settings_sha256"]))
        if not whole:
            # a line that was cut: what it was about is converted again
            self._write(b"\n")
        return done

    def _in_place(self, output: str, record: Mapping[str, Any]) -> bool:
        place, hidden = self._folder / output, self._folder / hidden_name(output)
        with contextlib.suppress(OSError):
            if place.stat().st_size == record["output_bytes"]:
                return True
        with contextlib.suppress(OSError):
            if hidden.stat().st_size == record["output_bytes"] and file_sha256(hidden) == record["output_sha256"]:
                hidden.replace(place)
                self.finished += 1
                return True
        return False

    def add(self, record: Mapping[str, Any]) -> None:
        """Write a line; where it is no error's, its file gets its name in a later `settle`.

        Raises:
            OutputError: the disk is full; no part of the line is left.
        """
        self._write(json.dumps(record, ensure_ascii=True).encode("ascii") + b"\n")
        if "error" not in record:
            self._waiting.append(record["output"])

    def settle(self, *, now: bool = False) -> list[tuple[str, str]]:
        """Give the recorded files their names, once a second: lines and outputs go to the disk first.

        Args:
            now: do not wait for the second to be over.

        Returns:
            Outputs that could not be renamed, each with the reason.

        Raises:
            OutputError: the lines cannot be written.
        """
        failed = self._rename() if now or (self._syncing is not None and self._syncing.done()) else []
        due = now or time.monotonic() - self._settled_at >= _SETTLE_SECONDS
        if self._waiting and due and self._syncing is None:
            self._settled_at = time.monotonic()
            self._synced, self._waiting = self._waiting, []
            self._syncing = self._pool.submit(self._sync, self._synced)
            failed += self._rename() if now else []
        return failed

    def _sync(self, outputs: Iterable[str]) -> None:
        os.fsync(self._file.fileno())
        devices: set[int] = set()
        for folder in {os.path.dirname(output) for output in outputs}:  # noqa: PTH120
            try:
                descriptor = os.open(self._folder / folder, os.O_RDONLY | os.O_DIRECTORY)
            except OSError:
                # somebody deleted it: the renaming says so
                continue
            try:
                device = os.fstat(descriptor).st_dev
                if device not in devices:
                    sync_disk(descriptor)
                    devices.add(device)
            finally:
                os.close(descriptor)

    def _rename(self) -> list[tuple[str, str]]:
        """Give the outputs that the disk has their names."""
        syncing, self._syncing = self._syncing, None
        if syncing is None:
            return []
        try:
            syncing.result()
        except OSError as error:
            raise cannot_write(self.path, error) from error
        failed = []
        for output in self._synced:
            try:
                (self._folder / hidden_name(output)).replace(self._folder / output)
            except OSError as error:
                failed.append((output, str(error.strerror)))
        self._synced = []
        return failed

    def _write(self, data: bytes) -> None:
        # the file is opened for appending: it ends where the last whole line ends
        end = os.fstat(self._file.fileno()).st_size
        try:
            written = os.write(self._file.fileno(), data)
            if written != len(data):
                raise OSError(28, os.strerror(28))
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), end)
            raise cannot_write(self.path, error) from error


def parsed_line(line: bytes) -> dict[str, Any] | None:
    """Return the record of a manifest's line; None where it is none that can be trusted to mean something."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("output"), str):
        return None
    output = record["output"]
    # a manifest may come from somebody else: it names nothing outside of its folder
    if not output or os.path.isabs(output) or ".." in Path(output).parts or "\0" in output:  # noqa: PTH117
        return None
    try:
        os.fsencode(output)
    except UnicodeEncodeError:
        return None
    if "error" in record:
        return record
    numbers = all(type(record.get(key)) is int for key in ("source_bytes", "source_mtime_ns", "output_bytes"))
    texts = all(isinstance(record.get(key), str) for key in ("output_sha256", "settings_sha256"))
    return record if numbers and texts else None


@dataclass
class Difference:
    """How a folder differs from its manifest."""

    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Recordings that could not be converted, by the output that they would have."""
    fine: int = 0

    @property
    def none(self) -> bool:
        """Whether every output is there as it was written, and nothing else."""
        return not (self.missing or self.changed or self.unlisted or self.failed)


def verify(folder: Path, show: Any = None) -> Difference:
    """Compare every output of a folder with the hash in its manifest.

    Args:
        folder: the output folder.
        show: called with the number of files looked at.

    Raises:
        ConfigError: there is no manifest.
    """
    last: dict[str, dict[str, Any]] = {}
    for record in _records(folder / MANIFEST):
        last[record["output"]] = record
    difference = Difference()
    for number, (output, record) in enumerate(last.items()):
        if show is not None:
            show(number)
        if "error" in record:
            difference.failed.append(output)
            continue
        try:
            same = file_sha256(folder / output) == record["output_sha256"]
        except OSError:
            difference.missing.append(output)
            continue
        if same:
            difference.fine += 1
        else:
            difference.changed.append(output)
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.relpath(os.path.join(place, name), folder)  # noqa: PTH118
            if path not in last and path != MANIFEST:
                difference.unlisted.append(path)
    return difference


def _records(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with _open_regular(path) as file:
            for line in _lines(file):
                record = parsed_line(line)
                if record is not None:
                    yield record
    except OSError as error:
        raise ConfigError(
            f"{printable(str(path))}: {error.strerror}; name a folder that `edgevc convert --jobs` has written"
        ) from error


def error_of(output: str, source: str, message: str, settings: str) -> dict[str, Any]:
    """Return the record of a file that could not be converted; the next run tries it again."""
    return {"output": output, "source": source, "error": message, "settings_sha256": settings}


def refuse_strange_output(path: Path, known: bool, force: bool) -> None:
    """Refuse to replace a file that no earlier run has recorded.

    Raises:
        OutputError: it is there and may not be replaced.
    """
    if not known and not force and os.path.lexists(path):
        raise OutputError(f"{path} exists and is in no manifest; give --force to replace it")
