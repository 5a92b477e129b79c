"""The Prometheus exporter, scraped over HTTP, and the dashboard that shows what it exports."""

import contextlib
import dataclasses
import http.client
import json
import math
import re
import resource
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from edgevc.control import bounded
from edgevc.control.bounded import MAX_CLIENTS
from edgevc.errors import ConfigError, SessionError
from edgevc.live.stats import LatencyParts, LiveStats, Percentiles
from edgevc.monitoring import http as page_server
from edgevc.monitoring.metrics import (
    COUNTERS,
    Family,
    MetricsServer,
    exposition,
    families_of,
    process_families,
)

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


def test_the_text_is_what_prometheus_client_writes_of_the_same_families():
    text = exposition(families_of(STATS))
    parsed = list(text_string_to_metric_families(text))

    class Collector:
        def collect(self):
            return parsed

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    assert generate_latest(registry).decode() == text
    assert sum(len(family.samples) for family in parsed) == text.count("\n") - 2 * len(parsed)


def test_odd_numbers_and_words_are_written_as_prometheus_client_writes_them():
    odd = [math.inf, -math.inf, math.nan, 1e300, -0.0, 5e-324]
    samples = tuple(({"a": word}, value) for word, value in zip(["", "\\", "\n", '"', "é", "a,b={}"], odd, strict=True))
    text = exposition([Family("x", "gauge", 'odd \\ "help"\nof two lines', samples)])
    (family,) = text_string_to_metric_families(text)
    assert family.documentation == 'odd \\ "help"\nof two lines'
    assert [sample.labels["a"] for sample in family.samples] == [labels["a"] for labels, _ in samples]
    assert repr([sample.value for sample in family.samples]) == repr(odd)


def test_the_process_is_told_of_under_the_names_that_prometheus_client_uses():
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    theirs = {sample.name: sample.value for family in registry.collect() for sample in family.samples}
    ours = {family.name: family.samples[0][1] for family in process_families()}
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        # the two look at different moments, a few milliseconds apart
        assert ours[name] == pytest.approx(value, rel=0.05, abs=0.2), name


def names():
    return {family.name for family in families_of(STATS)}


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
    with pytest.raises(SessionError, match="choose another port"):
        MetricsServer(server.address, lambda: STATS)
    with pytest.raises(ConfigError, match="HOST:PORT"):
        MetricsServer("nine", lambda: STATS)


def test_a_closed_server_answers_no_more_and_may_be_closed_twice():
    server = MetricsServer("127.0.0.1:0", lambda: STATS)
    server.close()
    server.close()
    with pytest.raises(urllib.error.URLError):
        scrape(server)


# --- nothing that a client does costs more than it may


def ask(server, method="GET", path="/metrics", **headers):
    host, _, port = server.address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def send(server, data):
    """Send bytes; return all that comes back."""
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(data)
        got = b""
        with contextlib.suppress(ConnectionError):
            while part := client.recv(65536):
                got += part
        return got


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/metrics", 200),
        ("GET", "/metrics?name[]=edgevc_live_hops_total", 200),
        ("HEAD", "/metrics", 200),
        ("POST", "/metrics", 405),
        ("DELETE", "/metrics", 405),
        ("GET", "/", 404),
        ("GET", "/../../etc/passwd", 404),
        ("OPTIONS", "*", 404),
    ],
)
def test_only_the_page_is_served_and_only_read(server, method, path, status):
    found, body = ask(server, method, path)
    assert found == status
    assert (b"edgevc_live_hops_total" in body) == (status == 200 and method == "GET")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("localhost:9464", 200), ("LOCALHOST", 200), ("127.0.0.1:1", 200), ("127.8.8.8", 200),
        ("[::1]", 200), ("[::1]:9464", 200),
        ("evil.example", 403), ("evil.example:9464", 403), ("localhost.evil.example", 403), ("192.168.1.4", 403),
        ("", 403), ("127.0.0.1.evil.example", 403), ("[fe80::1]", 403), ("[", 403),
    ],
)  # fmt: skip
def test_a_browser_that_was_led_here_under_another_name_reads_nothing(server, host, status):
    found, body = ask(server, Host=host)
    assert found == status
    assert (b"edgevc_live" in body) == (status == 200)


def test_any_name_may_be_asked_for_where_other_machines_shall_reach_it():
    server = MetricsServer("0.0.0.0:0", lambda: STATS, any_interface=True)
    port = server.address.rpartition(":")[2]
    server.address = f"127.0.0.1:{port}"
    assert ask(server, Host="pi.local")[0] == 200
    server.close()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: b\r\n" % i for i in range(3000)) + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * (1 << 20) + b"\r\n\r\n", b"431"),
        (b"GET /" + b"x" * (1 << 20) + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n", b"405"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", b"400"),
        (b"GET /metrics\r\n\r\n", b"400"),
        (b"\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.0\n\n", b"200"),
    ],
    ids=range(8),
)
def test_requests_are_bounded_and_wrong_ones_refused(server, data, status):
    answer = send(server, data)
    # a client that is still sending when it is refused may lose the answer
    assert answer.startswith(b"HTTP/1.1 " + status) or (answer == b"" and len(data) > page_server.MAX_REQUEST)
    assert ask(server)[0] == 200


def test_no_request_ends_the_server(server, rng):
    pieces = [
        b"GET",
        b" ",
        b"/metrics",
        b"HTTP/1.1",
        b"\r\n",
        b"\n",
        b"Host",
        b":",
        b"[",
        b"]",
        b"::1",
        b"\xff",
        b"\0",
        b"?",
    ]
    answers = set()
    for _ in range(3000):
        talk = server.conversation()
        while not talk.outgoing:
            chosen = [pieces[i] for i in rng.integers(0, len(pieces), rng.integers(1, 40))]
            talk.receive(b"".join(chosen))
        assert talk.leaving
        answers.add(bytes(talk.outgoing[9:12]))
    assert b"400" in answers
    assert ask(server)[0] == 200


def test_a_thousand_idle_clients_take_neither_threads_nor_descriptors(server):
    host, _, port = server.address.rpartition(":")
    before = threading.active_count()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    idle = []
    try:
        for _ in range(1000):
            idle.append(socket.create_connection((host, int(port)), timeout=10))
        assert ask(server)[0] == 200
        assert threading.active_count() == before
        ours = {str(Path(f"/proc/self/fd/{client.fileno()}").readlink()) for client in idle}
        held = [one for one in open_sockets() if one not in ours]
        # the listener, the pair that wakes the thread, and what pytest itself has open
        assert len(held) <= MAX_CLIENTS + 8
        time.sleep(0.2)
        started = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - started < 0.1
    finally:
        for client in idle:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_sockets():
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(entry.readlink())
            if target.startswith("socket:"):
                found.append(target)
    return found


def test_a_client_that_is_slow_or_silent_is_disconnected(server, monkeypatch):
    monkeypatch.setattr(bounded, "REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(page_server, "IDLE_SECONDS", 0.2)
    host, _, port = server.address.rpartition(":")
    for data in (b"", b"GET /metr"):
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(data)
            assert client.recv(10) == b""


def test_a_page_that_cannot_be_made_is_an_answer_too():
    def broken():
        raise RuntimeError("no")

    server = MetricsServer("127.0.0.1:0", broken)
    assert ask(server)[0] == 500
    server.close()
