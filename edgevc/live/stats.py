"""What a running live conversion tells about itself; every view (status line, TUI, JSON, metrics) reads this."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from edgevc.percentiles import Percentiles as Percentiles


@dataclass(frozen=True)
class LatencyParts:
    """Milliseconds from mouth to ear, part by part; the device's two parts are what the device reports."""

    input_device: float = 0.0
    capture_queue: float = 0.0
    input_resampler: float = 0.0
    model: float = 0.0
    """Algorithmic latency of the converter, chunking included."""
    output_resampler: float = 0.0
    post_chain: float = 0.0
    playback_queue: float = 0.0
    output_device: float = 0.0

    @property
    def total(self) -> float:
        """The sum of the parts."""
        return float(sum(getattr(self, part.name) for part in fields(self)))


@dataclass(frozen=True)
class LiveStats:
    """One snapshot. Counters start at 0 with the session and never fall."""

    seconds: float = 0.0
    """Since the session started."""
    state: str = "starting"
    """starting, running, resting (muted, the device is given back), reconnecting or stopped."""
    mode: str = "convert"
    """convert, bypass (the dry voice) or mute."""
    voice: str = ""
    marked: bool = True
    """Whether the converted voice carries the watermark."""
    hops: int = 0
    """Hops that went through the scheduler."""
    input_overflows: int = 0
    output_underflows: int = 0
    deadlines_missed: int = 0
    hops_dropped: int = 0
    """Input hops skipped to stay in time."""
    hops_bypassed: int = 0
    """Hops let through unconverted by the overload policy."""
    drift_corrections: int = 0
    """Times the resampling ratio was moved because the two clocks differ."""
    device_restarts: int = 0
    worker_stalls: int = 0
    slow_calls: int = 0
    """Calls of the model that took more than 2 s; three in a row end the session."""
    bad_samples: int = 0
    """Samples from the device that were not finite."""
    bad_frames: int = 0
    """Frames in which the model gave values that are not finite or absurd; they are silent."""
    model_resets: int = 0
    """Times that the model's memory was cleared, because such frames came again and again."""
    loud_hops: int = 0
    """Hops that were turned down because the model was far louder than what it heard."""
    feedback_events: int = 0
    recording_errors: int = 0
    input_level: float = -120.0
    """dB re full scale, of the last 100 ms."""
    output_level: float = -120.0
    load: float = 0.0
    """Processing time / audio time over the last second."""
    chunk_hops: int = 1
    """Hops per call now; the batch policy changes it."""
    clock_ratio: float = 1.0
    """Output clock / input clock as estimated."""
    processing_ms: Percentiles = field(default_factory=Percentiles)
    """Of one call of the converter."""
    playback_fill_ms: Percentiles = field(default_factory=Percentiles)
    latency: LatencyParts = field(default_factory=LatencyParts)

    def as_dict(self) -> dict[str, Any]:
        """Return every field, as JSON takes it; the total latency stands beside its parts."""
        values = asdict(self)
        values["latency"]["total"] = self.latency.total
        return values
