"""Tells a web server each command, signed as Standard Webhooks says (standardwebhooks.com, version 1)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time

from edgevc.errors import ConfigError
from edgevc.relay.config import WebhookConfig
from edgevc.relay.event import Event
from edgevc.relay.sinks.http import Poster, judge
from edgevc.relay.sinks.queued import QueuedSink
from edgevc.settings.secret import SecretText, secret_of

PREFIX = "whsec_"
KEY_BYTES = (24, 64)
"""Standard Webhooks: between 24 and 64 bytes."""


def key_of(secret: SecretText) -> bytes:
    """Return the key of a secret.

    Raises:
        ConfigError: it is not whsec_ and base64 of 24 to 64 bytes.
    """
    text = secret.reveal()
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not KEY_BYTES[0] <= len(key) <= KEY_BYTES[1]:
        raise ConfigError(
            f"secret of [webhook] must be {PREFIX} and base64 of {KEY_BYTES[0]} to {KEY_BYTES[1]} bytes; make one: "
            'echo "whsec_$(head -c 32 /dev/urandom | base64)"'
        )
    return key


def signature(key: bytes, identity: str, timestamp: int, body: bytes) -> str:
    """Return the header webhook-signature: v1 and HMAC-SHA256 of id, timestamp and body."""
    signed = f"{identity}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")


class WebhookSink(QueuedSink):
    """POSTs the event as JSON."""

    name = "webhook"

    def __init__(self, config: WebhookConfig) -> None:
        """`config.url` is there.

        Raises:
            ConfigError: the secret or a file is not as it must be.
        """
        super().__init__()
        if config.url is None:
            raise ValueError("no url")
        self._poster = Poster(config.url.reveal(), config.ca_file)
        secret = secret_of(config.secret, config.secret_file, "secret of [webhook]")
        self._key = None if secret is None else key_of(secret)

    async def deliver(self, event: Event) -> None:
        """Send it; the signature is of this moment, the id stays."""
        body = self._body(event)
        timestamp = int(time.time())
        headers = {
            "content-type": "application/json",
            "user-agent": "edgevc",
            "webhook-id": event.id,
            "webhook-timestamp": str(timestamp),
        }
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, event.id, timestamp, body)
        judge(await self._poster.post(body, headers), self._poster.where)

    def _body(self, event: Event) -> bytes:
        return json.dumps(event.as_dict()).encode()

    def describe(self, event: Event) -> list[str]:
        """Return the request, without the path, which may be a secret."""
        return [f"POST {self._poster.where}/... {self._body(event).decode()}"]
