"""A running live session: its phones come over the control socket, so that nothing is computed twice."""

from __future__ import annotations

import base64
import binascii
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevc.control.client import Connection
from edgevc.errors import ConfigError, SessionError
from edgevc.limits import HOP_LENGTH
from edgevc.recognition.armed import ArmedRecognizer
from edgevc.relay.controls import Controls
from edgevc.relay.pauses import Pauses
from edgevc.relay.sources.hearing import Hear, event_of, phrase_of
from edgevc.relay.threads import in_thread

_LOG = logging.getLogger(__name__)

LONGEST_PAUSE = 5.0
"""Seconds between two looks for a session that is not there."""

NewRecognizer = Callable[[Sequence[str]], ArmedRecognizer]
"""Makes what hears phones of these names."""


class LiveSource:
    """Subscribes to a session's phones, and again when it has gone and come back."""

    def __init__(
        self,
        address: str,
        recognizer: NewRecognizer,
        controls: Controls,
        hear: Hear,
        time_to_live: float,
        version: Callable[[], int] = lambda: 0,
    ) -> None:
        """Make it.

        Args:
            address: unix:PATH or 127.0.0.1:PORT.
            recognizer: makes what hears a session's phones; raises ConfigError where the grammar does not fit them.
            controls: of the relay.
            hear: takes the events.
            time_to_live: of the events, seconds.
            version: of what may be said; where it is another, a recognizer is made anew between two sentences.
        """
        self._version = version
        self.name = "live session"
        self._address, self._recognizer = address, recognizer
        self._controls, self._hear, self._time_to_live = controls, hear, time_to_live
        self._connection: Connection | None = None

    async def run(self) -> None:
        """Hear until it is cancelled.

        Raises:
            ConfigError: the address is none, the session gives no phones, or the grammar does not fit them.
        """
        await in_thread(self._work, "edgevc-live", self._hang_up)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _work(self, stop: threading.Event) -> None:
        pauses = Pauses(longest=LONGEST_PAUSE)
        said = False
        while not stop.is_set():
            try:
                with Connection(self._address) as connection:
                    self._connection = connection
                    events = connection.subscribe("phones")
                    answer = next(events)
                    _LOG.info("connected to the live session on %s", self._address)
                    pauses.reset()
                    said = False
                    self._listen(answer, events, stop)
                reason = "it ended"
            except SessionError as error:
                reason = str(error)
            if not stop.is_set() and not said:
                # once, however long it takes
                said = True
                _LOG.warning("no live session: %s; it is waited for", reason)
            stop.wait(pauses.next())

    def _listen(self, answer: dict[str, Any], events: Any, stop: threading.Event) -> None:
        names = answer.get("phones")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) > 1000:
            raise SessionError("what answers gives no phones")
        version, recognizer = self._version(), self._recognizer(names)
        position, wake = 0, ""
        for event in events:
            if stop.is_set():
                return
            if event.get("event") != "phones":
                continue
            phones = _phones_of(event, len(names))
            if version != self._version() and not recognizer.speaking:
                version, recognizer = self._version(), self._renewed(recognizer, names)
            begins = event.get("position")
            if begins != position or not self._controls.listening:
                # hops are missing, or nothing shall be heard: what was said before is not continued
                recognizer.reset()
            position = begins + HOP_LENGTH * len(phones) if isinstance(begins, int) else -1
            if self._controls.listening:
                recognizer.least_certainty = self._controls.least_certainty
                sentences = recognizer.process(phones)
                wake = phrase_of(recognizer.woken, wake)
                for heard in sentences:
                    self._hear(event_of(heard, self.name, self._time_to_live, wake))

    def _renewed(self, recognizer: ArmedRecognizer, names: Sequence[str]) -> ArmedRecognizer:
        """What hears what may be said by now; the same as before where that cannot be."""
        try:
            return self._recognizer(names)
        except ConfigError as error:
            _LOG.warning("the grammar stays as it was: %s", error)
            return recognizer


def _phones_of(event: dict[str, Any], n_phones: int) -> NDArray[np.float32]:
    """Return the hops of an event, (L, n_phones).

    Raises:
        SessionError: they are none.
    """
    try:
        values = np.frombuffer(base64.b64decode(event["phones"], validate=True), "<f4").astype(np.float32)
        phones = values.reshape(-1, n_phones)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise SessionError("what answers gives no phones") from None
    if not np.isfinite(phones).all():
        raise SessionError("what answers gives phones that are no numbers")
    return phones
