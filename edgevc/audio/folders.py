"""Audio files in folders: one rule of what belongs to a folder of recordings, for all of edgevc."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

SUFFIXES = (".wav", ".flac", ".ogg", ".opus")
"""What counts as a recording, in lower case."""


def audio_files(folder: Path, unreadable: Callable[[OSError], None], leave_out: Path | None = None) -> list[Path]:
    """Return the recordings in a folder and the folders in it, sorted.

    Files and folders whose names begin with a dot are left out (programs keep their own things there), and so are pipes
    and devices. Symbolic links to files are followed, those to folders are not.

    Args:
        folder: to look through.
        unreadable: told of each folder that cannot be read; its `filename` says which.
        leave_out: a folder that does not belong to it, under whatever name.
    """
    return sorted(_walk(folder, unreadable, leave_out))


def _walk(folder: Path, unreadable: Callable[[OSError], None], leave_out: Path | None) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, onerror=unreadable):
        here = Path(place)
        folders[:] = [name for name in folders if not name.startswith(".") and not _same(here / name, leave_out)]
        for name in names:
            path = here / name
            if not name.startswith(".") and path.suffix.lower() in SUFFIXES and not _is_special(path):
                yield path


def _same(path: Path, other: Path | None) -> bool:
    try:
        return other is not None and path.samefile(other)
    except OSError:
        return False


def _is_special(path: Path) -> bool:
    """Whether it is a pipe or a device; what cannot be looked at is none, and fails by name when its turn comes."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
