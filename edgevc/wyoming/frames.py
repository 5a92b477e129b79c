"""Wyoming's frames, read and written byte for byte.

A frame is one line of JSON, {"type", "data"?, "data_length"?, "payload_length"?, "version"?}; then data_length bytes of
JSON, which is merged over "data"; then payload_length bytes. Source: the protocol's own README and event.py
(OHF-Voice/wyoming). The bytes are kept as they came, so that a frame can be passed on as it is; only what somebody asks
for is read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgevc.errors import EdgevcError
from edgevc.text import shortened

MAX_HEADER = 1 << 16
"""Bytes of a header line; the protocol's own reader has the same limit."""
MAX_DATA = 1 << 20
MAX_PAYLOAD = 1 << 22
"""Bytes; 131 s of 16-bit mono at 16 kHz."""

_LONG_HEADER = f"an event's header must have at most {MAX_HEADER} bytes, got more"


class FrameError(EdgevcError):
    """A peer broke a rule of the protocol, or asked for more than is allowed."""


@dataclass(frozen=True)
class Frame:
    """One event as it came over the wire."""

    type: str
    header: Mapping[str, Any]
    """What stood in the line."""
    line: bytes
    """With its line feed."""
    block: bytes
    """The data behind the line."""
    payload: bytes

    def data(self) -> dict[str, Any]:
        """Return the event's data, that of the line and of the block together.

        Raises:
            FrameError: it is no object of JSON.
        """
        inline = {} if self.header.get("data") is None else self.header["data"]
        block = _object(self.block, "data") if self.block else {}
        if not isinstance(inline, dict):
            raise FrameError(f"an event's data must be an object, got {shortened(inline)}")
        return {**inline, **block}

    @property
    def raw(self) -> tuple[bytes, bytes, bytes]:
        """All its bytes."""
        return self.line, self.block, self.payload


def make_frame(
    kind: str, data: Mapping[str, Any] | None = None, payload: bytes = b"", header: Mapping[str, Any] | None = None
) -> Frame:
    """Return a new frame, laid out as the protocol's own writer does.

    Args:
        kind: its type.
        data: goes into the block.
        payload: any bytes.
        header: further entries of the line, such as the version of a frame that is written anew.
    """
    block = json.dumps(data, ensure_ascii=False).encode() if data else b""
    known = {"type": kind, "data": None, "data_length": len(block) or None, "payload_length": len(payload) or None}
    entries = {key: value for key, value in {**(header or {}), **known}.items() if value is not None}
    return Frame(kind, entries, json.dumps(entries, ensure_ascii=False).encode() + b"\n", block, payload)


async def read_frame(reader: asyncio.StreamReader, first: bytes) -> Frame:
    """Read one frame.

    Args:
        reader: made with the limit MAX_HEADER.
        first: the first byte of its line, read already: a frame that has begun must end in time.

    Raises:
        FrameError: it breaks a rule, is too large, or the connection ended within it.
    """
    try:
        line = first if first == b"\n" else first + await reader.readuntil(b"\n")
        if len(line) > MAX_HEADER:
            raise FrameError(_LONG_HEADER)
        header = _object(line, "header")
        kind = header.get("type")
        if not isinstance(kind, str):
            raise FrameError(f"an event's type must be text, got {shortened(kind)}")
        block = await reader.readexactly(_length(header, "data_length", MAX_DATA))
        payload = await reader.readexactly(_length(header, "payload_length", MAX_PAYLOAD))
    except asyncio.LimitOverrunError:
        raise FrameError(_LONG_HEADER) from None
    except asyncio.IncompleteReadError:
        raise FrameError("the connection ended within an event") from None
    return Frame(kind, header, line, block, payload)


def _length(header: Mapping[str, Any], key: str, most: int) -> int:
    length = header.get(key)
    if length is None:
        return 0
    if isinstance(length, bool) or not isinstance(length, int) or not 0 <= length <= most:
        raise FrameError(f"{key} must be within 0..{most}, got {shortened(length)}")
    return length


def _object(text: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(text.decode("utf-8"), object_pairs_hook=_without_twins)
    except (ValueError, RecursionError):
        # not shown: it may be sound
        raise FrameError(f"an event's {what} must be JSON, got {len(text)} bytes that are not") from None
    if not isinstance(found, dict):
        raise FrameError(f"an event's {what} must be an object of JSON, got {shortened(found)}")
    return found


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice: another reader may take the other value, and see another event."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found
