"""Commands for a running session over a socket of this machine: one line of JSON asks, one line answers.

    {"command": "mode", "value": "mute"}      ->  {"ok": true, "mode": "mute"}
    {"command": "voice", "value": "nobody"}   ->  {"ok": false, "error": "voice must be one of ..."}

Commands: status, mode, voice, gain, pitch, stop. Nothing that a client does can hold the session up: one thread serves
all of them without ever waiting for one, lines, clients and answers are bounded, and who breaks the rules is
disconnected.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from edgevc.errors import ConfigError, EdgevcError, SessionError
from edgevc.live.stats import LiveStats
from edgevc.settings.kinds import is_loopback, split_host_port

_LOG = logging.getLogger(__name__)

MAX_LINE = 4096
"""Bytes of a command."""
MAX_CLIENTS = 16
_MAX_UNREAD = 1 << 18
"""Bytes of answers that a client may leave unread."""
COMMANDS = ("status", "mode", "voice", "gain", "pitch", "stop")


class Controlled(Protocol):
    """What the control socket needs of a session."""

    voices: tuple[str, ...]

    def stats(self) -> LiveStats:
        """Return a snapshot."""
        ...

    def set_mode(self, mode: str) -> None:
        """See `LiveSession.set_mode`."""
        ...

    def set_voice(self, voice: str) -> None:
        """See `LiveSession.set_voice`."""
        ...

    def set_gain_db(self, gain_db: float) -> None:
        """See `LiveSession.set_gain_db`."""
        ...

    def set_semitones(self, semitones: float) -> None:
        """See `LiveSession.set_semitones`."""
        ...

    @property
    def gain_db(self) -> float:
        """Of the output."""
        ...

    @property
    def semitones(self) -> float:
        """By which the pitch is raised."""
        ...


def default_address() -> str | None:
    """Return the address that a session listens on if none is given; None where the system has no place for it."""
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    return f"unix:{folder}/edgevc.sock" if folder and Path(folder).is_dir() else None


def _open(address: str) -> tuple[socket.socket, Any]:
    """Return a socket and what it binds or connects to."""
    if address.startswith("unix:"):
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), address[5:]
    try:
        host, port = split_host_port(address)
        if not is_loopback(host):
            raise ValueError
    except ValueError as error:
        raise ConfigError(f"the control address must be unix:PATH or 127.0.0.1:PORT, got {address!r}") from error
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM), (host, port)


class _Client:
    """One connection: what it sent and what it has not yet read."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.incoming = b""
        self.outgoing = b""
        self.leaving = False


class ControlServer:
    """Listens until it is closed."""

    def __init__(self, address: str, session: Controlled, stop: Callable[[], None]) -> None:
        """Bind and start to serve.

        Args:
            address: unix:PATH (the socket is for this user alone, mode 0600) or 127.0.0.1:PORT (for every user of this
                machine); port 0 takes a free one.
            session: is commanded.
            stop: is called by the command `stop`, from the server's thread.

        Raises:
            ConfigError: the address is malformed or reaches other machines.
            SessionError: it is taken.
        """
        self._session = session
        self._stop = stop
        self._path: str | None = None
        self._listener, where = _open(address)
        try:
            if isinstance(where, str):
                _remove_stale(where)
                # no moment at which somebody else may connect
                mask = os.umask(0o177)
                try:
                    self._listener.bind(where)
                finally:
                    os.umask(mask)
                self._path = where
            else:
                self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self._listener.bind(where)
                address = f"{where[0]}:{self._listener.getsockname()[1]}"
            self._listener.listen(MAX_CLIENTS)
        except OSError as error:
            self._listener.close()
            raise SessionError(
                f"cannot listen on {address}: {error.strerror or error}; another session may run there, so choose "
                "another --control"
            ) from error
        self.address = address
        self._listener.setblocking(False)
        self._clients: set[_Client] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        # a byte on it ends the thread
        self._waker, self._wakened = socket.socketpair()
        self._selector.register(self._wakened, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="edgevc-control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Disconnect everybody and remove the socket; may be called twice."""
        if not self._thread.is_alive():
            return
        self._waker.send(b"x")
        self._thread.join()
        for client in list(self._clients):
            self._drop(client)
        self._selector.close()
        for part in (self._listener, self._waker, self._wakened):
            part.close()
        if self._path is not None:
            with contextlib.suppress(OSError):
                Path(self._path).unlink()

    def _serve(self) -> None:
        while True:
            for key, events in self._selector.select():
                if key.fileobj is self._wakened:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif key.data in self._clients:
                    self._attend(key.data, events)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if len(self._clients) >= MAX_CLIENTS:
            connection.close()
            return
        connection.setblocking(False)
        client = _Client(connection)
        self._clients.add(client)
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _attend(self, client: _Client, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                data = client.connection.recv(MAX_LINE)
                if not data:
                    self._drop(client)
                    return
                client.incoming += data
                self._obey(client)
            if client.outgoing:
                client.outgoing = client.outgoing[client.connection.send(client.outgoing) :]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(client)
            return
        if len(client.outgoing) > _MAX_UNREAD or (client.leaving and not client.outgoing):
            self._drop(client)
            return
        wanted = selectors.EVENT_WRITE if client.outgoing else 0
        # who does not read its answers is not asked for more
        wanted |= 0 if client.leaving or len(client.outgoing) > MAX_LINE else selectors.EVENT_READ
        self._selector.modify(client.connection, wanted, client)

    def _obey(self, client: _Client) -> None:
        *lines, client.incoming = client.incoming.split(b"\n")
        for line in lines:
            if not client.leaving and line.strip():
                answer, understood = self._answer(line)
                client.outgoing += json.dumps(answer).encode() + b"\n"
                # a browser that was led here speaks HTTP: it shall not get to a second line
                client.leaving = not understood
        if len(client.incoming) > MAX_LINE and not client.leaving:
            answer = {"ok": False, "error": f"a command must have at most {MAX_LINE} bytes"}
            client.outgoing += json.dumps(answer).encode() + b"\n"
            client.leaving = True

    def _answer(self, line: bytes) -> tuple[dict[str, Any], bool]:
        """Return the answer, and whether the line was a command at all."""
        try:
            request = json.loads(line)
            if not isinstance(request, dict) or not isinstance(request.get("command"), str):
                raise ValueError
        except (ValueError, RecursionError):
            return {"ok": False, "error": 'expected a line such as {"command": "status"}'}, False
        try:
            return {"ok": True, **self._do(request["command"], request.get("value"))}, True
        except EdgevcError as error:
            return {"ok": False, "error": str(error)}, True

    def _do(self, command: str, value: object) -> dict[str, Any]:
        session = self._session
        if command == "status":
            snapshot = session.stats()
            stats = asdict(snapshot)
            stats["latency"]["total"] = snapshot.latency.total
            settings = {"gain_db": session.gain_db, "semitones": session.semitones, "voices": list(session.voices)}
            return {"stats": stats, "settings": settings}
        if command == "stop":
            self._stop()
            return {}
        if command in ("mode", "voice"):
            if not isinstance(value, str):
                raise ConfigError(f'{command} needs a name, such as {{"command": "{command}", "value": "..."}}')
            (session.set_mode if command == "mode" else session.set_voice)(value)
            return {command: value}
        if command in ("gain", "pitch"):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ConfigError(f'{command} needs a number, such as {{"command": "{command}", "value": -3}}')
            # whatever the number is, it becomes one that the range check understands
            number = float(min(max(value, -1e9), 1e9)) if value == value else math.nan
            (session.set_gain_db if command == "gain" else session.set_semitones)(number)
            return {command: number}
        raise ConfigError(f"command must be one of {', '.join(COMMANDS)}, got {command[:40]!r}")

    def _drop(self, client: _Client) -> None:
        self._clients.discard(client)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(client.connection)
        client.connection.close()


def _remove_stale(path: str) -> None:
    """Remove the socket of a session that died; one that answers stays, and so does what is no socket."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(1.0)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        with contextlib.suppress(OSError):
            if Path(path).is_socket():
                Path(path).unlink()
    except OSError:
        # nothing is there; or it cannot be told, and binding will say so
        pass
    finally:
        probe.close()


def send_command(address: str, command: str, value: str | float | None = None, timeout: float = 5.0) -> dict[str, Any]:
    """Send one command to a running session and return its answer.

    Raises:
        SessionError: nobody listens there.
        ConfigError: the session refuses the command.
    """
    connection, where = _open(address)
    request = {"command": command} if value is None else {"command": command, "value": value}
    with connection:
        connection.settimeout(timeout)
        try:
            connection.connect(where)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as answers:
                answer = json.loads(answers.readline(_MAX_UNREAD) or b"{}")
        except (OSError, ValueError) as error:
            raise SessionError(
                f"no session answers on {address}: {error}; start `edgevc live`, or give its --control address"
            ) from error
    if not isinstance(answer, dict) or not answer.get("ok"):
        raise ConfigError(
            str(answer.get("error", "the session gave no answer") if isinstance(answer, dict) else answer)
        )
    return answer
