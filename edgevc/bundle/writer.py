"""Writes manifest.json for files that lie in a folder: sizes, hashes and seal are filled in."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgevc.bundle.manifest import GRAPHS
from edgevc.bundle.reader import UNSEALED, ModelBundle, seal
from edgevc.bundle.specs import FloatArray
from edgevc.files import write_atomic


def write_manifest(folder: str | os.PathLike[str], manifest: Mapping[str, Any]) -> ModelBundle:
    """Write manifest.json for the files that lie in `folder`, and open the result.

    Args:
        folder: holds every file of the bundle.
        manifest: as docs/model-format.md has it. Of `files` only each `path` is needed; sizes and hashes are filled in,
            and so are `manifest_sha256` and, where it is left out, `format_version` (see `fitting_format`).

    Raises:
        ModelError: the manifest breaks a rule; the file is written all the same, to look at.
        OutputError: the file cannot be written.
    """
    where = Path(folder)
    files = []
    for entry in manifest["files"]:
        data = (where / entry["path"]).read_bytes()
        files.append({"path": entry["path"], "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    values = {"format_version": fitting_format(manifest), **manifest, "files": files, "manifest_sha256": UNSEALED}
    data = json.dumps(values, indent=1, ensure_ascii=False).encode()
    write_atomic(where / "manifest.json", data.replace(UNSEALED.encode(), seal(data, UNSEALED).encode()))
    return ModelBundle.open(where)


def fitting_format(manifest: Mapping[str, Any]) -> int:
    """Return the format that a manifest is written in: the oldest one that can say it.

    A converter without a `kind` is format 1, which every edgevc reads. Other kinds, and graphs beside encoder and
    decoder, are what format 2 was made for.
    """
    graphs = manifest.get("graphs")
    return 1 if "kind" not in manifest and (not isinstance(graphs, Mapping) or set(graphs) <= set(GRAPHS)) else 2


def pack_golden(arrays: Mapping[str, FloatArray]) -> tuple[bytes, list[dict[str, Any]]]:
    """Return the golden file's bytes and the manifest's `golden.arrays` for named arrays."""
    entries: list[dict[str, Any]] = []
    data = bytearray()
    for name, array in arrays.items():
        entries.append({"name": name, "shape": list(array.shape), "offset": len(data)})
        data += array.astype("<f4").tobytes()
    return bytes(data), entries
