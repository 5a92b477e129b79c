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
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))

from hostile import all_cases  # noqa: E402
from hostile.driver import meet  # noqa: E402
from hostile.mutants import mutants  # noqa: E402

from edgevc.board.boards import this_cpu  # noqa: E402

LONG_S = 5.0
MEMORY_MB = 200


def meet_in_a_folder(cases: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of some cases."""
    with tempfile.TemporaryDirectory() as folder:
        return meet(cases, Path(folder))


def summary(rows: list[dict[str, Any]], named: Collection[str]) -> dict[str, Any]:
    """Return the figures."""
    seconds = {kind: np.array([row[kind] for row in rows]) for kind in ("seconds", "cpu_seconds")}
    unexpected = [r["name"] for r in rows if r["name"] in named and (r["ended"] == "runs") != r["runs"]]
    return {
        "command": " ".join(["python benchmarks/hostile_models.py", *sys.argv[1:]]),
        "bundles": len(rows),
        "thought_of": len(named),
        "mutants": len(rows) - len(named),
        "ended": dict(sorted(Counter(row["ended"] for row in rows).items())),
        "crashes_of_the_program": sum(row["ended"] == "crash" for row in rows),
        "not_as_expected": unexpected,
        **{
            kind: {
                "median": round(float(np.median(values)), 3),
                "longest": round(float(values.max()), 2),
                "longest_is": rows[int(values.argmax())]["name"],
                "longer_than_5": [row["name"] for row in rows if row[kind] > LONG_S],
            }
            for kind, values in seconds.items()
        },
        "program_mb": max(row["main_mb"] for row in rows),
        "checking_process_mb": max(row["child_mb"] for row in rows),
        "machine": this_cpu().as_dict(),
        # times by the clock say little where others compute as well
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "versions": {name: version(name) for name in ("ai-edge-litert", "onnxruntime", "numpy")},
    }


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
    figures = summary(rows, named)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))
    bad = figures["crashes_of_the_program"] or figures["not_as_expected"] or figures["cpu_seconds"]["longer_than_5"]
    bad = bad or (args.realtime and figures["seconds"]["longer_than_5"])
    bad = bad or set(figures["ended"]) - {"EngineError", "ModelError", "runs"}
    return 1 if bad or max(figures["program_mb"], figures["checking_process_mb"]) > MEMORY_MB else 0


if __name__ == "__main__":
    sys.exit(main())
