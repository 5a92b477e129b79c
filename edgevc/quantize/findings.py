"""What a run has found, beside the files: layers, notes, estimates, and where it all comes from."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

import edgevc
from edgevc.board import boards as cpu
from edgevc.quantize.calibrate import activation_sqnr_db
from edgevc.quantize.float_bundle import FloatBundle
from edgevc.quantize.float_graph import FloatGraph
from edgevc.quantize.float_model import FloatModel, mel_distance
from edgevc.quantize.layers import Layer, outliers, sqnr_db, weight_sqnr_db
from edgevc.quantize.report.result import LayerReport, Provenance
from edgevc.quantize.search import Wishes
from edgevc.quantize.settings import Settings
from edgevc.quantize.trials import Outcome, Trial

FLOAT_AGREEMENT = 1e-4
"""Relative RMS difference of two engines' outputs of one float model above which a note warns."""


def layer_reports(model: FloatModel, wishes: Wishes, outcome: Outcome) -> list[LayerReport]:
    """Return what the nearest candidate of an engine makes of each layer; nothing where none was tried."""
    trial = outcome.nearest
    if trial is None:
        return []
    return [
        _layer_report(model, wishes, outcome, trial, layer)
        for quantizer in model.quantizers[outcome.engine].values()
        for layer in quantizer.layers
    ]


def _layer_report(model: FloatModel, wishes: Wishes, outcome: Outcome, trial: Trial, layer: Layer) -> LayerReport:
    reason = model.quantizers[outcome.engine][layer.graph].refusal(layer.name, trial.scheme)
    if not reason and layer.path in trial.kept:
        by_user = layer.path in wishes.keep_float
        usual = layer.place if layer.path not in wishes.quantize else ""
        reason = "as asked for" if by_user else usual or "given back until the gate passed"
    ratio, channel = outliers(layer)
    observed, twin = outcome.activations.get(layer.graph), model.quantizers.get("onnx", {}).get(layer.graph)
    sqnr = None
    if twin is not None and observed is not None and layer.name in twin.nodes:
        sqnr = activation_sqnr_db(twin, layer.name, trial.scheme, observed)
    n_int8 = sum(w.size + 4 * w.shape[0] for w in layer.weights)
    n_bias = layer.n_bytes - 4 * sum(w.size for w in layer.weights)
    return LayerReport(
        layer.graph,
        outcome.engine,
        layer.name,
        layer.op,
        layer.n_bytes,
        layer.n_bytes if reason else n_int8 + n_bias,
        not reason,
        reason,
        weight_sqnr_db(layer),
        sqnr,
        ratio,
        channel,
    )


def notes_of(settings: Settings, model: FloatModel, wishes: Wishes, outcomes: Sequence[Outcome]) -> list[str]:
    """Return what a reader should know of how the result came about."""
    notes = [model.dataset.note] if model.dataset.note else []
    if isinstance(model, FloatGraph):
        notes += [
            f"input {name} was taken for {feed}, by its shape; --feed {name}=KIND says it otherwise"
            for name, feed in model.feeds.items()
            if feed.guessed
        ]
    by_default = sorted({layer.path for e in model.engines for layer in model.layers(e) if layer.place})
    if by_default:
        notes.append(
            f"float by default: {', '.join(by_default)} (first layers and heads; --quantize and --keep-float change it"
            + (", auto also tries all in int8)" if wishes.scheme == "auto" else ")")
        )
    if len(model.engines) == 2 and isinstance(model, FloatBundle):
        notes += [_float_agreement(model), *_int8_agreement(model, outcomes)]
    if wishes.drift_minutes < 2:
        notes.append("drift was not measured (--drift-minutes below 2)")
    return notes


def _float_agreement(model: FloatBundle) -> str:
    """Compare both engines' float files, which should be one model."""
    one, other = model.engines
    worst = 0.0
    for graph in model.graphs:
        clips = zip(*(model.reference(engine, graph, "held_out", 0) for engine in (one, other)), strict=True)
        for exact, found in clips:
            worst = max(worst, *(10 ** (-sqnr_db(a, b) / 20) for a, b in zip(exact, found, strict=True)))
    said = f"float outputs of {one} and {other} differ by {worst:.1e} (relative RMS)"
    return said if worst <= FLOAT_AGREEMENT else f"{said}, more than {FLOAT_AGREEMENT:g}: they are not the same model"


def _int8_agreement(model: FloatBundle, outcomes: Sequence[Outcome]) -> list[str]:
    """Compare what both engines' chosen candidates sound like; nothing where one has none."""
    chosen = [outcome.chosen for outcome in outcomes if outcome.chosen is not None]
    if len(chosen) < 2:
        return []
    sounds = [model.audio(trial.engine, trial.files) for trial in chosen]
    distance = mel_distance(sounds[0], sounds[1])
    allowed = next((f.limit for f in chosen[0].gate if f.name == "mel" and f.limit is not None), None)
    within = "" if allowed is None else ", within the gate" if distance <= allowed else ", beyond the gate"
    names = " and ".join(model.engines)
    return [f"int8 outputs of {names}: log-mel distance {distance:.3f} of each other{within}"]


def estimates(settings: Settings, model: FloatModel, chosen: Mapping[str, Trial]) -> dict[str, Any]:
    """Return what the chosen candidates would take on the boards asked for; empty without boards or a bundle."""
    macs = sum(s.macs_per_hop for s in model.bundle.graphs.values()) if isinstance(model, FloatBundle) else 0
    if not settings.boards or not macs:
        return {}
    return {
        "estimates": [
            cpu.estimate(board, macs, trial.n_bytes, engine).as_dict()
            for board in settings.boards
            for engine, trial in chosen.items()
        ]
    }


def provenance_of(settings: Settings, model: FloatModel, outcomes: Sequence[Outcome]) -> Provenance:
    """Return where the result comes from."""
    chosen = [outcome.chosen for outcome in outcomes if outcome.chosen is not None]
    versions = {"edgevc": edgevc.__version__, "python": platform.python_version(), "numpy": np.__version__}
    for name in ("onnx", "onnxruntime", "ai-edge-litert", "ai-edge-quantizer"):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return Provenance(
        settings.model.name,
        model.source_sha256,
        model.material.sha256,
        model.material.n_clips,
        model.material.seconds,
        settings.method,
        {trial.engine: trial.scheme for trial in chosen},
        {trial.engine: tuple(sorted(trial.kept)) for trial in chosen},
        versions,
    )
