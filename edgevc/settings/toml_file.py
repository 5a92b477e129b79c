"""The file of settings: where it lies, how it is read, and on which line a key stands."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgevc.errors import ConfigError
from edgevc.files import config_dir

CONFIG_VARIABLE = "EDGEVC_CONFIG"
_MAX_FILE_BYTES = 1 << 20


def default_config_path(environment: Mapping[str, str] | None = None) -> Path | None:
    """Return where the file is looked for and written by `edgevc tune`; None where there is no home."""
    folder = config_dir(environment)
    return None if folder is None else folder / "config.toml"


def config_path(asked: Path | None, environment: Mapping[str, str] | None = None) -> Path | None:
    """Return the file to read; None where none was asked for and the usual one is not there.

    Raises:
        ConfigError: a file that was asked for is not there.
    """
    variable = (os.environ if environment is None else environment).get(CONFIG_VARIABLE, "")
    path, origin = (asked, "--config") if asked is not None else (Path(variable), CONFIG_VARIABLE)
    if asked is None and not variable:
        usual = default_config_path(environment)
        return usual if usual is not None and _is_file(usual) else None
    if not _is_file(path):
        raise ConfigError(f"{origin} must name a file, {path} is none; check the path, or write one with `edgevc tune`")
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # a folder on the way may not be entered
        return False


def read_toml(path: Path) -> tuple[dict[str, Any], str]:
    """Return a TOML file's values and its text, without a byte order mark.

    Raises:
        ConfigError: it cannot be read, or this Python has no reader for TOML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigError(f"{path} must have at most {_MAX_FILE_BYTES} bytes; give a file of settings")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
        raise ConfigError(f"{path} must be UTF-8, it is UTF-16 or no text; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}; save it as UTF-8") from error
    return parse_toml(text, path), text


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """Return the values of TOML source.

    Args:
        text: the source.
        path: for the message.

    Raises:
        ConfigError: it is no TOML, or this Python has no reader for TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise ConfigError(
                f"reading {path} needs Python 3.11, or tomli on this Python; pip install tomli, or use EDGEVC_* "
                "variables instead of the file"
            ) from error
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # TOMLDecodeError says line and column
        raise ConfigError(f"{path} is not TOML: {error}; correct that place") from error


def line_of(text: str, key: str, table: str) -> int | None:
    """Return the line, counted from 1, in which TOML source sets `key` of `table`; None where it is not plain."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if heading := re.match(r"\s*\[\s*([^\[\]]*?)\s*\]", line):
            inside = heading[1].strip("\"'") == table
        elif inside and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line):
            return number
    return None
