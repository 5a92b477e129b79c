"""The frame scheduler: takes fixed-size chunks from a sound device through the voice chain, and stays in time."""

from __future__ import annotations

import logging
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgevc.devices.port import AudioPort
from edgevc.errors import ModelError
from edgevc.limits import HOP_LENGTH, SAMPLE_RATE
from edgevc.live.clock import Clock
from edgevc.live.lines import CaptureLine, PlaybackLine
from edgevc.live.meters import Meters
from edgevc.live.overload import Batcher, Rester
from edgevc.live.queue_keeper import QueueKeeper

_LOG = logging.getLogger(__name__)

RESTING_HOPS = 5
"""Taken at once while nothing is to be heard: a worker that wakes up less often costs less."""
STALL_SECONDS = 1.0
"""A worker that did nothing for so long was stopped by somebody, or its machine slept."""
CALL_LIMIT_SECONDS = 2.0
"""A call of the model that takes longer is counted: 10 ms of sound are due in 10 ms."""
MAX_SLOW_CALLS = 3
"""So many of them in a row end the session; one may be a machine that slept."""


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

    It waits for a chunk, takes it through the chain and hands the output over; `QueueKeeper` keeps the latency.
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
        self._preroll = preroll_ms * SAMPLE_RATE / 1000
        self._capture = CaptureLine(port, meters)
        self._playback = PlaybackLine(port, meters, max(batch_sizes) * HOP_LENGTH)
        self._keeper = QueueKeeper(
            port,
            self._capture,
            self._playback,
            meters,
            clock,
            preroll=self._preroll,
            cap=max_latency_ms * SAMPLE_RATE / 1000,
        )
        self._batcher = Batcher(batch_sizes, chain.chunk_hops) if overload == "batch" else None
        self._rester = Rester() if overload in ("bypass", "silence") else None
        self._waited = False
        self._resting = False
        self._slow_calls = 0
        self._mark = clock.now()

    @property
    def target(self) -> float:
        """Samples at 16 kHz that wait in both queues, a chunk that is being filled included."""
        return self._keeper.target(self._chunk)

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
        return self._capture.latency

    @property
    def output_resampler_latency(self) -> float:
        """Samples at 16 kHz."""
        return self._playback.latency

    def queued(self) -> float:
        """Return the samples at 16 kHz that wait on both sides; meaningful between two steps."""
        return self._keeper.queued()

    def step(self, timeout: float) -> bool:
        """Wait for the next chunk and take it through; return False where none came within `timeout` seconds.

        Raises:
            ModelError: the model takes seconds for a call, again and again.
        """
        if self._keeper.started and self._resting != self._chain.silent:
            self._rest_or_rise()
        chunk = self._chunk
        needed = self._capture.missing(chunk)
        self._waited = self._port.available() < needed
        came = self._port.wait(needed, timeout)
        self._look_for_stall(timeout)
        if not came:
            return False
        if self._keeper.started:
            self._keeper.stay_in_time(chunk)
        elif self._port.paced:
            # what came while the session was made
            late = self._port.available() - needed - self._port.block_length
            self._capture.discard(late * self._capture.to_hops)
        dry = self._capture.take(needed, chunk)
        if dry is not None:
            self._take_through(dry)
        return True

    def flush(self, n: int) -> None:
        """The input is over: let out what waits, and the n samples that the chain holds."""
        if self._resting:
            self._rest_or_rise()
        chunk = self._chunk
        line = self._capture.rest(n)
        line = np.concatenate([line, np.zeros(-len(line) % chunk, np.float32)])
        for start in range(0, len(line), chunk):
            self._take_through(self._capture.clean(line[start : start + chunk]))
        self._playback.flush()

    def _look_for_stall(self, timeout: float) -> None:
        now = self._clock.now()
        if now - self._mark > timeout + STALL_SECONDS:
            self._meters.worker_stalls += 1
            self._keeper.write_off()
            _LOG.warning("the worker stood still for %.1f s; what came meanwhile is skipped", now - self._mark)
        self._mark = now

    def _take_through(self, dry: NDArray[np.float32]) -> None:
        meters, chain, keeper = self._meters, self._chain, self._keeper
        audio = len(dry) / SAMPLE_RATE
        started = self._clock.now()
        convert = self._may_convert(started)
        converting = convert and chain.converting and not self._resting
        meters.busy_since = started
        wet = chain.rest(dry) if self._resting else chain.process(dry, convert)
        meters.busy_since = None
        now = self._clock.now()
        spent = now - started
        too_long = spent > audio + self._preroll / SAMPLE_RATE
        missed = keeper.late or too_long
        keeper.late, keeper.known_late = False, too_long
        if self._batcher is not None and converting and self._batcher.update(now, spent, audio, missed):
            wet = self._change_chunk(self._batcher.chunk_hops, wet)
        if not keeper.started:
            keeper.start(len(wet), self._chunk)
        self._playback.write(wet)

        meters.hops += len(dry) // HOP_LENGTH
        meters.samples += len(dry)
        meters.deadlines_missed += missed
        meters.load.add(spent, audio)
        if not convert:
            meters.hops_bypassed += len(dry) // HOP_LENGTH
        if converting:
            meters.processing_ms.add(1000 * spent)
            if self._rester is not None:
                self._rester.update(spent)
            self._judge_time(spent)

    def _may_convert(self, now: float) -> bool:
        """Return whether there is time for the converter, or none is needed."""
        return (
            self._rester is None
            or self._resting
            or not self._chain.converting
            or self._rester.may_convert(now, self._time_left())
        )

    def _judge_time(self, spent: float) -> None:
        """Count a call that took seconds; a model that goes on like that can never be used live."""
        if spent <= CALL_LIMIT_SECONDS:
            self._slow_calls = 0
            return
        self._meters.slow_calls += 1
        self._slow_calls += 1
        _LOG.warning("a call of the model took %.1f s", spent)
        if self._slow_calls >= MAX_SLOW_CALLS:
            raise ModelError(
                f"a call of the model must take at most {CALL_LIMIT_SECONDS:g} s, {MAX_SLOW_CALLS} in a row took "
                f"longer, the last one {spent:.1f} s; choose another model or engine (`edgevc bench` measures)"
            )

    def _rest_or_rise(self) -> None:
        """Begin or end to take many hops at once; the silence that this needs in the queue is written ahead."""
        before = self.target
        self._resting = not self._resting
        more = round(self.target - before)
        if more >= 0:
            self._playback.play(np.zeros(more, np.float32))
        else:
            self._playback.ahead = -more
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
        if not (self._port.paced and self._keeper.started):
            return wet
        return self._playback.fit(wet, round(self.target - self.queued() - len(wet)))
