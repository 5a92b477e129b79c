"""The report as one HTML page that needs no network, no script and no other file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from edgevc.quantize.report.charts import Bars, Point, bar_chart, line_chart, number, scatter
from edgevc.quantize.report.markup import Markup, element, join
from edgevc.quantize.report.result import Candidate, LayerReport, QuantizationResult
from edgevc.quantize.report.summary import (
    DRIFT,
    FIGURES,
    OUTLIER_RATIO,
    cpu_text,
    decibels,
    engine_name,
    engines_of,
    estimates,
    figure_limit,
    figure_value,
    figure_verdict,
    headline,
    hops,
    layers_of,
    microseconds,
    quality,
    races,
    ratio,
    representative,
    sentences,
    speed,
    value_of,
    verdict,
)

MAX_BARS = 30
"""Layers in one plot; the table below it has more."""

MAX_ROWS = 400
"""Layers in one table; the JSON has all."""

_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--card:#f5f7f9;--fg:#1b2128;--soft:#59636e;--line:#d5dbe1;
--s0:#0b6bcb;--s1:#d4690b;--s2:#1a8754;--s3:#9a4fb5;--good:#12692f;--bad:#b3122a}
@media(prefers-color-scheme:dark){:root{--bg:#12161b;--card:#1c222a;--fg:#e4e9ee;--soft:#9aa7b4;--line:#36404b;
--s0:#5aaaff;--s1:#ff9d4d;--s2:#4cc38a;--s3:#d09be6;--good:#5fd08a;--bad:#ff7b8a}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);
font:15px/1.5 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;
-webkit-print-color-adjust:exact;print-color-adjust:exact}
main{max-width:860px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 6px;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:38px 0 8px;padding-top:14px;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:22px 0 6px}p{margin:6px 0}.soft,caption,figcaption{color:var(--soft)}
.badge{display:inline-block;padding:1px 12px;border-radius:99px;border:2px solid;font-weight:700;margin-bottom:10px}
.good{color:var(--good)}.bad{color:var(--bad)}b.good,b.bad{font-weight:700}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(180px,1fr));gap:12px;margin:18px 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 14px}
.tile b{display:block;font-size:1.35rem;line-height:1.3;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:.86rem}
ul{padding-left:20px;margin:10px 0}li{margin:4px 0;overflow-wrap:anywhere}
.wide{overflow-x:auto;margin:10px 0 16px}
table{border-collapse:collapse;width:100%;font-size:.87rem;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:4px 0;font-size:.87rem}
th,td{padding:4px 9px;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
thead th{color:var(--soft);font-weight:600;border-bottom-width:2px;white-space:nowrap}
tbody th{font-weight:400}
.name small{display:block;color:var(--soft)}
.name{overflow-wrap:anywhere;min-width:230px;font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.8rem}
.n{text-align:right;white-space:nowrap}.nowrap{white-space:nowrap}tr.kept{color:var(--soft)}
figure{margin:14px 0;padding:10px 12px;background:var(--card);border:1px solid var(--line);border-radius:8px}
figure{overflow-x:auto}figcaption{font-size:.87rem;margin-bottom:4px}
svg{display:block;width:100%;min-width:540px;height:auto}
svg text{fill:var(--fg);font:12px system-ui,"DejaVu Sans",sans-serif}svg text.small{font-size:10.5px;fill:var(--soft)}
.grid{stroke:var(--line)}.limit{stroke:var(--bad);stroke-width:1.5;stroke-dasharray:5 3}
.s0{fill:var(--s0);stroke:var(--s0)}.s1{fill:var(--s1);stroke:var(--s1)}.s2{fill:var(--s2);stroke:var(--s2)}
.s3{fill:var(--s3);stroke:var(--s3)}.hollow{fill-opacity:.12;stroke-dasharray:3 2}
.path{fill:none;stroke-width:1.8}.faint{stroke-opacity:.55;stroke-dasharray:4 3}
@media print{:root{color-scheme:light;--bg:#fff;--card:#fff;--fg:#000;--soft:#444;--line:#bbb;
--s0:#0b6bcb;--s1:#d4690b;--s2:#1a8754;--s3:#9a4fb5;--good:#12692f;--bad:#b3122a}
figure,tr,.tile{break-inside:avoid}h2,h3,caption{break-after:avoid}.wide,figure{overflow:visible}svg{min-width:0}
table{font-size:.68rem}th,td{padding:3px 5px}.name{min-width:120px;font-size:.64rem}}
"""

# Should a name ever get out of its place, the browser still loads nothing and runs nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(result: QuantizationResult) -> Markup:
    """Return the whole page; everything that comes from the model is escaped."""
    body = element(
        "main",
        element("p", "edgevc quantize", class_="soft"),
        element("h1", headline(result)),
        _badge(result),
        _tiles(result),
        element("ul", *(element("li", sentence) for sentence in sentences(result))),
        *_gates(result),
        *_speed(result),
        *_drift(result),
        *_layers(result),
        *_candidates(result),
        *_origin(result),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"int8 report: {result.model}"),
        element("style", Markup(_STYLE)),
    )
    return Markup(f"<!doctype html>\n{element('html', head, element('body', body), lang='en')}")


def _badge(result: QuantizationResult) -> Markup:
    if result.passed:
        return element("span", "✓ gate passed", class_="badge good")
    return element("span", "✗ refused, nothing written", class_="badge bad")


def _tiles(result: QuantizationResult) -> Markup:
    tiles = []
    for engine in engines_of(result):
        before, after = result.bytes_float.get(engine), result.bytes_int8.get(engine)
        if before and after:
            text = f"{engine_name(engine)}: {before / 1e6:.2f} MB float, {after / 1e6:.2f} MB int8"
            tiles.append((f"{before / after:.1f}x smaller", text))
        rows = sorted((r for r in result.clock if r.engine == engine and r.precision == "int8"), key=lambda r: r.hops)
        if rows:
            text = f"{engine_name(engine)}, {hops(rows[0].hops)} per call: {rows[0].median_us:.0f} µs int8"
            tiles.append((f"{rows[0].ratio:.2f}x {'faster' if rows[0].ratio >= 1 else 'as fast'}", text))
    return element(
        "div",
        *(element("div", element("b", big), element("span", small), class_="tile") for big, small in tiles),
        class_="tiles",
    )


def _gates(result: QuantizationResult) -> Iterable[Markup]:
    yield element("h2", "Gate")
    yield element(
        "p", "int8 against float on held-out speech. A figure without a limit is shown, not judged.", class_="soft"
    )
    for engine in engines_of(result):
        candidate = representative(result, engine)
        if candidate is None or not candidate.gate:
            continue
        what = "the chosen candidate" if candidate.chosen else "none can be written; this one came furthest"
        rows = [
            (
                f.name,
                figure_value(f),
                figure_limit(f).replace(">=", "≥").replace("<=", "≤") or "none",
                _verdict(figure_verdict(f)),
                FIGURES.get(f.name, ("", ""))[1],
            )
            for f in candidate.gate
        ]
        caption = f"{engine_name(engine)}, scheme {candidate.scheme}: {what}"
        yield _table(caption, ("figure", "value", "limit", "verdict", "meaning"), rows, numeric={1, 2})


def _verdict(word: str) -> Markup:
    sign = {"pass": "✓ pass", "FAIL": "✗ fail"}.get(word, word)
    return element("span" if sign == word else "b", sign, class_={"pass": "good", "FAIL": "bad"}.get(word))


def _speed(result: QuantizationResult) -> Iterable[Markup]:
    if not result.clock:
        return
    yield element("h2", "Time on this CPU")
    yield element("p", "One thread, float and int8 in turns in one process, median time of one call.", class_="soft")
    if result.cpu:
        yield element("p", f"This CPU: {cpu_text(result)}.")
    bars = [
        Bars(
            f"{engine_name(race.engine)}, {hops(race.hops)} per call",
            (race.float_us, race.int8_us),
            (f"{microseconds(race.float_us)} µs", f"{microseconds(race.int8_us)} µs"),
        )
        for race in races(result.clock)
    ]
    yield bar_chart(
        bars,
        ("float", "int8"),
        title="Median time of one call",
        description="Shorter is faster. The table below has the same figures.",
        unit="µs",
    )
    rows = [
        (engine_name(r.engine), f"{r.hops}", microseconds(r.float_us), microseconds(r.int8_us), speed(r.ratio))
        for r in races(result.clock)
    ]
    head = ("engine", "hops per call", "float µs", "int8 µs", "float/int8")
    yield _table("Clock; above 1x int8 is faster", head, rows, numeric={1, 2, 3, 4})
    for arithmetic in estimates(result):
        yield element("p", arithmetic[0])
        yield element("ul", *(element("li", line) for line in arithmetic[1:]), class_="soft")


def _drift(result: QuantizationResult) -> Iterable[Markup]:
    drift = {engine: values for engine, values in result.drift.items() if values}
    if not drift:
        return
    yield element("h2", "Drift over a long stream")
    what = DRIFT.get(result.kind, "error")
    text = f"The {what} between float and int8. States feed back, so errors could add up: a line that rises shows it."
    yield element("p", text, class_="soft")
    yield line_chart(
        list(drift.values()),
        [engine_name(engine) for engine in drift],
        title="Distance from float per minute",
        description="Flat is good. The table below has the same figures.",
        x_unit="minute",
        y_unit=what,
    )
    longest = max(map(len, drift.values()))
    rows = [
        (engine_name(engine), *map(number, values), *[""] * (longest - len(values))) for engine, values in drift.items()
    ]
    head = ("engine", *(f"{i}" for i in range(1, longest + 1)))
    yield _table(f"{what[0].upper()}{what[1:]} in each minute", head, rows, numeric=set(range(1, longest + 1)))


def _layers(result: QuantizationResult) -> Iterable[Markup]:
    if not result.layers:
        return
    yield element("h2", "Layer by layer")
    text = (
        "SQNR is signal over rounding error: of a layer's weights, and of its output when only this layer is int8. "
        "6 dB are one bit. Dashed bars: the layer stayed float, the figure says what int8 would have cost."
    )
    yield element("p", text, class_="soft")
    for engine in engines_of(result):
        layers = layers_of(result, engine)
        if layers:
            yield element("h3", engine_name(engine))
            yield _sqnr_bars(engine, layers)
            yield from _outlier_bars(engine, layers)
            yield _layer_table(engine, layers)


def _sqnr_bars(engine: str, layers: Sequence[LayerReport]) -> Markup:
    bars = [
        Bars(
            f"{layer.graph}/{layer.name}",
            (layer.activation_sqnr_db, layer.weight_sqnr_db),
            (decibels(layer.activation_sqnr_db), decibels(layer.weight_sqnr_db)),
            hollow=not layer.quantized,
        )
        for layer in layers[:MAX_BARS]
    ]
    first = layers[0]
    figures = f"output {decibels(first.activation_sqnr_db)} dB, weights {decibels(first.weight_sqnr_db)} dB"
    return bar_chart(
        bars,
        ("output", "weights"),
        title=f"SQNR per layer, {engine_name(engine)}, {_how_many(len(bars), len(layers), 'worst')}",
        description=f"Longer is better. Worst: {first.graph}/{first.name}, {figures}. The table below has all.",
        unit="dB",
    )


def _outlier_bars(engine: str, layers: Sequence[LayerReport]) -> Iterable[Markup]:
    measured = sorted(
        (layer for layer in layers if layer.outlier_ratio is not None and math.isfinite(layer.outlier_ratio)),
        key=lambda layer: -(layer.outlier_ratio or 0.0),
    )
    if not measured:
        return
    bars = [
        Bars(
            f"{layer.graph}/{layer.name}",
            (layer.outlier_ratio,),
            (ratio(layer.outlier_ratio) + ("" if layer.outlier_channel is None else f" ch {layer.outlier_channel}"),),
            hollow=not layer.quantized,
        )
        for layer in measured[: MAX_BARS // 2]
    ]
    first = measured[0]
    yield bar_chart(
        bars,
        ("largest channel",),
        title=f"Outliers, {engine_name(engine)}: largest channel over the median one, "
        f"{_how_many(len(bars), len(measured), 'largest')}",
        description=f"Shorter is better. Largest: {first.graph}/{first.name}, {ratio(first.outlier_ratio)}.",
        unit="times the median channel's maximum",
        limit=(OUTLIER_RATIO, "one channel rules"),
        logarithmic=True,
    )


def _how_many(shown: int, of: int, which: str) -> str:
    return f"all {of}" if shown == of else f"the {shown} {which} of {of}"


def _layer_table(engine: str, layers: Sequence[LayerReport]) -> Markup:
    rows = [
        (
            join([f"{layer.graph}/{layer.name}", element("small", layer.op)]),
            decibels(layer.activation_sqnr_db),
            decibels(layer.weight_sqnr_db),
            ratio(layer.outlier_ratio),
            f"{layer.bytes_float / 1e3:.1f}",
            f"{layer.bytes_int8 / 1e3:.1f}",
            "int8" if layer.quantized else f"float: {layer.reason}" if layer.reason else "float",
        )
        for layer in layers[:MAX_ROWS]
    ]
    left_out = f" ({len(layers) - len(rows)} more in the JSON)" if len(layers) > len(rows) else ""
    head = ("layer", "output dB", "weights dB", "outlier", "float kB", "int8 kB", "now")
    kept = {i for i, layer in enumerate(layers[:MAX_ROWS]) if not layer.quantized}
    caption = f"Layers of {engine_name(engine)}, worst first{left_out}"
    return _table(caption, head, rows, numeric={1, 2, 3, 4, 5}, named=True, kept=kept)


def _candidates(result: QuantizationResult) -> Iterable[Markup]:
    if not result.candidates:
        return
    yield element("h2", "What was tried")
    text = (
        "Each candidate is the whole model for one engine. Ringed: on the Pareto front, where no other candidate of "
        "the engine is as small, as fast and as good. The numbers are those of the table; float itself is not drawn."
    )
    yield element("p", text, class_="soft")
    name = quality(result.candidates)
    n_hops = min((n for c in result.candidates for n in c.microseconds), default=1)
    yield from _scatters(result.candidates, name, n_hops)
    rows = [_candidate_row(i, c, name, n_hops) for i, c in enumerate(result.candidates, 1)]
    head = ("no", "engine", "scheme", "MB", f"µs, {hops(n_hops)}", name or "quality", "gate", "front", "stayed float")
    yield _table("Candidates in the order tried", head, rows, numeric={3, 4, 5}, wide_last=True)


def _scatters(candidates: Sequence[Candidate], name: str, n_hops: int) -> Iterable[Markup]:
    """Plot size and time against the figure `name`, where candidates have them."""
    engines = list(dict.fromkeys(c.engine for c in candidates))
    unit, meaning = FIGURES.get(name, ("", name))
    better = "further right" if unit == "dB" else "further left"
    sizes: list[float | None] = [c.n_bytes / 1e6 for c in candidates]
    times = [c.microseconds.get(n_hops) for c in candidates]
    for what, y_unit, figures in (("Size", "MB", sizes), ("Time", f"µs, {hops(n_hops)} per call", times)):
        points = []
        for i, (c, y) in enumerate(zip(candidates, figures, strict=True), 1):
            x = value_of(c, name)
            if c.scheme != "float" and y is not None and x is not None and math.isfinite(x):
                label = f"{i}{'*' if c.chosen else ''}"
                points.append(Point(x, y, engines.index(c.engine), label, _title(i, c, name, n_hops), c.on_front))
        if points:
            yield scatter(
                points,
                [engine_name(engine) for engine in engines],
                title=f"{what} against quality",
                description=f"Lower is better, and {better} is better. The table below has the same figures.",
                x_unit=f"{name}: {meaning}" + (f" ({unit})" if unit else ""),
                y_unit=y_unit,
            )


def _candidate_row(i: int, c: Candidate, name: str, n_hops: int) -> tuple[str, ...]:
    value = value_of(c, name)
    return (
        f"{i}{' chosen' if c.chosen else ''}",
        engine_name(c.engine),
        c.scheme,
        f"{c.n_bytes / 1e6:.3f}",
        f"{c.microseconds[n_hops]:.1f}" if n_hops in c.microseconds else "-",
        "-" if value is None else number(value),
        _verdict(verdict(c)),
        "yes" if c.on_front else "no",
        ", ".join(c.excluded) or "none",
    )


def _title(i: int, c: Candidate, name: str, n_hops: int) -> str:
    time = f", {c.microseconds[n_hops]:.1f} µs" if n_hops in c.microseconds else ""
    value = value_of(c, name)
    figure = "" if value is None else f", {name} {number(value)}"
    return f"{i}: {engine_name(c.engine)} {c.scheme}, {c.n_bytes / 1e6:.3f} MB{time}{figure}"


def _origin(result: QuantizationResult) -> Iterable[Markup]:
    p = result.provenance
    yield element("h2", "Where this comes from")
    rows: list[tuple[str, str]] = [
        ("source", f"{p.source} ({result.kind})"),
        ("sha256 of the source", p.source_sha256),
        ("written to", result.output if result.passed else "nothing"),
        ("calibration", f"{p.calibration_clips} clips, {p.calibration_seconds:.1f} s, {p.method}"),
        ("sha256 of the calibration", p.calibration_sha256),
        *((f"scheme, {engine_name(engine)}", scheme) for engine, scheme in p.schemes.items()),
        *((f"stayed float, {engine_name(engine)}", ", ".join(names) or "none") for engine, names in p.excluded.items()),
        ("versions", ", ".join(f"{package} {version}" for package, version in p.versions.items())),
        ("took", f"{result.seconds:.0f} s, peak memory {result.peak_rss_mb:.0f} MB resident"),
    ]
    yield _table("Provenance", ("what", "value"), rows, wide_last=True)


def _table(
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numeric: set[int] | None = None,
    named: bool = False,
    wide_last: bool = False,
    kept: set[int] | None = None,
) -> Markup:
    """Return a table; the columns of `numeric` are to the right, the first one names its row."""

    def style(column: int) -> str | None:
        if column in (numeric or ()):
            return "n"
        if (named and column == 0) or (wide_last and column == len(head) - 1):
            return "name"
        return None

    body = (
        element(
            "tr",
            *(
                element("th", cell, class_=style(i), scope="row") if i == 0 else element("td", cell, class_=style(i))
                for i, cell in enumerate(row)
            ),
            class_="kept" if k in (kept or ()) else None,
        )
        for k, row in enumerate(rows)
    )
    titles = (
        element("th", title, class_=style(i) if style(i) == "n" else None, scope="col") for i, title in enumerate(head)
    )
    table = element(
        "table", element("caption", caption), element("thead", element("tr", *titles)), element("tbody", join(body))
    )
    # a table that is wider than the screen scrolls by itself, with the keyboard as well
    return element("div", table, class_="wide", tabindex="0", role="region", aria_label=caption)
