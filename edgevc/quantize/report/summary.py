"""What a result means, in words: the terminal and the page say the same with these."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgevc.quantize.report.charts import number
from edgevc.quantize.report.result import Candidate, ClockRow, GateFigure, LayerReport, QuantizationResult

OUTLIER_RATIO = 20.0
"""Above it one channel takes so much of the int8 range that the others keep fewer than 4 bits."""

PAYS = 1.05
"""Times faster than float; below it the clock's own noise is as large as the gain."""

ENGINES = {"onnx": "ONNX Runtime", "litert": "LiteRT"}

FIGURES: dict[str, tuple[str, str]] = {
    "tensor": ("dB", "worst output of a graph, signal over error"),
    "snr": ("dB", "output sound, signal over difference"),
    "mel": ("", "output sound, mean difference of its log-mel (0.1 is 0.43 dB)"),
    "drift": ("x", "error in the last minute over that in the first"),
    "similarity": ("", "change of the similarity to the target voice"),
    "wer": ("", "change of the word error rate"),
    "ovrl": ("", "change of the DNSMOS quality"),
}
"""Name of a gate's figure to unit and meaning."""


DRIFT = {"bundle": "log-mel distance", "graph": "relative RMS error"}
"""Kind of model to what is measured in each minute of the long stream."""


def engine_name(engine: str) -> str:
    """Return the name that the engine's makers use."""
    return ENGINES.get(engine, engine)


def decibels(value: float | None) -> str:
    """Return a figure in dB, without the unit: "exact" for infinity, a dash where there is none."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "exact" if value > 0 else "lost"
    return f"{value:.1f}"


def ratio(value: float | None) -> str:
    """Return how often, such as "12x"; a dash where it was not measured."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "infinite"
    return f"{value:.0f}x" if value >= 10 else f"{value:.1f}x"


def figure_value(figure: GateFigure) -> str:
    """Return value and unit."""
    unit = FIGURES.get(figure.name, ("", ""))[0]
    text = "exact" if math.isinf(figure.value) and figure.value > 0 and unit == "dB" else number(figure.value)
    return f"{text}{'' if unit == 'x' else ' '}{unit}".rstrip()


def figure_limit(figure: GateFigure) -> str:
    """Return the limit as a rule, such as ">= 35 dB"; empty where the figure is not judged."""
    if figure.limit is None:
        return ""
    unit = FIGURES.get(figure.name, ("", ""))[0]
    sign = ">=" if figure.at_least else "<="
    return f"{sign} {number(figure.limit)}{'' if unit == 'x' else ' '}{unit}".rstrip()


def figure_verdict(figure: GateFigure) -> str:
    """Return pass, FAIL, or shown for a figure without a limit."""
    return "shown" if figure.limit is None else "pass" if figure.passed else "FAIL"


def badness(layer: LayerReport) -> tuple[float, float]:
    """Return a sorting key: the worst layer first, those without a figure last.

    The error at a layer's output says more than the error of its weights, and is there where calibration reached it.
    """
    figure = layer.activation_sqnr_db if layer.activation_sqnr_db is not None else layer.weight_sqnr_db
    if figure is None:
        return math.inf, 0.0
    return (-math.inf if math.isnan(figure) else figure), -(layer.outlier_ratio or 0.0)


def layers_of(result: QuantizationResult, engine: str) -> list[LayerReport]:
    """Return the layers of one engine, worst first."""
    return sorted((layer for layer in result.layers if layer.engine == engine), key=badness)


def engines_of(result: QuantizationResult) -> list[str]:
    """Return the engines that something was measured with, in the order tried."""
    names = [c.engine for c in result.candidates] + [row.engine for row in result.clock] + [*result.bytes_float]
    return list(dict.fromkeys(names))


def representative(result: QuantizationResult, engine: str) -> Candidate | None:
    """Return the engine's chosen candidate; where there is none the one that came furthest."""
    own = [c for c in result.candidates if c.engine == engine and c.scheme != "float"]
    return next((c for c in own if c.chosen), None) or next((c for c in own if c.nearest), None)


def verdict(candidate: Candidate) -> str:
    """Return what became of a candidate: pass, FAIL, "too large" or "does not load"."""
    return candidate.problem.partition(":")[0] or ("pass" if candidate.passed else "FAIL")


def quality(candidates: Sequence[Candidate]) -> str:
    """Return the name of the gate's figure that all of them have and that says most about sound; empty if none."""
    names = [{f.name for f in c.gate if math.isfinite(f.value)} for c in candidates if c.gate]
    common = set.intersection(*names) if names else set()
    return next((name for name in ("mel", "snr", "tensor") if name in common), min(common, default=""))


def value_of(candidate: Candidate, name: str) -> float | None:
    """Return one of the gate's figures."""
    return next((f.value for f in candidate.gate if f.name == name), None)


def cpu_text(result: QuantizationResult) -> str:
    """Return what the CPU is and has for int8, in a line; empty where it was not asked."""
    parts = []
    for key, value in result.cpu.items():
        text = ", ".join(map(str, value)) or "none" if isinstance(value, (list, tuple)) else str(value)
        if key in ("name", "meaning"):
            parts.append(text)
        elif key != "estimates":
            parts.append(f"{key} {text}")
    return "; ".join(parts)


def estimates(result: QuantizationResult) -> list[list[str]]:
    """Return the lines of each estimate for a board: the time, then its arithmetic."""
    found = result.cpu.get("estimates", ())
    return [[str(line) for line in entry["estimate"]["arithmetic"]] for entry in found]


def headline(result: QuantizationResult) -> str:
    """Return the outcome in one sentence."""
    if not result.passed:
        return f"{result.model}: no int8 form is good enough; nothing was written"
    parts = []
    for engine in engines_of(result):
        before, after = result.bytes_float.get(engine, 0), result.bytes_int8.get(engine, 0)
        if before and after:
            parts.append(f"{before / after:.1f} times smaller with {engine_name(engine)}")
    return f"{result.model}: int8 passes the gate" + (", " + ", ".join(parts) if parts else "")


def sentences(result: QuantizationResult) -> list[str]:
    """Return what a reader should take from the figures: does int8 pay here, which layers are odd; then the notes."""
    said = [*_pay(result.clock), *_odd_layers(result)]
    return said + [note for note in result.notes if note not in said]


def _pay(clock: Sequence[ClockRow]) -> list[str]:
    said = []
    for engine in dict.fromkeys(row.engine for row in clock):
        rows = sorted((r for r in clock if r.engine == engine and r.precision == "int8"), key=lambda r: r.hops)
        if not rows:
            continue
        name = engine_name(engine)
        slow = [row for row in rows if not pays(row.ratio)]
        fast = [row for row in rows if pays(row.ratio)]
        if fast:
            said.append(f"int8 pays here with {name}: {_speeds(fast)}")
        if slow:
            rest = "" if fast else "; what remains is the smaller file"
            said.append(f"int8 does not pay here with {name}: {_speeds(slow)}{rest}")
    return said


def pays(ratio: float) -> bool:
    """Return whether float's time over int8's, as it is printed, is a gain."""
    return round(ratio, 2) >= PAYS


def _speeds(rows: Sequence[ClockRow]) -> str:
    return ", ".join(f"{row.ratio:.2f} times as fast as float at {hops(row.hops)} per call" for row in rows)


@dataclass(frozen=True)
class Race:
    """Float and int8 of one engine at one number of hops per call."""

    engine: str
    hops: int
    float_us: float | None
    int8_us: float | None
    ratio: float | None
    """Float's median over int8's."""


def races(clock: Sequence[ClockRow]) -> list[Race]:
    """Return the clock with float and int8 side by side, in its own order."""
    found = {(row.engine, row.hops, row.precision): row for row in clock}
    made = []
    for engine, n in dict.fromkeys((row.engine, row.hops) for row in clock):
        before, after = found.get((engine, n, "float")), found.get((engine, n, "int8"))
        made.append(
            Race(
                engine,
                n,
                float_us=None if before is None else before.median_us,
                int8_us=None if after is None else after.median_us,
                ratio=None if after is None else after.ratio,
            )
        )
    return made


def microseconds(value: float | None) -> str:
    """Return a time in microseconds, without the unit; a dash where it was not measured."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.1f}"


def speed(value: float | None) -> str:
    """Return float's time over int8's, such as "1.67x"; a dash where it was not measured."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.2f}x"


def hops(n: int) -> str:
    """Return "1 hop", "2 hops", ..."""
    return f"{n} hop" if n == 1 else f"{n} hops"


def _odd_layers(result: QuantizationResult) -> list[str]:
    odd: dict[str, LayerReport] = {}
    for layer in sorted(result.layers, key=lambda layer: -(layer.outlier_ratio or 0.0)):
        if (layer.outlier_ratio or 0.0) > OUTLIER_RATIO:
            odd.setdefault(f"{layer.graph}/{layer.name}", layer)
    said = [
        f"{name}: channel {layer.outlier_channel} is {ratio(layer.outlier_ratio)} as large as the median channel"
        + ("" if layer.quantized else "; it stayed float")
        for name, layer in list(odd.items())[:5]
    ]
    if len(odd) > len(said):
        said.append(f"{len(odd) - len(said)} more layers have a channel above {OUTLIER_RATIO:g} times the median")
    return said
