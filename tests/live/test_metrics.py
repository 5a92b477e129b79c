"""The Prometheus exporter, scraped over HTTP, and the dashboard that shows what it exports."""

import dataclasses
import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.core import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from edgevc.errors import ConfigError
from edgevc.live.stats import LatencyParts, LiveStats, Percentiles
from edgevc.monitoring.metrics import COUNTERS, LiveCollector, MetricsServer

DASHBOARD = Path(__file__).resolve().parents[2] / "examples" / "grafana" / "edgevc-live.json"

STATS = LiveStats(
    seconds=12.0,
    state="running",
    mode="bypass",
    voice='odd "name"\n',
    input_level=-20.0,
    load=0.25,
    processing_ms=Percentiles(1.0, 2.0, 3.0, 4.0),
    latency=LatencyParts(model=40.0, playback_queue=12.0),
    **{name: 7 + i for i, name in enumerate(COUNTERS)},
)


@pytest.fixture
def server():
    server = MetricsServer("127.0.0.1:0", lambda: STATS)
    yield server
    server.close()


def scrape(server):
    with urllib.request.urlopen(f"http://{server.address}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


def test_a_scrape_brings_every_number_of_the_snapshot(server):
    samples = scrape(server)
    for i, name in enumerate(COUNTERS):
        assert samples[(f"edgevc_live_{name}_total",)] == 7 + i
    assert samples[("edgevc_live_load_ratio",)] == 0.25
    assert samples[("edgevc_live_processing_seconds", ("quantile", "0.99"))] == 0.003
    assert samples[("edgevc_live_latency_seconds", ("part", "model"))] == 0.04
    assert samples[("edgevc_live_mouth_to_ear_seconds",)] == pytest.approx(0.052)
    assert samples[("edgevc_live_mode", ("mode", "bypass"))] == 1
    assert samples[("edgevc_live_mode", ("mode", "mute"))] == 0
    assert samples[("edgevc_live_state", ("state", "running"))] == 1
    assert samples[("edgevc_live_info", ("voice", 'odd "name"\n'))] == 1
    assert samples[("process_resident_memory_bytes",)] > 1e6


def test_every_integer_counter_of_the_statistics_is_exported():
    counted = {field.name for field in dataclasses.fields(LiveStats) if field.type == "int"} - {"chunk_hops"}
    assert counted == set(COUNTERS)


def names():
    registry = CollectorRegistry()
    registry.register(LiveCollector(lambda: STATS))
    return {sample.name for family in registry.collect() for sample in family.samples}


def test_names_follow_the_conventions_of_prometheus():
    for name in names():
        assert re.fullmatch(r"edgevc_live_[a-z0-9_]*[a-z0-9]", name)
        assert not re.search(r"_(ms|milliseconds|percent)$", name)


def test_the_dashboard_shows_only_what_the_exporter_exports():
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [entry["expr"] for entry in dashboard["annotations"]["list"]]
    expressions += [entry["definition"] for entry in dashboard["templating"]["list"] if "definition" in entry]
    known = names() | {"process_resident_memory_bytes", "process_cpu_seconds_total"}
    used = {name for text in expressions for name in re.findall(r"\b(?:edgevc|process)_[a-z_]+", text)}
    assert used <= known
    assert len(used) > 20
    assert {name for name in names() if name.endswith("_total")} <= used, "a counter that nobody sees"


def test_the_dashboard_is_one_that_grafana_imports():
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids) > 10
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells
        for target in panel["targets"]:
            assert target["expr"].count("(") == target["expr"].count(")")
            assert target["datasource"]["uid"] == "${datasource}"


def test_only_this_machine_may_scrape_unless_asked_otherwise():
    for address in ("0.0.0.0:0", "[::]:0"):
        with pytest.raises(ConfigError, match="--metrics-any-interface"):
            MetricsServer(address, lambda: STATS)
    server = MetricsServer("0.0.0.0:0", lambda: STATS, any_interface=True)
    server.close()


def test_a_port_that_is_taken_is_an_error_with_a_next_step(server):
    with pytest.raises(ConfigError, match="choose another port"):
        MetricsServer(server.address, lambda: STATS)
    with pytest.raises(ConfigError, match="HOST:PORT"):
        MetricsServer("nine", lambda: STATS)


def test_a_closed_server_answers_no_more_and_may_be_closed_twice():
    server = MetricsServer("127.0.0.1:0", lambda: STATS)
    server.close()
    server.close()
    with pytest.raises(urllib.error.URLError):
        scrape(server)


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigError, match=r'pip install "edgevc\[metrics\]"'):
        MetricsServer("127.0.0.1:0", lambda: STATS)
