"""A small server for a process that makes sound: one thread, and nothing that a client does can hold it up.

Clients, what they send, what they leave unread and the time they take are bounded; who breaks a rule is disconnected.
The control socket and the metrics are served by it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol

_LOG = logging.getLogger(__name__)

MAX_CLIENTS = 16
BACKLOG = 128
"""Connections that wait to be accepted."""
RECEIVE_BYTES = 4096
"""At once, from one client."""
MAX_UNREAD = 1 << 18
"""Bytes of answers that a client may leave unread."""
REQUEST_SECONDS = 10.0
"""In which a request must arrive once it has begun, and its answer be read."""
PAUSE_SECONDS = 1.0
"""Without listening, where the process has no file descriptor left for a client."""

_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Conversation(Protocol):
    """The server's side of one connection; used by the server's thread alone."""

    outgoing: bytearray
    """What is still to be sent."""
    leaving: bool
    """The connection ends when everything is sent, or has ended."""
    idle_seconds: float | None
    """So long it may ask nothing; None: as long as it likes, and it is the last to go when others want its place."""

    def receive(self, data: bytes) -> bool:
        """Take what the client sent; return whether a request was complete."""
        ...

    @property
    def waiting(self) -> bool:
        """Whether a request has begun that is not complete."""
        ...

    def dismiss(self) -> None:
        """Add to `outgoing` that the place is needed for another client."""
        ...


class _Client:
    def __init__(self, connection: socket.socket, conversation: Conversation) -> None:
        self.connection = connection
        self.conversation = conversation
        self.since = time.monotonic()
        """When a request last began, was complete, or its answer was read."""

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds left; None where there is no limit."""
        talk = self.conversation
        limit = REQUEST_SECONDS if talk.waiting or talk.outgoing else talk.idle_seconds
        return None if limit is None else self.since + limit - now


class BoundedServer:
    """Serves a listening socket until it is closed."""

    def __init__(
        self,
        listener: socket.socket,
        converse: Callable[[], Conversation],
        name: str,
        work: Callable[[], float | None] = lambda: None,
    ) -> None:
        """Start to serve.

        Args:
            listener: bound and listening; whoever made it closes it after this server.
            converse: makes the conversation with a new client.
            name: of the thread.
            work: is called by the thread at least whenever something was received; returns the seconds after which it
                wants to be called again, None for no matter when. It may add to the `outgoing` of conversations.
        """
        self._listener = listener
        self._converse = converse
        self._work = work
        listener.setblocking(False)
        self._clients: set[_Client] = set()
        self._paused_until: float | None = None
        self._short = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        # a byte on it wakes the thread
        self._waker, self._wakened = socket.socketpair()
        self._selector.register(self._wakened, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Disconnect everybody; may be called twice."""
        if not self._thread.is_alive():
            return
        self._waker.send(b"x")
        self._thread.join()
        for client in list(self._clients):
            self._drop(client)
        self._selector.close()
        for part in (self._waker, self._wakened):
            part.close()

    def _serve(self) -> None:
        leaving = False
        while True:
            wanted = self._do_work()
            for client in list(self._clients):
                self._send(client)
            if leaving:
                return
            for key, events in self._selector.select(self._patience(wanted)):
                if key.fileobj is self._wakened:
                    # what happened last is still told
                    leaving = True
                elif key.fileobj is self._listener:
                    self._accept()
                elif key.data in self._clients and events & selectors.EVENT_READ:
                    self._receive(key.data)

    def _do_work(self) -> float | None:
        try:
            return self._work()
        except Exception:
            _LOG.exception("the server's own work ends here; requests are still answered")
            self._work = lambda: None
            return None

    def _patience(self, wanted: float | None) -> float | None:
        """Drop who took too long; return how long nothing needs to be done."""
        now = time.monotonic()
        if self._paused_until is not None and now >= self._paused_until:
            self._paused_until = None
            self._selector.register(self._listener, selectors.EVENT_READ)
        times = [wanted, None if self._paused_until is None else self._paused_until - now]
        for client in list(self._clients):
            left = client.seconds_left(now)
            if left is not None and left <= 0:
                self._drop(client)
            else:
                times.append(left)
        known = [max(0.0, seconds) for seconds in times if seconds is not None]
        return min(known, default=None)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in _NO_ROOM:
                # the client stays in the queue, so that asking again at once would never end
                self._selector.unregister(self._listener)
                self._paused_until = time.monotonic() + PAUSE_SECONDS
                if not self._short:
                    _LOG.warning("no client can be served: %s; close what holds so many files", error.strerror)
                self._short = True
            return
        self._short = False
        if len(self._clients) >= MAX_CLIENTS:
            self._make_room()
        connection.setblocking(False)
        client = _Client(connection, self._converse())
        self._clients.add(client)
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _make_room(self) -> None:
        """Drop who has asked nothing for longest; who is told of events by this server goes last."""
        longest = min(self._clients, key=lambda client: (client.conversation.idle_seconds is None, client.since))
        longest.conversation.dismiss()
        with contextlib.suppress(OSError):
            longest.connection.send(longest.conversation.outgoing)
        self._drop(longest)

    def _receive(self, client: _Client) -> None:
        talk = client.conversation
        try:
            data = client.connection.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            # what was asked before the client closed its half is still answered
            talk.leaving = True
            if not talk.outgoing:
                self._drop(client)
            return
        had_begun = talk.waiting
        try:
            complete = talk.receive(data)
        except Exception:
            # a fault of ours costs this client its connection, and the others nothing
            _LOG.exception("a request could not be answered")
            self._drop(client)
            return
        if complete or not had_begun:
            client.since = time.monotonic()

    def _send(self, client: _Client) -> None:
        talk = client.conversation
        if talk.outgoing:
            try:
                del talk.outgoing[: client.connection.send(talk.outgoing)]
            except BlockingIOError:
                pass
            except OSError:
                self._drop(client)
                return
            if not talk.outgoing:
                client.since = time.monotonic()
        if len(talk.outgoing) > MAX_UNREAD or (talk.leaving and not talk.outgoing):
            self._drop(client)
            return
        wanted = selectors.EVENT_WRITE if talk.outgoing else 0
        # who does not read its answers is not asked for more
        wanted |= 0 if talk.leaving or len(talk.outgoing) > RECEIVE_BYTES else selectors.EVENT_READ
        self._selector.modify(client.connection, wanted, client)

    def _drop(self, client: _Client) -> None:
        client.conversation.leaving = True
        self._clients.discard(client)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(client.connection)
        client.connection.close()
