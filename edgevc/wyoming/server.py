"""A server for Wyoming: clients, what they send, what they leave unread and the time they take are bounded."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Protocol

from edgevc.errors import EdgevcError, SessionError
from edgevc.wyoming.frames import MAX_HEADER, make_frame
from edgevc.wyoming.link import Link

_LOG = logging.getLogger(__name__)

MAX_CLIENTS = 32
IDLE_SECONDS = 600.0
"""A client with which nothing happens for so long is disconnected; Home Assistant asks anew every time."""
GRACE_SECONDS = 10.0
"""A client that was quiet for so long gives its place to a new one where all are taken."""
LOOK_SECONDS = 1.0
"""Between two looks at who has had its time."""


class Session(Protocol):
    """The server's side of one connection."""

    async def run(self) -> None:
        """Serve the client until it leaves.

        Raises:
            EdgevcError: something ends the session; the client is told.
            OSError: a connection broke.
        """
        ...

    def quiet_since(self) -> float:
        """Return when something last happened, by time.monotonic()."""
        ...

    def overdue(self, now: float) -> str | None:
        """Return why the session has had its time; None while it has some left."""
        ...

    def abort(self) -> None:
        """Break every connection of the session at once."""
        ...


class Server:
    """Listens, and makes a session for each client."""

    def __init__(self, converse: Callable[[Link], Session], max_clients: int = MAX_CLIENTS) -> None:
        """`converse` makes the session of a new client."""
        self._converse = converse
        self._max_clients = max_clients
        self._sessions: set[Session] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Listen; port 0 takes a free one.

        Raises:
            SessionError: the address is taken, or there is none such.
        """
        try:
            return await asyncio.start_server(self._accept, host, port, limit=MAX_HEADER)
        except OSError as error:
            raise SessionError(
                f"cannot listen on {host}:{port}: {error.strerror or error}; choose another port with --listen"
            ) from error

    async def run(self, server: asyncio.Server) -> None:
        """Serve until this is cancelled; then disconnect everybody."""
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                self._look(time.monotonic())
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _look(self, now: float) -> None:
        for session in list(self._sessions):
            reason = session.overdue(now)
            if reason is None and now - session.quiet_since() > IDLE_SECONDS:
                reason = f"nothing happened for {IDLE_SECONDS:g} s"
            if reason is not None:
                _LOG.info("a client is disconnected: %s", reason)
                session.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(reader, writer)
        full = len(self._sessions) >= self._max_clients and not self._make_room()
        task = asyncio.ensure_future(self._turn_away(link) if full else self._serve(link, self._converse(link)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _turn_away(self, link: Link) -> None:
        await _say(link, f"{self._max_clients} clients are connected; try again later", "busy")
        await link.close()

    async def _serve(self, link: Link, session: Session) -> None:
        self._sessions.add(session)
        try:
            await session.run()
        except EdgevcError as error:
            _LOG.info("a client is disconnected: %s", error)
            await _say(link, str(error), "refused")
        except OSError as error:
            _LOG.info("a client is gone: %s", error.strerror or error)
        except Exception:
            # a fault of ours costs this client its connection, and the others nothing
            _LOG.exception("a client is disconnected")
        finally:
            self._sessions.discard(session)
            await link.close()

    def _make_room(self) -> bool:
        """Drop the session that was quiet for longest, if it was for long enough."""
        longest = min(self._sessions, key=lambda session: session.quiet_since())
        if time.monotonic() - longest.quiet_since() < GRACE_SECONDS:
            return False
        longest.abort()
        return True


async def _say(link: Link, text: str, code: str) -> None:
    with contextlib.suppress(OSError):
        await link.send(make_frame("error", {"text": text, "code": code}))
