"""A FlatBuffer in which what is equal lies once: strings, arrays, and the tables that are shared on purpose."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray


class SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """Writes equal arrays and strings once, as the format allows."""

    def __init__(self, initial_size: int) -> None:
        """Start with room for so many bytes."""
        super().__init__(initial_size)
        self._arrays: dict[tuple[str, bytes], int] = {}
        self._strings: dict[bytes, int] = {}
        self._tables: dict[tuple[Any, ...], int] = {}

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:  # noqa: N802 (the name in flatbuffers)
        """Return where the array lies."""
        key = (x.dtype.str, x.tobytes())
        if key not in self._arrays:
            self._arrays[key] = super().CreateNumpyVector(x)
        return self._arrays[key]

    def CreateString(self, s: str | bytes, encoding: str = "utf-8", errors: str = "strict") -> int:  # noqa: N802
        """Return where the string lies."""
        key = s if isinstance(s, bytes) else s.encode(encoding, errors)
        if key not in self._strings:
            self._strings[key] = super().CreateString(s, encoding, errors)
        return self._strings[key]

    def share(self, table: Any) -> None:
        """Let a table, as `ModelT` holds it, be packed to where an equal one lies; it must not change afterwards."""
        fields = sorted(vars(table).items())
        key = (type(table), *(np.asarray(() if value is None else value).tobytes() for _, value in fields))
        pack = table.Pack

        def pack_once(builder: SharingBuilder) -> int:
            if key not in self._tables:
                self._tables[key] = pack(builder)
            return self._tables[key]

        # the tables that hold this one ask it to pack itself
        table.Pack = pack_once
