"""Rewrites the table between `<!-- figures -->` and `<!-- /figures -->` in README.md.

    python benchmarks/readme_figures.py           # --check: change nothing, fail where the table is out of date

What the default bundle says of itself comes first, then those measured figures of docs/results/*.json that FIGURES
names, or that have a `readme` key with a text of their own, then the means of the evaluation of the int8 voices.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from edgevc.bundle import ENGINES, ModelBundle

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"

FIGURES = {
    "litert, 1 hop: RTF of the median hop": "real-time factor (processing time / audio time), 1 hop per call, LiteRT",
    "onnx, 1 hop: RTF of the median hop": "the same with ONNX Runtime",
    "litert, 1 hop: p99 of a call": "time of a 10 ms hop, 99th percentile, LiteRT",
    "litert: peak memory of edgevc convert": "peak memory of `edgevc convert`, 10 s of speech, LiteRT",
}
"""Name of a row in docs/results/*.json to the README's words for it."""

# Means over every shipped voice and every speaker that no training heard (tools/evaluate.py).
UNSEEN = ("ls19", "SF1", "SM1", "TF2", "TM3")
EVALUATION = "voices.default"
VOICES = {
    "similarity": "similarity to the target voice (Resemblyzer), speakers never heard in training",
    "ovrl": "quality (DNSMOS OVRL), the same speakers",
    "f0_correlation": "log-F0 correlation with the source, the same speakers",
}
WER = "word error rate (pocketsphinx), a speaker never heard in training, mean over the voices"


def model_rows(bundle: ModelBundle) -> list[tuple[str, str, str]]:
    """What the manifest knows: (words, figure, command)."""
    hop, rate = bundle.latency.hop_samples, bundle.features.sample_rate
    latency_ms = 1000 * (bundle.latency.latency_samples + hop) / rate
    work = sum(graph.macs_per_hop for graph in bundle.graphs.values()) * rate / hop / 1e9
    sizes = [sum(len(bundle.read(graph.files[engine])) for graph in bundle.graphs.values()) for engine in ENGINES]
    return [
        ("algorithmic latency", f"{latency_ms:.0f} ms", "edgevc info"),
        ("work", f"{work:.2f} GMAC/s", "edgevc info"),
        (
            "both int8 graphs, LiteRT / ONNX Runtime",
            " / ".join(f"{size / 1e6:.1f}" for size in sizes) + " MB",
            "edgevc info",
        ),
    ]


def measured_rows(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Results by file stem to (words, figure, command)."""
    lists = [content if isinstance(content, list) else content.get("rows", []) for content in results.values()]
    found = {row["name"]: row for rows in lists for row in rows}
    words = FIGURES | {name: row["readme"] for name, row in found.items() if "readme" in row}
    rows = []
    for name, text in words.items():
        if name in found:
            row = found[name]
            value = f"{row['value']:.2g}" if isinstance(row["value"], float) else str(row["value"])
            # the options are in docs/results.md
            rows.append((text, f"{value} {row['unit']}".strip(), row["command"].partition(" --")[0]))
    table = results.get(EVALUATION, {}).get("table", {})
    unseen = [figures for name, figures in table.items() if name.split(" -> ")[0] in UNSEEN]
    for key, text in VOICES.items():
        if unseen:
            mean = sum(figures[key] for figures in unseen) / len(unseen)
            rows.append((text, f"{mean:.2f}", "python tools/evaluate.py"))
    # the one unseen speaker with transcripts: a word error rate needs to know what was said
    told = [figures for figures in unseen if figures.get("source_wer")]
    if told:
        wer, own = (sum(figures[key] for figures in told) / len(told) for key in ("wer", "source_wer"))
        rows.append((WER, f"{wer:.2f}, the recordings' own {own:.2f}", "python tools/evaluate.py"))
    return rows


def with_table(readme: str, rows: list[tuple[str, str, str]]) -> str:
    """The README with a new table; raises ValueError where the two markers are not there once and in this order."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or readme.index(BEGIN) > readme.index(END):
        raise ValueError(f"README.md must have {BEGIN} and {END} once each and in this order")
    before, after = readme.partition(BEGIN)[0], readme.partition(END)[2]
    lines = ["| | figure | from |", "| --- | --- | --- |"]
    lines += [f"| {text} | {figure} | `{command}` |" for text, figure, command in rows]
    return f"{before}{BEGIN}\n{chr(10).join(lines)}\n{END}{after}"


def main() -> int:
    """Write the table, or check it."""
    parser = argparse.ArgumentParser(description="Fill the README's table of figures from docs/results/*.json.")
    parser.add_argument("--check", action="store_true", help="change nothing; 1 where the table is out of date")
    arguments = parser.parse_args()
    results = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "docs/results").glob("*.json"))}
    rows = [*model_rows(ModelBundle.default()), *measured_rows(results)]
    for text in [*FIGURES.values(), *VOICES.values(), WER]:
        if text not in [row[0] for row in rows]:
            print(f"not measured yet, left out: {text}", file=sys.stderr)
    path = ROOT / "README.md"
    old = path.read_text(encoding="utf-8")
    new = with_table(old, rows)
    if arguments.check:
        print("README.md is up to date" if new == old else "README.md is out of date; run benchmarks/readme_figures.py")
        return int(new != old)
    path.write_text(new, encoding="utf-8")
    print(f"{path}: {len(rows)} figures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
