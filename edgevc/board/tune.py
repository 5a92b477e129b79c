"""Measures this board and recommends what a live session should use on it."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from edgevc.errors import EdgevcError, EngineError
from edgevc.limits import CHUNK_HOPS, HOP_MS
from edgevc.live.config import LiveConfig

BLOCKS_MS = (5.0, 10.0, 20.0, 40.0)
"""Tried with the device, in this order; the first one without a fault is taken."""
MAX_RTF = 0.5
MAX_SHARE = 0.5
"""The 99th percentile of a call's time over the audio that the call takes: half is left for the rest of the machine."""
_STEP_MS = 2.5
_MIN_PREROLL_MS = 5.0
_MAX_PREROLL_MS = 80.0


@dataclass(frozen=True)
class Speed:
    """One engine at one chunk size."""

    engine: str
    chunk_hops: int
    p99_ms: float
    """Of one call."""
    rtf: float
    """Processing time / audio time."""

    @property
    def share(self) -> float:
        """The 99th percentile of a call's time over the audio that it takes."""
        return self.p99_ms / (HOP_MS * self.chunk_hops)

    @property
    def fits(self) -> bool:
        """Whether the board has room to spare."""
        return self.rtf <= MAX_RTF and self.share <= MAX_SHARE


@dataclass(frozen=True)
class Lateness:
    """By how much a thread wakes up late, in milliseconds."""

    p50: float
    p999: float


@dataclass(frozen=True)
class Trial:
    """The device at one block size."""

    block_ms: float
    xruns: int
    late: int
    error: str | None = None

    @property
    def clean(self) -> bool:
        """Whether nothing went wrong."""
        return not (self.xruns or self.late or self.error)


@dataclass(frozen=True)
class Recommendation:
    """What to use, and why."""

    config: LiveConfig
    names: tuple[str, ...]
    """Fields of the config that were chosen."""
    reasons: tuple[str, ...]


def measure_speeds(
    config: LiveConfig, seconds: float = 4.0, progress: Callable[[str], None] = lambda _: None
) -> list[Speed]:
    """Time the model with every engine that is there and trusted, at 1, 2 and 4 hops per call or at its own block.

    Raises:
        EngineError: no engine can be used.
        ModelError: the bundle cannot be read.
    """
    from edgevc.bundle import ModelBundle
    from edgevc.converter import VoiceConverter
    from edgevc.converter.bench import bench
    from edgevc.engines import ENGINES

    bundle = ModelBundle.find(config.model)
    voice = config.voice or bundle.voices[0].name
    speeds = []
    refused = []
    for engine in ENGINES:
        for hops in [bundle.block_hops] if bundle.block_hops else CHUNK_HOPS:
            progress(f"{engine}, {hops} hops per call")
            try:
                converter = VoiceConverter(bundle, engine, hops)
            except EngineError as error:
                refused.append(str(error))
                break
            with _worker(realtime=config.realtime) as worker:
                report = worker.submit(bench, converter, voice, seconds).result()
            speeds.append(Speed(engine, hops, report.chunk.p99, report.rtf))
    if not speeds:
        raise EngineError("; ".join(refused))
    return speeds


def _worker(*, realtime: bool) -> ThreadPoolExecutor:
    """Return a thread with the priority of the session's worker: what is measured elsewhere does not hold for it."""
    from edgevc.live.realtime import prefer_this_thread

    return ThreadPoolExecutor(1, "edgevc-tune", prefer_this_thread if realtime else None)


def measure_lateness(seconds: float = 3.0, *, realtime: bool = True) -> Lateness:
    """Let a thread like the session's worker sleep for 10 ms again and again, and see when it wakes up."""
    late: list[float] = []

    def work() -> None:
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            time.sleep(HOP_MS / 1000)
            late.append(1000 * (time.perf_counter() - started) - HOP_MS)

    with _worker(realtime=realtime) as worker:
        worker.submit(work).result()
    late.sort()
    return Lateness(statistics.median(late), late[min(math.ceil(0.999 * len(late)), len(late)) - 1])


def try_device(config: LiveConfig, block_ms: float, seconds: float = 3.0) -> Trial:
    """Run a muted session for a while and count what went wrong."""
    import dataclasses

    from edgevc.live.session import LiveSession

    silent = dataclasses.replace(config, block_ms=block_ms, mode="mute", record=None, backing=None)
    try:
        session = LiveSession(silent)
        session.start()
        try:
            # what happens while the device starts is no sign of a block that is too small
            time.sleep(1.0)
            before = session.stats()
            time.sleep(seconds)
            after = session.stats()
        finally:
            session.stop()
    except EdgevcError as error:
        return Trial(block_ms, 0, 0, str(error))
    xruns = after.input_overflows - before.input_overflows + after.output_underflows - before.output_underflows
    fault = None if after.hops > before.hops else "the device brought nothing"
    return Trial(block_ms, xruns, after.deadlines_missed - before.deadlines_missed, fault)


def recommend(
    config: LiveConfig, speeds: Sequence[Speed], lateness: Lateness, trials: Sequence[Trial] = ()
) -> Recommendation:
    """Choose the least latency that leaves room.

    Engine and chunk: the smallest chunk at which an engine takes at most half of the time, and of these engines the
    cheapest. Block: the smallest at which the device ran clean; without a device 10 ms, or 20 where threads wake up
    late. Pre-roll: what covers a slow call and a late wake-up.

    Args:
        config: the settings before; what is not chosen here stays.
        speeds: at least one.
        lateness: of a thread that sleeps.
        trials: of the device; empty where there is none.
    """
    import dataclasses

    reasons = []
    fitting = [speed for speed in speeds if speed.fits]
    if fitting:
        best = min(fitting, key=lambda speed: (speed.chunk_hops, speed.rtf))
        reasons.append(
            f"{best.engine} at {_hops(best.chunk_hops)} per call takes {best.p99_ms:.2f} ms (99th percentile) of "
            f"{HOP_MS * best.chunk_hops:.0f}, RTF {best.rtf:.3f}"
        )
        overload = config.overload
    else:
        best = min(speeds, key=lambda speed: speed.rtf)
        overload = "drop"
        reasons.append(
            f"this board is too slow to leave room: the best is {best.engine} at {_hops(best.chunk_hops)} per call, "
            f"RTF {best.rtf:.2f}; expect dropped hops, use a smaller model"
        )
    clean = [trial for trial in trials if trial.clean]
    if clean:
        block_ms = clean[0].block_ms
        reasons.append(f"the device runs clean at blocks of {block_ms:g} ms")
    elif trials:
        block_ms = trials[-1].block_ms
        reasons.append(f"no block size ran clean ({_fault(trials[-1])}), so the largest is taken; see `edgevc doctor`")
    else:
        block_ms = 10.0 if lateness.p999 <= 5.0 else 20.0
        reasons.append(f"no device was tried; threads wake up {lateness.p999:.1f} ms late at worst")
    needed = best.p99_ms + lateness.p999
    preroll_ms = min(max(_STEP_MS * math.ceil(needed / _STEP_MS), _MIN_PREROLL_MS), _MAX_PREROLL_MS)
    reasons.append(
        f"a pre-roll of {preroll_ms:g} ms covers a slow call ({best.p99_ms:.2f} ms) and a late wake-up "
        f"({lateness.p999:.1f} ms)"
    )
    least = 2 * block_ms + preroll_ms + HOP_MS * best.chunk_hops
    chosen = dataclasses.replace(
        config,
        engine=best.engine,
        # a model that hears in blocks takes its own number, which is nobody's setting
        chunk_hops=best.chunk_hops if best.chunk_hops in CHUNK_HOPS else config.chunk_hops,
        overload=overload,
        block_ms=block_ms,
        preroll_ms=preroll_ms,
        max_latency_ms=max(config.max_latency_ms, 2 * least),
    )
    changed = [name for name in ("max_latency_ms", "overload") if getattr(chosen, name) != getattr(config, name)]
    return Recommendation(chosen, ("engine", "chunk_hops", "block_ms", "preroll_ms", *changed), tuple(reasons))


def _hops(count: int) -> str:
    return "1 hop" if count == 1 else f"{count} hops"


def _fault(trial: Trial) -> str:
    return trial.error or f"{trial.xruns} xruns, {trial.late} late hops"
