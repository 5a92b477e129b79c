"""What a live session counts, in the text format of Prometheus: every scrape reads one snapshot."""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from edgevc.control.controls import MODES
from edgevc.live.stats import LatencyParts, LiveStats, Percentiles
from edgevc.monitoring.http import PageServer

PREFIX = "edgevc_live"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("starting", "running", "resting", "reconnecting", "stopped")

COUNTERS = {
    "hops": "Hops of 10 ms that went through the scheduler.",
    "input_overflows": "Times the device lost input, or input found no room.",
    "output_underflows": "Times the device had nothing to play.",
    "deadlines_missed": "Hops that were not ready in time.",
    "hops_dropped": "Input hops skipped to stay in time.",
    "hops_bypassed": "Hops let through unconverted by the overload policy.",
    "drift_corrections": "Times the resampling ratio was moved because the two clocks differ.",
    "device_restarts": "Times a device was opened again.",
    "worker_stalls": "Times the worker thread stood still.",
    "slow_calls": "Calls of the model that took more than 2 s.",
    "bad_samples": "Samples from the device that were not finite.",
    "bad_frames": "Frames in which the model gave what is no sound; they are silent.",
    "model_resets": "Times the model's memory was cleared because of such frames.",
    "loud_hops": "Hops turned down because the model was far louder than what it heard.",
    "feedback_events": "Times acoustic feedback was noticed.",
    "recording_errors": "Times the recording could not be written.",
}
"""Field of LiveStats to help; exported as edgevc_live_<field>_total."""

_GAUGES = {
    "load_ratio": ("load", "Processing time / audio time over the last second."),
    "clock_ratio": ("clock_ratio", "Output clock / input clock as estimated."),
    "input_level_dbfs": ("input_level", "Level of the microphone over the last 100 ms."),
    "output_level_dbfs": ("output_level", "Level of the output over the last 100 ms."),
    "chunk_hops": ("chunk_hops", "Hops per call of the converter now."),
    "uptime_seconds": ("seconds", "Time since the session started."),
}
"""Name to field of LiveStats and help."""

_QUANTILES = {
    "processing": ("processing_ms", "Time of one call of the converter, over the last minute at most"),
    "playback_fill": ("playback_fill_ms", "What waits in the playback queue, over the last minute at most"),
}


@dataclass(frozen=True)
class Family:
    """Samples of one name."""

    name: str
    kind: str
    """counter or gauge."""
    help: str
    samples: tuple[tuple[Mapping[str, str], float], ...] = field(default=())
    """Labels and value."""

    @classmethod
    def single(cls, name: str, kind: str, text: str, value: float) -> Family:
        """Return a family of one sample without labels."""
        return cls(name, kind, text, (({}, value),))


def families_of(stats: LiveStats) -> Iterator[Family]:
    """Yield every family of one snapshot."""
    for name, text in COUNTERS.items():
        yield Family.single(f"{PREFIX}_{name}_total", "counter", text, getattr(stats, name))
    for name, (attribute, text) in _GAUGES.items():
        yield Family.single(f"{PREFIX}_{name}", "gauge", text, getattr(stats, attribute))
    for name, (attribute, text) in _QUANTILES.items():
        values: Percentiles = getattr(stats, attribute)
        known = (("0.5", values.p50), ("0.95", values.p95), ("0.99", values.p99), ("1", values.max))
        samples = tuple(({"quantile": quantile}, value / 1000) for quantile, value in known)
        yield Family(f"{PREFIX}_{name}_seconds", "gauge", f"{text}, by quantile.", samples)
    parts = tuple(({"part": part.name}, getattr(stats.latency, part.name) / 1000) for part in fields(LatencyParts))
    yield Family(f"{PREFIX}_latency_seconds", "gauge", "Mouth to ear, part by part.", parts)
    total = stats.latency.total / 1000
    yield Family.single(f"{PREFIX}_mouth_to_ear_seconds", "gauge", "The sum of the parts of the latency.", total)
    for name, words, now in (("state", STATES, stats.state), ("mode", MODES, stats.mode)):
        flags = tuple(({name: word}, float(word == now)) for word in words)
        yield Family(f"{PREFIX}_{name}", "gauge", f"1 for the {name} that holds now.", flags)
    marked = float(stats.marked)
    yield Family.single(f"{PREFIX}_marked", "gauge", "1 where the converted voice carries the watermark.", marked)
    yield Family(f"{PREFIX}_info", "gauge", "The voice that is spoken in.", (({"voice": stats.voice}, 1.0),))


def process_families() -> Iterator[Family]:
    """Yield what every exporter says of its process, under the usual names; nothing where there is no /proc."""
    try:
        words = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        boot = next(
            int(line.split()[1])
            for line in Path("/proc/stat").read_text(encoding="ascii").splitlines()
            if line.startswith("btime ")
        )
        descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
    except (OSError, StopIteration):
        return
    # fields of proc(5), counted from the third
    ticks = os.sysconf("SC_CLK_TCK")
    seconds = (int(words[11]) + int(words[12])) / ticks
    yield Family.single("process_cpu_seconds_total", "counter", "User and system time.", seconds)
    for name, text, value in (
        ("start_time_seconds", "Start since the Unix epoch.", boot + int(words[19]) / ticks),
        ("virtual_memory_bytes", "Virtual memory.", int(words[20])),
        ("resident_memory_bytes", "Memory that is really there.", int(words[21]) * os.sysconf("SC_PAGE_SIZE")),
        ("open_fds", "Open file descriptors.", descriptors),
        ("max_fds", "Most file descriptors that may be open.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    ):
        yield Family.single(f"process_{name}", "gauge", text, value)


def exposition(families: Iterable[Family]) -> str:
    """Return the text that Prometheus reads."""
    lines = []
    for family in families:
        text = family.help.replace("\\", r"\\").replace("\n", r"\n")
        lines += [f"# HELP {family.name} {text}", f"# TYPE {family.name} {family.kind}"]
        for labels, value in family.samples:
            inside = ",".join(f'{name}="{_escaped(word)}"' for name, word in labels.items())
            lines.append(f"{family.name}{{{inside}}} {_number(value)}" if inside else f"{family.name} {_number(value)}")
    return "\n".join(lines) + "\n"


def _escaped(word: str) -> str:
    return word.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(float(value))


class MetricsServer:
    """Answers GET /metrics in a thread of its own, which sleeps between scrapes."""

    def __init__(self, address: str, stats: Callable[[], LiveStats], *, any_interface: bool = False) -> None:
        """Start to listen.

        Args:
            address: HOST:PORT; port 0 takes a free one.
            stats: returns a snapshot, from any thread.
            any_interface: allow a host that other machines reach.

        Raises:
            ConfigError: the address is not allowed.
            SessionError: it is taken, or there is no such address.
        """

        def page() -> str:
            return exposition([*families_of(stats()), *process_families()])

        self._server = PageServer(address, "/metrics", page, CONTENT_TYPE, any_interface=any_interface)
        self.address = self._server.address
        self.conversation = self._server.conversation
        """See `PageServer.conversation`."""
        """Where it listens."""

    def close(self) -> None:
        """Stop listening; may be called twice."""
        self._server.close()
