"""One calm line that says how a live session goes: pure functions from LiveStats to text.

Text is made of spans (words, style), so that the same parts serve a terminal with colours, one without, and curses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgevc.live.stats import LiveStats

Span = tuple[str, str]
"""Words and the name of a style: plain, dim, bold, good, warn or bad."""

SGR: Mapping[str, str] = {"dim": "2", "bold": "1", "good": "32", "warn": "33", "bad": "31"}
"""Style to the parameter of the terminal's "select graphic rendition"."""

FLOOR_DB = -60.0
"""What is quieter shows an empty bar."""
HOT_DB = -3.0
CLIP_DB = -0.5

_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(fraction: float, width: int, *, unicode: bool = True) -> str:
    """Return a bar `width` columns wide, filled to `fraction` of it, in steps of an eighth of a column."""
    fraction = min(max(fraction, 0.0), 1.0) if fraction == fraction else 0.0
    if not unicode:
        filled = round(fraction * width)
        return "#" * filled + "." * (width - filled)
    eighths = round(fraction * width * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width, "·")


def level_fraction(db: float) -> float:
    """Map FLOOR_DB..0 dB to 0..1."""
    return min(max(1.0 - db / FLOOR_DB, 0.0), 1.0)


def level_style(db: float) -> str:
    """Good where there is room above, warn near full scale, bad at it."""
    return "bad" if db >= CLIP_DB else "warn" if db >= HOT_DB else "good"


def level_text(db: float) -> str:
    """Return whole dB in four columns; silence has no number."""
    return "   -" if db <= FLOOR_DB * 1.5 else f"{db:4.0f}"


def xruns(stats: LiveStats) -> int:
    """Times that the device lost input or had nothing to play."""
    return stats.input_overflows + stats.output_underflows


def mode_span(stats: LiveStats) -> Span:
    """Return what is heard now: the voice, the dry voice, nothing, or that the device is gone."""
    if stats.state != "running":
        return stats.state, "bad" if stats.state == "reconnecting" else "dim"
    if stats.mode == "mute":
        return "muted", "warn"
    if stats.mode == "bypass":
        return "dry voice", "warn"
    return stats.voice or "convert", "bold"


def status_spans(stats: LiveStats, width: int, *, unicode: bool = True) -> list[Span]:
    """Return the line for a terminal `width` columns wide; what matters least goes first where there is no room."""
    narrow = width < 70
    cells = 6 if narrow else 12
    level_in = bar(level_fraction(stats.input_level), cells, unicode=unicode)
    level_out = bar(level_fraction(stats.output_level), cells, unicode=unicode)
    count = xruns(stats)
    lost = stats.deadlines_missed + stats.hops_dropped + stats.hops_bypassed
    # rank, spans: the lowest rank is left out first
    parts: list[tuple[int, list[Span]]] = [
        (9, [mode_span(stats)]),
        (5, [("mic ", "dim"), (level_in, level_style(stats.input_level))]),
        (2, [(f"{level_text(stats.input_level)} dB", "plain")]),
        (6, [("out ", "dim"), (level_out, level_style(stats.output_level))]),
        (3, [(f"{level_text(stats.output_level)} dB", "plain")]),
        (8, [(f"{stats.latency.total:.0f} ms", "plain")]),
        (4, [("load ", "dim"), (f"{100 * stats.load:.0f} %", _load_style(stats.load))]),
        (7, [("xruns ", "dim"), (str(count), "warn" if count else "plain")]),
    ]
    if not stats.marked:
        parts.append((6, [("no mark", "warn")]))
    if lost:
        parts.append((6, [("late ", "dim"), (str(lost), "warn")]))
    if stats.feedback_events:
        parts.append((1, [("feedback ", "dim"), (str(stats.feedback_events), "warn")]))
    parts.append((0, [("m mute  b dry  v voice  q quit", "dim")]))
    while len(parts) > 1 and sum(map(_length, parts)) + 2 * (len(parts) - 1) > width:
        parts.remove(min(parts, key=lambda part: part[0]))
    spans: list[Span] = []
    for _, part in parts:
        spans += [("  ", "plain"), *part] if spans else part
    return clip(spans, width)


def _length(part: tuple[int, list[Span]]) -> int:
    return sum(len(words) for words, _ in part[1])


def _load_style(load: float) -> str:
    return "bad" if load >= 1.0 else "warn" if load >= 0.7 else "plain"


def clip(spans: Sequence[Span], width: int) -> list[Span]:
    """Return the spans cut at `width` columns."""
    kept: list[Span] = []
    for words, style in spans:
        words = words[: max(width, 0)]
        if words:
            kept.append((words, style))
        width -= len(words)
    return kept


def plain(spans: Sequence[Span]) -> str:
    """Return the words alone."""
    return "".join(words for words, _ in spans)


def coloured(spans: Sequence[Span]) -> str:
    """Return the words with the terminal's escape sequences."""
    return "".join(f"\033[{SGR[style]}m{words}\033[0m" if style in SGR else words for words, style in spans)


def status_line(stats: LiveStats, width: int = 100, *, colour: bool = False, unicode: bool = True) -> str:
    """Return the line as text of at most `width` columns."""
    spans = status_spans(stats, width, unicode=unicode)
    return coloured(spans) if colour else plain(spans)
