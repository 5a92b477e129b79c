"""Changes single settings of the TOML file and leaves everything else in it as it was, comments included."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edgevc.errors import ConfigError
from edgevc.live.settings import TABLE, line_of, read_toml


def with_settings(text: str, values: Mapping[str, str], table: str = TABLE) -> str:
    """Return TOML source in which `table` has these values.

    Args:
        text: the source before; may be empty.
        values: key to TOML source. A key that is there keeps its place and what follows on its line as a comment.
        table: is appended where it is missing.
    """
    lines = text.splitlines()
    missing = []
    for key, value in values.items():
        number = line_of(text, key, table)
        if number is None:
            missing.append(f"{key} = {value}")
        else:
            # what stands behind the value on its line is kept where it is plainly a comment
            comment = re.search(r"\s+#[^\"']*$", lines[number - 1])
            lines[number - 1] = f"{key} = {value}" + (comment[0] if comment else "")
    if missing:
        heading = next((i for i, line in enumerate(lines) if re.match(rf"\s*\[\s*{re.escape(table)}\s*\]", line)), None)
        if heading is None:
            lines += ["", f"[{table}]"] if lines and lines[-1].strip() else [f"[{table}]"]
            heading = len(lines) - 1
        end = next((i for i in range(heading + 1, len(lines)) if re.match(r"\s*\[", lines[i])), len(lines))
        while end > heading + 1 and not lines[end - 1].strip():
            end -= 1
        lines[end:end] = missing
    return "\n".join(lines) + "\n"


def difference(before: str, after: str, path: Path) -> str:
    """Return what would change, as `diff -u` shows it; empty where nothing would."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), str(path), f"{path} (new)", lineterm="")
    return "\n".join(lines)


def change(path: Path, values: Mapping[str, str], *, dry_run: bool = False) -> tuple[str, Path | None]:
    """Set values in the file at `path`, which appears where it was missing.

    The new file replaces the old one at once, and the old one stays beside it with .bak appended.

    Returns:
        What changed, as `diff -u` shows it, and the backup, None where there was nothing to keep.

    Raises:
        ConfigError: the file cannot be read, written, or changed without harm.
    """
    before = read_toml(path)[1] if path.exists() else ""
    after = with_settings(before, values)
    shown = difference(before, after, path)
    if dry_run or not shown:
        return shown, None
    # a link is followed: people keep such files elsewhere
    target = path.resolve()
    backup = target.with_name(target.name + ".bak") if before else None
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=target.parent, prefix=f".{target.name}-", delete=False, encoding="utf-8"
        ) as file:
            temporary = Path(file.name)
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        _require_values(temporary, values, path)
        temporary.chmod(target.stat().st_mode & 0o777 if before else 0o644)
        if backup is not None:
            backup.write_text(before, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; choose another file with --config") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
    return shown, backup


def _require_values(written: Path, values: Mapping[str, str], path: Path) -> None:
    """Refuse a change that was not understood, such as of a value that goes over several lines."""
    try:
        table = read_toml(written)[0].get(TABLE, {})
        # the reader of TOML reads the wanted values as well, so that both are of one kind
        expected = _parse_values(values, written)
    except ConfigError:
        table, expected = {}, None
    if expected is None or any(table.get(key) != value for key, value in expected.items()):
        lines = "; ".join(f"{key} = {value}" for key, value in values.items())
        raise ConfigError(f"{path} cannot be changed without harm; put this below [{TABLE}] yourself: {lines}")


def _parse_values(values: Mapping[str, str], beside: Path) -> dict[str, object]:
    probe = beside.with_name(beside.name + ".probe")
    try:
        probe.write_text("\n".join(f"{key} = {value}" for key, value in values.items()), encoding="utf-8")
        return read_toml(probe)[0]
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
