"""Work that blocks, in a thread of its own, awaited by the relay's loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[threading.Event], T], name: str, stopped: Callable[[], None] | None = None) -> T:
    """Return what `work` returns, or raise what it raises.

    The thread is a daemon: one that hangs in a device does not keep the program from ending, as those of asyncio's own
    executor would.

    Args:
        work: gets an event that is set when the caller was cancelled, and shall return then.
        name: of the thread.
        stopped: is called when the caller was cancelled, to wake the thread where an event does not.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()
    stop = threading.Event()

    def settle(set_it: Callable[[], None]) -> None:
        # the loop may be gone, and the caller may have been cancelled
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if result.done() else set_it())

    def run() -> None:
        try:
            value = work(stop)
        except BaseException as error:
            caught = error
            settle(lambda: result.set_exception(caught))
        else:
            settle(lambda: result.set_result(value))

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        return await result
    finally:
        stop.set()
        if stopped is not None and not result.done():
            stopped()
