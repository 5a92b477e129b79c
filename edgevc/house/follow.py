"""Keeps a grammar as the house is."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from edgevc.errors import SessionError
from edgevc.house.connection import HouseConnection
from edgevc.house.house import CHANGES, House, read_house

_LOG = logging.getLogger(__name__)

SETTLE_SECONDS = 1.0
"""So long nothing may have changed before the house is read: a new device is many changes."""
LOOK_SECONDS = 300.0
"""So often it is read all the same: names that stand in no registry change without an event."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between two tries to connect."""
STEP_SECONDS = 0.5


def follow(connect: Callable[[], HouseConnection], changed: Callable[[House], None], stop: threading.Event) -> None:
    """Give `changed` the house, and again whenever it may be another, until `stop` is set.

    Args:
        connect: connects anew.
        changed: takes the house; called in this thread.
        stop: looked at twice a second.

    Raises:
        ConfigError: the token is not taken.
    """
    pause, said = FIRST_PAUSE, False
    while not stop.is_set():
        try:
            with connect() as home:
                home.watch(*CHANGES)
                while not stop.is_set():
                    changed(read_house(home))
                    if said:
                        _LOG.warning("Home Assistant answers again")
                    pause, said = FIRST_PAUSE, False
                    _wait_for_change(home, stop)
        except SessionError as error:
            if not said:
                _LOG.warning("%s; it is tried again", error)
            said = True
            stop.wait(pause * random.uniform(0.75, 1.0))  # noqa: S311 (no secret)
            pause = min(2 * pause, LONGEST_PAUSE)


def _wait_for_change(home: HouseConnection, stop: threading.Event) -> None:
    waited = 0.0
    while waited < LOOK_SECONDS and not stop.is_set():
        if home.changed_within(STEP_SECONDS):
            while home.changed_within(SETTLE_SECONDS) and not stop.is_set():
                pass
            return
        waited += STEP_SECONDS
