"""Posts JSON over HTTP: bounded in time and size, certificates checked, no redirects, nothing secret in a message."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edgevc.relay.sinks.queued import RefusedError, TryAgainError
from edgevc.relay.threads import in_thread
from edgevc.tls import tls_context

SECONDS = 10.0
"""For each step: connecting, sending, each part of the answer."""
MAX_ANSWER = 1 << 18
"""Bytes."""


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    body: bytes
    retry_after: float
    """Seconds; 0 where it does not say."""

    def json(self) -> dict[str, Any]:
        """Return the body as an object; empty where it is none."""
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(self.body)
            if isinstance(found, dict):
                return found
        return {}


class Poster:
    """One server."""

    def __init__(self, url: str, ca_file: Path | None = None) -> None:
        """Take an address that `edgevc.relay.settings.check_url` has seen.

        Raises:
            ConfigError: the file holds no certificate.
        """
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), parts.port
        self._tls = tls_context(ca_file) if parts.scheme == "https" else None
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self.where = f"{parts.scheme}://{shown}" + (f":{self._port}" if self._port else "")
        """The server's name, for messages: the path may be a secret."""

    async def post(self, body: bytes, headers: Mapping[str, str], path: str = "") -> Answer:
        """Send JSON and return the answer, whatever its status.

        Args:
            body: JSON.
            headers: beside the content's type.
            path: behind the address's own.

        Raises:
            TryAgainError: nobody answers.
            RefusedError: what answers speaks no HTTP, or its certificate is not to be trusted.
        """
        return await in_thread(lambda _: self._post(body, headers, path), "edgevc-http")

    def _post(self, body: bytes, headers: Mapping[str, str], path: str) -> Answer:
        connection: http.client.HTTPConnection
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=SECONDS)
        else:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=SECONDS, context=self._tls)
        end = time.monotonic() + 3 * SECONDS
        try:
            connection.request("POST", self._path.rstrip("/") + path if path else self._path, body, {**headers})
            response = connection.getresponse()
            parts, size = [], 0
            # a part at a time: a server that sends a byte now and then is left alone in the end
            while size <= MAX_ANSWER and time.monotonic() < end and (part := response.read1(1 << 16)):
                parts.append(part)
                size += len(part)
            return Answer(response.status, b"".join(parts)[:MAX_ANSWER], _seconds(response.getheader("retry-after")))
        except ssl.SSLCertVerificationError as error:
            raise RefusedError(f"{self.where}: its certificate is not to be trusted: {error.verify_message}") from error
        except OSError as error:
            raise TryAgainError(f"{self.where} does not answer: {error.strerror or type(error).__name__}") from error
        except http.client.HTTPException as error:
            # its words quote what the server sent
            raise RefusedError(f"{self.where} speaks no HTTP: {type(error).__name__}") from error
        finally:
            connection.close()


def _seconds(text: str | None) -> float:
    return min(float(text), 3600.0) if text is not None and text.isascii() and text.isdigit() else 0.0


def judge(answer: Answer, where: str) -> None:
    """Raise for a status that is no success.

    Raises:
        TryAgainError: the server has a fault or too much to do.
        RefusedError: the request is not welcome.
    """
    if answer.status in (408, 425, 429) or answer.status >= 500:
        raise TryAgainError(f"{where} answers {answer.status}", answer.retry_after)
    if not 200 <= answer.status < 300:
        raise RefusedError(f"{where} answers {answer.status}")
