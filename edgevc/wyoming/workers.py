"""Threads for the work on sound, so that the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from edgevc.errors import EdgevcError

_LOG = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
"""In which a piece of sound is worked on, the wait for a thread included."""

R = TypeVar("R")


class WorkError(EdgevcError):
    """The work on a piece of sound failed, or took too long."""


class Workers:
    """A few threads. Each stream has one call at a time in them; who calls waits for its end."""

    def __init__(self, n_threads: int) -> None:
        """Make the threads when they are needed."""
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="edgevc-wyoming")

    async def run(self, work: Callable[..., R], *arguments: object) -> R:
        """Return work(*arguments), done in a thread.

        Raises:
            WorkError: it raised anything at all, or did not end within PATIENCE_SECONDS.
        """
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.run_in_executor(self._pool, _guarded, work, arguments), PATIENCE_SECONDS)
        except asyncio.TimeoutError:
            raise WorkError(f"a piece of sound took longer than {PATIENCE_SECONDS:g} s") from None

    def close(self) -> None:
        """Let the threads end; work that has begun is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _guarded(work: Callable[..., R], arguments: tuple[object, ...]) -> R:
    try:
        return work(*arguments)
    except BaseException as error:
        # whatever it is must end one session, and nothing else: SystemExit in a future ends the event loop
        failure = f"{type(error).__name__}: {error}"
        _LOG.debug("the work on a piece of sound failed", exc_info=True)
    # not raised above: an error that keeps frames keeps views of the engine's memory, and that then refuses to run
    raise WorkError(failure)
