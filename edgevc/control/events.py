"""What a client of the control socket is told without asking: changes of the session, and the phones that it hears."""

from __future__ import annotations

import base64
import time
from typing import Any, Protocol

import numpy as np

from edgevc.control.controls import CONTROLS, Controlled
from edgevc.control.phones import PhoneQueue
from edgevc.errors import ConfigError
from edgevc.limits import HOP_LENGTH
from edgevc.text import shortened

EVENTS = ("state", "phones")
CHANGE_SECONDS = 0.1
"""Between looks at the session: what changes and changes back in between is not told."""
PHONE_SECONDS = 0.02
ENCODING = "base64 of float32 log-probabilities, little-endian, hop by hop"
_NO_FAULT = ("hops", "chunk_hops", "drift_corrections")


class Subscriber(Protocol):
    """A client that may be told something."""

    leaving: bool
    idle_seconds: float | None

    @property
    def full(self) -> bool:
        """Whether it does not read what it is told."""
        ...

    def say(self, message: dict[str, Any]) -> None:
        """Send one line."""
        ...


class _Subscription:
    def __init__(self, client: Subscriber, events: list[str], seen: dict[str, Any]) -> None:
        self.client = client
        self.events = events
        self.seen = seen
        self.dropped = 0


class Events:
    """Who subscribed, and what each was told last; used by the server's thread alone."""

    def __init__(self, session: Controlled[Any], phones: PhoneQueue | None) -> None:
        """`phones` is None where the session gives none."""
        self._session = session
        self._phones = phones
        self._lost_before = 0
        self._subscriptions: list[_Subscription] = []
        self._look_at = 0.0

    @property
    def dropped(self) -> int:
        """Hops of phones that were lost by those who are subscribed now."""
        return sum(one.dropped for one in self._subscriptions)

    def subscribe(self, client: Subscriber, value: object) -> dict[str, Any]:
        """Tell `client` of events from now on, instead of what it subscribed to before; return the answer for it.

        Raises:
            ConfigError: there is no such event.
        """
        events = ["state"] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(events, list) or not events or any(event not in EVENTS for event in events):
            raise ConfigError(f"subscribe takes a list of {' and '.join(EVENTS)}, got {shortened(value)}")
        answer: dict[str, Any] = {"events": events}
        if "phones" in events:
            if self._phones is None:
                raise ConfigError('this session gives no phones; subscribe to ["state"]')
            answer |= {"phones": list(self._phones.names), "encoding": ENCODING}
        state = state_of(self._session) if "state" in events else {}
        self._subscriptions = [one for one in self._subscriptions if one.client is not client]
        self._subscriptions.append(_Subscription(client, events, state))
        client.idle_seconds = None
        return answer | state

    def publish(self) -> float | None:
        """Tell everybody what is new; return the seconds until it must be looked again, None where nobody waits."""
        self._subscriptions = [one for one in self._subscriptions if not one.client.leaving]
        hearing = [one for one in self._subscriptions if "phones" in one.events]
        if self._phones is not None:
            self._phones.want(bool(hearing))
        if not self._subscriptions:
            return None
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + CHANGE_SECONDS
            self._tell_changes()
        if hearing and self._phones is not None:
            self._tell_phones(hearing, self._phones)
            return PHONE_SECONDS
        return self._look_at - now

    def look_now(self) -> None:
        """Let the next `publish` look at the session, however short the last look is ago; from any thread."""
        self._look_at = 0.0

    def close(self) -> None:
        """Want nothing more of the session."""
        if self._phones is not None:
            self._phones.want(False)

    def _tell_changes(self) -> None:
        watching = [one for one in self._subscriptions if "state" in one.events and not one.client.full]
        if not watching:
            return
        state = state_of(self._session)
        for one in watching:
            changed = _difference(one.seen, state)
            if changed:
                one.client.say({"event": "state", **changed})
                one.seen = state

    def _tell_phones(self, hearing: list[_Subscription], queue: PhoneQueue) -> None:
        positions, values = queue.take()
        lost, self._lost_before = queue.dropped - self._lost_before, queue.dropped
        # a line holds hops that follow one another
        breaks = np.flatnonzero(np.diff(positions) != HOP_LENGTH) + 1
        lines: list[dict[str, Any]] = [
            {
                "event": "phones",
                "position": int(places[0]),
                "hops": len(places),
                "phones": base64.b64encode(hops.astype("<f4").tobytes()).decode("ascii"),
            }
            for places, hops in zip(np.split(positions, breaks), np.split(values, breaks), strict=True)
            if len(places)
        ]
        for one in hearing:
            one.dropped += lost
            for line in lines:
                if one.client.full:
                    one.dropped += line["hops"]
                    continue
                one.client.say({**line, "dropped": one.dropped} if one.dropped else line)
                one.dropped = 0


def state_of(session: Controlled[Any]) -> dict[str, Any]:
    """Return what a subscriber is told of: state, every control, and the counters of faults."""
    stats = session.stats().as_dict()
    faults = {name: value for name, value in stats.items() if type(value) is int and name not in _NO_FAULT}
    controls = {control.name: control.get(session) for control in CONTROLS}
    return {"state": stats["state"], **controls, "faults": faults}


def _difference(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {name: value for name, value in now.items() if value != before[name]}
    if "faults" in changed:
        changed["faults"] = {name: value for name, value in now["faults"].items() if value != before["faults"][name]}
    return changed
