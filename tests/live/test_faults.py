"""A short form of benchmarks/live_faults.py: every kind of fault at least once, each found in the counters."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIME_LIMIT_S = 600
KINDS = 14


@pytest.mark.slow
def test_most_of_an_hour_under_faults_is_lived_through_and_every_fault_is_counted(tmp_path):
    out = tmp_path / "rows.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "live_faults.py"), "--hours=0.8", "--seed=3", f"--out={out}"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=TIME_LIMIT_S, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert out.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    rows = {row["name"].partition(": ")[2]: row["value"] for row in json.loads(out.read_text())}
    assert rows["faults that were not counted, or left a trace"] == 0, done.stdout[-3000:]
    # a day's growth is looked at in the benchmark; here the allocators have not yet found their size
    assert rows["memory, last less that after the first hour"] < 20.0
    assert sum(name.startswith("faults: ") and count >= 1 for name, count in rows.items()) == KINDS
