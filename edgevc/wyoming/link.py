"""One end of a Wyoming connection, and what it may cost: no peer can hold it open, or fill memory, for ever."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

from edgevc.wyoming.frames import MAX_HEADER, Frame, read_frame

FRAME_SECONDS = 30.0
"""In which an event must be complete once it has begun."""
UNREAD_SECONDS = 30.0
"""In which a peer must read something of what waits for it."""
WRITE_BUFFER = 1 << 16
"""Bytes that may wait for a peer before whoever writes has to."""


class Link:
    """Frames in, frames out. `overdue` says when a peer has taken too long; whoever serves it looks now and then."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection made with `limit=MAX_HEADER`."""
        self._reader = reader
        self._writer = writer
        self.peer = _place(writer.get_extra_info("peername"))
        """Where it connects from, for people."""
        self._begun: float | None = None
        self.heard_at = time.monotonic()
        """When something last came from the peer."""
        self._n_written = 0
        self._taken = (0, self.heard_at)
        writer.transport.set_write_buffer_limits(WRITE_BUFFER)
        found = writer.get_extra_info("socket")
        if found is not None:
            with contextlib.suppress(OSError):
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    async def connect(cls, host: str, port: int, seconds: float) -> Link:
        """Connect to a server.

        Raises:
            OSError: it does not answer, or not within `seconds`.
        """
        try:
            opened = asyncio.open_connection(host, port, limit=MAX_HEADER)
            return cls(*await asyncio.wait_for(opened, seconds))
        except asyncio.TimeoutError:
            raise TimeoutError(f"no answer within {seconds:g} s") from None

    async def receive(self) -> Frame | None:
        """Return the next frame; None where the peer has sent its last.

        Raises:
            FrameError: as `read_frame`.
            OSError: the connection broke.
        """
        first = await self._reader.read(1)
        if not first:
            return None
        self._begun = time.monotonic()
        try:
            return await read_frame(self._reader, first)
        finally:
            self._begun = None
            self.heard_at = time.monotonic()

    async def send(self, frame: Frame) -> None:
        """Send a frame; wait while the peer has not read what was sent before.

        Raises:
            OSError: the connection broke.
        """
        for part in frame.raw:
            if part:
                self._writer.write(part)
                self._n_written += len(part)
        await self._writer.drain()

    def end_sending(self) -> None:
        """Say that nothing more comes; what the peer sends can still be received."""
        with contextlib.suppress(OSError, RuntimeError):
            if self._writer.can_write_eof():
                self._writer.write_eof()

    def overdue(self, now: float) -> str | None:
        """Return why the peer has had its time, None while it has some left; ask again every few seconds."""
        if self._begun is not None and now - self._begun > FRAME_SECONDS:
            return f"an event was not complete within {FRAME_SECONDS:g} s"
        waiting = self._writer.transport.get_write_buffer_size()
        taken, since = self._taken
        if not waiting or self._n_written - waiting > taken:
            taken, since = self._n_written - waiting, now
        self._taken = taken, since
        if now - since > UNREAD_SECONDS:
            return f"nothing of what was sent to it was read for {UNREAD_SECONDS:g} s"
        return None

    def abort(self) -> None:
        """Break the connection at once; whoever waits for it is woken."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Send what waits and end the connection; a peer that does not read it is not waited for."""
        self._writer.close()
        try:
            await asyncio.wait_for(self._writer.wait_closed(), 1.0)
        except (OSError, asyncio.TimeoutError):
            pass
        finally:
            self.abort()


def _place(name: object) -> str:
    return ":".join(map(str, name[:2])) if isinstance(name, tuple) else str(name)
