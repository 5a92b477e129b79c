"""The report of a quantization: a table for the terminal, JSON, and a page for the browser."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from edgevc.errors import ConfigError
from edgevc.files import check_output, write_atomic
from edgevc.quantize.report.charts import number
from edgevc.quantize.report.page import page
from edgevc.quantize.report.result import Candidate, QuantizationResult
from edgevc.quantize.report.summary import (
    DRIFT,
    FIGURES,
    Race,
    cpu_text,
    decibels,
    engine_name,
    engines_of,
    estimates,
    figure_limit,
    figure_value,
    figure_verdict,
    headline,
    layers_of,
    microseconds,
    pays,
    quality,
    races,
    ratio,
    representative,
    sentences,
    speed,
    value_of,
    verdict,
)
from edgevc.text import printable

WIDTH = 100
"""Columns that the terminal's report may take."""

WORST_LAYERS = 12
"""Layers of each engine in the terminal's report; the page and the JSON have all."""

KINDS = (".html", ".json", ".txt")
"""Suffixes of the files that `write_report` can write."""


def terminal(result: QuantizationResult, worst: int = WORST_LAYERS) -> str:
    """Return the report as text of at most 100 columns, without a line feed at the end.

    Args:
        result: what was found.
        worst: layers to show of each engine.
    """
    lines = [headline(result), *_calibration(result)]
    lines += ["", *_sizes(result)]
    for engine in engines_of(result):
        lines += _gate(result, engine)
    lines += _clock(result)
    lines += _drift(result)
    for engine in engines_of(result):
        lines += _layers(result, engine, worst)
    lines += _candidates(result)
    if result.cpu:
        lines += ["", f"this CPU: {cpu_text(result)}"]
    for arithmetic in estimates(result):
        lines += ["", arithmetic[0], *(f"  {line}" for line in arithmetic[1:])]
    said = sentences(result)
    lines += ["", *(f"- {sentence}" for sentence in said)] if said else []
    lines += ["", f"took {result.seconds:.0f} s, peak memory {result.peak_rss_mb:.0f} MB resident"]
    return "\n".join(wrapped for line in lines for wrapped in _fit(line))


def write_report(result: QuantizationResult, path: Path, *, overwrite: bool = False) -> None:
    """Write the report as .html, .json or .txt; the file appears complete, or not at all.

    Raises:
        ConfigError: the name has another suffix.
        OutputError: the file exists and may not be replaced, or cannot be written.
    """
    check_report(path, overwrite=overwrite)
    suffix = path.suffix.lower()
    text = page(result) if suffix == ".html" else result.to_json() if suffix == ".json" else terminal(result, 10**6)
    # backslashreplace: a lone surrogate of a hostile name becomes \ud800, which is right in JSON as well
    write_atomic(path, (text + "\n").encode("utf-8", "backslashreplace"))


def check_report(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a report that could not be written, before the minutes of work that it shall show.

    Raises:
        ConfigError: the name has another suffix than .html, .json or .txt.
        OutputError: the file exists and may not be replaced, or its folder does not exist.
    """
    if path.suffix.lower() not in KINDS:
        raise ConfigError(f"a report must be a {', '.join(KINDS)} file, got {path}")
    check_output(path, overwrite=overwrite)


def _calibration(result: QuantizationResult) -> list[str]:
    p = result.provenance
    return [
        f"calibrated with {p.calibration_clips} clips, {p.calibration_seconds:.1f} s, {p.method}; "
        f"material {p.calibration_sha256[:12]}, source {p.source_sha256[:12]}"
    ]


def _sizes(result: QuantizationResult) -> list[str]:
    rows = []
    for engine in engines_of(result):
        before, after = result.bytes_float.get(engine), result.bytes_int8.get(engine)
        if before is None:
            continue
        scheme = result.provenance.schemes.get(engine, "-")
        rows.append(
            (
                engine_name(engine),
                scheme,
                f"{before / 1e6:.3f}",
                "-" if after is None else f"{after / 1e6:.3f}",
                "-" if not after else f"{before / after:.2f}x",
            )
        )
    return _table(("size", "scheme", "float MB", "int8 MB", "smaller"), rows, left=2)


def _gate(result: QuantizationResult, engine: str) -> list[str]:
    candidate = representative(result, engine)
    if candidate is None or not candidate.gate:
        return []
    what = "chosen" if candidate.chosen else "none can be written; this one came furthest"
    rows = [
        (f.name, figure_value(f), figure_limit(f), figure_verdict(f), FIGURES.get(f.name, ("", ""))[1])
        for f in candidate.gate
    ]
    title = f"gate, {engine_name(engine)} {candidate.scheme} ({what})"
    return ["", title, *_table(("figure", "value", "limit", "verdict", "of"), rows, left=1, left_last=2)]


def _clock(result: QuantizationResult) -> list[str]:
    if not result.clock:
        return []
    rows = [
        (
            engine_name(r.engine),
            f"{r.hops}",
            microseconds(r.float_us),
            microseconds(r.int8_us),
            speed(r.ratio),
            _pays(r),
        )
        for r in races(result.clock)
    ]
    title = "clock: one thread, float and int8 in turns, median of one call"
    return ["", title, *_table(("engine", "hops", "float us", "int8 us", "float/int8", ""), rows, left=1)]


def _pays(race: Race) -> str:
    return "" if race.ratio is None or pays(race.ratio) else "int8 does not pay here"


def _drift(result: QuantizationResult) -> list[str]:
    rows = [
        (engine_name(engine), " ".join(number(value) for value in values))
        for engine, values in result.drift.items()
        if values
    ]
    return (
        [
            "",
            f"{DRIFT.get(result.kind, 'error')} from float, minute by minute",
            *_table(("engine", "minutes 1, 2, ..."), rows, left=2),
        ]
        if rows
        else []
    )


def _layers(result: QuantizationResult, engine: str, worst: int) -> list[str]:
    layers = layers_of(result, engine)
    if not layers:
        return []
    rows = [
        (
            decibels(layer.activation_sqnr_db),
            decibels(layer.weight_sqnr_db),
            ratio(layer.outlier_ratio),
            f"{layer.bytes_float / 1e3:.1f}",
            f"{layer.bytes_int8 / 1e3:.1f}",
            f"{layer.graph}/{layer.name}" + ("" if layer.quantized else f" (float: {layer.reason or 'not said why'})"),
        )
        for layer in layers[:worst]
    ]
    n_int8 = sum(layer.quantized for layer in layers)
    more = f", the {worst} worst of" if len(layers) > worst else ","
    title = f"layers, {engine_name(engine)}{more} {len(layers)}, {n_int8} of them int8 (SQNR in dB, worst first)"
    head = ("output", "weights", "outlier", "float kB", "now kB", "layer")
    return ["", title, *_table(head, rows, left=0)]


def _candidates(result: QuantizationResult) -> list[str]:
    if not result.candidates:
        return []
    judged = quality(result.candidates)
    hops = min((n for c in result.candidates for n in c.microseconds), default=1)
    rows = [
        (
            f"{i}{'*' if c.chosen else ''}",
            engine_name(c.engine),
            c.scheme,
            f"{c.n_bytes / 1e6:.3f}",
            f"{c.microseconds[hops]:.1f}" if hops in c.microseconds else "-",
            _quality(c, judged),
            verdict(c),
            "yes" if c.on_front else "",
            _excluded(c),
        )
        for i, c in enumerate(result.candidates, 1)
    ]
    title = "candidates (* chosen; front: no other of its engine is as small, as fast and as good)"
    head = ("no", "engine", "scheme", "MB", f"us/{hops}", judged or "quality", "gate", "front", "stayed float")
    return ["", title, *_table(head, rows, left=3, left_last=3)]


def _quality(candidate: Candidate, name: str) -> str:
    value = value_of(candidate, name)
    return "-" if value is None else number(value)


def _excluded(candidate: Candidate) -> str:
    # the fallback adds one at a time, so the last one is what a candidate differs by
    return f"{len(candidate.excluded)}, last {candidate.excluded[-1]}" if candidate.excluded else "none"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int, left_last: int = 1) -> list[str]:
    """Return aligned lines: the first `left` and the last `left_last` columns to the left, figures to the right."""
    cells = [[printable(cell) for cell in row] for row in (head, *rows)]
    n = len(head)
    widths = [max(columns(row[i]) for row in cells) for i in range(n - 1)]
    lines = []
    for row in cells:
        padded = [
            row[i] + _blanks(widths[i], row[i])
            if i < left or i >= n - left_last
            else _blanks(widths[i], row[i]) + row[i]
            for i in range(n - 1)
        ]
        line = "  " + "  ".join(padded) + "  "
        lines.append(line + shorten(row[-1], WIDTH - columns(line)))
    return [line.rstrip() for line in lines]


def _blanks(width: int, text: str) -> str:
    return " " * (width - columns(text))


def columns(text: str) -> int:
    """Return the columns that a text takes on a terminal: two for the wide letters of East Asia."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def shorten(text: str, width: int) -> str:
    """Return the text with its middle left out so that it fits; both ends tell layers apart."""
    if columns(text) <= width:
        return text
    head, tail = "", ""
    for c in text:
        if columns(head + c) > (width - 3) // 3:
            break
        head += c
    for c in reversed(text):
        if columns(head) + columns(c + tail) > width - 3:
            break
        tail = c + tail
    return f"{head}...{tail}"


def _fit(line: str) -> list[str]:
    """Return a line, folded at blanks where it is a sentence that is too long."""
    line = printable(line)
    if columns(line) <= WIDTH:
        return [line]
    begin = " " * (len(line) - len(line.lstrip()))
    indent = begin + "  " if begin or line.startswith("- ") else ""
    lines, current = [], begin
    for word in line.split():
        if not current.strip():
            current = begin + shorten(word, WIDTH - len(begin))
        elif columns(current) + 1 + columns(word) <= WIDTH:
            current += f" {word}"
        else:
            lines.append(current)
            current = indent + shorten(word, WIDTH - len(indent))
    return [*lines, current]
