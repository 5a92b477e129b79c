"""Serves one page of text over HTTP under the rules of the control socket: few clients, short requests, little time."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from edgevc.control.bounded import BACKLOG, BoundedServer
from edgevc.errors import ConfigError, SessionError
from edgevc.settings.kinds import is_loopback, split_host_port

_LOG = logging.getLogger(__name__)

MAX_REQUEST = 8192
"""Bytes of the request line and all headers."""
IDLE_SECONDS = 10.0

_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class _Conversation:
    """One request, one answer, and the connection ends."""

    def __init__(self, answer: Callable[[str, str, str | None], tuple[int, str, str]]) -> None:
        self._answer = answer
        self._incoming = b""
        self.outgoing = bytearray()
        self.leaving = False
        self.idle_seconds: float | None = IDLE_SECONDS

    @property
    def waiting(self) -> bool:
        """Whether the request has begun."""
        return bool(self._incoming)

    def receive(self, data: bytes) -> bool:
        """Answer a request that is complete; a body is neither expected nor read."""
        self._incoming += data
        # a bare line feed ends a line as well (RFC 9112, section 2.2)
        head, end, _ = self._incoming.replace(b"\r\n", b"\n").partition(b"\n\n")
        if not end and len(self._incoming) <= MAX_REQUEST:
            return False
        self._incoming = b""
        if len(head) > MAX_REQUEST:
            self._respond(431, "text/plain", f"a request must have at most {MAX_REQUEST} bytes\n", body=True)
            return True
        line, *headers = head.decode("latin-1").split("\n")
        words = line.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            self._respond(400, "text/plain", "expected GET /metrics HTTP/1.1\n", body=True)
            return True
        hosts = [value.strip() for name, _, value in (h.partition(":") for h in headers) if name.lower() == "host"]
        status, kind, text = self._answer(words[0], words[1].partition("?")[0], hosts[0] if hosts else None)
        self._respond(status, kind, text, body=words[0] != "HEAD")
        return True

    def dismiss(self) -> None:
        """Say why the connection ends."""
        self._respond(503, "text/plain", "too many clients; ask again later\n", body=True)

    def _respond(self, status: int, kind: str, text: str, *, body: bool) -> None:
        data = text.encode()
        head = [
            f"HTTP/1.1 {status} {_REASONS[status]}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(data)}",
            *(["Allow: GET, HEAD"] if status == 405 else []),
            "Connection: close",
        ]
        self.outgoing += "\r\n".join([*head, "", ""]).encode("ascii") + (data if body else b"")
        self.leaving = True


class PageServer:
    """Answers GET and HEAD of one path until it is closed."""

    def __init__(
        self, address: str, path: str, page: Callable[[], str], content_type: str, *, any_interface: bool = False
    ) -> None:
        """Listen.

        Args:
            address: HOST:PORT; port 0 takes a free one.
            path: of the page, such as /metrics; the rest is not found.
            page: makes the text, in the server's thread.
            content_type: of the text.
            any_interface: allow a host that other machines reach; otherwise a request that names another host than this
                machine is refused too, as a web page may lead a browser here under a name of its own.

        Raises:
            ConfigError: the address is not allowed.
            SessionError: it is taken, or there is no such address.
        """
        self._path = path
        self._page = page
        self._content_type = content_type
        self._any_interface = any_interface
        try:
            host, port = split_host_port(address)
        except ValueError as error:
            raise ConfigError(f"metrics must be HOST:PORT, got {address!r}; use 127.0.0.1:9464") from error
        if not (any_interface or is_loopback(host)):
            raise ConfigError(
                f"metrics must listen on this machine alone, got {address}; "
                "use 127.0.0.1, or add --metrics-any-interface"
            )
        try:
            family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._listener = socket.create_server(where[:2], family=family, backlog=BACKLOG)
        except OSError as error:
            raise SessionError(
                f"metrics cannot listen on {address}: {error.strerror or error}; choose another port with --metrics"
            ) from error
        port = self._listener.getsockname()[1]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        """Where it listens."""
        self._server = BoundedServer(self._listener, self.conversation, "edgevc-metrics")

    def close(self) -> None:
        """Stop listening; may be called twice."""
        self._server.close()
        self._listener.close()

    def conversation(self) -> _Conversation:
        """Return one more client's side of the server, without a connection: bytes in, answers out."""
        return _Conversation(self._answer)

    def _answer(self, method: str, path: str, host: str | None) -> tuple[int, str, str]:
        """Return status, content type and text."""
        plain = "text/plain"
        if not self._any_interface and host is not None and not _names_this_machine(host):
            return 403, plain, "the request must name this machine: localhost or 127.0.0.1\n"
        if path != self._path:
            return 404, plain, f"see {self._path}\n"
        if method not in ("GET", "HEAD"):
            return 405, plain, "only GET and HEAD\n"
        try:
            return 200, self._content_type, self._page()
        except Exception:
            # the sound goes on, whatever a page needs
            _LOG.exception("a page could not be made")
            return 500, plain, "the page could not be made; see the session's log\n"


def _names_this_machine(host: str) -> bool:
    """Whether a Host header, with or without a port, is a loopback address or localhost."""
    name = host.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    return is_loopback(name)
