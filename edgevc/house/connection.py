"""Asks a Home Assistant over its websocket."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edgevc.errors import ConfigError, MissingPackageError, SessionError
from edgevc.settings.secret import SecretText
from edgevc.text import first_line, shortened
from edgevc.tls import tls_context

SECONDS = 20.0
"""For connecting, and for each answer."""
MAX_MESSAGE = 32_000_000
"""Bytes; all states of a large house are some."""


class HouseConnection:
    """One connection; a context manager. One thread uses it."""

    def __init__(self, url: str, token: SecretText, ca_file: Path | None = None) -> None:
        """Connect and log in.

        Args:
            url: http://HOST:PORT or https://..., as a browser has it.
            token: a long-lived access token of an administrator.
            ca_file: who signs the server's certificate; None: whom the system trusts.

        Raises:
            ConfigError: the token is not taken, or the file holds no certificate.
            SessionError: no Home Assistant answers there.
            MissingPackageError: websockets is not installed.
        """
        try:
            from websockets.exceptions import WebSocketException
            from websockets.sync.client import connect
        except ImportError:
            raise MissingPackageError("asking Home Assistant", "websockets", "relay") from None
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        self.where = f"{parts.scheme}://{parts.netloc}"
        """The server, for messages."""
        self._failures = (WebSocketException, OSError)
        self._numbers = itertools.count(1)
        self._changed = False
        tls = tls_context(ca_file) if secure else None
        # what it logs at every failed try is said by our own message
        quiet = logging.getLogger(f"{__name__}.websockets")
        quiet.setLevel(logging.CRITICAL)
        self._stack = contextlib.ExitStack()
        try:
            opening = connect(
                f"{'wss' if secure else 'ws'}://{parts.netloc}{parts.path.rstrip('/')}/api/websocket",
                ssl=tls,
                proxy=None,
                compression=None,
                open_timeout=SECONDS,
                close_timeout=1.0,
                max_size=MAX_MESSAGE,
                logger=quiet,
            )
            self._socket = self._stack.enter_context(opening)
        except self._failures as error:
            raise SessionError(f"no Home Assistant at {self.where}: {first_line(error)}; check the address") from error
        try:
            self._log_in(token)
        except BaseException:
            self.close()
            raise

    def _log_in(self, token: SecretText) -> None:
        self._expect("auth_required")
        self._send({"type": "auth", "access_token": token.reveal()})
        if self._receive(SECONDS).get("type") != "auth_ok":
            raise ConfigError(f"{self.where} does not take the token; make a new one in your profile there")

    def ask(self, kind: str, **values: object) -> Any:
        """Return the result of one request.

        Raises:
            SessionError: it is refused, the connection is lost, or nothing comes.
        """
        number = next(self._numbers)
        self._send({"id": number, "type": kind, **values})
        end = time.monotonic() + SECONDS
        while True:
            message = self._receive(end - time.monotonic())
            if message.get("type") == "event":
                self._changed = True
            elif message.get("id") == number:
                break
        if message.get("success") is not True:
            error = message.get("error")
            code = error.get("code") if isinstance(error, dict) else None
            advice = "; it must be an administrator's token" if code == "unauthorized" else ""
            raise SessionError(f"{self.where} refuses {kind}: {shortened(code)}{advice}")
        return message.get("result")

    def watch(self, *event_types: str) -> None:
        """Let `changed_within` tell of events of these types."""
        for event_type in event_types:
            self.ask("subscribe_events", event_type=event_type)

    def changed_within(self, seconds: float) -> bool:
        """Wait for an event; whether one came since the last call.

        Raises:
            SessionError: the connection is lost.
        """
        end = time.monotonic() + seconds
        while not self._changed and (left := end - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                self._changed = self._message(left).get("type") == "event"
        changed, self._changed = self._changed, False
        return changed

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(*self._failures):
            self._stack.close()

    def __enter__(self) -> HouseConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _expect(self, kind: str) -> None:
        if self._receive(SECONDS).get("type") != kind:
            raise SessionError(f"what answers at {self.where} is no Home Assistant; check the address")

    def _send(self, message: dict[str, object]) -> None:
        try:
            self._socket.send(json.dumps(message))
        except self._failures as error:
            raise SessionError(f"the connection to {self.where} is lost: {first_line(error)}") from error

    def _receive(self, seconds: float) -> dict[str, Any]:
        try:
            # what has come already is no answer in time where other messages took all of it
            if seconds <= 0:
                raise TimeoutError
            return self._message(seconds)
        except TimeoutError:
            raise SessionError(f"{self.where} does not answer within {SECONDS:g} s") from None

    def _message(self, seconds: float) -> dict[str, Any]:
        """The next message; TimeoutError where none comes."""
        try:
            text = self._socket.recv(timeout=seconds)
        except TimeoutError:
            raise
        except self._failures as error:
            raise SessionError(f"the connection to {self.where} is lost: {first_line(error)}") from error
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise SessionError(f"what answers at {self.where} is no Home Assistant; check the address")
        return message
