"""Keeps the latency of a live session at one value: its two queues are skipped or filled up where they moved."""

from __future__ import annotations

import logging
import math

import numpy as np

from edgevc.devices.port import AudioPort
from edgevc.limits import HOP_LENGTH, SAMPLE_RATE
from edgevc.live.clock import Clock
from edgevc.live.drift import ClockFollower
from edgevc.live.lines import CaptureLine, PlaybackLine
from edgevc.live.meters import Meters
from edgevc.live.rare_log import RareLog

_LOG = logging.getLogger(__name__)

# The queues are only looked after to this: the resamplers' rounding, in samples at 16 kHz.
_TOLERANCE = 8.0
# A lag that stays for so many calls is none of the moment, but something that the device did not count.
_STEADY_CALLS = 50


class QueueKeeper:
    """The two queues together hold Q samples, which is their latency; `target` is its value from the start to the end.

    Q stays constant because the device reads and writes blocks of equal size; only lost or late blocks change it. The
    least that never underflows is one block plus what a chunk may leave over; the pre-roll comes on top. Silence that
    the device had to play makes Q larger, lost input makes it smaller: both are counted by the port, and the same
    number of samples is skipped or inserted as soon as it is seen. Two clocks change Q slowly, which the resampler's
    ratio leads back.
    """

    def __init__(
        self,
        port: AudioPort,
        capture: CaptureLine,
        playback: PlaybackLine,
        meters: Meters,
        clock: Clock,
        *,
        preroll: float,
        cap: float,
    ) -> None:
        """Watch over the queues of a port that is started.

        Args:
            port: exchanges samples with a device.
            capture: its input side.
            playback: its output side.
            meters: are written.
            clock: the port's.
            preroll: samples at 16 kHz that the playback queue holds beyond the least.
            cap: samples at 16 kHz; above it, all beyond the target is dropped.
        """
        self._port = port
        self._capture = capture
        self._playback = playback
        self._meters = meters
        self._clock = clock
        self._preroll = preroll
        self._cap = cap
        self._block = port.block_length * capture.to_hops
        follow = port.paced and not port.shared_clock
        self._follower = ClockFollower(self._block / SAMPLE_RATE) if follow else None
        # samples per chunk to the target without what was written ahead
        self._targets: dict[int, float] = {}
        # samples at 16 kHz that are to be skipped, because silence was played in their place
        self._owed = 0.0
        self._silence_seen = 0
        self._loss_seen = 0
        self._lagging = 0
        self._log = RareLog(_LOG)
        self.started = False
        """Whether the queues were filled to their target."""
        self.late = False
        """Whether the output ran dry since the scheduler last looked; it sets it back."""
        self.known_late = False
        """Set by the scheduler: the call that made it run dry is counted already."""

    def target(self, chunk: int) -> float:
        """Return the samples at 16 kHz that wait in both queues, with a chunk of this length that is being filled."""
        if chunk not in self._targets:
            # the device may take a block at the worst moment: when all but one step of a chunk has arrived
            step = math.gcd(round(self._block), chunk) if abs(self._block - round(self._block)) < 1e-6 else 1
            self._targets[chunk] = self._block + chunk - step + self._preroll
        return self._targets[chunk] + self._playback.ahead

    def queued(self) -> float:
        """Return the samples at 16 kHz that wait on both sides; meaningful between two steps."""
        captured, fill = self._look()
        return captured * self._capture.to_hops + self._capture.pending + fill * self._playback.from_hops

    def _look(self) -> tuple[int, int]:
        """Return what waits in the capture and in the playback queue at one moment, in samples of the devices."""
        captured = self._port.available()
        while True:
            fill = self._port.playback_fill()
            again = self._port.available()
            if again == captured:
                return captured, fill
            # the device came between the two; ask again
            captured = again

    def start(self, n: int, chunk: int) -> None:
        """Fill the playback queue so that both queues hold the target once n samples more are written."""
        if self._port.paced:
            self._playback.play(np.zeros(max(0, round(self.target(chunk) - self.queued() - n)), np.float32))
        counters = self._port.counters()
        self._silence_seen = counters.silent_samples_played
        self._loss_seen = counters.captured_samples_lost
        self.started = True

    def write_off(self) -> None:
        """All that waits beyond the target is too late, and the devices may have lost what they did not count."""
        self._owed = math.inf
        if self._follower is not None:
            self._follower.forget()

    def stay_in_time(self, chunk: int) -> None:
        """Pay back silence that was played and input that was lost, hold the cap, follow the clocks."""
        silence, lost = self._losses()
        captured, fill = self._look()
        waiting = captured * self._capture.to_hops + self._capture.pending
        queued = waiting + fill * self._playback.from_hops
        target = self.target(chunk)
        if self._port.paced and queued > max(self._cap, target + self._block + HOP_LENGTH):
            self.write_off()
        lag = queued - target
        lag -= self._pay_back(lag)
        slack = _TOLERANCE if self._follower is None else self._block / 2
        if (lost and lag < -_TOLERANCE) or (silence and lag < -slack):
            # one gap instead of many: without it the queue would run dry again and again
            self._playback.play(np.zeros(round(-lag), np.float32))
            self._playback.fade_in = True
            lag = 0.0
        if self._port.shared_clock and self._port.paced:
            self._correct_steady(lag)
        self._meters.queued = target + lag
        self._meters.capture_wait += 0.1 * (waiting - self._meters.capture_wait)
        self._follow_clocks(lag)

    def _losses(self) -> tuple[int, int]:
        """Return the device's samples of silence that it played and of input that it lost since the last look."""
        counters = self._port.counters()
        silence = counters.silent_samples_played - self._silence_seen
        lost = counters.captured_samples_lost - self._loss_seen
        self._silence_seen += silence
        self._loss_seen += lost
        now = self._clock.now()
        if lost:
            ms = 1000 * lost / self._port.input_rate
            self._log.warn(now, "%.0f ms of input found no room and are lost; the machine is too busy", ms)
        if silence:
            ms = 1000 * silence / self._port.output_rate
            self._log.warn(now, "the output ran dry for %.0f ms; the machine is too busy", ms)
            self.late = not self.known_late
            self._playback.fade_in = True
            self._owed += silence * self._playback.from_hops
        return silence, lost

    def _pay_back(self, lag: float) -> float:
        """Skip input that is owed, as far as it lags; return how many samples at 16 kHz."""
        if self._owed <= 0:
            return 0.0
        skipped = 0.0
        if lag > _TOLERANCE:
            skipped = self._capture.skip(min(self._owed, lag))
            self._owed -= skipped
        if lag - skipped <= _TOLERANCE or self._owed < 1:
            self._owed = 0.0
        return skipped

    def _correct_steady(self, lag: float) -> None:
        """Take back what one clock cannot have caused: a device that restarted inside moves its sides by themselves."""
        self._lagging = self._lagging + 1 if abs(lag) > _TOLERANCE and not self._owed else 0
        if self._lagging >= _STEADY_CALLS:
            self._lagging = 0
            self._playback.correction = -round(lag)

    def _follow_clocks(self, lag: float) -> None:
        if self._follower is None or self._playback.adaptive is None or self._owed:
            return
        port, counters = self._port, self._port.counters()
        n_captured = self._capture.n_read + port.available() + counters.captured_samples_lost
        n_played = self._playback.n_written - port.playback_fill() + counters.silent_samples_played
        if self._follower.update(n_captured / port.input_rate, n_played / port.output_rate, lag / SAMPLE_RATE):
            self._playback.adaptive.set_ratio(self._follower.ratio)
            self._meters.drift_corrections += 1
        self._meters.clock_ratio = self._follower.slope
