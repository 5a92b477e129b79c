"""Writes the table of data sets in docs/training-reference.md from tools/data/sources.toml.

python tools/data_table.py            # write it
python tools/data_table.py --check    # exit status 1 where it is another
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vctrain.data.sources import SOURCES

PAGE = Path(__file__).resolve().parent.parent / "docs" / "training-reference.md"
BEGIN, END = "<!-- data sets: python tools/data_table.py -->", "<!-- end of data sets -->"


def table() -> str:
    """The data sets in Markdown."""
    lines = ["| set | repository, commit | licence | trains | tests |", "|---|---|---|---|---|"]
    for source in SOURCES:
        where = f"[{source.repository}]({source.url}/tree/{source.revision}), `{source.revision[:7]}`"
        if not source.repository:
            where = source.source
        lines.append(f"| {source.name} | {where} | {source.licence} | {source.train or '-'} | {source.test or '-'} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with the table of now."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Writes or compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    if args.check:
        raise SystemExit(0 if page(text) == text else f"{PAGE} is out of date: python tools/data_table.py")
    PAGE.write_text(page(text), encoding="utf-8")


if __name__ == "__main__":
    main()
