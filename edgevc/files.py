"""Files that appear complete or not at all, and the folders that edgevc keeps things in."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import secrets
import shlex
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from edgevc.errors import ConfigError, OutputError

TEMPORARY_PREFIX, TEMPORARY_SUFFIX = ".edgevc-", ".tmp"
"""How the file is called while it is written; a crash may leave one behind."""

# Temporary files that this process writes, and its number, which a fork does not have.
_unfinished: dict[Path, int] = {}


@atexit.register
def _delete_unfinished() -> None:
    """Delete what a signal left behind that came before anybody held the file, or while it was let go."""
    for path, process in _unfinished.items():
        if process == os.getpid():
            with contextlib.suppress(OSError):
                path.unlink()


class AtomicFile:
    """A file that takes its name when it is committed, and until then lies beside it under another.

    It goes through a symbolic link to the file behind it, and keeps the permissions of the file that it replaces.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Create the temporary file.

        Raises:
            OutputError: it cannot be created, or `path` is a folder, a device or a pipe.
        """
        self.name = os.fspath(path)
        try:
            self._target = Path(os.path.realpath(path))
            before = self._target.stat() if self._target.exists() else None
            # replacing a device or a pipe by a file would break the machine, with enough rights to do it
            if before is not None and not stat.S_ISREG(before.st_mode):
                raise OutputError(f"{self.name}: must be a regular file or not exist; choose another output")
            name = f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
            self._temporary: Path | None = self._target.with_name(name)
            _unfinished[self._temporary] = os.getpid()
            # exclusive: never through a file or a link that somebody put there
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(self._temporary, flags, 0o666 if before is None else 0o600)
            self.file: BinaryIO = os.fdopen(descriptor, "w+b")
            if before is not None:
                with contextlib.suppress(OSError):
                    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
            # held until the file is closed, also by a crash: this is how leftovers() knows what is still written
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (OSError, ValueError) as error:
            # a file that was made all the same is deleted at the end of the process
            self._temporary = None
            raise cannot_write(self.name, error) from error

    @property
    def open(self) -> bool:
        """Whether it is neither committed nor aborted."""
        return self._temporary is not None

    def commit(self) -> None:
        """Let the file take its name.

        Raises:
            OutputError: the disk is full, or the folder is gone; the temporary file is deleted.
        """
        if self._temporary is None:
            return
        try:
            self.file.close()
            self._temporary.replace(self._target)
        except (OSError, ValueError) as error:
            self.abort()
            raise cannot_write(self.name, error) from error
        _unfinished.pop(self._temporary, None)
        self._temporary = None

    def abort(self) -> None:
        """Delete the temporary file; what had the name before stays as it was. May be called twice."""
        temporary, self._temporary = self._temporary, None
        if temporary is None:
            return
        with contextlib.suppress(OSError, ValueError):
            self.file.close()
        with contextlib.suppress(OSError):
            temporary.unlink()
        _unfinished.pop(temporary, None)


class NewFile:
    """A file that has its name from the start and replaces nothing, for what cannot be made again."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Create the file.

        Raises:
            OutputError: it cannot be created; where it exists, the cause is FileExistsError.
        """
        self.name = os.fspath(path)
        self.open = True
        """Whether it is neither committed nor aborted."""
        try:
            # exclusive: never through a file or a link that somebody put there
            self.file: BinaryIO = Path(path).open("x+b")  # noqa: SIM115 (commit() and abort() close it)
        except (OSError, ValueError) as error:
            raise cannot_write(self.name, error) from error

    def commit(self) -> None:
        """Close the file.

        Raises:
            OutputError: the disk is full; what was written stays.
        """
        self.open = False
        try:
            self.file.close()
        except (OSError, ValueError) as error:
            raise cannot_write(self.name, error) from error

    def abort(self) -> None:
        """Delete the file. Does nothing where it is closed."""
        if not self.open:
            return
        self.open = False
        with contextlib.suppress(OSError, ValueError):
            self.file.close()
        with contextlib.suppress(OSError):
            Path(self.name).unlink()


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file; a reader sees the old one or the new one, and permissions stay.

    Raises:
        OutputError: it cannot be written; what was there before is as it was.
    """
    target = AtomicFile(path)
    try:
        target.file.write(data)
        target.commit()
    except OSError as error:
        raise cannot_write(target.name, error) from error
    finally:
        target.abort()


def sync_disk(descriptor: int) -> None:
    """Wait until the disk has all that was written to the file system of an open file: one wait for many files.

    Raises:
        OSError: the disk failed.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def leftovers(folder: Path) -> list[Path]:
    """Return the temporary files in a folder that nobody writes any more: those of programs that were killed."""
    return [path for path in folder.glob(f"{TEMPORARY_PREFIX}*{TEMPORARY_SUFFIX}") if not _is_written(path)]


def _is_written(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        # locked by its writer, gone meanwhile, or not ours
        return True
    return False


def refuse_shared_files(
    inputs: Iterable[tuple[str, str | os.PathLike[str]]], outputs: Iterable[tuple[str, str | os.PathLike[str]]]
) -> None:
    """Refuse a command whose output would replace an input or another output, under whatever name or link.

    Args:
        inputs: what the message calls it, such as "the accompaniment", and its path.
        outputs: the same.

    Raises:
        ConfigError: two of them are one file.
    """
    seen = {_identity(path): (label, path) for label, path in inputs}
    for label, path in outputs:
        identity = _identity(path)
        if identity in seen:
            other_label, other = seen[identity]
            both = f"{path} for both" if str(path) == str(other) else f"{path} and {other}, which are one file"
            raise ConfigError(f"{label} must not be {other_label}, got {both}; choose another name")
        seen[identity] = label, path


def _identity(path: str | os.PathLike[str]) -> object:
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return os.path.realpath(path)
    return found.st_dev, found.st_ino


def check_output(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Refuse an output that could not be written, before the work that it is for.

    Raises:
        OutputError: it exists and may not be replaced, or its folder is missing or not writable.
    """
    target = Path(path)
    if os.path.lexists(target) and not overwrite:
        raise OutputError(f"{target} exists; give --force to replace it")
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {target}: its folder does not exist; make it first")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(f"cannot write to {target.parent}: permission denied; choose another output")


def require_private(path: Path, what: str) -> None:
    """Refuse a file with a secret that others can read or write.

    Args:
        path: of the file.
        what: the secret's name.

    Raises:
        ConfigError: others can; says what to type.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    if mode & 0o077:
        raise ConfigError(
            f"{path} holds {what} and must be for its owner alone, its mode is {mode:04o}; type: "
            f"chmod 600 {shlex.quote(os.fspath(path))}"
        )


def cannot_write(name: str | os.PathLike[str], error: Exception) -> OutputError:
    """Return the error for a file that the system does not let us write."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return OutputError(f"{os.fspath(name)}: cannot be written: {reason}; make room, or choose another output")


def config_dir(environment: Mapping[str, str] | None = None) -> Path | None:
    """Return the user's folder for edgevc's settings, XDG_CONFIG_HOME/edgevc; None where there is no home.

    Args:
        environment: instead of the process's own.
    """
    return _xdg("XDG_CONFIG_HOME", ".config", environment)


def cache_dir() -> Path | None:
    """Return the user's folder for what can be made again, XDG_CACHE_HOME/edgevc; None where there is no home."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def state_dir() -> Path | None:
    """Return the user's folder for what must outlive a restart, XDG_STATE_HOME/edgevc; None where there is no home."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def data_dir() -> Path | None:
    """Return the user's folder for what a person has made, XDG_DATA_HOME/edgevc; None where there is no home."""
    return _xdg("XDG_DATA_HOME", ".local/share")


def runtime_dir() -> Path | None:
    """Return the user's folder for sockets, XDG_RUNTIME_DIR; None where the system has none."""
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(folder) if folder and Path(folder).is_dir() else None


def _xdg(variable: str, otherwise: str, environment: Mapping[str, str] | None = None) -> Path | None:
    base = (os.environ if environment is None else environment).get(variable, "")
    try:
        # the XDG specification: a relative path is to be ignored
        folder = Path(base) if base and Path(base).is_absolute() else Path.home() / otherwise
    except RuntimeError:
        return None
    return folder / "edgevc"
