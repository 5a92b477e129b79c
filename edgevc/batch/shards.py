"""The manifest of a batch on a storage that cannot append: pieces while it runs, one file when it ends.

Every few seconds the lines so far go into a file of their own below SHARDS. At the end, of this run or the next, they
become part of the manifest, and only then they are deleted: no moment loses a line.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any

from edgevc.batch.manifest import parsed_line
from edgevc.batch.plan import MANIFEST
from edgevc.batch.storage import Storage

SHARDS = "edgevc-convert.shards"
_SHARD_SECONDS = 10.0
_SHARD_LINES = 20_000


class Shards:
    """The records of an output folder."""

    def __init__(self, storage: Storage, listed: Iterable[str]) -> None:
        """Read what earlier runs have recorded.

        Args:
            storage: the output folder.
            listed: names of all files in it.

        Raises:
            OutputError: the storage refuses.
        """
        self._storage = storage
        # two runs into one folder at once keep their lines apart
        self._run = secrets.token_hex(6)
        self._count = 0
        self._lines: list[str] = []
        self._written_at = time.monotonic()
        self._old = [name for name in listed if name.startswith(f"{SHARDS}/")]
        self.last: dict[str, dict[str, Any]] = {}
        """Output to the last record about it."""
        for name in (MANIFEST, *sorted(self._old)):
            for line in (storage.read(name) or b"").splitlines():
                record = parsed_line(line)
                if record is not None:
                    self.last[record["output"]] = record

    def add(self, record: Mapping[str, Any]) -> None:
        """Remember a record, and write those that wait where it is time.

        Raises:
            OutputError: the storage refuses.
        """
        line = json.dumps(record, ensure_ascii=True)
        self._lines.append(line)
        self.last[record["output"]] = dict(record)
        if len(self._lines) >= _SHARD_LINES or time.monotonic() - self._written_at >= _SHARD_SECONDS:
            self.write()

    def write(self) -> None:
        """Write the records that wait.

        Raises:
            OutputError: the storage refuses.
        """
        if not self._lines:
            return
        name = f"{SHARDS}/{self._run}-{self._count:06d}.jsonl"
        self._storage.write(name, ("\n".join(self._lines) + "\n").encode("ascii"))
        self._old.append(name)
        self._count += 1
        self._lines.clear()
        self._written_at = time.monotonic()

    def merge(self) -> None:
        """Make one manifest of all records, and delete the pieces.

        Raises:
            OutputError: the storage refuses; the pieces are still there.
        """
        self.write()
        if not self._old:
            return
        lines = (json.dumps(record, ensure_ascii=True) for record in self.last.values())
        self._storage.write(MANIFEST, ("\n".join(lines) + "\n").encode("ascii"))
        for name in self._old:
            self._storage.remove(name)
        self._storage.remove_folder(SHARDS)
        self._old.clear()
