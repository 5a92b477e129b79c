"""The frame scheduler: takes fixed-size chunks from a sound device through the voice chain, and stays in time."""

from __future__ import annotations

import logging
import math
from collections import deque
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgevc.converter import SAMPLE_RATE, without_bad
from edgevc.devices.port import AudioPort
from edgevc.dsp.resample import AdaptiveResampler, Resampler
from edgevc.live.clock import Clock
from edgevc.live.drift import ClockFollower
from edgevc.live.meters import Meters
from edgevc.live.overload import Batcher, Rester

_LOG = logging.getLogger(__name__)

HOP_LENGTH = 160
RESTING_HOPS = 5
"""Taken at once while nothing is to be heard: a worker that wakes up less often costs less."""
STALL_SECONDS = 1.0
"""A worker that did nothing for so long was stopped by somebody, or its machine slept."""

# The queues are only looked after to this: the resamplers' rounding, in samples at 16 kHz.
_TOLERANCE = 8.0
_FADE_IN = 64
_SHORTEST_FADE = 80
# A lag that stays for so many calls is none of the moment, but something that the device did not count.
_STEADY_CALLS = 50
_WARN_SECONDS = 60.0
# Pieces of output that are kept: more than the longest tail needs, since some may be short.
_KEPT_PIECES = 16


class Chain(Protocol):
    """What the scheduler needs of whoever makes output of input."""

    @property
    def chunk_hops(self) -> int:
        """Hops that one call takes now."""
        ...

    def set_chunk_hops(self, chunk_hops: int) -> None:
        """Take so many hops per call from now on, without a seam."""
        ...

    def process(self, dry: NDArray[np.float32], convert: bool = True) -> NDArray[np.float32]:
        """Take one chunk, float32 (chunk_hops * 160,), finite; return as many samples.

        Args:
            dry: the chunk.
            convert: False where there is no time: the chunk goes through unconverted, at next to no cost.
        """
        ...

    @property
    def converting(self) -> bool:
        """Whether the next chunk needs the converter, which is what takes time."""
        ...

    @property
    def silent(self) -> bool:
        """Whether nothing is to be heard, nor still dying away."""
        ...

    def rest(self, dry: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take any number of hops while `silent`; return as many zeros."""
        ...

    def stay_silent(self, hops: int) -> None:
        """Give zeros for so many hops, whatever is wanted."""
        ...


class FrameScheduler:
    """One device's worth of scheduling: made when a device is opened, thrown away with it.

    What waits in both queues, Q samples, changes by accidents only: each block that the device takes, it also brings.
    Q is therefore the latency of the queues, and `target` its value from the start to the end. The least that never
    underflows is one block plus what a chunk may leave over; the pre-roll comes on top. Silence that the device had to
    play makes Q larger, lost input makes it smaller: both are counted by the port, and the same number of samples is
    skipped or inserted as soon as it is seen. Two clocks change Q slowly, which the resampler's ratio leads back.
    """

    def __init__(
        self,
        port: AudioPort,
        chain: Chain,
        meters: Meters,
        clock: Clock,
        *,
        preroll_ms: float = 10.0,
        max_latency_ms: float = 250.0,
        overload: str = "drop",
        batch_sizes: tuple[int, ...] = (1, 2, 4),
    ) -> None:
        """Take over the scheduler's side of a port that is started.

        Args:
            port: exchanges samples with a device.
            chain: makes output of input.
            meters: are written.
            clock: the port's.
            preroll_ms: what the playback queue holds beyond the least, 0 to 500.
            max_latency_ms: cap of what waits in both queues.
            overload: drop, bypass, silence or batch; what is heard instead of the converter is the chain's business.
            batch_sizes: hops per call that `batch` may choose from, ascending.
        """
        self._port = port
        self._chain = chain
        self._meters = meters
        self._clock = clock
        # None at equal rates, where there is nothing to do
        self._resampler = Resampler(port.input_rate, SAMPLE_RATE) if port.input_rate != SAMPLE_RATE else None
        follow = port.paced and not port.shared_clock
        self._adaptive = AdaptiveResampler(SAMPLE_RATE, port.output_rate) if follow else None
        # what follows no clock costs no latency at equal rates
        self._output: Resampler | AdaptiveResampler | None = self._adaptive
        if self._output is None and port.output_rate != SAMPLE_RATE:
            self._output = Resampler(SAMPLE_RATE, port.output_rate)
        self._to_hops = SAMPLE_RATE / port.input_rate
        self._from_hops = SAMPLE_RATE / port.output_rate
        self._batcher = Batcher(batch_sizes, chain.chunk_hops) if overload == "batch" else None
        self._rester = Rester() if overload in ("bypass", "silence") else None
        self._preroll = preroll_ms * SAMPLE_RATE / 1000
        self._block = port.block_length * self._to_hops
        self._cap = max_latency_ms * SAMPLE_RATE / 1000
        self._follower = ClockFollower(self._block / SAMPLE_RATE) if follow else None

        self._pending = np.zeros(0, np.float32)
        # the last output, long enough to lengthen it for the largest chunk
        self._tail_length = max(batch_sizes) * HOP_LENGTH
        self._played = deque([np.zeros(self._tail_length, np.float32)], maxlen=_KEPT_PIECES)
        # samples per chunk to the target without what was written ahead
        self._targets: dict[int, float] = {}
        self._started = False
        # samples at 16 kHz that are to be skipped, because silence was played in their place
        self._owed = 0.0
        self._silence_seen = 0
        self._loss_seen = 0
        self._late = False
        # a late call is counted when it ends, not once more when the silence is seen
        self._known_late = False
        self._waited = False
        self._resting = False
        # samples at 16 kHz that were written ahead while resting, and must not be written again
        self._ahead = 0
        self._fade_in = False
        self._replaced = 0
        # of the device's samples, what came and went through this object
        self._n_read = 0
        self._n_written = 0
        self._lagging = 0
        self._correction = 0
        self._mark = clock.now()
        self._warned: dict[str, float] = {}

    @property
    def target(self) -> float:
        """Samples at 16 kHz that wait in both queues, a chunk that is being filled included."""
        chunk = self._chunk
        if chunk not in self._targets:
            # the device may take a block at the worst moment: when all but one step of a chunk has arrived
            step = math.gcd(round(self._block), chunk) if abs(self._block - round(self._block)) < 1e-6 else 1
            self._targets[chunk] = self._block + chunk - step + self._preroll
        return self._targets[chunk] + self._ahead

    @property
    def _chunk(self) -> int:
        """Samples that the next call takes."""
        hops = self._chain.chunk_hops
        if self._resting and hops < RESTING_HOPS:
            hops = RESTING_HOPS
        return HOP_LENGTH * hops

    @property
    def input_resampler_latency(self) -> float:
        """Samples at 16 kHz."""
        return float(self._resampler.latency) if self._resampler is not None else 0.0

    @property
    def output_resampler_latency(self) -> float:
        """Samples at 16 kHz."""
        return self._output.latency * self._from_hops if self._output is not None else 0.0

    def queued(self) -> float:
        """Return the samples at 16 kHz that wait on both sides; meaningful between two steps."""
        captured, fill = self._look()
        return captured * self._to_hops + len(self._pending) + fill * self._from_hops

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

    def step(self, timeout: float) -> bool:
        """Wait for the next chunk and take it through; return False where none came within `timeout` seconds."""
        if self._started and self._resting != self._chain.silent:
            self._rest_or_rise()
        chunk = self._chunk
        needed = max(0, math.ceil((chunk - len(self._pending)) / self._to_hops))
        self._waited = self._port.available() < needed
        came = self._port.wait(needed, timeout)
        self._look_for_stall(timeout)
        if not came:
            return False
        if self._started:
            self._stay_in_time()
        elif self._port.paced:
            # what came while the session was made
            self._discard((self._port.available() - needed - self._port.block_length) * self._to_hops)
        self._read(needed)
        if len(self._pending) < chunk:
            # some of it was skipped
            return True
        dry, self._pending = self._pending[:chunk], self._pending[chunk:]
        self._take_through(self._clean(dry))
        return True

    def flush(self, n: int) -> None:
        """The input is over: let out what waits, and the n samples that the chain holds."""
        if self._resting:
            self._rest_or_rise()
        chunk = self._chunk
        rest = np.zeros(self._port.available(), np.float32)
        self._port.read_into(rest)
        end = np.zeros(n + round(self.input_resampler_latency), np.float32)
        line = np.concatenate([self._pending, self._at_16k(rest), end])
        line = np.concatenate([line, np.zeros(-len(line) % chunk, np.float32)])
        for start in range(0, len(line), chunk):
            self._take_through(self._clean(line[start : start + chunk]))
        if self._output is not None:
            self._port.write(self._output.flush())

    def _look_for_stall(self, timeout: float) -> None:
        now = self._clock.now()
        if now - self._mark > timeout + STALL_SECONDS:
            self._meters.worker_stalls += 1
            self._write_off()
            _LOG.warning("the worker stood still for %.1f s; what came meanwhile is skipped", now - self._mark)
        self._mark = now

    def _write_off(self) -> None:
        """All that waits beyond the target is too late, and the devices may have lost what they did not count."""
        self._owed = math.inf
        if self._follower is not None:
            self._follower.forget()

    def _read(self, n: int) -> None:
        captured = np.empty(n, np.float32)
        taken = self._port.read_into(captured)
        self._n_read += taken
        samples = self._at_16k(captured if taken == n else captured[:taken])
        self._pending = np.concatenate([self._pending, samples]) if len(self._pending) else samples

    def _at_16k(self, captured: NDArray[np.float32]) -> NDArray[np.float32]:
        return captured if self._resampler is None else self._resampler.process(captured)

    def _clean(self, dry: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take what is no sound as silence, and count it: one NaN would stay in a filter for ever."""
        dry, n_bad = without_bad(dry)
        if self._resampler is not None:
            replaced = self._resampler.replaced_samples
            n_bad += replaced - self._replaced
            self._replaced = replaced
        if n_bad and not self._meters.bad_samples:
            _LOG.warning(
                "the device brings samples that are no sound (not finite, or absurdly large); taken as silence"
            )
        self._meters.bad_samples += n_bad
        return dry

    def _take_through(self, dry: NDArray[np.float32]) -> None:
        meters, chain = self._meters, self._chain
        audio = len(dry) / SAMPLE_RATE
        started = self._clock.now()
        convert = (
            self._rester is None
            or self._resting
            or not chain.converting
            or self._rester.may_convert(started, self._time_left())
        )
        converting = convert and chain.converting and not self._resting
        wet = chain.rest(dry) if self._resting else chain.process(dry, convert)
        now = self._clock.now()
        spent = now - started
        hops = len(dry) // HOP_LENGTH
        too_long = spent > audio + self._preroll / SAMPLE_RATE
        missed = self._late or too_long
        self._late, self._known_late = False, too_long
        if self._batcher is not None and converting and self._batcher.update(now, spent, audio, missed):
            wet = self._change_chunk(self._batcher.chunk_hops, wet)
        self._write(wet)

        meters.hops += hops
        meters.samples += len(dry)
        meters.deadlines_missed += missed
        meters.load.add(spent, audio)
        if not convert:
            meters.hops_bypassed += hops
        if converting:
            meters.processing_ms.add(1000 * spent)
            if self._rester is not None:
                self._rester.update(spent)

    def _rest_or_rise(self) -> None:
        """Begin or end to take many hops at once; the silence that this needs in the queue is written ahead."""
        before = self.target
        self._resting = not self._resting
        more = round(self.target - before)
        if more >= 0:
            self._play(np.zeros(more, np.float32))
        else:
            self._ahead = -more
            self._chain.stay_silent(-(more // HOP_LENGTH))

    def _time_left(self) -> float:
        """Seconds until the playback queue may run dry."""
        left = self._port.playback_fill() / self._port.output_rate
        if self._waited:
            # the device has just been here
            left += self._port.block_length / self._port.input_rate
        return left

    def _change_chunk(self, chunk_hops: int, wet: NDArray[np.float32]) -> NDArray[np.float32]:
        """Go to another number of hops per call; return the output, as much longer or shorter as the target moves."""
        self._chain.set_chunk_hops(chunk_hops)
        _LOG.info("%d hops per call", chunk_hops)
        if not (self._port.paced and self._started):
            return wet
        return self._fit(wet, round(self.target - self.queued() - len(wet)))

    def _fit(self, wet: NDArray[np.float32], n: int) -> NDArray[np.float32]:
        """Return the output n samples longer, or -n shorter, as far as its own length allows, without a click.

        The end of what was played before, or this output's own end, fades into its beginning.
        """
        if n > 0:
            tail = np.concatenate(self._played)[-self._tail_length :]
            n = min(n, len(wet), len(tail))
            ramp = np.linspace(0, 1, n, dtype=np.float32)
            return np.concatenate([wet[:n] * (1 - ramp) + tail[-n:] * ramp, wet])
        if n < 0:
            kept = max(min(_SHORTEST_FADE, len(wet)), len(wet) + n)
            ramp = np.linspace(0, 1, kept, dtype=np.float32)
            return wet[:kept] * (1 - ramp) + wet[-kept:] * ramp
        return wet

    def _write(self, wet: NDArray[np.float32]) -> None:
        if not self._started:
            self._start(len(wet))
        if self._correction:
            longer = self._fit(wet, self._correction)
            self._meters.dropped_samples += max(0, len(wet) - len(longer))
            wet, self._correction = longer, 0
        if self._ahead:
            n = min(self._ahead, len(wet))
            self._ahead -= n
            wet = wet[n:]
        if self._fade_in and len(wet):
            wet = wet.copy()
            n = min(_FADE_IN, len(wet))
            wet[:n] *= np.linspace(0, 1, n, dtype=np.float32)
            self._fade_in = False
        self._played.append(wet)
        self._meters.playback_fill_ms.add(1000 * self._port.playback_fill() / self._port.output_rate)
        self._play(wet)

    def _start(self, n: int) -> None:
        """Fill the playback queue so that both queues hold the target once n samples more are written."""
        if self._port.paced:
            self._play(np.zeros(max(0, round(self.target - self.queued() - n)), np.float32))
        counters = self._port.counters()
        self._silence_seen = counters.silent_samples_played
        self._loss_seen = counters.captured_samples_lost
        self._started = True

    def _play(self, samples: NDArray[np.float32]) -> None:
        self._n_written += self._port.write(samples if self._output is None else self._output.process(samples))

    def _stay_in_time(self) -> None:
        """Pay back silence that was played and input that was lost, hold the cap, follow the clocks."""
        counters = self._port.counters()
        silence = counters.silent_samples_played - self._silence_seen
        lost = counters.captured_samples_lost - self._loss_seen
        self._silence_seen += silence
        self._loss_seen += lost
        captured, fill = self._look()
        waiting = captured * self._to_hops + len(self._pending)
        queued = waiting + fill * self._from_hops
        lag = queued - self.target
        if lost:
            ms = 1000 * lost / self._port.input_rate
            self._warn("input", "%.0f ms of input found no room and are lost; the machine is too busy", ms)
        if silence:
            ms = 1000 * silence / self._port.output_rate
            self._warn("output", "the output ran dry for %.0f ms; the machine is too busy", ms)
            self._late = not self._known_late
            self._fade_in = True
            self._owed += silence * self._from_hops
        if self._port.paced and queued > max(self._cap, self.target + self._block + HOP_LENGTH):
            self._write_off()
        if self._owed > 0:
            if lag > _TOLERANCE:
                skipped = self._skip(min(self._owed, lag))
                self._owed -= skipped
                lag -= skipped
            if lag <= _TOLERANCE or self._owed < 1:
                self._owed = 0.0
        slack = _TOLERANCE if self._follower is None else self._block / 2
        if (lost and lag < -_TOLERANCE) or (silence and lag < -slack):
            # one gap instead of many: without it the queue would run dry again and again
            self._play(np.zeros(round(-lag), np.float32))
            self._fade_in = True
            lag = 0.0
        if self._port.shared_clock and self._port.paced:
            self._correct_steady(lag)
        self._meters.queued = self.target + lag
        self._meters.capture_wait += 0.1 * (waiting - self._meters.capture_wait)
        if self._follower is not None and not self._owed:
            n_captured = self._n_read + self._port.available() + counters.captured_samples_lost
            n_played = self._n_written - self._port.playback_fill() + counters.silent_samples_played
            self._follow_clocks(n_captured / self._port.input_rate, n_played / self._port.output_rate, lag)

    def _correct_steady(self, lag: float) -> None:
        """Take back what one clock cannot have caused: a device that restarted inside moves its sides by themselves."""
        self._lagging = self._lagging + 1 if abs(lag) > _TOLERANCE and not self._owed else 0
        if self._lagging >= _STEADY_CALLS:
            self._lagging = 0
            self._correction = -round(lag)

    def _warn(self, what: str, message: str, ms: float) -> None:
        """Say a fault that may come in hundreds, once and then rarely."""
        now = self._clock.now()
        if now - self._warned.get(what, -math.inf) >= _WARN_SECONDS:
            self._warned[what] = now
            _LOG.warning(message, ms)

    def _follow_clocks(self, captured: float, played: float, lag: float) -> None:
        if self._follower is None or self._adaptive is None:
            return
        if self._follower.update(captured, played, lag / SAMPLE_RATE):
            self._adaptive.set_ratio(self._follower.ratio)
            self._meters.drift_corrections += 1
        self._meters.clock_ratio = self._follower.slope

    def _skip(self, n: float) -> float:
        """Drop the oldest input, n samples at 16 kHz at most, and count it; return how many they were."""
        pending = min(len(self._pending), int(n))
        self._pending = self._pending[pending:]
        dropped = pending + self._discard(n - pending)
        self._meters.dropped_samples += dropped
        return dropped

    def _discard(self, n: float) -> float:
        dropped = self._port.discard(max(0, round(n / self._to_hops)))
        self._n_read += dropped
        return dropped * self._to_hops
