"""Each sentence as a line of JSON, and what a dry run prints."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from edgevc.relay.event import Event, Sink
from edgevc.relay.sinks.queued import QueuedSink, RefusedError
from edgevc.relay.template import MissingFieldError


class LinesSink(QueuedSink):
    """Writes lines of JSON: commands, and what was refused and why."""

    name = "lines"
    wants_refusals = True

    def __init__(self, write: Callable[[str], None]) -> None:
        """`write` takes a line; it raises OSError where nobody reads it any more."""
        super().__init__()
        self._write = write

    async def deliver(self, event: Event) -> None:
        """Write it."""
        for line in self.describe(event):
            try:
                self._write(line)
            except OSError as error:
                raise RefusedError(error.strerror or "nobody reads it") from error

    def describe(self, event: Event) -> list[str]:
        """Return the line."""
        return [json.dumps(event.as_dict(), ensure_ascii=False)]


class DryRun(LinesSink):
    """Prints what the sinks would send; nothing is sent."""

    name = "dry run"

    def __init__(self, sinks: Sequence[Sink], write: Callable[[str], None]) -> None:
        """`sinks` are asked, and never run."""
        super().__init__(write)
        self._sinks = sinks

    def describe(self, event: Event) -> list[str]:
        """Return a line for each message of each sink."""
        if event.refusal:
            heard = f" ({event.text})" if event.text else ""
            return [f"refused: {event.refusal}{heard}"]
        lines = []
        for sink in self._sinks:
            try:
                lines += [f"{sink.name}: {line}" for line in sink.describe(event)]
            except (MissingFieldError, RefusedError) as error:
                lines.append(f"{sink.name}: nothing, {error}")
        return lines
