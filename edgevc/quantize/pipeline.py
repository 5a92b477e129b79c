"""One run of `edgevc quantize`, from a float model to a written int8 one and everything that was found."""

from __future__ import annotations

import hashlib
import json
import resource
import shlex
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgevc.board import boards as cpu
from edgevc.bundle import MAX_TOTAL_BYTES, ModelBundle
from edgevc.errors import ConfigError, EngineError, GateError, ModelError
from edgevc.quantize import quality_gate
from edgevc.quantize.calibrate import METHODS
from edgevc.quantize.dataset import Dataset, load_dataset
from edgevc.quantize.feeds import Feed, choose_feeds
from edgevc.quantize.findings import estimates, layer_reports, notes_of, provenance_of
from edgevc.quantize.float_bundle import FloatBundle, default_engines
from edgevc.quantize.float_graph import FloatGraph
from edgevc.quantize.float_model import FloatModel
from edgevc.quantize.graph_file import MAX_ONNX_BYTES
from edgevc.quantize.layers import select
from edgevc.quantize.prepare import load_graph_file
from edgevc.quantize.report.result import ClockRow, GateFigure, Provenance, QuantizationResult
from edgevc.quantize.search import EngineSearch, Say, Wishes
from edgevc.quantize.settings import Settings
from edgevc.quantize.timing import ROUNDS, race
from edgevc.quantize.trials import Outcome, refusal
from edgevc.quantize.write import check_kind, check_target, graph_figures, staged, write_bundle, write_graph


def quantize(settings: Settings, say: Say) -> QuantizationResult:
    """Quantize a model and write it, if it passes.

    Args:
        settings: what to do.
        say: told what is being done, often.

    Returns:
        What was found; `passed` is False, and nothing was written, where no candidate passed the gate.

    Raises:
        ConfigError, ModelError, EngineError, AudioFileError: with the rule, the value and the next step.
    """
    started = time.monotonic()
    gate = _checked_gate(settings)
    model = _float_model(settings, say)
    wishes = _wishes(settings, model, gate)
    model.require_finite()
    outcomes = _search(model, wishes, say)
    notes = notes_of(settings, model, wishes, outcomes)
    clock = clock_rows(model, outcomes, say)
    provenance = provenance_of(settings, model, outcomes)
    failure = refusal(outcomes, gate, model.source_bytes)
    if not failure:
        try:
            outcomes = _write(settings, model, gate, outcomes, clock, provenance, say)
        except GateError as error:
            failure = str(error)
    chosen = {outcome.engine: outcome.chosen for outcome in outcomes if outcome.chosen is not None}
    return QuantizationResult(
        model=model.name,
        kind=settings.kind,
        output=str(settings.output),
        passed=not failure,
        layers=tuple(row for outcome in outcomes for row in layer_reports(model, wishes, outcome)),
        candidates=tuple(candidate for outcome in outcomes for candidate in outcome.candidates()),
        clock=clock,
        drift={outcome.engine: outcome.drift for outcome in outcomes},
        bytes_float=dict(model.source_bytes),
        bytes_int8={engine: trial.n_bytes for engine, trial in chosen.items()},
        cpu={**cpu.this_cpu().as_dict(), **estimates(settings, model, chosen)},
        notes=(*notes, *([failure] if failure else [])),
        provenance=provenance,
        seconds=time.monotonic() - started,
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _checked_gate(settings: Settings) -> quality_gate.Gate:
    """Refuse what cannot be done, before the minutes of work; return the limits."""
    kind = settings.kind
    check_kind(settings.output, kind)
    check_target(settings.output, MAX_TOTAL_BYTES if kind == "bundle" else MAX_ONNX_BYTES, overwrite=settings.force)
    if settings.method not in METHODS:
        raise ConfigError(f"--method must be one of {', '.join(METHODS)}, got {settings.method!r}")
    gate = quality_gate.parse(settings.gate or quality_gate.DEFAULT[kind], kind)
    judged = [name for name in quality_gate.JUDGED if name in gate.limits]
    if judged and settings.judge is None:
        raise ConfigError(f"--gate {', '.join(judged)} needs judges; give --judge, see `edgevc quantize --help`")
    for board in settings.boards:
        cpu.estimate(board, 0, 0)
    return gate


def _float_model(settings: Settings, say: Say) -> FloatModel:
    say("reading the calibration speech")
    dataset = load_dataset(settings.calib)
    if settings.kind == "graph":
        return _float_graph(settings, dataset, say)
    for given, option in (
        (settings.feeds, "--feed"),
        (settings.shapes, "--shape"),
        (settings.state_patterns, "--state-pattern"),
    ):
        if given:
            raise ConfigError(f"{option} is for a bare graph; a bundle's manifest says what goes in")
    bundle = ModelBundle.open(settings.model)
    engines = default_engines(bundle) if settings.engine == "both" else (settings.engine,)
    say("playing it through the float model")
    return FloatBundle(bundle, engines, dataset)


def _float_graph(settings: Settings, dataset: Dataset, say: Say) -> FloatModel:
    if settings.engine == "litert":
        raise ConfigError("a bare .onnx graph is quantized for ONNX Runtime; see --to tflite for LiteRT")
    say("shapes and constants of the graph")
    constants, feeds = {}, {}
    for name, text in settings.feeds.items():
        try:
            constants[name] = float(text)
        except ValueError:
            feeds[name] = text
    prepared = load_graph_file(settings.model, settings.state_patterns, settings.shapes, constants)
    adapters: dict[str, Feed] = choose_feeds(prepared, feeds)
    say("inputs: " + ", ".join(f"{name}={feed}" for name, feed in adapters.items()))
    sha256 = hashlib.sha256(settings.model.read_bytes()).hexdigest()
    return FloatGraph(prepared, sha256, adapters, dataset)


def _wishes(settings: Settings, model: FloatModel, gate: quality_gate.Gate) -> Wishes:
    paths = list(dict.fromkeys(layer.path for engine in model.engines for layer in model.layers(engine)))
    if not paths:
        raise ModelError(f"{model.name} has no layer with constant weights; there is nothing to quantize")
    keep_float = select(paths, settings.keep_float, "--keep-float")
    wanted = select(paths, settings.quantize, "--quantize")
    if keep_float & wanted:
        raise ConfigError(f"--keep-float and --quantize both name {min(keep_float & wanted)}; decide for one")
    return Wishes(
        settings.scheme, gate, settings.method, frozenset(keep_float), frozenset(wanted), settings.drift_minutes
    )


def _search(model: FloatModel, wishes: Wishes, say: Say) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for engine in model.engines:
        before = outcomes[-1] if outcomes else None
        search = EngineSearch(
            model, engine, wishes, say, before.damage if before else None, before.activations if before else None
        )
        outcomes.append(search.run())
    return outcomes


def clock_rows(model: FloatModel, outcomes: Sequence[Outcome], say: Say) -> tuple[ClockRow, ...]:
    """Time float and int8 in turns, for each engine and number of hops per call."""
    rows = []
    for outcome in outcomes:
        if outcome.chosen is None:
            continue
        for hops in model.hops:
            say(f"{outcome.engine}: float and int8 in turns, {hops} hops per call")
            entrants = [model.float_files[outcome.engine], outcome.chosen.files]
            exact, found = race(model, outcome.engine, entrants, hops, ROUNDS)
            rows.append(ClockRow(outcome.engine, "float", hops, exact, 1.0))
            rows.append(ClockRow(outcome.engine, "int8", hops, found, exact / found))
    return tuple(rows)


def _write(
    settings: Settings,
    model: FloatModel,
    gate: quality_gate.Gate,
    outcomes: list[Outcome],
    clock: tuple[ClockRow, ...],
    provenance: Provenance,
    say: Say,
) -> list[Outcome]:
    """Write the chosen candidates; returns the outcomes with the judges' figures, where there are judges."""
    chosen = {outcome.engine: outcome.chosen for outcome in outcomes if outcome.chosen is not None}
    n_bytes = sum(trial.n_bytes for trial in chosen.values()) + (4 << 20)
    with staged(settings.output, n_bytes, overwrite=settings.force) as target:
        if not isinstance(model, FloatBundle):
            trial = chosen["onnx"]
            write_graph(target, trial.files[model.name], provenance, trial.gate, model.source_bytes["onnx"])
            return outcomes
        say("writing the bundle")
        files = {engine: trial.files for engine, trial in chosen.items()}
        tensors = {engine: model.tensor_figures(engine, trial.files) for engine, trial in chosen.items()}

        def figures() -> dict[str, dict[str, dict[str, Any]]]:
            return {
                graph: {
                    engine: graph_figures(
                        engine,
                        graph,
                        {path: value for path, value in tensors[engine].items() if path.startswith(f"{graph}/")},
                        trial.gate,
                        clock,
                        (len(model.float_files[engine][graph]), len(trial.files[graph])),
                        provenance,
                    )
                    for engine, trial in chosen.items()
                }
                for graph in model.graphs
            }

        write_bundle(target, model.bundle, files, figures())
        if settings.judge is None:
            return outcomes
        for outcome in outcomes:
            say(f"{outcome.engine}: judging by similarity, words and quality; this takes minutes")
            if outcome.chosen is not None:
                differences = judge(settings.judge, settings.model, target, outcome.engine)
                gate_figures = (*outcome.chosen.gate, *gate.judge(differences))
                trial = replace(outcome.chosen, gate=gate_figures)
                outcome.trials = [trial if other is outcome.chosen else other for other in outcome.trials]
                outcome.chosen = chosen[outcome.engine] = trial
                _require_passed(gate_figures, outcome.engine)
        # the judges' figures belong into the manifest, too
        second = target.with_name("judged")
        write_bundle(second, model.bundle, files, figures())
        target.rename(target.with_name("unjudged"))
        second.rename(target)
    return outcomes


def _require_passed(figures: tuple[GateFigure, ...], engine: str) -> None:
    if not all(figure.passed for figure in figures):
        raise GateError(
            f"{engine} int8 fails before the judges: {quality_gate.complaint(figures)}; nothing was written"
        )


def judge(command: str, exact: Path, found: Path, engine: str) -> dict[str, float]:
    """Score the float and the int8 bundle by a command such as tools/evaluate.py; return int8 - float.

    Args:
        command: takes --bundle, --engine and --out, and writes JSON with a `table` of rows with similarity, wer, ovrl.
        exact: the float bundle.
        found: the int8 bundle.
        engine: for both.

    Raises:
        EngineError: the command fails or writes something else.
    """
    scores = []
    with tempfile.TemporaryDirectory() as folder:
        for name, bundle in (("float", exact), ("int8", found)):
            out = Path(folder) / f"{name}.json"
            words = [*shlex.split(command), "--bundle", str(bundle.resolve()), "--engine", engine, "--out", str(out)]
            try:
                done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
                rows = json.loads(out.read_text(encoding="utf-8"))["table"].values() if not done.returncode else []
                scores.append({key: float(np.mean([row[key] for row in rows])) for key in quality_gate.JUDGED if rows})
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise EngineError(
                    f"--judge {words[0]} must write a table of scores: {error}; run it by itself"
                ) from error
            if not scores[-1]:
                said = (done.stderr.strip().splitlines() or ["it wrote no scores"])[-1][:300]
                raise EngineError(f"--judge failed with status {done.returncode}: {said}; run it by itself")
    return {key: scores[1][key] - scores[0][key] for key in quality_gate.JUDGED}
