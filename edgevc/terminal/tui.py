"""The full-screen view of a live session: a pure function from LiveStats to lines; `view` shows them with curses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from edgevc.live.stats import LatencyParts, LiveStats, Percentiles
from edgevc.terminal.keys import keys_help
from edgevc.terminal.status_line import (
    Span,
    bar,
    clip,
    level_fraction,
    level_style,
    level_text,
    mode_span,
    status_spans,
    xruns,
)

MIN_WIDTH = 60
MIN_HEIGHT = 18
"""Below this the screen shows the status line alone."""

_LABEL_WIDTH = 18
_PART_NAMES = {
    "input_device": "input device",
    "capture_queue": "capture queue",
    "input_resampler": "input resampler",
    "model": "model",
    "output_resampler": "output resampler",
    "post_chain": "post chain",
    "playback_queue": "playback queue",
    "output_device": "output device",
}
COUNTERS = {
    "input_overflows": "input overflows",
    "output_underflows": "output underflows",
    "deadlines_missed": "deadlines missed",
    "hops_dropped": "hops dropped",
    "hops_bypassed": "hops bypassed",
    "drift_corrections": "drift corrections",
    "device_restarts": "device restarts",
    "worker_stalls": "worker stalls",
    "bad_samples": "bad samples",
    "bad_frames": "bad frames",
    "feedback_events": "feedback",
    "recording_errors": "recording errors",
}
"""Field of LiveStats to what the screen calls it."""
_HARMLESS = ("drift_corrections",)
_SPARKS = "▁▂▃▄▅▆▇█"

Line = list[Span]


@dataclass(frozen=True)
class Scene:
    """What the screen shows beside the snapshot."""

    voices: Sequence[str] = ()
    loads: Sequence[float] = ()
    """One value for each second, newest last."""
    notes: Sequence[str] = field(default_factory=tuple)
    """What the session said, newest last."""
    advice: str | None = None
    hop_ms: float = 10.0


def render(stats: LiveStats, width: int, height: int, scene: Scene, *, unicode: bool = True) -> list[Line]:
    """Return at most `height` lines of at most `width` columns.

    Where the height does not suffice, notes, voices, distribution and counters go, in this order.
    """
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        lines = [status_spans(stats, width, unicode=unicode), _last_word(scene)]
        return [clip(line, width) for line in lines[:height]]
    head = [_title(stats, width), *_levels(stats, width, unicode=unicode), *_latency(stats, width, unicode=unicode)]
    load = _load(stats, scene, width, unicode=unicode)
    counters = _counters(stats, width, unicode=unicode)
    optional = [load, counters, _voices(stats, scene, width, unicode=unicode), _notes(scene, width, unicode=unicode)]
    foot: list[Line] = [_last_word(scene), [(keys_help(), "dim")]]
    lines = head
    for part in optional:
        if part and len(lines) + len(part) + len(foot) <= height:
            lines = lines + part
    lines += [[]] * (height - len(foot) - len(lines))
    return [clip(line, width) for line in (lines + foot)[:height]]


def _last_word(scene: Scene) -> Line:
    """What a person should know most: what to do, else what was said last."""
    if scene.advice:
        return [(scene.advice, "warn")]
    return [(scene.notes[-1] if scene.notes else "", "plain")]


def _rule(title: str, width: int, *, unicode: bool) -> Line:
    dash = "─" if unicode else "-"
    return [(f"{dash} {title} ", "dim"), (dash * max(width - len(title) - 3, 0), "dim")]


def _title(stats: LiveStats, width: int) -> Line:
    clock = f"{int(stats.seconds) // 3600}:{int(stats.seconds) // 60 % 60:02d}:{int(stats.seconds) % 60:02d}"
    words, style = mode_span(stats)
    middle: Line = [("edgevc live   ", "bold"), (words, style)]
    if words not in (stats.voice, stats.state):
        middle.append((f"   {stats.voice}", "dim"))
    used = sum(len(text) for text, _ in middle)
    return [*middle, (clock.rjust(max(width - used, len(clock) + 1)), "dim")]


def _levels(stats: LiveStats, width: int, *, unicode: bool) -> list[Line]:
    cells = width - 14
    lines: list[Line] = [_rule("levels", width, unicode=unicode)]
    for name, db in (("mic", stats.input_level), ("out", stats.output_level)):
        level: Span = (bar(level_fraction(db), cells, unicode=unicode), level_style(db))
        lines.append([(f"{name}  ", "plain"), level, (f" {level_text(db)} dB", "plain")])
    return lines


def _latency(stats: LiveStats, width: int, *, unicode: bool) -> list[Line]:
    parts = {part.name: float(getattr(stats.latency, part.name)) for part in fields(LatencyParts)}
    longest = max(1.0, *parts.values())
    cells = width - _LABEL_WIDTH - 12
    lines: list[Line] = [_rule(f"mouth to ear {stats.latency.total:.1f} ms", width, unicode=unicode)]
    for name, value in parts.items():
        lines.append(
            [
                (_PART_NAMES[name].ljust(_LABEL_WIDTH), "plain"),
                (f"{value:7.1f} ms ", "plain"),
                (bar(value / longest, cells, unicode=unicode).replace("·", " ").rstrip(), "good"),
            ]
        )
    return lines


def _load(stats: LiveStats, scene: Scene, width: int, *, unicode: bool) -> list[Line]:
    budget = scene.hop_ms * stats.chunk_hops
    hops = "1 hop" if stats.chunk_hops == 1 else f"{stats.chunk_hops} hops"
    style = "bad" if stats.load >= 1.0 else "warn" if stats.load >= 0.7 else "good"
    cells = (width - _LABEL_WIDTH - 8) // 2
    now = bar(stats.load, cells, unicode=unicode)
    line: Line = [("load, last minute".ljust(_LABEL_WIDTH), "plain"), (now, style), (f" {stats.load:5.0%} ", "plain")]
    line.append((_sparks(scene.loads, cells, unicode), "dim"))
    lines: list[Line] = [_rule(f"load, {hops} per call", width, unicode=unicode), line]
    lines.append(_distribution("time of a call", stats.processing_ms, max(budget, stats.processing_ms.max), width))
    fill = stats.playback_fill_ms
    lines.append(_distribution("playback queue", fill, max(2.0 * budget, fill.max), width))
    return lines


def _sparks(values: Sequence[float], cells: int, unicode: bool) -> str:
    steps = _SPARKS if unicode else "_.-=*#"
    return "".join(steps[min(int(max(value, 0.0) * len(steps)), len(steps) - 1)] for value in values[-cells:])


def _distribution(name: str, times: Percentiles, scale: float, width: int) -> Line:
    """A line on which 5, 9, : and | stand where half, 95 %, 99 % and all of the values end."""
    numbers = f" {times.p50:.1f} {times.p95:.1f} {times.p99:.1f} {times.max:.1f} of {scale:.0f} ms"
    cells = max(width - _LABEL_WIDTH - len(numbers), 8)
    track = [" "] * cells
    marks = ((times.max, "|"), (times.p99, ":"), (times.p95, "9"), (times.p50, "5"))
    ends = [min(int(value / scale * cells), cells - 1) if scale > 0 else 0 for value, _ in marks]
    track[: ends[0]] = "." * ends[0]
    track[: ends[3]] = "=" * ends[3]
    for end, (_, mark) in zip(ends, marks, strict=True):
        track[end] = mark
    return [(name.ljust(_LABEL_WIDTH), "plain"), ("".join(track), "dim"), (numbers, "plain")]


def _counters(stats: LiveStats, width: int, *, unicode: bool) -> list[Line]:
    columns = max(width // 26, 1)
    cells: list[Line] = []
    for name, words in COUNTERS.items():
        value = int(getattr(stats, name))
        style = "plain" if not value or name in _HARMLESS else "warn"
        cells.append([(f"{words:18s}", "dim"), (f"{value:>6d}", style), ("  ", "plain")])
    rows = -(-len(cells) // columns)
    lines: list[Line] = [_rule(f"counted, {xruns(stats)} xruns", width, unicode=unicode)]
    for row in range(rows):
        lines.append([span for cell in cells[row::rows] for span in cell])
    return lines


def _voices(stats: LiveStats, scene: Scene, width: int, *, unicode: bool) -> list[Line]:
    if not scene.voices:
        return []
    line: Line = []
    for number, voice in enumerate(scene.voices, 1):
        digit = f"{number} " if number <= 9 else ""
        line.append((f"{digit}{voice}   ", "bold" if voice == stats.voice else "dim"))
    return [_rule("voices", width, unicode=unicode), line]


def _notes(scene: Scene, width: int, *, unicode: bool) -> list[Line]:
    if not scene.notes:
        return []
    return [_rule("said", width, unicode=unicode), *([(note, "plain")] for note in scene.notes[-3:])]
