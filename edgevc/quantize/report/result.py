"""What a quantization found, as plain values: the table, the JSON, the page and the manifest are made from these."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LayerReport:
    """One layer with weights of one graph, as the chosen candidate of one engine has it."""

    graph: str
    """"encoder", "decoder", or the file name's stem of a bare graph."""
    engine: str
    """"onnx" or "litert"."""
    name: str
    op: str
    """As the graph calls it: Gemm, MatMul, Conv, FULLY_CONNECTED, ..."""
    bytes_float: int
    """Of its weights and bias."""
    bytes_int8: int
    """The same, as stored now; equals bytes_float where the layer stayed float."""
    quantized: bool
    reason: str
    """Why it stayed float, such as "output head" or "fallback: worst layer"; empty where it is quantized."""
    weight_sqnr_db: float | None
    """Signal over rounding error of its int8 weights, measured also where it stayed float; None without a figure."""
    activation_sqnr_db: float | None
    """Signal over the error at its output when only this layer is quantized; None where it was not measured."""
    outlier_ratio: float | None
    """Largest channel maximum over the median one, of its weights: 1 is even, above 20 one channel rules."""
    outlier_channel: int | None
    """The channel of that maximum."""


@dataclass(frozen=True)
class GateFigure:
    """One measured figure against its limit."""

    name: str
    """"tensor" (dB), "snr" (dB), "mel" (mean |difference| of the natural log of mel power), "drift" (ratio), ..."""
    value: float
    limit: float | None
    """None: measured and shown, not judged."""
    passed: bool
    at_least: bool = False
    """Whether the limit is the smallest (dB) or the largest (distances) value that passes."""


@dataclass(frozen=True)
class Candidate:
    """One way to quantize the whole model for one engine, measured."""

    engine: str
    scheme: str
    """"static", "dynamic", "weight-only" or "float"."""
    excluded: tuple[str, ...]
    """Layers that stayed float, as graph/layer."""
    n_bytes: int
    """Of all its graph files."""
    microseconds: Mapping[int, float]
    """Hops per call to the median time of all graphs in one call, one thread; empty where it was not timed."""
    gate: tuple[GateFigure, ...]
    passed: bool
    """Whether every judged figure passed."""
    on_front: bool = False
    """No other candidate of this engine is as small, as fast and as good."""
    chosen: bool = False
    problem: str = ""
    """Why it cannot be taken beside the gate: "does not load: ..." or "too large"; else empty."""
    nearest: bool = False
    """The chosen one; where there is none, the one that came furthest."""


@dataclass(frozen=True)
class ClockRow:
    """One line of the clock: float and int8 were timed in turns, in one process, on one thread."""

    engine: str
    precision: str
    """"float" or "int8"."""
    hops: int
    median_us: float
    """Of one call of all graphs."""
    ratio: float
    """Float's median over this one: above 1 is faster than float."""


@dataclass(frozen=True)
class Provenance:
    """Where the result comes from: enough to make it again."""

    source: str
    """File or folder name, without the path."""
    source_sha256: str
    """Of the graph file, or of the bundle's manifest, which holds the hashes of its files."""
    calibration_sha256: str
    """Of the calibration samples, as played."""
    calibration_clips: int
    calibration_seconds: float
    method: str
    """"min-max", "percentile" or "entropy"."""
    schemes: Mapping[str, str]
    """Engine to the chosen scheme."""
    excluded: Mapping[str, tuple[str, ...]]
    """Engine to the layers that stayed float, as graph/layer."""
    versions: Mapping[str, str]
    """Package to version."""


@dataclass(frozen=True)
class QuantizationResult:
    """All that one run of `edgevc quantize` found."""

    model: str
    """Name of the source."""
    kind: str
    """"bundle" or "graph"."""
    output: str
    """Where it was, or would have been, written."""
    passed: bool
    layers: tuple[LayerReport, ...]
    candidates: tuple[Candidate, ...]
    """All that were measured, of both engines, in the order tried; one per engine is `chosen` where one passed."""
    clock: tuple[ClockRow, ...]
    drift: Mapping[str, tuple[float, ...]]
    """Engine to the error in each minute of the long stream: log-mel distance (as "mel"), of a graph relative RMS."""
    bytes_float: Mapping[str, int]
    """Engine to the bytes of the float files that were given."""
    bytes_int8: Mapping[str, int]
    cpu: Mapping[str, Any]
    """As edgevc.board.boards found it; empty where it was not asked."""
    notes: tuple[str, ...]
    """Sentences for the reader: what was left out and why, where int8 does not pay."""
    provenance: Provenance
    seconds: float
    """Wall time of the whole run."""
    peak_rss_mb: float

    def to_json(self) -> str:
        """Return the whole result as JSON; a figure that is not finite becomes null."""
        return json.dumps(_plain(asdict(self)), indent=1, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
