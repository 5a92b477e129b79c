"""Where the bytes of a bundle come from: a folder, or a .zip of one that is read in place, or decrypted in memory."""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from edgevc.bundle.encryption import decrypted, is_encrypted
from edgevc.bundle.fields import PATH_PART
from edgevc.bundle.manifest import MAX_FILES, MAX_MANIFEST_BYTES, MAX_TOTAL_BYTES
from edgevc.errors import ModelError

# RuntimeError: a loop of links. ValueError: a name that the file system cannot have. The others come from the file
# system or from zipfile.
READ_ERRORS = (OSError, RuntimeError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, struct.error)

_PIECE_BYTES = 1 << 20


class Source(Protocol):
    """Where the bytes of a bundle come from."""

    def has(self, path: str) -> bool:
        """Return whether there is anything of that name, readable or not."""
        ...

    def size(self, path: str) -> int:
        """Return a file's size in bytes, as it is declared."""
        ...

    def pieces(self, path: str, limit: int) -> bytes:
        """Return a file's content; raises ModelError where it has more than `limit` bytes."""
        ...


def open_source(path: Path) -> Source:
    """Return the files of the bundle at `path`.

    Raises:
        ModelError: there is no folder and no usable archive.
    """
    if path.is_dir():
        return Folder(path)
    if path.is_file():
        return Archive(path, decrypted(path, 2 * MAX_TOTAL_BYTES) if is_encrypted(path) else None)
    raise ModelError(f"a bundle is a folder or a .zip of one, found neither at {path}; check the path")


class Folder:
    """A bundle as a folder. Links may point inside the folder only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def _open(self, path: str) -> int:
        target = (self._folder / path).resolve()
        if not target.is_relative_to(self._folder):
            raise ModelError(f"{path} must lie inside the bundle, it is a link to {target}; replace it by the file")
        # O_NONBLOCK: opening a FIFO must not wait for a writer. O_NOFOLLOW: the path was resolved just above.
        descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ModelError(f"{path} must be a regular file; replace it by the file")
        return descriptor

    def has(self, path: str) -> bool:
        """Return whether there is anything of that name, a dangling link too."""
        return os.path.lexists(self._folder / path)

    def size(self, path: str) -> int:
        """Return a file's size in bytes."""
        descriptor = self._open(path)
        try:
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def pieces(self, path: str, limit: int) -> bytes:
        """Return a file's content of at most `limit` bytes."""
        with os.fdopen(self._open(path), "rb") as file:
            return _read_bounded(file.read, path, limit)


def _prefix(names: list[str]) -> str:
    """Return the folder in which the only manifest.json of an archive lies, with its slash; "" where it is in none."""
    manifests = [name for name in names if re.fullmatch(rf"({PATH_PART}/)?manifest\.json", name)]
    if len(manifests) != 1:
        raise ModelError(f"a zipped bundle has one manifest.json, got {len(manifests)}; zip one bundle's folder")
    return manifests[0][: -len("manifest.json")]


class Archive:
    """A bundle as a zip archive, read without extracting."""

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        """`content`: of the archive, where `path` holds it encrypted."""
        self._path = path
        self.content = content
        size = path.stat().st_size if content is None else len(content)
        if not 22 <= size <= MAX_TOTAL_BYTES:
            raise ModelError(f"a zipped bundle has 22 to {MAX_TOTAL_BYTES} bytes, got {size}; give a bundle's .zip")
        with self._file() as file:
            file.seek(size - 22)
            end = file.read(22)
        # zipfile builds an object for each entry of the directory, so its size is bounded first. Zip64 and archive
        # comments are refused, since both let another end record be found than the one looked at here.
        signature, _, _, _, n_entries, directory_bytes, _, comment_bytes = struct.unpack("<4s4H2IH", end)
        if signature != b"PK\x05\x06" or comment_bytes:
            raise ModelError(f"{path} is not a zip archive without comment; zip the bundle's folder again")
        if n_entries > 4 * MAX_FILES or directory_bytes > MAX_MANIFEST_BYTES:
            raise ModelError(
                f"a zipped bundle has at most {4 * MAX_FILES} entries, got {n_entries}; zip only the bundle's folder"
            )
        self._entries: dict[str, zipfile.ZipInfo] = {}
        with self._archive() as archive:
            names = [info.filename for info in archive.infolist()]
            if not all(names):
                raise ModelError(f"an entry of {path} has no name; zip the bundle's folder again")
            prefix = _prefix(names)
            for info in archive.infolist():
                if info.is_dir() or not info.filename.startswith(prefix):
                    continue
                name = info.filename[len(prefix) :]
                if name in self._entries:
                    raise ModelError(f"entry {name[:80]!r} is there twice in {path}; zip the bundle's folder again")
                self._entries[name] = info

    def _file(self) -> BinaryIO:
        return self._path.open("rb") if self.content is None else io.BytesIO(self.content)

    def _archive(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self._path if self.content is None else io.BytesIO(self.content))
        except (ValueError, OverflowError, RuntimeError, LookupError) as error:
            raise ModelError(f"cannot read the zip archive {self._path}: {error}; zip the folder again") from error

    def _entry(self, path: str) -> zipfile.ZipInfo:
        info = self._entries.get(path)
        if info is None:
            raise ModelError(f"{path} is missing in {self._path}; zip the bundle's folder again")
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise ModelError(f"{path} must be a regular file in {self._path}, got mode {mode:o}; zip the file itself")
        if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ModelError(f"{path} must be stored or deflated, without a password; zip the bundle's folder again")
        return info

    def has(self, path: str) -> bool:
        """Return whether there is an entry of that name."""
        return path in self._entries

    def size(self, path: str) -> int:
        """Return a file's size in bytes."""
        return self._entry(path).file_size

    def pieces(self, path: str, limit: int) -> bytes:
        """Return a file's content of at most `limit` bytes."""
        info = self._entry(path)
        try:
            with self._archive() as archive, archive.open(info) as file:
                return _read_bounded(file.read, path, limit)
        except (ValueError, OverflowError, RuntimeError) as error:
            raise ModelError(f"cannot unzip {path}: {error}; zip the bundle's folder again") from error


def _read_bounded(read: Callable[[int], bytes], path: str, limit: int) -> bytes:
    """Read to the end, but never more than one piece beyond `limit`, whatever size was declared."""
    data = bytearray()
    while piece := read(_PIECE_BYTES):
        data += piece
        if len(data) > limit:
            raise ModelError(f"{path} must have at most {limit} bytes, it has more; download or copy it again")
    return bytes(data)
