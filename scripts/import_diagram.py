"""Draws who imports whom into docs/architecture.md, from the rules that tests/test_layering.py holds the code to.

python scripts/import_diagram.py           # --check: change nothing, fail where the drawing is out of date
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from test_layering import ALLOWED, GROUND  # noqa: E402

PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- imports -->", "<!-- /imports -->"
HIDDEN = {"", "_core", "_portaudio", "__main__", *GROUND}


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Leave out an arrow where a longer way leads to the same place."""

    def reach(start: str) -> set[str]:
        found: set[str] = set()
        todo = [start]
        while todo:
            for target in graph[todo.pop()] - found:
                found.add(target)
                todo.append(target)
        return found

    return {
        name: {target for target in targets if not any(target in reach(other) for other in targets - {target})}
        for name, targets in graph.items()
    }


def diagram() -> str:
    """Return the rules as a Mermaid flowchart; the core and the ground floor, which all stand on, are left out."""
    rooms = {name: set(targets) - HIDDEN for name, targets in ALLOWED.items() if name not in HIDDEN}
    lines = ["```mermaid", "flowchart TD"]
    for name, targets in reduced(rooms).items():
        lines += [f"    {name} --> {target}" for target in sorted(targets)] or [f"    {name}"]
    return "\n".join([*lines, "```"])


def main() -> int:
    """Write the drawing, or check it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; 1 where the drawing is out of date")
    arguments = parser.parse_args()
    old = PAGE.read_text(encoding="utf-8")
    before, after = old.partition(BEGIN)[0], old.partition(END)[2]
    new = f"{before}{BEGIN}\n{diagram()}\n{END}{after}"
    if arguments.check:
        print(f"{PAGE.name} is {'up to date' if new == old else 'out of date; run scripts/import_diagram.py'}")
        return int(new != old)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
