"""Bundles that somebody made to do harm: none crashes the program, hangs it, or takes its memory.

`make hostile` runs a thousand and writes docs/results/hostile.json; here are those that were thought of, and mutants.
"""

import pytest
from hostile import all_cases
from hostile.driver import meet
from hostile.mutants import mutants

# Of the processor, of the program and the child that it starts: a busy machine does not add to it, a hang does.
# Measured 3.3 s for the worst, 0.5 s for most.
PROCESSOR_LIMIT_S = 5.0
# By the clock: something waits for what never comes.
TIME_LIMIT_S = 60.0
# Measured 116 and 127: what Python, NumPy and an engine have by themselves is 60.
MEMORY_LIMIT_MB = 200
KNOWN = ("runs", "ModelError", "EngineError")


def check(rows):
    assert [row for row in rows if row["ended"] not in KNOWN] == []
    limits = {
        "cpu_seconds": PROCESSOR_LIMIT_S,
        "seconds": TIME_LIMIT_S,
        "main_mb": MEMORY_LIMIT_MB,
        "child_mb": MEMORY_LIMIT_MB,
    }
    for name, limit in limits.items():
        assert all(row[name] <= limit for row in rows), [row for row in rows if row[name] > limit]
    assert [row for row in rows if row["ended"] == "runs" and row["message"]] == []
    assert [row for row in rows if not row["message"].isprintable()] == []
    # what an engine says may be empty
    assert [row for row in rows if row["ended"] != "runs" and len(row["message"]) < 20] == []


def test_every_hostile_bundle_that_was_thought_of_ends_as_it_should(tmp_path):
    rows = meet(all_cases(), tmp_path)
    check(rows)
    assert len(rows) > 120
    assert [row for row in rows if (row["ended"] == "runs") != row["runs"]] == []


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_bundles_changed_at_random_do_no_harm(tmp_path, count):
    rows = meet(mutants(count, seed=count), tmp_path)
    check(rows)
    assert len(rows) == count
