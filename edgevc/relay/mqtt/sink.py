"""Publishes commands: stored first, sent while they are fresh, forgotten when the broker has acknowledged them."""

from __future__ import annotations

import asyncio
import functools
import heapq
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from edgevc.errors import ConfigError
from edgevc.files import state_dir
from edgevc.relay.config import MqttConfig
from edgevc.relay.controls import Controls
from edgevc.relay.event import Counts, Event
from edgevc.relay.mqtt.announcer import Announcer
from edgevc.relay.mqtt.claim import Claim
from edgevc.relay.mqtt.discovery import Topics, identifier
from edgevc.relay.mqtt.disk_queue import DiskQueue
from edgevc.relay.mqtt.link import Link
from edgevc.relay.mqtt.message import Message
from edgevc.relay.template import MissingFieldError, Template, fields_of

_LOG = logging.getLogger(__name__)

T = TypeVar("T")

MAX_IN_FLIGHT = 20
"""Messages that the broker has not acknowledged yet."""
CAPACITY = 2000
"""Messages that wait."""
REFUSED_SECONDS = 2.0
"""After a refusal by the broker's access rules, which somebody may be mending, a message is tried again."""
MAX_STORED_AT_ONCE = 200


class MqttSink:
    """Counts messages: a command is one, and one more where it has a topic of the user's own."""

    name = "mqtt"

    def __init__(self, config: MqttConfig, name: str, device: str, commands: Sequence[str], controls: Controls) -> None:
        """Make it; nothing is opened yet.

        Args:
            config: `host` is there.
            name: of the device, for people.
            device: its id, [A-Za-z0-9_-].
            commands: names of all commands, for Home Assistant.
            controls: of the relay, which Home Assistant may change.

        Raises:
            ConfigError: a secret, a file or a template is not as it must be.
            MissingPackageError: paho-mqtt is not installed.
        """
        self.counts = Counts()
        self._config = config
        self._fields = {"device": device}
        try:
            base = Template(config.topic, "topic").topic(self._fields)
        except MissingFieldError as error:
            raise ConfigError(f"topic of [mqtt] may have {{device}} alone: {error}") from error
        self.topics = Topics(base, config.discovery_prefix, device)
        self._own_topic = None if config.command_topic is None else Template(config.command_topic, "command_topic")
        self._own_payload = None if config.command_payload is None else Template(config.command_payload, "payload")
        self._link = Link(config, f"edgevc-{device}", (self.topics.status, "offline"), self)
        self._announcer = Announcer(
            self._link, self.topics, device, name, commands if config.discovery else None, controls
        )
        self.claim = None if config.claim is None else Claim(self._link, identifier(config.claim), device)
        """Decides which of several relays acts; None: this one always does."""
        self._queue: DiskQueue | None = None
        self._queue_path = config.queue or _usual_path(device)
        self._disk = ThreadPoolExecutor(1, "edgevc-queue")
        self._connected = False
        self._new: list[Message] = []
        """Not stored yet."""
        self._pending: list[tuple[int, Message]] = []
        """A heap by number: what is stored, or could not be, and waits to be sent."""
        self._in_flight: dict[int, tuple[int, Message]] = {}
        self._done: list[Message] = []
        """To be taken from the disk."""
        self._number = 0
        self._news = asyncio.Event()
        self._disk_fails = False
        self._refusal_said = ""

    # --- what the relay sees

    def change_commands(self, commands: Sequence[str]) -> None:
        """Announce other commands, and take back those that are gone; in the loop."""
        self._announcer.change_commands(commands)
        self._news.set()

    def prepare(self) -> None:
        """Open the queue, and take what an earlier process left.

        Raises:
            ConfigError: it cannot be written.
            SessionError: another relay uses it.
        """
        self._queue = DiskQueue(self._queue_path)
        self._announcer.restore(self._queue)
        for message in self._queue.load():
            self.counts.given += 1
            self._push(message)

    @property
    def waiting(self) -> int:
        """Messages that are neither delivered nor given up."""
        return len(self._new) + len(self._pending) + len(self._in_flight)

    def take(self, event: Event) -> None:
        """Queue a command; a refused sentence is told to whoever watches just now."""
        if event.refusal:
            if self._connected:
                self._link.publish(self.topics.refused, _json(event), qos=0)
            return
        for topic, payload in self._messages(event):
            self.counts.given += 1
            self._new.append(Message(topic, payload, event.command, event.expires))
        self._news.set()

    def describe(self, event: Event) -> list[str]:
        """Return topic and payload of each message."""
        return [f"{topic} {payload.decode()}" for topic, payload in self._messages(event)]

    def _messages(self, event: Event) -> list[tuple[str, bytes]]:
        messages = [(self.topics.event, _json(event))]
        if self._own_topic is not None:
            fields = {**fields_of(event), **self._fields}
            try:
                own = self._own_payload
                payload = _json(event) if own is None else own.fill(fields).encode("utf-8", "replace")
                messages.append((self._own_topic.topic(fields), payload))
            except MissingFieldError as error:
                _LOG.debug("%s goes to no topic of its own: %s", event.command, error)
        return messages

    async def run(self) -> None:
        """Connect and deliver until cancelled."""
        if self._queue is None:
            self.prepare()
        self._link.start()
        try:
            while True:
                await self._store()
                self._expire()
                self._send()
                await self._remove()
                await self._announcer.keep(self._on_disk)
                await self._wait()
        finally:
            await asyncio.shield(self._end())

    async def _end(self) -> None:
        await self._link.stop()
        self._connected = False
        await self._store()
        await self._remove()
        await self._announcer.keep(self._on_disk)
        if self._queue is not None:
            await self._on_disk(self._queue.close)
            self._queue = None

    async def _wait(self) -> None:
        """Sleep until something happened, or a message is too old or may be tried again."""
        times = [time_ for _, message in self._pending for time_ in (message.expires, message.not_before)]
        now = time.time()
        next_ = min((moment for moment in times if moment > now), default=now + 60.0)
        # not wait_for: before Python 3.12 it loses a cancellation that comes together with what it waits for
        alarm = asyncio.get_running_loop().call_later(next_ - now + 0.001, self._news.set)
        try:
            await self._news.wait()
        finally:
            alarm.cancel()
        self._news.clear()

    # --- the queue

    async def _on_disk(self, work: Callable[..., T], *values: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, functools.partial(work, *values))

    async def _store(self) -> None:
        while self._new:
            batch, self._new = self._new[:MAX_STORED_AT_ONCE], self._new[MAX_STORED_AT_ONCE:]
            # while they are stored they wait as well
            for message in batch:
                self._push(message)
            if self._queue is None:
                return
            try:
                await self._on_disk(self._queue.store, batch)
                if self._disk_fails:
                    _LOG.warning("the queue %s takes commands again", self._queue.path)
                self._disk_fails = False
            except sqlite3.Error as error:
                if not self._disk_fails:
                    _LOG.warning(
                        "the queue %s takes no more (%s); commands wait in memory alone until there is room",
                        self._queue.path,
                        error,
                    )
                self._disk_fails = True

    def _push(self, message: Message) -> None:
        while len(self._pending) >= CAPACITY:
            _, oldest = heapq.heappop(self._pending)
            self.counts.dropped += 1
            self._done.append(oldest)
            _LOG.warning("mqtt: %d messages wait; %s is dropped", CAPACITY, oldest.command)
        self._number += 1
        heapq.heappush(self._pending, (self._number, message))

    def _expire(self) -> None:
        now = time.time()
        fresh = [entry for entry in self._pending if entry[1].expires > now]
        if len(fresh) == len(self._pending):
            return
        for _, message in self._pending:
            if message.expires <= now:
                if message.tries:
                    self.counts.refused += 1
                else:
                    self.counts.expired += 1
                self._done.append(message)
                _LOG.warning("mqtt: %s is too old by now and is not sent any more", message.command)
        heapq.heapify(fresh)
        self._pending = fresh

    def _send(self) -> None:
        now = time.time()
        later: list[tuple[int, Message]] = []
        while self._connected and self._pending and len(self._in_flight) < MAX_IN_FLIGHT:
            number, message = heapq.heappop(self._pending)
            if message.not_before > now:
                later.append((number, message))
                continue
            message_id = self._link.publish(message.topic, message.payload)
            if message_id is None:
                later.append((number, message))
                break
            self._in_flight[message_id] = (number, message)
        for entry in later:
            heapq.heappush(self._pending, entry)

    async def _remove(self) -> None:
        done, self._done = self._done, []
        rows = [message.row for message in done if message.row is not None]
        if rows and self._queue is not None:
            await self._on_disk(self._queue.remove, rows)

    # --- what the link tells, in the loop

    def connected(self) -> None:
        """Announce the device and send what waits."""
        self._connected = True
        if self.claim is not None:
            self.claim.connected()
        self._announcer.connected()
        self._news.set()

    def lost(self) -> None:
        """Send again what was not acknowledged, once there is a connection."""
        self._connected = False
        for entry in self._in_flight.values():
            heapq.heappush(self._pending, entry)
        self._in_flight.clear()
        if self.claim is not None:
            self.claim.lost()
        self._announcer.lost()
        self._news.set()

    def acknowledged(self, message_id: int, refusal: str) -> None:
        """Forget a message that was taken; try one again that was refused."""
        entry = self._in_flight.pop(message_id, None)
        if entry is None:
            self._announcer.acknowledged(message_id, refusal)
        elif not refusal:
            self.counts.sent += 1
            self._done.append(entry[1])
        else:
            message = entry[1]
            message.tries += 1
            message.not_before = time.time() + REFUSED_SECONDS
            heapq.heappush(self._pending, entry)
            text = f"{message.topic}: {refusal}"
            if text != self._refusal_said:
                self._refusal_said = text
                _LOG.warning("mqtt: the broker refuses %s; let its access rules allow: write %s", text, message.topic)
        self._news.set()

    def received(self, topic: str, payload: bytes) -> None:
        """Take the claims of other relays, and do what Home Assistant asks for."""
        if self.claim is not None and topic == self.claim.topic:
            self.claim.received(payload)
            return
        self._announcer.received(topic, payload)
        self._news.set()


def _json(event: Event) -> bytes:
    # event_type is what Home Assistant's event entity looks at
    return json.dumps({"event_type": event.command, **event.as_dict()}, ensure_ascii=False).encode("utf-8", "replace")


def _usual_path(device: str) -> Path:
    folder = state_dir()
    if folder is None:
        raise ConfigError("there is no home for the queue of commands; name its file with --mqtt-queue")
    return folder / f"relay-{device}.sqlite"
