"""Events that another program, or another relay, writes as lines of JSON."""

from __future__ import annotations

import json
import logging
import select
import threading
from typing import Any, BinaryIO

from edgevc.errors import ConfigError
from edgevc.pipes import read_some
from edgevc.relay.event import Event
from edgevc.relay.sources.hearing import Hear
from edgevc.relay.sources.sound import LOOK_SECONDS
from edgevc.relay.threads import in_thread

_LOG = logging.getLogger(__name__)

MAX_LINE = 1 << 16
"""Bytes."""


class LinesSource:
    """One event a line; a line that is none is said and passed over."""

    def __init__(self, file: BinaryIO, hear: Hear, time_to_live: float) -> None:
        """`file` is read until its end; nobody else may."""
        self.name = "events"
        self._file: Any = file
        self._hear, self._time_to_live = hear, time_to_live

    async def run(self) -> None:
        """Take all of it."""
        await in_thread(self._work, "edgevc-events")

    def _work(self, stop: threading.Event) -> None:
        rest = b""
        while not stop.is_set():
            if not select.select([self._file], [], [], LOOK_SECONDS)[0]:
                continue
            data = read_some(self._file, 1 << 16)
            *lines, rest = (rest + data).split(b"\n")
            if not data and rest:
                lines, rest = [rest], b""
            for line in lines:
                self._take(line)
            if len(rest) > MAX_LINE:
                raise ConfigError(f"an event must be a line of at most {MAX_LINE} bytes, got a longer one")
            if not data:
                return

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            values = json.loads(line) if len(line) <= MAX_LINE else None
        except (ValueError, RecursionError):
            values = None
        try:
            if not isinstance(values, dict):
                raise ConfigError('expected a line of JSON such as {"command": "light"}')
            self._hear(Event.from_dict(values, self._time_to_live))
        except ConfigError as error:
            _LOG.warning("an event is passed over: %s", error)
