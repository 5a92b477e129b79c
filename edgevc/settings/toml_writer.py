"""Changes single settings of the TOML file and leaves everything else in it as it was, comments included."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgevc.errors import ConfigError, MissingPackageError
from edgevc.files import AtomicFile, cannot_write, write_atomic
from edgevc.settings.toml_file import parse_toml, read_toml


def require_writer() -> None:
    """Refuse to begin what ends with writing, where the package for it is missing.

    Raises:
        MissingPackageError: tomlkit is not installed.
    """
    try:
        import tomlkit  # noqa: F401
    except ImportError as error:
        raise MissingPackageError("writing settings", "tomlkit", "audio") from error


def with_settings(text: str, values: Mapping[str, Any], table: str) -> str:
    """Return TOML source in which `table` has these values.

    Args:
        text: the source before, valid; may be empty.
        values: key to number, string, boolean or list of them. A key that is there keeps its place and its comment.
        table: is appended where it is missing.

    Raises:
        MissingPackageError: tomlkit is not installed.
    """
    require_writer()
    import tomlkit

    # tomlkit ends its own lines with a line feed alone
    windows = "\r\n" in text
    document = tomlkit.parse(text.replace("\r\n", "\n"))
    if table not in document:
        if document.as_string().strip():
            document.add(tomlkit.nl())
        document.add(table, tomlkit.table())
    section: Any = document[table]
    for key, value in values.items():
        section[key] = value
    after = document.as_string()
    after += "" if after.endswith("\n") else "\n"
    return after.replace("\n", "\r\n") if windows else after


def difference(before: str, after: str, path: Path) -> str:
    """Return what would change, as `diff -u` shows it; empty where nothing would."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), str(path), f"{path} (new)", lineterm="")
    return "\n".join(lines)


def change(path: Path, values: Mapping[str, Any], table: str, *, dry_run: bool = False) -> tuple[str, Path | None]:
    """Set values in the file at `path`, which appears where it was missing.

    The new file replaces the old one at once, and the old one stays beside it with .bak appended.

    Returns:
        What changed, as `diff -u` shows it, and the backup, None where there was nothing to keep.

    Raises:
        ConfigError: the file cannot be read, or not be changed without harm.
        MissingPackageError: tomlkit is not installed.
        OutputError: the file cannot be written.
    """
    values_before, before = read_toml(path) if path.exists() else ({}, "")
    after = _changed(before, values_before, values, table, path)
    if after is None:
        lines = "; ".join(f"{key} = {value!r}" for key, value in values.items())
        raise ConfigError(f"{path} cannot be changed without harm; put this below [{table}] yourself: {lines}")
    text = difference(before, after, path)
    if dry_run or not text:
        return text, None
    # a link is followed: people keep such files elsewhere
    target = path.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(target, error) from error
    backup = _back_up(target, before) if before else None
    write_atomic(target, after.encode())
    return text, backup


def _changed(
    before: str, values_before: Mapping[str, Any], values: Mapping[str, Any], table: str, path: Path
) -> str | None:
    """Return the new source; None where it would not hold exactly what it should."""
    old = values_before.get(table, {})
    if not isinstance(old, dict):
        return None
    try:
        after = with_settings(before, values, table)
        # the reader of TOML has the last word
        return after if parse_toml(after, path) == {**values_before, table: {**old, **values}} else None
    except ValueError:
        return None


def _back_up(target: Path, text: str) -> Path:
    """Keep the file beside itself, as private as it is."""
    backup = target.with_name(target.name + ".bak")
    copy = AtomicFile(backup)
    try:
        os.fchmod(copy.file.fileno(), stat.S_IMODE(target.stat().st_mode))
        copy.file.write(text.encode())
        copy.commit()
    except OSError as error:
        raise cannot_write(backup, error) from error
    finally:
        copy.abort()
    return backup
