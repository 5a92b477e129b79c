"""Starts a program for each command: no shell, a time limit, a bounded number at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal

from edgevc.relay.config import ProgramConfig
from edgevc.relay.event import Event
from edgevc.relay.sinks.queued import QueuedSink, RefusedError
from edgevc.relay.template import MissingFieldError, Template, fields_of

SECRETS = ("PASSWORD", "TOKEN", "SECRET", "WEBHOOK_URL")
"""Ends of the names of edgevc's variables that no other program needs."""


class ProgramSink(QueuedSink):
    """The program's stdin is the event as JSON; a command is sent when it ends with 0."""

    name = "program"

    def __init__(self, config: ProgramConfig) -> None:
        """`config.run` is not empty."""
        super().__init__(config.at_once)
        self._words = [Template(word, "run") for word in config.run]
        self._seconds = config.seconds
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if not (name.startswith("EDGEVC_") and name.endswith(SECRETS))
        }

    async def deliver(self, event: Event) -> None:
        """Run it to its end."""
        try:
            words = self._filled(event)
        except MissingFieldError as error:
            raise RefusedError(str(error)) from error
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.PIPE,
                # stdout may be the relay's lines
                stdout=asyncio.subprocess.DEVNULL,
                env=self._environment,
                # what it starts is in its group, and is killed with it
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise RefusedError(f"{words[0]} cannot be started: {reason}") from error
        talk = asyncio.create_task(process.communicate(json.dumps(event.as_dict()).encode()))
        try:
            # not wait_for: before Python 3.12 it loses a cancellation that comes together with what it waits for
            done, _ = await asyncio.wait({talk}, timeout=self._seconds)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            await talk
        if not done:
            raise RefusedError(f"{words[0]} took longer than {self._seconds:g} s and was killed")
        if process.returncode:
            raise RefusedError(f"{words[0]} ended with {process.returncode}")

    def _filled(self, event: Event) -> list[str]:
        fields = fields_of(event)
        return [word.word(fields) for word in self._words]

    def describe(self, event: Event) -> list[str]:
        """Return the command line."""
        return [shlex.join(self._filled(event))]
