"""Announces the device to Home Assistant, keeps its state there, and does what is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import edgevc
from edgevc.relay.controls import Controls
from edgevc.relay.mqtt.discovery import Payload, Topics, announced_in, components, config, platforms, usable
from edgevc.relay.mqtt.disk_queue import DiskQueue
from edgevc.relay.mqtt.link import Link

_LOG = logging.getLogger(__name__)

BIRTH_SECONDS = 3.0
"""Home Assistant that starts is answered within so long, at a moment of chance: it hears from many devices then."""


class Announcer:
    """The device's side of Home Assistant's discovery; all in the relay's loop."""

    def __init__(
        self,
        link: Link,
        topics: Topics,
        device: str,
        name: str,
        commands: Sequence[str] | None,
        controls: Controls,
    ) -> None:
        """Make it.

        Args:
            link: to the broker.
            topics: of the device.
            device: its id.
            name: for people.
            commands: that may be said; None: nothing is announced, only the states are published.
            controls: what can be changed.
        """
        self._link, self._topics, self._controls = link, topics, controls
        self._device, self._name = device, name
        self._parts: dict[str, Payload] = {} if commands is None else components(topics, device, usable(commands))
        self._announces = commands is not None
        self._queue: DiskQueue | None = None
        self._announced: dict[str, str] = {}
        """What Home Assistant may know, with the parts that it shall forget."""
        self._to_keep: dict[str, str] | None = None
        """To be written: the components, at the next chance."""
        self._state_to_keep: dict[str, str] | None = None
        self._connected = False
        self._waiting: dict[int, tuple[str, bool]] = {}
        """Number of a message to its topic, and whether it is the last word on the device's parts."""
        self._birth: asyncio.TimerHandle | None = None
        controls.watch(self._changed)

    def restore(self, queue: DiskQueue) -> None:
        """Take from the disk what Home Assistant was told, and how the controls were set."""
        self._queue = queue
        self._announced = queue.announced()
        kept = queue.kept()
        with contextlib.suppress(ValueError):
            listening, sensitivity = kept.get("listening"), kept.get("sensitivity")
            self._controls.set(
                listening=None if listening is None else listening == "ON",
                sensitivity=None if sensitivity is None else float(sensitivity),
            )
        self._state_to_keep = None

    async def keep(self, on_disk: Callable[..., Awaitable[Any]]) -> None:
        """Write what is to be remembered; a full disk is tried again at the next change."""
        if self._queue is None:
            return
        with contextlib.suppress(sqlite3.Error):
            if self._to_keep is not None:
                parts, self._to_keep = self._to_keep, None
                await on_disk(self._queue.announce, parts)
            if self._state_to_keep is not None:
                state, self._state_to_keep = self._state_to_keep, None
                await on_disk(self._queue.keep, state)

    def connected(self) -> None:
        """Announce everything, and ask for what may be sent to the device."""
        self._connected = True
        self._waiting.clear()
        self._link.subscribe(*self._topics.settable, self._topics.birth, self._topics.config)
        self._announce()

    def change_commands(self, commands: Sequence[str]) -> None:
        """Announce these; Home Assistant forgets those that are gone."""
        if self._announces:
            self._parts = components(self._topics, self._device, usable(commands))
            self._announce()

    def lost(self) -> None:
        """The connection is gone."""
        self._connected = False
        if self._birth is not None:
            self._birth.cancel()
            self._birth = None

    def _announce(self) -> None:
        self._birth = None
        if not self._connected:
            return
        if self._announces:
            now = platforms(self._parts)
            removed = {part: platform for part, platform in self._announced.items() if part not in now}
            if removed:
                self._publish(self._topics.config, self._config(removed))
            self._announced = self._to_keep = {**self._announced, **now}
            self._publish(self._topics.config, self._config({}), last=True)
        self._publish(self._topics.status, b"online")
        self._publish_state()

    def _config(self, removed: dict[str, str]) -> bytes:
        return config(self._topics, self._device, self._name, edgevc.__version__, self._parts, removed)

    def _publish(self, topic: str, payload: bytes, *, last: bool = False) -> None:
        message_id = self._link.publish(topic, payload, retain=True)
        if message_id is not None:
            self._waiting[message_id] = (topic, last)

    def _publish_state(self) -> None:
        self._publish(self._topics.listen, b"ON" if self._controls.listening else b"OFF")
        self._publish(self._topics.sensitivity, f"{self._controls.sensitivity:g}".encode())

    def _changed(self) -> None:
        """Say how the controls are now."""
        self._state_to_keep = {
            "listening": "ON" if self._controls.listening else "OFF",
            "sensitivity": f"{self._controls.sensitivity:g}",
        }
        if self._connected:
            self._publish_state()

    def acknowledged(self, message_id: int, refusal: str) -> None:
        """Look at what became of a message of ours."""
        topic, last = self._waiting.pop(message_id, ("", False))
        if refusal and topic:
            _LOG.warning("mqtt: the broker refuses %s: %s; let its access rules allow: write %s", topic, refusal, topic)
        elif last:
            # what was removed is known to be gone
            self._announced = self._to_keep = platforms(self._parts)

    def received(self, topic: str, payload: bytes) -> None:
        """Do what Home Assistant asks for; what is no order is passed over."""
        text = payload[:64].decode("utf-8", "replace").strip()
        if topic == self._topics.config:
            self._take_back(payload)
        elif topic == self._topics.birth:
            if text == "online" and self._birth is None:
                delay = random.uniform(0.0, BIRTH_SECONDS)  # noqa: S311 (no secret)
                self._birth = asyncio.get_running_loop().call_later(delay, self._announce)
        elif topic == self._topics.settable[0] and text in ("ON", "OFF"):
            _LOG.info("listening: %s, as Home Assistant asks", text.lower())
            self._controls.set(listening=text == "ON")
        elif topic == self._topics.settable[1]:
            with contextlib.suppress(ValueError):
                value = float(text)
                if 0.0 <= value <= 100.0:
                    _LOG.info("sensitivity: %g %%, as Home Assistant asks", value)
                    self._controls.set(sensitivity=value)

    def _take_back(self, payload: bytes) -> None:
        """Let Home Assistant forget what an earlier relay of this name announced and nobody remembers here."""
        known = announced_in(payload)
        if self._announces and not known.keys() <= self._announced.keys():
            self._announced = {**known, **self._announced}
            self._announce()
