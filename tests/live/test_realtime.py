"""Real-time priority and memory lock: taken where allowed, their absence said once and survived."""

import json
import logging
import os
import resource
import subprocess
import sys

import pytest

from edgevc.live import realtime


@pytest.fixture
def refused(monkeypatch):
    """A system that allows nothing."""

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(realtime, "reported", False)
    monkeypatch.setattr(realtime, "may_lock_memory", lambda: False)
    monkeypatch.setattr(resource, "setrlimit", refuse)


def test_a_refusal_is_no_error_and_says_what_to_type(refused, caplog):
    caplog.set_level(logging.WARNING, "edgevc")
    report = realtime.try_realtime()
    assert report.priority is None
    assert not report.memory_locked
    assert len(report.problems) == 2
    assert all("sudo tee /etc/security/limits.d" in problem for problem in report.problems)
    assert [record.getMessage() for record in caplog.records] == list(report.problems)


def test_a_refusal_is_logged_once_in_the_life_of_the_process(refused, caplog):
    caplog.set_level(logging.WARNING, "edgevc")
    realtime.try_realtime()
    again = realtime.try_realtime()
    assert len(caplog.records) == 2
    assert len(again.problems) == 2


def test_a_user_without_any_limit_is_refused_before_the_system_is_asked(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (0, 0))
    with pytest.raises(PermissionError, match="RLIMIT_RTPRIO is 0"):
        realtime.take_priority(40)


def test_a_users_limit_bounds_the_priority_and_the_soft_limit_is_raised(monkeypatch):
    calls = []
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (0, 20))
    monkeypatch.setattr(resource, "setrlimit", lambda what, limits: calls.append(limits))
    monkeypatch.setattr(os, "sched_setscheduler", lambda pid, policy, param: calls.append((pid, param.sched_priority)))
    assert realtime.take_priority(40) == 20
    assert calls == [(20, 20), (0, 20)]


def test_locking_needs_no_limit_or_the_capability(monkeypatch, tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    status = tmp_path / "proc/self/status"
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8 << 20, 8 << 20))
    assert not realtime.may_lock_memory(tmp_path)
    status.write_text("Name:\tx\nCapEff:\t0000000000004000\n")
    assert realtime.may_lock_memory(tmp_path)
    status.write_text("Name:\tx\nCapEff:\t0000000000003fff\n")
    assert not realtime.may_lock_memory(tmp_path)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert realtime.may_lock_memory(tmp_path)


CHILD = """
import json, os, resource, threading
from edgevc.live.realtime import try_realtime
found = {}
def work():
    report = try_realtime()
    thread = threading.get_native_id()
    found.update(priority=report.priority, locked=report.memory_locked, policy=os.sched_getscheduler(thread))
    locked = [line for line in open("/proc/self/status") if line.startswith("VmLck")][0].split()[1]
    found.update(main=os.sched_getscheduler(os.getpid()), locked_kb=int(locked))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
worker = threading.Thread(target=work)
worker.start(); worker.join()
found["grown_kb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps(found))
"""


def test_what_the_system_grants_holds_for_the_thread_alone_and_costs_no_memory():
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # what is granted depends on the machine; what is said of it must be true on every one
    assert (found["priority"] is not None) == (found["policy"] & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO)
    assert found["main"] == os.SCHED_OTHER
    assert found["locked"] == (found["locked_kb"] > 0)
    assert found["grown_kb"] < 4000


HEAP = """
import json, re
from pathlib import Path
from edgevc.live.realtime import use_large_pages
kept = [bytes(100_000) for _ in range(100)]
asked = use_large_pages()
parts = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(), flags=re.M)
sizes = [re.search(r"AnonHugePages: +(\\d+) kB", part) for part in parts if "[heap]" in part.partition("\\n")[0]]
print(json.dumps([asked, sum(1024 * int(size[1]) for size in sizes)]))
"""


def test_the_heap_lies_on_large_pages_where_the_system_has_them():
    asked, large = json.loads(subprocess.run([sys.executable, "-c", HEAP], capture_output=True, check=True).stdout)
    has = realtime.LARGE_PAGE.is_file() and int(realtime.LARGE_PAGE.read_text()) == 2 << 20
    assert (asked >= 6_000_000) == has
    at_once = tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 1)
    allowed = has and "[never]" not in realtime.LARGE_PAGE.with_name("enabled").read_text()
    assert (large > 0) == (allowed and at_once)


def test_a_system_without_large_pages_is_asked_for_none(monkeypatch, tmp_path):
    monkeypatch.setattr(realtime, "LARGE_PAGE", tmp_path / "none")
    assert realtime.use_large_pages() == 0
