"""Talks to a running session over its control socket; what answers there is not trusted."""

from __future__ import annotations

import contextlib
import json
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from edgevc.control.address import open_socket
from edgevc.errors import ConfigError, SessionError
from edgevc.text import printable

MAX_ANSWER = 1 << 18
"""Bytes of one line."""
MAX_DEPTH = 6
"""Of nested values in an answer; a session's have three."""
MAX_EVENTS = 1000
"""That wait while an answer is waited for; older ones go."""
TIMEOUT_SECONDS = 5.0


class Connection:
    """An open connection to a session; use it in one thread, in a `with` block.

    It may ask and be told of events at once.

    Example:
        >>> with Connection("unix:/run/user/1000/edgevc.sock") as session:  # doctest: +SKIP
        ...     session.ask("voice", "slt")
        ...     for event in session.subscribe("state"):
        ...         print(event)
    """

    def __init__(self, address: str, timeout: float = TIMEOUT_SECONDS) -> None:
        """Connect.

        Args:
            address: unix:PATH or 127.0.0.1:PORT.
            timeout: seconds in which the connection, and each answer as a whole, must come.

        Raises:
            ConfigError: the address is malformed.
            SessionError: nobody listens there.
        """
        self._address = address
        self._timeout = timeout
        self._received = b""
        self._events: deque[dict[str, Any]] = deque(maxlen=MAX_EVENTS)
        self._socket, where = open_socket(address)
        self._socket.settimeout(timeout)
        try:
            self._connect(where, time.monotonic() + timeout)
        except (OSError, ValueError) as error:
            self._socket.close()
            raise self._no_session(error) from error

    def _connect(self, where: Any, end: float) -> None:
        while True:
            try:
                self._socket.connect(where)
            except BlockingIOError:
                # so many wait to be served that a unix socket takes no more for the moment
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)
            else:
                return

    @property
    def waiting(self) -> int:
        """Events that came before an answer and were not read yet."""
        return len(self._events)

    def __enter__(self) -> Connection:
        """Return the connection."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self._socket.close()

    def ask(self, command: str, value: object = None) -> dict[str, Any]:
        """Send one command and return its answer.

        Raises:
            ConfigError: the session refuses it.
            SessionError: nothing answers, or no session does.
        """
        request = {"command": command} if value is None else {"command": command, "value": value}
        # a session that has dropped this client has said why
        with contextlib.suppress(OSError):
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        end = time.monotonic() + self._timeout
        answer = self._read(end)
        while answer is not None and "event" in answer and "ok" not in answer:
            # what was subscribed to may come before the answer, and is kept for `subscribe`
            self._events.append(answer)
            answer = self._read(end)
        if answer is None:
            raise SessionError(f"the session on {self._address} ended the connection; ask again, or start it anew")
        if answer.get("ok") is True:
            return answer
        error = answer.get("error")
        if answer.get("ok") is not False or not isinstance(error, str):
            raise self._not_a_session()
        words = printable(error)
        raise SessionError(words) if words.startswith("too many clients") else ConfigError(words)

    def subscribe(self, *events: str) -> Iterator[dict[str, Any]]:
        """Yield the session's answer, then what happens, until the session ends.

        Args:
            events: of `edgevc.control.events.EVENTS`; "state" where none is given.

        Raises:
            ConfigError: there is no such event.
            SessionError: nothing answers, or no session does.
        """
        yield self.ask("subscribe", list(events) or None)
        while (event := self._events.popleft() if self._events else self._read(None)) is not None:
            if event.get("ok") is False:
                raise SessionError(printable(str(event.get("error"))))
            yield event

    def _read(self, end: float | None) -> dict[str, Any] | None:
        """Return one line as JSON, until `end` of the monotonic clock; None where the connection ended."""
        while b"\n" not in self._received:
            if len(self._received) > MAX_ANSWER:
                raise self._not_a_session()
            try:
                self._socket.settimeout(None if end is None else max(end - time.monotonic(), 1e-3))
                data = self._socket.recv(1 << 16)
            except ConnectionError:
                data = b""
            except OSError as error:
                raise self._no_session(error) from error
            if not data:
                if self._received:
                    raise self._not_a_session()
                return None
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self._not_a_session() from error
        if not isinstance(answer, dict) or not _shallow(answer):
            raise self._not_a_session()
        return answer

    def _no_session(self, error: Exception) -> SessionError:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return SessionError(
            f"no session answers on {self._address}: {reason}; start `edgevc live`, or give its --control address"
        )

    def _not_a_session(self) -> SessionError:
        return SessionError(f"what answers on {self._address} is no session of edgevc; give another --control address")


def send_command(address: str, command: str, value: object = None, timeout: float = TIMEOUT_SECONDS) -> dict[str, Any]:
    """Send one command to a running session and return its answer; see `Connection`."""
    with Connection(address, timeout) as connection:
        return connection.ask(command, value)


def _shallow(value: object, levels: int = MAX_DEPTH) -> bool:
    """Whether a value of JSON is nested so little that everything can walk through it."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return parts is None or (levels > 0 and all(_shallow(part, levels - 1) for part in parts))
