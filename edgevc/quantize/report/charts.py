"""Plots as inline SVG, without a plotting library: bars, lines and points that follow the page's colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgevc.quantize.report.markup import Markup, element

WIDTH = 760
"""Of every plot, in the SVG's own pixels."""

_LABELS = 250
"""Pixels left of the bars, for the names."""
_NAME_CHARACTERS = 38
_FIGURES = 64
"""Pixels right of the bars, for the values."""
_BAR = 12
_TOP = 30
"""Pixels for the legend."""
_BOTTOM = 38
"""Pixels for the axis."""

_SHAPES = ("circle", "square", "diamond", "triangle")
"""Series differ in shape as well as in colour."""


@dataclass(frozen=True)
class Bars:
    """One row of `bar_chart`: a name and a bar per series."""

    label: str
    values: tuple[float | None, ...]
    """One per series; None, NaN and infinity leave a gap with the word from `texts`."""
    texts: tuple[str, ...]
    """What stands behind each bar."""
    hollow: bool = False
    """Outline only, for a layer that stayed float."""


@dataclass(frozen=True)
class Point:
    """One point of `scatter`."""

    x: float
    y: float
    series: int
    label: str
    """Drawn beside it; short."""
    title: str
    """Shown when pointed at."""
    ringed: bool = False


@dataclass(frozen=True)
class Axis:
    """A stretch of numbers laid onto a stretch of pixels."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    @classmethod
    def over(
        cls, values: Sequence[float], start: float, end: float, *, logarithmic: bool = False, from_zero: bool = True
    ) -> Axis:
        """Return an axis that shows all the values that are finite, with a little room above them."""
        shown = [v for v in values if math.isfinite(v) and (v > 0 or not logarithmic)]
        if logarithmic:
            low, high = min(shown, default=1.0), max(shown, default=10.0)
            marks = _round_numbers(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
            low = max(mark for mark in marks if mark <= low)
            high = min(mark for mark in marks if mark > high)
            return cls(low, high, start, end, logarithmic=True)
        low, high = min(shown, default=0.0), max(shown, default=1.0)
        if from_zero:
            low, high = min(0.0, low), max(0.0, high)
        room = 0.06 * (high - low) or max(abs(high), 1.0) * 0.5
        return cls(low if low == 0 and from_zero else low - room, high + room, start, end)

    def at(self, value: float) -> float:
        """Return the pixel of a value; what lies outside is put on the edge."""
        low, high, value = (
            (math.log10(self.low), math.log10(self.high), math.log10(max(value, self.low)))
            if self.logarithmic
            else (self.low, self.high, value)
        )
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round numbers on the axis, about five."""
        if self.logarithmic:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            if last - first <= 2:
                return [mark for mark in _round_numbers(first, last) if self.low <= mark <= self.high]
            step = max(1, math.ceil((last - first) / 6))
            return [10.0**k for k in range(first, last + 1, step) if self.low <= 10.0**k <= self.high]
        rough = (self.high - self.low) / 5
        unit = 10.0 ** math.floor(math.log10(rough))
        width = next(unit * k for k in (1, 2, 5, 10) if unit * k >= rough * 0.999)
        first, last = math.ceil(self.low / width - 1e-9), math.floor(self.high / width + 1e-9)
        return [k * width for k in range(first, last + 1)]


def _round_numbers(first: int, last: int) -> list[float]:
    """Return 1, 2, 5, 10, ... over some powers of ten."""
    return [float(f"{digit}e{k}") for k in range(first, last + 1) for digit in (1, 2, 5)]


def bar_chart(
    rows: Sequence[Bars],
    series: Sequence[str],
    *,
    title: str,
    description: str,
    unit: str,
    limit: tuple[float, str] | None = None,
    logarithmic: bool = False,
) -> Markup:
    """Return horizontal bars.

    Args:
        rows: from the top.
        series: names of the bars of a row, at most four.
        title: what the plot shows.
        description: the text alternative: what a reader without the picture should know.
        unit: of the axis.
        limit: a line across all rows, with its name.
        logarithmic: each step of the axis is a factor of ten.
    """
    row_height = _BAR * len(series) + 9
    height = _TOP + row_height * len(rows) + _BOTTOM
    numbers = [v for row in rows for v in row.values if v is not None] + ([limit[0]] if limit else [])
    axis = Axis.over(numbers, _LABELS, WIDTH - _FIGURES, logarithmic=logarithmic)
    bottom = height - _BOTTOM
    parts = [*_legend(series, square=True), *_vertical_grid(axis, _TOP - 4, bottom, unit)]
    zero = axis.start if logarithmic else axis.at(0.0)
    for i, row in enumerate(rows):
        top = _TOP + i * row_height
        middle = top + 2 + _BAR * len(series) / 2
        parts.append(_text(_LABELS - 8, middle + 4, _shorten(row.label), anchor="end", title=row.label))
        for k, (value, text) in enumerate(zip(row.values, row.texts, strict=True)):
            y = top + 2 + k * _BAR
            if value is not None and math.isfinite(value):
                end = axis.at(value)
                left, right = min(zero, end), max(zero, end)
                style = f"s{k} hollow" if row.hollow else f"s{k}"
                hint = element("title", f"{row.label}: {series[k]} {text}")
                width = max(right - left, 1)
                parts.append(element("rect", hint, x=left, y=y, width=width, height=_BAR - 1, class_=style))
            else:
                right = zero
            parts.append(_text(right + 4, y + _BAR - 3, text, class_="small"))
    if limit is not None:
        x = axis.at(limit[0])
        parts.append(element("line", x1=x, x2=x, y1=_TOP - 4, y2=bottom, class_="limit"))
        parts.append(_text(x, _TOP - 8, limit[1], anchor="middle", class_="small"))
    return _figure(parts, height, title, description)


def scatter(
    points: Sequence[Point], series: Sequence[str], *, title: str, description: str, x_unit: str, y_unit: str
) -> Markup:
    """Return points with short labels; ringed ones are joined, series by series, from left to right."""
    height = 320
    left, bottom = 70, height - 46
    across = [p.x for p in points]
    wide = min(across, default=0.0) > 0 and max(across) > 8 * min(across)
    x_axis = Axis.over(across, left, WIDTH - 30, logarithmic=wide, from_zero=False)
    y_axis = Axis.over([p.y for p in points], bottom, _TOP + 6, from_zero=False)
    parts = [*_legend(series), *_vertical_grid(x_axis, _TOP, bottom, x_unit), *_horizontal_grid(y_axis, left, y_unit)]
    for k in range(len(series)):
        ringed = sorted((p.x, p.y) for p in points if p.series == k and p.ringed)
        path = " ".join(f"{x_axis.at(x):.1f},{y_axis.at(y):.1f}" for x, y in ringed)
        if len(ringed) > 1:
            parts.append(element("polyline", points=path, class_=f"s{k} path faint"))
    for p in points:
        x, y = x_axis.at(p.x), y_axis.at(p.y)
        if p.ringed:
            parts.append(element("circle", cx=x, cy=y, r=9, class_=f"s{p.series} path"))
        parts.append(element("g", element("title", p.title), _mark(x, y, p.series)))
        parts.append(_text(x + 10, y - 7, p.label, class_="small"))
    return _figure(parts, height, title, description)


def line_chart(
    lines: Sequence[Sequence[float]], series: Sequence[str], *, title: str, description: str, x_unit: str, y_unit: str
) -> Markup:
    """Return one line per series over 1, 2, 3, ...; a value that is not finite breaks nothing, it is left out."""
    height = 260
    left, bottom = 70, height - 46
    longest = max((len(line) for line in lines), default=0)
    x_axis = Axis(0.5, max(longest, 1) + 0.5, left, WIDTH - 30)
    y_axis = Axis.over([v for line in lines for v in line], bottom, _TOP + 6)
    parts = [*_legend(series), *_horizontal_grid(y_axis, left, y_unit)]
    step = max(1, math.ceil(longest / 12))
    parts += [_text(x_axis.at(i), bottom + 16, f"{i}", anchor="middle") for i in range(1, longest + 1, step)]
    parts.append(_text((left + WIDTH - 30) / 2, bottom + 36, x_unit, anchor="middle"))
    for k, line in enumerate(lines):
        shown = [(x_axis.at(i), y_axis.at(v), v, i) for i, v in enumerate(line, 1) if math.isfinite(v)]
        parts.append(
            element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in shown), class_=f"s{k} path")
        )
        for x, y, value, i in shown:
            hint = element("title", f"{series[k]}, {x_unit} {i}: {number(value)}")
            parts.append(element("g", hint, _mark(x, y, k)))
    return _figure(parts, height, title, description)


def number(value: float) -> str:
    """Return a number with three digits that count, without an exponent where that is readable."""
    if not math.isfinite(value):
        return "no figure"
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 4
        text = f"{value:.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.1e}"


def _figure(parts: Sequence[Markup], height: float, title: str, description: str) -> Markup:
    drawing = element(
        "svg",
        element("title", title),
        element("desc", description),
        *parts,
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_label=f"{title}. {description}",
    )
    return element("figure", element("figcaption", title), drawing)


def _legend(series: Sequence[str], *, square: bool = False) -> list[Markup]:
    if len(series) < 2:
        return []
    parts, x = [], 10.0
    for k, name in enumerate(series):
        parts.append(_mark(x, 12, k, "square" if square else None))
        parts.append(_text(x + 10, 16, name))
        x += 34 + 7 * len(name)
    return parts


def _mark(x: float, y: float, series: int, shape: str | None = None) -> Markup:
    style = f"s{series}"
    kind = shape or _SHAPES[series % len(_SHAPES)]
    if kind == "circle":
        return element("circle", cx=x, cy=y, r=4.5, class_=style)
    corners = {
        "square": ((-4, -4), (4, -4), (4, 4), (-4, 4)),
        "diamond": ((0, -6), (6, 0), (0, 6), (-6, 0)),
        "triangle": ((0, -6), (5, 4), (-5, 4)),
    }[kind]
    return element("polygon", points=" ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners), class_=style)


def _vertical_grid(axis: Axis, top: float, bottom: float, unit: str) -> list[Markup]:
    parts = []
    for tick in axis.ticks():
        x = axis.at(tick)
        parts.append(element("line", x1=x, x2=x, y1=top, y2=bottom, class_="grid"))
        parts.append(_text(x, bottom + 16, number(tick), anchor="middle"))
    parts.append(_text((axis.start + axis.end) / 2, bottom + 34, unit, anchor="middle"))
    return parts


def _horizontal_grid(axis: Axis, left: float, unit: str) -> list[Markup]:
    parts = []
    for tick in axis.ticks():
        y = axis.at(tick)
        parts.append(element("line", x1=left, x2=WIDTH - 30, y1=y, y2=y, class_="grid"))
        parts.append(_text(left - 8, y + 4, number(tick), anchor="end"))
    middle = (axis.start + axis.end) / 2
    parts.append(_text(16, middle, unit, anchor="middle", transform=f"rotate(-90 16 {middle:.1f})"))
    return parts


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str | None = None,
    class_: str | None = None,
    title: str | None = None,
    transform: str | None = None,
) -> Markup:
    hint = element("title", title) if title is not None and title != text else None
    return element("text", hint, text, x=x, y=y, text_anchor=anchor, class_=class_, transform=transform)


def _shorten(name: str) -> str:
    # the end tells layers apart, the beginning says which graph
    if len(name) <= _NAME_CHARACTERS:
        return name
    head = _NAME_CHARACTERS // 3
    return f"{name[:head]}…{name[head + 1 - _NAME_CHARACTERS :]}"
