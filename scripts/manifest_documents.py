"""Makes what is said about the manifest elsewhere from the rules in edgevc/bundle/manifest.py.

python scripts/manifest_documents.py            writes edgevc/bundle/manifest.schema.json and docs/model-format.md
python scripts/manifest_documents.py --check    ends with 1 where one of them is not up to date
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from edgevc.bundle.fields import FIGURE_SCHEMA, Items, Kind, Record
from edgevc.bundle.manifest import FORMAT_VERSIONS, GRAPHS, KINDS, manifest_record

ROOT = Path(__file__).resolve().parent.parent
SCHEMA, PAGE = ROOT / "edgevc" / "bundle" / "manifest.schema.json", ROOT / "docs" / "model-format.md"
BEGIN, END = "<!-- made by scripts/manifest_documents.py -->", "<!-- end -->"


def schema() -> dict[str, Any]:
    """Return a JSON schema of all formats and kinds, for editors."""
    variants = {f"format1_{kind}": (1, kind) for kind in ("converter",)}
    variants |= {f"format{version}_{kind}": (version, kind) for version in FORMAT_VERSIONS[1:] for kind in KINDS}
    branches = []
    for name, (version, kind) in variants.items():
        properties: dict[str, Any] = {"format_version": {"const": version}}
        if version > 1:
            properties["kind"] = {"const": kind}
        then = {"$ref": f"#/$defs/{name}"}
        branches.append({"if": {"properties": properties, "required": list(properties)}, "then": then})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "edgevc bundle manifest",
        "description": "For editors; made by scripts/manifest_documents.py from edgevc/bundle/manifest.py, "
        "which checks the same and more (docs/model-format.md).",
        "type": "object",
        "properties": {"format_version": {"enum": list(FORMAT_VERSIONS)}, "kind": {"enum": list(KINDS)}},
        "required": ["format_version"],
        "allOf": branches,
        "$defs": {name: manifest_record(*which).schema() for name, which in variants.items()}
        | {"figure": FIGURE_SCHEMA},
    }


def value_text(kind: Kind) -> str:
    """Return what stands in a table's column "value"."""
    if isinstance(kind, Items) and isinstance(kind.kind, Record):
        return f"list of {kind.low} to {kind.high} objects"
    if isinstance(kind, Items):
        return f"list of {kind.low} to {kind.high} of: {kind.kind.rule}"
    return "object" if isinstance(kind, Record) else kind.rule.replace("|", "\\|")


def rows(record: Record, extra: dict[str, str] | None = None) -> list[str]:
    """Return a table of an object's keys; `extra` has more words about some."""
    lines = ["| key | value | meaning |", "| --- | --- | --- |"]
    for field in record.fields:
        words = "; ".join(
            filter(None, (field.help, "optional" if field.optional else "", (extra or {}).get(field.name)))
        )
        lines.append(f"| `{field.name}` | {value_text(field.kind)} | {words} |")
    return lines


def inner(record: Record, where: str = "") -> dict[str, Record]:
    """Return every object inside a record by its path; a list's objects have `[]` behind it."""
    found: dict[str, Record] = {}
    for field in record.fields:
        kind, path = field.kind, f"{where}{field.name}"
        if isinstance(kind, Items) and isinstance(kind.kind, Record):
            kind, path = kind.kind, path + "[]"
        if isinstance(kind, Record):
            found[path] = kind
            found |= inner(kind, path + ".")
    return found


def tables() -> str:
    """Return the page's part between the marks."""
    every: dict[str, Any] = {}
    having: dict[str, list[str]] = {}
    for kind in KINDS:
        for field in manifest_record(2, kind).fields:
            every.setdefault(field.name, field)
            having.setdefault(field.name, []).append(kind)
    only = {
        name: "only " + ", ".join(kinds)
        for name, kinds in having.items()
        if len(kinds) < len(KINDS) and name != "graphs"
    }
    lines = ["| kind | what it is | graphs |", "| --- | --- | --- |"]
    for name, rule in KINDS.items():
        graphs = ", ".join(rule.graphs) + (", and others of any name" if rule.free_graphs else "")
        lines.append(f"| `{name}` | {rule.help} | {graphs or 'none'} |")
    top = Record(*(field for field in every.values() if field.name not in ("format_version", "kind")))
    head = [
        f"| `format_version` | one of {', '.join(map(str, FORMAT_VERSIONS))} | 1 is a converter without `kind` |",
        f"| `kind` | one of {', '.join(KINDS)} | from format 2 on |",
    ]
    table = rows(top, only)
    lines += ["", *table[:2], *head, *table[2:]]
    graph_parts = tuple(f"graphs.{name}" for name in GRAPHS)
    for path, record in inner(top).items():
        shown = path.replace("graphs.encoder", "graphs.<name>")
        if path == "graphs" or any(path.startswith(part) for part in graph_parts[1:]):
            continue
        lines += ["", f"`{shown}`:", "", *rows(record)]
    return "\n".join(lines)


def page() -> str:
    """Return docs/model-format.md with its tables as they must be."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    if not tail:
        raise SystemExit(f"{PAGE} must hold {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{tables()}\n\n{END}{tail}"


def main() -> int:
    """Write or check both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; say what is not up to date")
    args = parser.parse_args()
    stale = 0
    for path, text in ((SCHEMA, json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"), (PAGE, page())):
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if args.check:
            print(f"{path.relative_to(ROOT)} is not up to date; run python scripts/manifest_documents.py")
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if stale and args.check else 0


if __name__ == "__main__":
    sys.exit(main())
