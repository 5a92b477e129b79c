"""Rewrites the table between `<!-- figures -->` and `<!-- /figures -->` in README.md.

    python benchmarks/readme_figures.py           # --check: change nothing, fail where the table is out of date

It takes the rows of docs/results/*.json that have a `readme` key, the text for the table's first column:
    {"name": ..., "value": 0.0123, "unit": "", "command": "edgevc bench", "readme": "real-time factor, LiteRT"}
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"


def figures_table(results: list[dict]) -> list[str]:
    """Lines of the table; raises ValueError where no row is for the README."""
    rows = [row for result in results for row in result.get("rows", []) if "readme" in row]
    if not rows:
        raise ValueError("no row of docs/results/*.json has a `readme` key; measure first")
    lines = ["| | measured | with |", "| --- | --- | --- |"]
    for row in rows:
        value = f"{row['value']:.3g}" if isinstance(row["value"], float) else str(row["value"])
        text = f"{value} {row['unit']}".strip()
        lines.append(f"| {row['readme']} | {text} | `{row['command']}` |")
    return lines


def with_table(readme: str, table: list[str]) -> str:
    """The README with a new table; raises ValueError where the two markers are not there once and in this order."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or readme.index(BEGIN) > readme.index(END):
        raise ValueError(f"README.md must have {BEGIN} and {END} once each and in this order")
    before, after = readme.partition(BEGIN)[0], readme.partition(END)[2]
    return f"{before}{BEGIN}\n{chr(10).join(table)}\n{END}{after}"


def main() -> int:
    """Write the table, or check it."""
    parser = argparse.ArgumentParser(description="Fill the README's table of figures from docs/results/*.json.")
    parser.add_argument("--check", action="store_true", help="change nothing; 1 where the table is out of date")
    arguments = parser.parse_args()
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "docs/results").glob("*.json"))]
    path = ROOT / "README.md"
    old = path.read_text(encoding="utf-8")
    new = with_table(old, figures_table(results))
    if arguments.check:
        print("README.md is up to date" if new == old else "README.md is out of date; run benchmarks/readme_figures.py")
        return int(new != old)
    path.write_text(new, encoding="utf-8")
    print(f"{path}: {len(figures_table(results)) - 2} figures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
