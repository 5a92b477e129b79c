"""What a cluster's machine does: loads the model once for each process, and converts some files of a shared storage."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgevc.batch.storage import Storage
from edgevc.batch.worker import Converting, Task, WorkerSettings
from edgevc.errors import EdgevcError
from edgevc.text import first_line


@dataclass(frozen=True)
class Item:
    """One file of the plan."""

    number: int
    root: str
    """URL of the source folder."""
    name: str
    """Below it."""
    output: str
    """Below the output folder."""
    voice: str
    pitch: float
    mtime_ns: int


_loaded: dict[str, Converting] = {}
"""The model of this process, by settings and content: a process serves one batch after the other."""
_storages: dict[str, Storage] = {}


def convert_items(
    model: Mapping[str, bytes], settings: WorkerSettings, target: str, items: Sequence[Item]
) -> list[dict[str, Any]]:
    """Convert files; return for each what the manifest says of it, with its `number`.

    Args:
        model: files of the bundle's folder; or one, the bundle's zip archive.
        settings: of all files; `bundle` is where the model lay on the machine that began.
        target: URL of the output folder.
        items: in the order in which they are converted.

    Raises:
        ModelError, EngineError: the model cannot be used on this machine.
    """
    converting = _converting(model, settings)
    return [{"number": item.number, **_convert(converting, target, item)} for item in items]


def _convert(converting: Converting, target: str, item: Item) -> dict[str, Any]:
    try:
        out = _storage(target)
        with _storage(item.root).source(item.name) as source, out.output(item.output) as place:
            # what is sent elsewhere needs no disk of this machine
            durable = out.local is not None
            record = converting.convert(Task(source, place, item.voice, item.pitch), durable=durable)
    except EdgevcError as error:
        return {"error": str(error), "exit_code": error.exit_code}
    except Exception as error:  # one bad file shall not end the batch
        return {"error": f"{type(error).__name__}: {first_line(error)}", "exit_code": EdgevcError.exit_code}
    return {**record, "source_mtime_ns": item.mtime_ns}


def _storage(url: str) -> Storage:
    if url not in _storages:
        _storages[url] = Storage(url)
    return _storages[url]


def _converting(model: Mapping[str, bytes], settings: WorkerSettings) -> Converting:
    digest = hashlib.sha256(repr(settings).encode())
    for name, content in sorted(model.items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    key = digest.hexdigest()
    if key not in _loaded:
        _loaded.clear()
        os.environ["OMP_NUM_THREADS"] = "1"
        # an engine may map its graph: the files stay while it is loaded and go with the block
        with tempfile.TemporaryDirectory(prefix="edgevc-model-") as folder:
            for name, content in model.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            place = next(iter(model)) if len(model) == 1 else ""
            _loaded[key] = Converting(replace(settings, bundle=str(Path(folder) / place)))
    return _loaded[key]
