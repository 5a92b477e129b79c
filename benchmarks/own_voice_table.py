"""Rows for docs/results/own-voice.json from the lines that benchmarks/bench_own_voice.py kept."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import own_voice_corpus as corpus

COMMAND = "python benchmarks/bench_own_voice.py"
Row = dict[str, Any]
_UNTUNED = {"likeness": "the mixture", "second": "the second encoder"}
"""Measures that no voice was tuned on; their way goes from the start to the speaker's own recordings."""


def row(name: str, value: float, unit: str = "", bar: str | None = None, command: str = COMMAND) -> Row:
    """Return a row as benchmarks/make_results.py wants it."""
    return {"command": command, "name": name, "value": value, "unit": unit, "bar": bar}


def way(entry: Row, measure: str) -> float:
    """Return how far a voice has come from the shipped voice that it began as to the speaker's own recordings."""
    voice, begun, own = (entry[who][measure] for who in ("voice", "begun", "speaker"))
    return float((voice - begun) / (own - begun))


def more_wrong(entries: Iterable[Row], whisper: str) -> tuple[float, int]:
    """Return the share of words that is lost beyond the shipped voice's, of all entries, and the number of words."""
    lost = n = 0
    for entry in entries:
        for i in entry["used"]:
            lost += entry["voice"]["wrong"][whisper][i] - entry["begun"]["wrong"][whisper][i]
            n += entry["words"][whisper][i]
    return lost / n, n


def rows(found: list[Row]) -> list[Row]:
    """Return the table of everything that was measured: the twelve together, then each voice."""
    table: list[Row] = []
    for model in dict.fromkeys(entry["model"] for entry in found):
        ours = [entry for entry in found if entry["model"] == model and entry["name"] in corpus.TARGETS]
        whole = [entry for entry in ours if entry["asked"] > 1]
        short = [entry for entry in ours if entry["asked"] <= 1]
        if len(whole) > 1:
            table += _together(whole, model)
        if len(short) > 1:
            similarity = [entry["voice"]["similarity"] for entry in short]
            what = f"{model}, {len(short)} voices of one minute"
            table.append(row(f"{what}: similarity, mean", float(np.mean(similarity)), "", ">= 0.79"))
            table.append(row(f"{what}: similarity, lowest", min(similarity)))
            for measure, by in _UNTUNED.items():
                table.append(row(f"{what}: way by {by}, mean", float(np.mean([way(e, measure) for e in short]))))
        table += [one for entry in whole for one in _one(entry)]
        table += [
            row(f"{entry['name']}, {model}, {entry['minutes']:.1f} min: similarity", entry["voice"]["similarity"])
            for entry in short
        ]
    return table


def _together(whole: list[Row], model: str) -> list[Row]:
    what = f"{model}, {len(whole)} voices of two to three minutes"
    similarity = [entry["voice"]["similarity"] for entry in whole]
    table = [
        row(f"{what}: similarity, mean", float(np.mean(similarity)), "", ">= 0.82"),
        row(f"{what}: similarity, lowest", min(similarity), "", ">= 0.76"),
    ]
    for measure, by in _UNTUNED.items():
        ways = [way(entry, measure) for entry in whole]
        table.append(row(f"{what}: way by {by}, mean", float(np.mean(ways)), "", ">= 0.5"))
        table.append(row(f"{what}: way by {by}, lowest", min(ways), "", ">= 0.5"))
    for whisper in whole[0]["words"]:
        lost, n = more_wrong(whole, whisper)
        table.append(row(f"{what}: words wrong beyond the start's, {whisper}, {n} words", lost, "", "<= 0.03"))
    ovrl = [entry["voice"]["ovrl"] - entry["begun"]["ovrl"] for entry in whole]
    return [
        *table,
        row(f"{what}: OVRL beyond the start's, mean", float(np.mean(ovrl)), "", ">= -0.1"),
        row(f"{what}: OVRL beyond the start's, lowest", min(ovrl)),
        row(f"{what}: largest file", max(entry["bytes"] for entry in whole) / 1000, "kB", "<= 250"),
    ]


def _one(entry: Row) -> list[Row]:
    what = f"{entry['name']}, {entry['model']}"
    voice, begun, own = entry["voice"], entry["begun"], entry["speaker"]
    described = (corpus.TARGETS | corpus.TUNED_ON)[entry["name"]].what
    return [
        row(
            f"{what} ({described}; {entry['minutes']:.1f} min; from {entry['start']}, {begun['similarity']:.2f}; own "
            f"recordings {own['similarity']:.2f}): similarity",
            voice["similarity"],
            "",
            ">= 0.76",
        ),
        *[
            row(
                f"{what}: way by {by}, from {begun[measure]:.2f} to {own[measure]:.2f}",
                way(entry, measure),
                "",
                ">= 0.5",
            )
            for measure, by in _UNTUNED.items()
        ],
        *[
            row(f"{what}: words wrong beyond the start's, {name}", more_wrong([entry], name)[0])
            for name in voice["wrong"]
        ],
        row(f"{what}: OVRL beyond the start's", voice["ovrl"] - begun["ovrl"]),
        row(f"{what}: time of one core", entry["cpu_s"], "s", "<= 180"),
        row(f"{what}: peak memory", entry["peak_mb"], "MB", "<= 1500"),
    ]


def write_rows(path: Path, table: list[Row]) -> None:
    """Write rows into a file of results; those of other commands stay."""
    commands = {one["command"] for one in table}
    others = json.loads(path.read_text()) if path.exists() else []
    kept = [one for one in others if one["command"] not in commands]
    path.write_text(json.dumps(kept + table, indent=1) + "\n")
