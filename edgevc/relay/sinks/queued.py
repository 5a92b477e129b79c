"""What sinks have in common: a bounded queue in memory, tries until the time to live is over, and exact counts."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections import deque

from edgevc.relay.event import Counts, Event
from edgevc.relay.pauses import Pauses

_LOG = logging.getLogger(__name__)

CAPACITY = 1000
"""Commands that wait."""


class RefusedError(Exception):
    """The peer will not take this command, now or later; says why."""


class TryAgainError(Exception):
    """The peer did not take it this time; says why."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        """`pause` is what the peer asks for, in seconds."""
        super().__init__(reason)
        self.pause = pause


class QueuedSink(ABC):
    """Delivers commands in their order; refused sentences are passed over unless `wants_refusals`."""

    name = ""
    wants_refusals = False

    def __init__(self, at_once: int = 1, capacity: int = CAPACITY) -> None:
        """`at_once` is how many are delivered at the same time, `capacity` how many may wait."""
        self.counts = Counts()
        self._at_once, self._capacity = at_once, capacity
        self._queue: deque[Event] = deque()
        self._delivering = 0
        self._news = asyncio.Event()

    def prepare(self) -> None:  # noqa: B027 (most have nothing to open)
        """Open nothing."""

    @property
    def waiting(self) -> int:
        """Events that are neither delivered nor given up."""
        return len(self._queue) + self._delivering

    def take(self, event: Event) -> None:
        """Queue it; where there is no room the oldest goes, which would expire first."""
        if event.refusal and not self.wants_refusals:
            return
        self.counts.given += 1
        if len(self._queue) >= self._capacity:
            oldest = self._queue.popleft()
            self.counts.dropped += 1
            _LOG.warning("%s: %d commands wait; %s is dropped", self.name, self._capacity, oldest.command)
        self._queue.append(event)
        self._news.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        workers = [asyncio.create_task(self._work()) for _ in range(self._at_once)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()

    async def _work(self) -> None:
        while True:
            while not self._queue:
                self._news.clear()
                await self._news.wait()
            event = self._queue.popleft()
            self._delivering += 1
            try:
                await self._until_it_is_over(event)
            except asyncio.CancelledError:
                self._queue.appendleft(event)
                raise
            finally:
                self._delivering -= 1

    async def _until_it_is_over(self, event: Event) -> None:
        pauses = Pauses()
        while True:
            if time.time() > event.expires:
                self.counts.expired += 1
                _LOG.warning("%s: %s is too old by now and is not sent any more", self.name, event.command)
                return
            try:
                await self.deliver(event)
            except RefusedError as error:
                self.counts.refused += 1
                _LOG.warning("%s: %s was refused: %s", self.name, event.command, error)
                return
            except TryAgainError as error:
                _LOG.info("%s: %s: %s; it is tried again", self.name, event.command, error)
                left = max(0.0, event.expires - time.time())
                await asyncio.sleep(min(max(pauses.next(), error.pause), left + 0.001))
            except Exception:
                # a fault of ours costs this command its delivery, and the others nothing
                self.counts.refused += 1
                _LOG.exception("%s: %s cannot be sent", self.name, event.command)
                return
            else:
                self.counts.sent += 1
                return

    @abstractmethod
    async def deliver(self, event: Event) -> None:
        """Send one event, in bounded time.

        Raises:
            RefusedError: the peer will not take it.
            TryAgainError: it may take it later.
        """

    @abstractmethod
    def describe(self, event: Event) -> list[str]:
        """Return what would be sent."""
