"""Recordings and outputs wherever fsspec reaches: a shared disk, S3, Google Cloud Storage."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edgevc.audio.folders import SUFFIXES
from edgevc.batch.manifest import hidden_name
from edgevc.errors import AudioFileError, ConfigError, MissingPackageError, OutputError
from edgevc.text import first_line

_TRANSFER_TRIES = 3
"""A storage service that is busy refuses now and then."""


@dataclass(frozen=True)
class Found:
    """A file as the storage lists it."""

    n_bytes: int
    mtime_ns: int
    """Since 1970; whole seconds where the storage counts those only."""


class Storage:
    """A folder on any storage; names are paths below it, with slashes."""

    def __init__(self, url: str) -> None:
        """Find the storage; nothing is read yet.

        Args:
            url: such as "s3://bucket/corpus", or a path. Passwords and keys come from the environment or fsspec's own
                configuration, as the storage's package documents; a URL that holds one is refused.

        Raises:
            ConfigError: it is no URL that fsspec knows, or holds a password.
            MissingPackageError: fsspec, or the storage's package, is not installed.
        """
        try:
            import fsspec
        except ImportError as error:
            raise MissingPackageError("a batch on a cluster", "fsspec", "ray") from error
        if "@" in url.partition("://")[2].partition("/")[0]:
            raise ConfigError("a URL must hold no user or password; set the variables that the storage's package reads")
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            kind = url.partition("://")[0]
            raise ConfigError(f"{kind}:// needs another package: {first_line(error)}") from error
        except ValueError as error:
            raise ConfigError(f"{url}: {first_line(error)}; give a path or a URL such as s3://bucket/folder") from error
        self._root = self._root.rstrip("/")
        self.local = Path(self._root) if "file" in _protocols(self._fs) else None
        """The folder, where it is one of this machine."""
        # another process may stand elsewhere
        self.url = url.rstrip("/") if self.local is None else str(self.local)

    def path(self, name: str) -> str:
        """Return where a name lies, for messages and manifests."""
        return f"{self.url}/{name}"

    def find(self) -> dict[str, Found]:
        """Return every file below the folder; nothing where it does not exist.

        Raises:
            AudioFileError: the storage refuses.
        """
        try:
            self._fs.invalidate_cache()
            listed = self._fs.find(self._root, detail=True)
        except FileNotFoundError:
            return {}
        except Exception as error:  # every storage has exceptions of its own
            raise AudioFileError(f"{self.url}: cannot be listed: {first_line(error)}; check the URL") from error
        skip = len(self._root) + 1
        return {path[skip:]: _found(info) for path, info in listed.items() if info.get("type") == "file"}

    def recordings(self) -> dict[str, Found]:
        """Return what belongs to a folder of recordings: no hidden files, and no name that leads out of the folder."""
        return {
            name: found
            for name, found in self.find().items()
            if name.lower().endswith(SUFFIXES) and not any(part.startswith(".") or not part for part in name.split("/"))
        }

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes; None where there is none.

        Raises:
            OutputError: the storage refuses.
        """
        try:
            data: bytes = _tried(lambda: self._fs.cat_file(f"{self._root}/{name}"))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise OutputError(f"{self.path(name)}: cannot be read: {first_line(error)}; check the storage") from error
        return data

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file; it is there complete or not at all.

        Raises:
            OutputError: the storage refuses.
        """
        with self.output(name) as place:
            Path(place).write_bytes(data)

    def remove(self, name: str) -> None:
        """Delete a file; that it is gone already is no error."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._root}/{name}")

    def remove_folder(self, name: str) -> None:
        """Delete an empty folder, where the storage has such things."""
        if self.local is not None:
            with contextlib.suppress(OSError):
                (self.local / name).rmdir()

    @contextlib.contextmanager
    def source(self, name: str) -> Iterator[str]:
        """Yield a path under which a file can be read; a copy where the storage is no disk.

        Raises:
            AudioFileError: the storage does not give it.
        """
        if self.local is not None:
            yield str(self.local / name)
            return
        with tempfile.TemporaryDirectory(prefix="edgevc-") as folder:
            place = os.path.join(folder, os.path.basename(name))  # noqa: PTH118, PTH119
            try:
                _tried(lambda: self._fs.get_file(f"{self._root}/{name}", place))
            except Exception as error:
                raise AudioFileError(f"{self.path(name)}: cannot be read: {first_line(error)}") from error
            yield place

    @contextlib.contextmanager
    def output(self, name: str) -> Iterator[str]:
        """Yield a path to write a file to; it takes its name, complete, when the block ends without an error.

        Raises:
            OutputError: it cannot be written.
        """
        if self.local is not None:
            hidden = self.local / hidden_name(name)
            try:
                hidden.parent.mkdir(parents=True, exist_ok=True)
                if hidden.is_symlink():
                    # the name can be foreseen: somebody's link would lead the output elsewhere
                    hidden.unlink()
                yield str(hidden)
                hidden.replace(self.local / name)
            except OSError as error:
                raise OutputError(f"{self.path(name)}: cannot be written: {error.strerror}") from error
            finally:
                with contextlib.suppress(OSError):
                    hidden.unlink()
            return
        with tempfile.TemporaryDirectory(prefix="edgevc-") as folder:
            place = os.path.join(folder, hidden_name(os.path.basename(name)))  # noqa: PTH118, PTH119
            yield place
            try:
                _tried(lambda: self._fs.put_file(place, f"{self._root}/{name}"))
            except Exception as error:
                raise OutputError(f"{self.path(name)}: cannot be written: {first_line(error)}") from error


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _found(info: dict[str, Any]) -> Found:
    for key in ("LastModified", "last_modified", "mtime", "updated", "created"):
        value = info.get(key)
        if isinstance(value, datetime):
            return Found(int(info["size"]), round(value.timestamp() * 1e9))
        if isinstance(value, (int, float)):
            return Found(int(info["size"]), round(value * 1e9))
    return Found(int(info["size"]), 0)


def _tried(action: Any) -> Any:
    for left in range(_TRANSFER_TRIES - 1, -1, -1):
        try:
            return action()
        except FileNotFoundError:
            raise
        except Exception:
            if not left:
                raise
    raise AssertionError
