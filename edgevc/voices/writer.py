"""Writes a voice's file: a bundle of kind "voice" with adapters, zipped."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgevc.bundle import AdapterLayer, Adapters, ModelBundle
from edgevc.bundle.adapters import pack_adapters
from edgevc.bundle.reader import UNSEALED, seal
from edgevc.bundle.specs import FloatArray
from edgevc.errors import ModelError
from edgevc.files import write_atomic
from edgevc.version import version as edgevc_version
from edgevc.voices.library import MAX_VOICE_BYTES, open_voice

_ADAPTERS, _ROW = "adapters.f16", "voices.f32"
_DATE = (1980, 1, 1, 0, 0, 0)
"""Of every entry: the same voice gives the same bytes."""


def write_voice(
    path: str | os.PathLike[str],
    model: ModelBundle,
    voice: Mapping[str, Any],
    conditioning: FloatArray,
    adapters: Adapters,
    quality: Mapping[str, Any] | None = None,
    *,
    version: str = "1.0",
) -> ModelBundle:
    """Write a voice's file and open it; a file of that name is replaced.

    Args:
        path: ends in .voice.
        model: that it was made for.
        voice: as an entry of the manifest's `voices.list`, without `row`.
        conditioning: (1, V).
        adapters: its `sha256` does not count.
        quality: measured figures.
        version: of the voice.

    Raises:
        ModelError: the file would break a rule, or be larger than 250 kB; nothing is written.
        OutputError: it cannot be written.
    """
    files = {
        _ADAPTERS: pack_adapters(adapters.layers, adapters.offsets),
        _ROW: conditioning.astype("<f4").tobytes(),
    }
    manifest = {
        "format_version": 2,
        "kind": "voice",
        "name": voice["name"],
        "version": version,
        "description": voice["description"],
        "licence": voice["licence"],
        "training_data": [],
        "training_commit": re.sub("[^A-Za-z0-9._-]", "-", f"edgevc-{edgevc_version()}"),
        "model": {
            "name": model.name,
            "version": model.version,
            "width": int(conditioning.shape[1]),
            "graphs_sha256": model.graphs_sha256,
        },
        "adapters": {
            "file": _ADAPTERS,
            "rank": int(adapters.layers[0].down.shape[0]),
            "layers": [[len(layer.up), int(layer.down.shape[1])] for layer in adapters.layers],
            "offsets": len(adapters.offsets),
        },
        "voices": {"file": _ROW, "list": [{**voice, "row": 0}]},
        "files": [
            {"path": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in files.items()
        ],
        "manifest_sha256": UNSEALED,
    }
    if quality:
        manifest["quality"] = dict(quality)
    text = json.dumps(manifest, indent=1, ensure_ascii=False).encode()
    content = _zipped({"manifest.json": text.replace(UNSEALED.encode(), seal(text, UNSEALED).encode()), **files})
    if len(content) > MAX_VOICE_BYTES:
        raise ModelError(f"a voice has at most {MAX_VOICE_BYTES} bytes, got {len(content)}; lower the rank")
    # checked before the file takes its name
    ModelBundle.of_archive(content, Path(path))
    write_atomic(path, content)
    return open_voice(path)


def _zipped(files: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, _DATE)
            info.external_attr = 0o100644 << 16
            archive.writestr(info, data)
    return target.getvalue()


def rounded(adapters: Adapters) -> Adapters:
    """Return adapters as a file will hold them, in half precision."""

    def half(array: FloatArray) -> FloatArray:
        return array.astype(np.float16).astype(np.float32)

    layers = tuple(AdapterLayer(half(layer.up), half(layer.down)) for layer in adapters.layers)
    return Adapters(layers, half(adapters.offsets), adapters.sha256)
