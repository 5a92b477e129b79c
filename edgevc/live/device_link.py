"""The sound device of a session: opened, asked whether it works, given back, and opened again when it fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from edgevc.devices.port import AudioPort, PortCounters
from edgevc.errors import AudioDeviceError
from edgevc.live.clock import Clock
from edgevc.live.scheduler import FrameScheduler

_LOG = logging.getLogger(__name__)

STEP_SECONDS = 0.25
"""The worker looks up at least so often, to see whether it shall stop."""
ASK_SECONDS = 0.5
"""A device that goes on is asked so often whether it still works."""
DEVICE_TIMEOUT_SECONDS = 2.0
"""A device that brings nothing for so long is opened again."""
FIRST_RETRY_SECONDS = 0.25
MAX_RETRY_SECONDS = 5.0


class DeviceLink:
    """A port and its scheduler while the device is there, and none while it is not.

    A device that fails is opened again, after a delay that grows from 0.25 to 5 s. Each fault is counted and said once.
    """

    def __init__(
        self,
        open_port: Callable[[], AudioPort],
        schedule: Callable[[AudioPort], FrameScheduler],
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        """No device is opened yet.

        Args:
            open_port: opens the device anew at each call and raises AudioDeviceError where it is not there.
            schedule: makes the scheduler of a port that is started.
            clock: of the port.
            stop: set where nobody waits for a device any more.
        """
        self._open_port = open_port
        self._schedule = schedule
        self._clock = clock
        self._stop = stop
        self.port: AudioPort | None = None
        self.scheduler: FrameScheduler | None = None
        self.restarts = 0
        """Times that a device was opened again."""
        self.ended = False
        """Whether the input is over for good."""
        # of the devices before
        self._counters_before = PortCounters()
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._heard_at = 0.0
        self._asked_at = 0.0

    def counters(self) -> PortCounters:
        """Return what went wrong at all devices so far."""
        port = self.port
        if port is None:
            return self._counters_before
        return PortCounters._make(a + b for a, b in zip(self._counters_before, port.counters(), strict=True))

    def connect(self) -> None:
        """Open the device.

        Raises:
            AudioDeviceError: it is not there or refuses.
        """
        port = self._open_port()
        try:
            port.start()
        except AudioDeviceError:
            port.stop()
            raise
        self.port = port
        self.scheduler = self._schedule(port)
        self._heard_at = self._clock.now()

    def disconnect(self) -> None:
        """Give the device back; may be called twice."""
        port, self.port, self.scheduler = self.port, None, None
        if port is not None:
            self._counters_before = PortCounters._make(
                a + b for a, b in zip(self._counters_before, port.counters(), strict=True)
            )
            port.stop()

    def lose(self, reason: str) -> None:
        """Give a device up that does not work, and begin to look for it."""
        _LOG.warning("the sound device stopped working (%s); it is tried again", reason)
        self.disconnect()
        self._retry_seconds = FIRST_RETRY_SECONDS

    def step(self) -> None:
        """Take one chunk through, or try to find the device again."""
        if self.scheduler is None or self.port is None:
            self._reconnect()
        elif self.scheduler.step(STEP_SECONDS):
            self._heard_at = self._clock.now()
            if self._heard_at - self._asked_at >= ASK_SECONDS:
                # a device may go on and be of no use: late and at the cost of a core, see PortAudioPort
                self._asked_at = self._heard_at
                if self.port.failure is not None:
                    self.lose(self.port.failure)
        elif self.port.ended:
            self.ended = True
        elif self.port.failure is not None:
            self.lose(self.port.failure)
        elif self._clock.now() - self._heard_at > DEVICE_TIMEOUT_SECONDS:
            self.lose(f"it brought nothing for {DEVICE_TIMEOUT_SECONDS:g} s")

    def _reconnect(self) -> None:
        if self._clock.sleep(self._retry_seconds, self._stop):
            return
        self._retry_seconds = min(2 * self._retry_seconds, MAX_RETRY_SECONDS)
        try:
            self.connect()
        except AudioDeviceError as error:
            _LOG.debug("not yet: %s", error)
            return
        self.restarts += 1
        _LOG.warning("the sound device works again")
