"""Several relays within earshot of each other: the first that heard a command acts, the others do not.

Each publishes a claim before it acts. A broker gives the messages of a topic to all its readers in one order, so that
all see the same first claim; one knows its fate when its own claim comes back, a round trip later.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable

from edgevc.relay.event import Event
from edgevc.relay.mqtt.link import Link
from edgevc.text import printable, shortened

_LOG = logging.getLogger(__name__)

DECISION_SECONDS = 0.25
"""A claim that has not come back by then is taken for won: rather is a lamp switched twice than not at all."""
WINDOW_SECONDS = 2.0
"""For so long after a claim those of others lose: a sentence ends up to 1.5 s later for one that is less sure."""


class Claim:
    """One relay's part in it; all in the relay's loop."""

    def __init__(self, link: Link, group: str, device: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Make it.

        Args:
            link: to the broker.
            group: id that the relays share.
            device: id of this one.
            clock: in seconds.
        """
        self.topic = f"edgevc/claims/{group}"
        self._link, self._device, self.clock = link, device, clock
        self._connected = False
        self._mine: dict[str, asyncio.Future[str]] = {}
        self._winner, self._won_at = "", 0.0
        self._late = False

    @property
    def hears(self) -> bool:
        """Whether the claims of all are heard."""
        return self._connected

    def connected(self) -> None:
        """Hear the claims of all."""
        self._connected = True
        self._link.subscribe(self.topic)

    def lost(self) -> None:
        """Without a broker nobody can be asked."""
        self._connected = False
        for future in self._mine.values():
            if not future.done():
                future.set_result("")

    async def decide(self, event: Event) -> str:
        """Return why this relay shall not act on a command; empty where it shall."""
        payload = json.dumps({"id": event.id, "device": self._device}).encode()
        if not self._connected or self._link.publish(self.topic, payload, qos=0) is None:
            return ""
        future = self._mine[event.id] = asyncio.get_running_loop().create_future()
        try:
            done, _ = await asyncio.wait({future}, timeout=DECISION_SECONDS)
        finally:
            del self._mine[event.id]
        if not done and not self._late:
            _LOG.warning(
                "a claim did not come back within %g ms; every relay acts then (does the broker let it: readwrite %s?)",
                1000 * DECISION_SECONDS,
                self.topic,
            )
        self._late = not done
        return future.result() if done else ""

    def received(self, payload: bytes) -> None:
        """Take the claim of anybody."""
        try:
            claim = json.loads(payload)
            identity, device = claim["id"], claim["device"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        if not isinstance(identity, str) or not isinstance(device, str):
            return
        now = self.clock()
        lost = self._winner not in ("", device) and now - self._won_at < WINDOW_SECONDS
        if not lost:
            self._winner, self._won_at = device, now
        future = self._mine.get(identity) if device == self._device else None
        if future is not None and not future.done():
            future.set_result(f"{printable(shortened(self._winner))} heard it first" if lost else "")
