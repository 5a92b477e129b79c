"""The relay itself: sources that hear, sinks that pass on, in one loop."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from edgevc.errors import EdgevcError
from edgevc.relay.event import Event, Sink, Source
from edgevc.relay.pauses import Pauses

_LOG = logging.getLogger(__name__)

ENDING_SECONDS = 3.0
"""For so long what still waits is delivered when the relay is told to end; MQTT's is on the disk."""


class Helper(Protocol):
    """Works for the relay without hearing or passing on."""

    name: str

    async def run(self) -> None:
        """Work until cancelled."""
        ...


class Relay:
    """Gives every event to every sink. A part that fails is started again and holds no other up."""

    def __init__(
        self,
        sinks: Sequence[Sink],
        time_to_live: float,
        decide: Callable[[Event], Awaitable[str]] | None = None,
    ) -> None:
        """Make it; sources are added with `add`, since they call `hear`.

        Args:
            sinks: at least one.
            time_to_live: of every event, seconds; bounds how long is waited for sinks after the last source ended.
            decide: returns why this relay shall not act on a command, empty where it shall; None: it always acts.
        """
        self.sinks = tuple(sinks)
        self._decide = decide
        self.deciding: set[asyncio.Task[None]] = set()
        self.heard = 0
        self.refused = 0
        self._time_to_live = time_to_live
        self._sources: list[Source] = []
        self._helpers: list[Helper] = []

    def help(self, helper: Helper) -> None:
        """Run something beside sources and sinks, before `run`; the relay does not wait for its end."""
        self._helpers.append(helper)

    def add(self, source: Source) -> None:
        """Add a source before `run`."""
        self._sources.append(source)

    def hear(self, event: Event) -> None:
        """Pass an event on; call it in the loop."""
        if event.refusal or self._decide is None:
            self._pass_on(event)
            return
        task = asyncio.create_task(self._pass_on_if_first(event, self._decide))
        # the loop itself holds a task only weakly
        self.deciding.add(task)
        task.add_done_callback(self.deciding.discard)

    async def _pass_on_if_first(self, event: Event, decide: Callable[[Event], Awaitable[str]]) -> None:
        self._pass_on(dataclasses.replace(event, refusal=await decide(event)))

    def _pass_on(self, event: Event) -> None:
        self.heard += 1
        if event.refusal:
            self.refused += 1
            _LOG.info("refused: %s%s", event.refusal, f" ({event.text})" if event.text else "")
        else:
            slots = " ".join(f"{name}={value}" for name, value in event.slots.items())
            _LOG.info("heard: %s", " ".join(part for part in (event.command, slots) if part))
        for sink in self.sinks:
            try:
                sink.take(event)
            except Exception:
                _LOG.exception("%s cannot take a command", sink.name)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until every source has ended, or `stop` is set; then let the sinks deliver what they have.

        Raises:
            EdgevcError: a source cannot go on, as where a recording cannot be read.
        """
        delivering = [asyncio.create_task(self._keep(sink.run, sink.name)) for sink in self.sinks]
        hearing = [asyncio.create_task(self._keep(source.run, source.name, ends=True)) for source in self._sources]
        helping = [asyncio.create_task(self._keep(helper.run, helper.name)) for helper in self._helpers]
        stopping = asyncio.create_task(stop.wait())
        try:
            await self._until_the_sources_end(hearing, stopping)
            seconds = ENDING_SECONDS if stop.is_set() else self._time_to_live
            end = time.monotonic() + seconds
            while (self.deciding or any(sink.waiting for sink in self.sinks)) and time.monotonic() < end:
                if stop.is_set():
                    end = min(end, time.monotonic() + ENDING_SECONDS)
                await asyncio.sleep(0.01)
        finally:
            await _cancel([*hearing, stopping, *helping, *delivering])

    async def _until_the_sources_end(self, hearing: list[asyncio.Task[None]], stopping: asyncio.Task[bool]) -> None:
        waiting: set[asyncio.Task[None]] = set(hearing)
        while waiting and not stopping.done():
            done, _ = await asyncio.wait({*waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in done & waiting:
                waiting.discard(task)
                # a source's error ends the relay
                task.result()
        for task in waiting:
            task.cancel()

    async def _keep(self, run: Callable[[], Awaitable[None]], name: str, *, ends: bool = False) -> None:
        """Run a part, and start it again when it fails; one that may end ends when it returns."""
        pauses = Pauses()
        while True:
            began = time.monotonic()
            try:
                await run()
                if ends:
                    return
                _LOG.warning("%s ended; it is started again", name)
            except EdgevcError as error:
                if ends:
                    raise
                _LOG.warning("%s: %s; it is tried again", name, error)
            except Exception:
                _LOG.exception("%s failed; it is started again", name)
            if time.monotonic() - began > pauses.longest:
                pauses.reset()
            await asyncio.sleep(pauses.next())

    def summary(self) -> str:
        """Return one line for the end."""
        parts = [f"{self.heard - self.refused} commands heard, {self.refused} sentences refused"]
        return "; ".join([*parts, *(f"{sink.name}: {sink.counts}" for sink in self.sinks)])


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
