"""A connection to a broker that is held for good; all that it tells comes in the relay's loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from edgevc.errors import ConfigError, MissingPackageError
from edgevc.relay.config import MqttConfig
from edgevc.settings.secret import secret_of
from edgevc.tls import tls_context

if TYPE_CHECKING:
    from paho.mqtt.client import Client
    from paho.mqtt.reasoncodes import ReasonCode

_LOG = logging.getLogger(__name__)

KEEPALIVE_SECONDS = 20
FIRST_PAUSE, LONGEST_PAUSE = 1, 5
"""Seconds between two tries to connect."""
SESSION_SECONDS = 3600
"""For so long the broker keeps what was sent to a relay that is away, such as that it shall not listen."""
MAX_PAYLOAD = 1 << 20
"""Bytes of a message that a relay may be sent; larger ones are passed over."""
GRACE_SECONDS = 1.0
"""In which the last messages go out at the end."""


class Follower(Protocol):
    """Who is told, in the loop."""

    def connected(self) -> None:
        """The broker has accepted the connection."""
        ...

    def lost(self) -> None:
        """The connection is gone, and with it all that was not acknowledged."""
        ...

    def acknowledged(self, message_id: int, refusal: str) -> None:
        """The broker has taken a message; `refusal` says why not where it is not empty."""
        ...

    def received(self, topic: str, payload: bytes) -> None:
        """A message came."""
        ...


class Link:
    """One client of paho's, which connects again by itself, with a growing pause.

    What it has not sent when a connection is lost it forgets: whoever publishes sends it again, if it is not too old.
    """

    def __init__(self, config: MqttConfig, client_id: str, will: tuple[str, str], follower: Follower) -> None:
        """Make the client; nothing is connected yet.

        Args:
            config: of the broker; `host` is there.
            client_id: which no other client of the broker may have.
            will: topic and retained payload that the broker publishes when the connection is lost.
            follower: is told.

        Raises:
            ConfigError: a secret or a file is not as it must be.
            MissingPackageError: paho-mqtt is not installed.
        """
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
        except ImportError:
            raise MissingPackageError("MQTT", "paho-mqtt", "relay") from None
        self.host, self.port = str(config.host), config.port or (8883 if config.tls else 1883)
        self._follower = follower
        self._will = will
        self._loop: asyncio.AbstractEventLoop | None = None
        self._said, self._up = "", False
        self._client: Client = Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5
        )
        client = self._client
        password = secret_of(config.password, config.password_file, "password of [mqtt]")
        if config.username is not None:
            client.username_pw_set(config.username, None if password is None else password.reveal())
        elif password is not None:
            raise ConfigError("the password of [mqtt] needs a username; add it")
        if config.tls:
            client.tls_set_context(_context(config))
        client.will_set(*will, qos=1, retain=True)
        client.reconnect_delay_set(FIRST_PAUSE, LONGEST_PAUSE)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        # paho keeps what it was given and would send it again, however old it is by then
        client.on_pre_connect = lambda client, _: _forget(client)

    def start(self) -> None:
        """Begin to connect; call it in the loop."""
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        self._loop = asyncio.get_running_loop()
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_SECONDS
        self._client.connect_async(self.host, self.port, KEEPALIVE_SECONDS, clean_start=False, properties=properties)
        self._client.loop_start()

    async def stop(self) -> None:
        """Say that the device goes, and disconnect."""
        await asyncio.get_running_loop().run_in_executor(None, self._stop)

    def _stop(self) -> None:
        if self._client.is_connected():
            with contextlib.suppress(ValueError, RuntimeError):
                self._client.publish(*self._will, qos=1, retain=True).wait_for_publish(GRACE_SECONDS)
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes, qos: int = 1, *, retain: bool = False) -> int | None:
        """Send a message; return its number, by which it is acknowledged, or None where there is no connection."""
        try:
            info = self._client.publish(topic, payload, qos, retain)
        except ValueError as error:
            # longer than a packet can be
            _LOG.warning("a message to %s cannot be sent: %s", topic, error)
            return None
        return info.mid if info.rc == 0 else None

    def subscribe(self, *topics: str) -> None:
        """Ask for topics, also for what this client itself publishes there; to be done at every connection."""
        self._client.subscribe([(topic, 1) for topic in topics])

    # --- callbacks, in paho's thread

    def _tell(self, call: Callable[..., None], *values: Any) -> None:
        # the loop may have ended
        with contextlib.suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(call, *values)

    def _on_connect(self, client: Client, _: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._say(f"the broker refuses the connection: {reason}; check username, password and its access rules")
            return
        # before paho sends it again
        _forget(client)
        _LOG.info("connected to the broker on %s:%d", self.host, self.port)
        self._said, self._up = "", True
        self._tell(self._follower.connected)

    def _on_connect_fail(self, client: Client, _: Any) -> None:
        # paho calls this while it handles the error, and does not pass it on
        error = sys.exc_info()[1]
        if isinstance(error, ssl.SSLCertVerificationError):
            self._say(f"the broker's certificate is not to be trusted: {error.verify_message}; check --mqtt-ca-file")
        else:
            reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            self._say(f"the broker cannot be reached: {reason}; check host and port, and whether it runs")

    def _on_disconnect(self, client: Client, _: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure and self._up:
            self._say(f"the connection to the broker is lost: {reason}")
        self._up = False
        self._tell(self._follower.lost)

    def _on_publish(self, client: Client, _: Any, message_id: int, reason: ReasonCode, properties: Any) -> None:
        # "no matching subscribers" is a success: nobody listens just now
        self._tell(self._follower.acknowledged, message_id, str(reason) if reason.is_failure else "")

    def _on_message(self, client: Client, _: Any, message: Any) -> None:
        if len(message.payload) <= MAX_PAYLOAD:
            self._tell(self._follower.received, message.topic, bytes(message.payload))

    def _on_subscribe(
        self, client: Client, _: Any, message_id: int, reasons: list[ReasonCode], properties: Any
    ) -> None:
        for reason in reasons:
            if reason.is_failure:
                self._say(f"the broker refuses a subscription: {reason}; check its access rules")

    def _say(self, text: str) -> None:
        """Log a trouble once, until there is another one or none."""
        if text != self._said:
            self._said = text
            _LOG.warning("%s:%d: %s; it is tried again", self.host, self.port, text)


def _forget(client: Client) -> None:
    client.drop_out_messages()


def _context(config: MqttConfig) -> ssl.SSLContext:
    context = tls_context(config.ca_file)
    if config.certificate is not None and config.key is not None:
        try:
            context.load_cert_chain(config.certificate, config.key)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{config.certificate} and {config.key} must be a certificate and its key in PEM: {error}"
            ) from error
    return context
