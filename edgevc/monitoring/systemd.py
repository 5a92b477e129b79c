"""Tells systemd how the service is: ready, alive, stopping (sd_notify(3)), without libsystemd."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping

from edgevc.live.stats import LiveStats
from edgevc.terminal.status_line import status_line

_LOG = logging.getLogger(__name__)

_SHORTEST_PERIOD_S = 0.05


class Notifier:
    """Sends lines to the socket that systemd names; does nothing where it names none."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from `environment`, the process's own where None."""
        environment = os.environ if environment is None else environment
        path = environment.get("NOTIFY_SOCKET", "")
        # @ stands for the zero byte of a socket without a file
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket: socket.socket | None = None
        self.watchdog_s = _watchdog_seconds(environment)
        """The longest silence that systemd accepts; None where it does not watch."""
        if path.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def send(self, **lines: str) -> bool:
        """Send lines such as READY="1"; return whether they went out. Never raises, never blocks."""
        if self._socket is None:
            return False
        text = "\n".join(f"{name}={' '.join(value.splitlines())}" for name, value in lines.items())
        try:
            self._socket.sendto(text.encode(), socket.MSG_DONTWAIT, self._address)
        except OSError as error:
            _LOG.debug("systemd was not told: %s", error)
            return False
        return True

    def close(self) -> None:
        """Close the socket; may be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", ""))
        for_us = int(environment.get("WATCHDOG_PID", "") or os.getpid()) == os.getpid()
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 and for_us else None


class _Pulse:
    """Whether a session lives: its hops go on, or it waits for a device, which is no fault of its own."""

    def __init__(self, stats: Callable[[], LiveStats]) -> None:
        self._stats = stats
        self._hops = -1

    def look(self) -> LiveStats | None:
        """Return a snapshot of a session that lives, None of one that stands still."""
        stats = self._stats()
        alive = stats.hops != self._hops or stats.state in ("starting", "resting", "reconnecting")
        self._hops = stats.hops
        return stats if alive else None


@contextlib.contextmanager
def told_to_systemd(
    stats: Callable[[], LiveStats], notifier: Notifier | None = None, *, period_s: float = 10.0
) -> Iterator[None]:
    """Say READY now and STOPPING at the end; meanwhile a thread says how the session is, as long as it lives.

    A session whose hops do not go on says nothing, so that systemd's watchdog restarts the service.

    Args:
        stats: returns a snapshot, from any thread.
        notifier: None takes what systemd gave to this process.
        period_s: between two words where systemd does not watch; otherwise a third of what it accepts.
    """
    notifier = notifier or Notifier()
    if not notifier.send(READY="1", STATUS="running"):
        notifier.close()
        yield
        return
    if notifier.watchdog_s is not None:
        period_s = max(min(period_s, notifier.watchdog_s / 3), _SHORTEST_PERIOD_S)
    stop = threading.Event()
    pulse = _Pulse(stats)

    def work() -> None:
        while not stop.wait(period_s):
            found = pulse.look()
            if found is None:
                notifier.send(STATUS="standing still")
                continue
            words = {"STATUS": status_line(found, 100, unicode=False)}
            notifier.send(**({"WATCHDOG": "1"} if notifier.watchdog_s is not None else {}), **words)

    thread = threading.Thread(target=work, name="edgevc-notify", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        notifier.send(STOPPING="1", STATUS="stopping")
        notifier.close()
