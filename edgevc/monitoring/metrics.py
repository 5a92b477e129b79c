"""Serves what a live session counts to Prometheus: every scrape reads one snapshot, nothing runs in between."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from edgevc.errors import ConfigError
from edgevc.live.config import MODES
from edgevc.live.stats import LatencyParts, LiveStats, Percentiles
from edgevc.settings.kinds import is_loopback, split_host_port

if TYPE_CHECKING:
    from prometheus_client.core import Metric

PREFIX = "edgevc_live"
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
    "bad_samples": "Samples from the device that were not finite.",
    "feedback_events": "Times howling was noticed.",
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


class LiveCollector:
    """Turns a snapshot into metric families; registered with a prometheus_client registry."""

    def __init__(self, stats: Callable[[], LiveStats]) -> None:
        """`stats` returns a snapshot; it is called once for each scrape, from the server's thread."""
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """Yield every family of one snapshot."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

        stats = self._stats()
        for name, text in COUNTERS.items():
            # the library appends _total
            yield CounterMetricFamily(f"{PREFIX}_{name}", text, value=getattr(stats, name))
        for name, (field, text) in _GAUGES.items():
            yield GaugeMetricFamily(f"{PREFIX}_{name}", text, value=getattr(stats, field))
        for name, (field, text) in _QUANTILES.items():
            values: Percentiles = getattr(stats, field)
            family = GaugeMetricFamily(f"{PREFIX}_{name}_seconds", f"{text}, by quantile.", labels=["quantile"])
            for quantile, value in (("0.5", values.p50), ("0.95", values.p95), ("0.99", values.p99), ("1", values.max)):
                family.add_metric([quantile], value / 1000)
            yield family
        parts = GaugeMetricFamily(f"{PREFIX}_latency_seconds", "Mouth to ear, part by part.", labels=["part"])
        for part in fields(LatencyParts):
            parts.add_metric([part.name], getattr(stats.latency, part.name) / 1000)
        yield parts
        yield GaugeMetricFamily(
            f"{PREFIX}_mouth_to_ear_seconds", "The sum of the parts of the latency.", value=stats.latency.total / 1000
        )
        for name, known, now in (("state", STATES, stats.state), ("mode", MODES, stats.mode)):
            family = GaugeMetricFamily(f"{PREFIX}_{name}", f"1 for the {name} that holds now.", labels=[name])
            for word in known:
                family.add_metric([word], float(word == now))
            yield family
        info = InfoMetricFamily(PREFIX, "The voice that is spoken in.")
        info.add_metric([], {"voice": stats.voice})
        yield info


class MetricsServer:
    """An HTTP server in a thread of its own that answers GET /metrics; sleeps between scrapes."""

    def __init__(self, address: str, stats: Callable[[], LiveStats], *, any_interface: bool = False) -> None:
        """Start to listen.

        Args:
            address: HOST:PORT; port 0 takes a free one.
            stats: returns a snapshot, from any thread.
            any_interface: allow a host that other machines reach.

        Raises:
            ConfigError: prometheus-client is not installed, the address is not allowed or is taken.
        """
        try:
            import prometheus_client
        except ImportError as error:
            raise ConfigError(
                'metrics need prometheus-client, which is not installed; pip install "edgevc[metrics]", '
                "or leave --metrics out"
            ) from error
        try:
            host, port = split_host_port(address)
        except ValueError as error:
            raise ConfigError(f"metrics must be HOST:PORT, got {address!r}; use 127.0.0.1:9464") from error
        if not (any_interface or is_loopback(host)):
            raise ConfigError(
                f"metrics must listen on this machine alone, got {address}; "
                "use 127.0.0.1, or add --metrics-any-interface"
            )
        registry = prometheus_client.CollectorRegistry(auto_describe=False)
        registry.register(LiveCollector(stats))
        prometheus_client.ProcessCollector(registry=registry)
        try:
            server, thread = prometheus_client.start_http_server(port, host, registry)
        except OSError as error:
            raise ConfigError(
                f"metrics cannot listen on {address}: {error.strerror or error}; choose another port with --metrics"
            ) from error
        self._server: Any = server
        self._thread = thread
        self.address = f"[{host}]:{server.server_port}" if ":" in host else f"{host}:{server.server_port}"
        """Where it listens."""

    def close(self) -> None:
        """Stop listening; may be called twice."""
        with contextlib.suppress(OSError):
            self._server.shutdown()
            self._server.server_close()
        self._thread.join(timeout=2.0)
