"""One look at the parts of a live session: what they counted, timed and measured, as `LiveStats`."""

from __future__ import annotations

from edgevc.limits import HOP_LENGTH, SAMPLE_RATE
from edgevc.live.chain import VoiceChain
from edgevc.live.device_link import DeviceLink
from edgevc.live.meters import SILENCE_DB, Meters
from edgevc.live.recorder import Recorder
from edgevc.live.stats import LatencyParts, LiveStats


def snapshot(
    chain: VoiceChain, link: DeviceLink, meters: Meters, recorder: Recorder | None, *, state: str, seconds: float
) -> LiveStats:
    """Return what the parts tell now; from any thread.

    Args:
        chain: makes output of input.
        link: the device, while it is there.
        meters: the worker's.
        recorder: None where nothing is recorded.
        state: of the session.
        seconds: since it started.
    """
    counters = link.counters()
    return LiveStats(
        seconds=seconds,
        state=state,
        mode=chain.mode,
        voice=chain.voice,
        marked=chain.marked,
        hops=meters.hops,
        input_overflows=counters.input_overflows,
        output_underflows=counters.output_underflows,
        deadlines_missed=meters.deadlines_missed,
        hops_dropped=-(-int(meters.dropped_samples) // HOP_LENGTH),
        hops_bypassed=meters.hops_bypassed,
        drift_corrections=meters.drift_corrections,
        device_restarts=link.restarts,
        worker_stalls=meters.worker_stalls,
        slow_calls=meters.slow_calls,
        bad_samples=meters.bad_samples,
        bad_frames=chain.model_guard.bad_frames,
        model_resets=chain.model_guard.resets,
        loud_hops=chain.model_guard.loud_hops,
        feedback_events=chain.feedback_events,
        recording_errors=recorder.errors if recorder is not None else 0,
        input_level=chain.input_level.db if state != "resting" else SILENCE_DB,
        output_level=chain.output_level.db,
        load=meters.load.value,
        chunk_hops=chain.chunk_hops,
        clock_ratio=meters.clock_ratio,
        processing_ms=meters.processing_ms.percentiles(),
        playback_fill_ms=meters.playback_fill_ms.percentiles(),
        latency=_latency_parts(chain, link, meters),
    )


def _latency_parts(chain: VoiceChain, link: DeviceLink, meters: Meters) -> LatencyParts:
    """Every sample waits as long as it takes the queues to hold what they hold, the chunk being filled included."""
    port, scheduler = link.port, link.scheduler
    if port is None or scheduler is None:
        return LatencyParts()
    ms = 1000 / SAMPLE_RATE
    chunk = chain.chunk_hops * HOP_LENGTH
    capture = max(0.0, meters.capture_wait - chunk)
    return LatencyParts(
        input_device=1000 * port.input_latency,
        capture_queue=ms * capture,
        input_resampler=ms * scheduler.input_resampler_latency,
        model=ms * (chain.converter_latency + chunk),
        output_resampler=ms * scheduler.output_resampler_latency,
        post_chain=ms * chain.post_latency,
        playback_queue=ms * max(0.0, meters.queued - chunk - capture),
        output_device=1000 * port.output_latency,
    )
