"""Controls a running session over a socket of this machine: one line of JSON asks, one line answers.

    {"command": "mode", "value": "mute"}      ->  {"ok": true, "mode": "mute"}
    {"command": "voice", "value": "nobody"}   ->  {"ok": false, "error": "voice must be one of ..."}

Commands: the names of `edgevc.control.controls`, and status, subscribe, stop. See docs/live-control.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from edgevc.control.address import Listener
from edgevc.control.bounded import BACKLOG, MAX_CLIENTS, BoundedServer
from edgevc.control.controls import BY_NAME, CONTROLS, Controlled
from edgevc.control.events import Events
from edgevc.control.phones import PhoneQueue
from edgevc.errors import ConfigError, EdgevcError
from edgevc.text import shortened

MAX_LINE = 4096
"""Bytes of a command."""
IDLE_SECONDS = 300.0
"""A client that asks nothing for so long, and has not subscribed, is disconnected."""
MAX_BACKLOG = 1 << 16
"""Bytes of events that a subscriber may leave unread before events are left out for it."""
REQUESTS = {
    "status": "every number that the session counts, and its settings",
    "subscribe": "a line for each change, until the connection ends",
    "stop": "end the session",
}
"""What can be asked beside the controls, and what it does."""
COMMANDS = (*REQUESTS, *BY_NAME)


class _Conversation:
    """One client."""

    def __init__(self, answer: Callable[[_Conversation, bytes], tuple[dict[str, Any], bool]]) -> None:
        self._answer = answer
        self._incoming = b""
        self.outgoing = bytearray()
        self.leaving = False
        self.idle_seconds: float | None = IDLE_SECONDS

    @property
    def waiting(self) -> bool:
        """Whether a line has begun."""
        return bool(self._incoming)

    def receive(self, data: bytes) -> bool:
        """Answer every line that is complete."""
        *lines, self._incoming = (self._incoming + data).split(b"\n")
        for line in lines:
            if not self.leaving and line.strip():
                answer, understood = self._answer(self, line)
                self.say(answer)
                # a browser that was led here speaks HTTP: it shall not get to a second line
                self.leaving = not understood
        if len(self._incoming) > MAX_LINE and not self.leaving:
            self.say(_refusal(f"a command must have at most {MAX_LINE} bytes"))
            self.leaving = True
        return bool(lines)

    def dismiss(self) -> None:
        """Say why the connection ends."""
        self.say(
            _refusal(
                f"too many clients: {MAX_CLIENTS} are connected, and this one has asked nothing for longest; "
                "close the others"
            )
        )

    def say(self, message: dict[str, Any]) -> None:
        """Send one line."""
        self.outgoing += json.dumps(message).encode() + b"\n"

    @property
    def full(self) -> bool:
        """Whether it does not read what it subscribed to."""
        return len(self.outgoing) > MAX_BACKLOG


def _refusal(text: str) -> dict[str, Any]:
    return {"ok": False, "error": text}


class ControlServer:
    """Listens until it is closed."""

    def __init__(
        self, address: str, session: Controlled[Any], stop: Callable[[], None], phones: Sequence[str] = ()
    ) -> None:
        """Bind and start to serve.

        Args:
            address: unix:PATH or 127.0.0.1:PORT, see `Listener`.
            session: is controlled.
            stop: is called by the command `stop`, from the server's thread.
            phones: names of what the session's model hears; where it has none, nobody can subscribe to phones.

        Raises:
            ConfigError: the address is malformed, or reaches other machines.
            SessionError: it is taken.
        """
        self._session = session
        self._stop = stop
        self._events = Events(session, PhoneQueue(session, phones) if phones else None)
        self._listener = Listener(address, BACKLOG)
        self.address = self._listener.address
        self._server = BoundedServer(self._listener.socket, self.conversation, "edgevc-control", self._events.publish)

    def conversation(self) -> _Conversation:
        """Return one more client's side of the server, without a connection: bytes in, answers out."""
        return _Conversation(self._answer)

    @property
    def phones_dropped(self) -> int:
        """Hops of phones that subscribers who are connected did not fetch in time."""
        return self._events.dropped

    def close(self) -> None:
        """Disconnect everybody and remove the socket; may be called twice."""
        # how it ended is told as well
        self._events.look_now()
        self._server.close()
        self._events.close()
        self._listener.close()

    def _answer(self, client: _Conversation, line: bytes) -> tuple[dict[str, Any], bool]:
        """Return the answer, and whether the line was a command at all."""
        try:
            request = json.loads(line)
            if not isinstance(request, dict) or not isinstance(request.get("command"), str):
                raise ValueError
        except (ValueError, RecursionError):
            return _refusal('expected a line such as {"command": "status"}'), False
        try:
            return {"ok": True, **self._do(client, request["command"], request.get("value"))}, True
        except EdgevcError as error:
            return _refusal(str(error)), True

    def _do(self, client: _Conversation, command: str, value: object) -> dict[str, Any]:
        session = self._session
        if command in BY_NAME:
            return {command: BY_NAME[command].set(session, value)}
        if command == "status":
            settings = {control.name: control.get(session) for control in CONTROLS}
            return {"stats": session.stats().as_dict(), "settings": {**settings, "voices": list(session.voices)}}
        if command == "subscribe":
            return self._events.subscribe(client, value)
        if command == "stop":
            self._stop()
            return {}
        raise ConfigError(f"command must be one of {', '.join(COMMANDS)}, got {shortened(command)}")
