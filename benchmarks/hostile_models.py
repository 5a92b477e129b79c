"""Lets a thousand hostile bundles meet both engines, and writes how they ended to docs/results/hostile.json.

    python benchmarks/hostile_models.py [--count 1000] [--jobs 1] [--realtime] [--out FILE]

All bundles that were thought of (tests/hostile), then mutants of a good one with right hashes. Each is opened by a
program that converts two seconds with it if it may. Ends with 1 where one crashed it, or took more than it may: 5 s of
the processor, and by the clock with --realtime, since otherwise other programs have their part in it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))

from hostile import all_cases  # noqa: E402
from hostile.driver import meet  # noqa: E402
from hostile.mutants import mutants  # noqa: E402

LONG_S = 5.0
MEMORY_MB = 200
KNOWN = ("EngineError", "ModelError", "runs")


def meet_in_a_folder(cases: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of some cases."""
    with tempfile.TemporaryDirectory() as folder:
        return meet(cases, Path(folder))


def summary(rows: list[dict[str, Any]], named: Collection[str], realtime: bool) -> list[dict[str, Any]]:
    """Return the figures."""
    command = "python benchmarks/hostile_models.py" + " --realtime" * realtime
    table: list[dict[str, Any]] = []

    def add(name: str, value: object, unit: str = "", bar: float | None = None) -> None:
        table.append({"name": name, "value": value, "unit": unit, "command": command, "bar": bar})

    ended = Counter(row["ended"] for row in rows)
    add("bundles that were thought of", len(named))
    add("bundles changed at random", len(rows) - len(named))
    for how, count in sorted(ended.items()):
        add(f"ended: {how}", count)
    add("ended in another way", sum(ended.values()) - sum(ended[how] for how in KNOWN), "", 0)
    add(
        "ended otherwise than expected",
        sum(r["name"] in named and (r["ended"] == "runs") != r["runs"] for r in rows),
        "",
        0,
    )
    for kind, words in (("cpu_seconds", "processor time, program and child"), ("seconds", "time by the clock")):
        values = np.array([row[kind] for row in rows])
        # by the clock other programs have their part in it, unless these go before them
        bar = LONG_S if kind == "cpu_seconds" or realtime else None
        add(f"{words}: median", round(float(np.median(values)), 3), "s")
        add(f"{words}: longest, {rows[int(values.argmax())]['name']}", round(float(values.max()), 2), "s", bar)
    add("memory of the program", max(row["main_mb"] for row in rows), "MB", MEMORY_MB)
    add("memory of the checking process", max(row["child_mb"] for row in rows), "MB", MEMORY_MB)
    return table


def main() -> int:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="bundles in all (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the mutants (default 1)")
    parser.add_argument("--jobs", type=int, default=1, help="programs that open bundles at once (default 1)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "hostile.json")
    parser.add_argument("--realtime", action="store_true", help="real-time priority; times by the clock count")
    args = parser.parse_args()
    if args.realtime:
        # the programs and their children inherit it
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    named = all_cases()
    cases = named | mutants(max(0, args.count - len(named)), args.seed)
    items = list(cases.items())
    parts = [dict(items[i :: args.jobs]) for i in range(args.jobs)]
    with ThreadPoolExecutor(args.jobs) as pool:
        rows = [row for part in pool.map(meet_in_a_folder, parts) for row in part]
    figures = summary(rows, named, args.realtime)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))
    return int(any(row["bar"] is not None and row["value"] > row["bar"] for row in figures))


if __name__ == "__main__":
    sys.exit(main())
