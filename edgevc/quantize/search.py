"""Finds the smallest and fastest int8 form of a model that passes the gate, layer by layer if it must."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from edgevc.errors import ModelError
from edgevc.quantize import quality_gate
from edgevc.quantize.calibrate import Activations, observe
from edgevc.quantize.float_model import FloatModel
from edgevc.quantize.layers import FloatArray
from edgevc.quantize.quality_gate import Gate
from edgevc.quantize.timing import ROUNDS, race
from edgevc.quantize.trials import (
    CLEARLY,
    DOES_NOT_LOAD,
    NOT_SLOWER,
    TOO_LARGE,
    WORTH,
    Outcome,
    Trial,
    best,
    float_layers,
)

Say = Callable[[str], None]

MAX_SECOND_THOUGHTS = 6
"""Layers that are tried in int8 again after too many returned to float."""
SENSITIVITY_CALLS = 60
"""Of each calibration clip, to see what one layer alone does."""
QUICK_ROUNDS = 10
MAX_LONG_RUNS = 3
"""Candidates that play for minutes, at most."""
STATIC_FEEDS = 24
"""Calls of each signature that LiteRT's static scheme is calibrated with."""


@dataclass(frozen=True)
class Wishes:
    """What the user asked for."""

    scheme: str
    """A scheme, or "auto"."""
    gate: Gate
    method: str
    keep_float: frozenset[str]
    """Layer paths that stay float whatever happens."""
    quantize: frozenset[str]
    """Layer paths that do not stay float by default."""
    drift_minutes: int


class EngineSearch:
    """The search for one engine."""

    def __init__(
        self,
        model: FloatModel,
        engine: str,
        wishes: Wishes,
        say: Say,
        known_damage: Mapping[str, Mapping[str, float]] | None = None,
        known_activations: Mapping[str, Activations] | None = None,
    ) -> None:
        """`known_*`: what another engine's search has found on the same layers."""
        self.model, self.engine, self.wishes, self.say = model, engine, wishes, say
        self.quantizers = model.quantizers[engine]
        self.layers = {layer.path: layer for layer in model.layers(engine)}
        self.by_default = frozenset(
            path for path, layer in self.layers.items() if layer.place and path not in wishes.quantize
        )
        self.always = frozenset(path for path in self.layers if path in wishes.keep_float)
        self.most_bytes = WORTH * model.source_bytes[engine]
        self.fewest = model.hops[0]
        """Hops of the calls that are timed."""
        self.trials: list[Trial] = []
        self._activations: Mapping[str, Activations] = known_activations or {}
        self._feeds: dict[str, dict[str, list[dict[str, FloatArray]]]] = {}
        self.damage: dict[str, dict[str, float]] = {
            scheme: {path: value for path, value in found.items() if path in self.layers}
            for scheme, found in (known_damage or {}).items()
        }

    def run(self) -> Outcome:
        """Try, judge, time and choose."""
        usable = self._usable_schemes()
        for scheme in usable:
            self._begin(scheme)
        for scheme in usable:
            start = next(trial for trial in self.trials if trial.scheme == scheme)
            if start.loads and not start.passed and self._could_win(start):
                self._fall_back(start)
        self._race_again()
        chosen = self._long_run()
        return Outcome(self.engine, self.trials, chosen, self._activations, self.damage)

    def _usable_schemes(self) -> list[str]:
        """Return the schemes that can make at least one layer int8."""
        wanted = self.wishes.scheme
        schemes = next(iter(self.quantizers.values())).schemes if wanted == "auto" else (wanted,)
        return [scheme for scheme in schemes if self._has_layer(scheme, self.layers.keys() - self.always)]

    def _has_layer(self, scheme: str, paths: Iterable[str]) -> bool:
        return any(self._can(scheme, path) for path in paths)

    def _begin(self, scheme: str) -> None:
        """Try a scheme with the layers that usually suffer in float, without that care, or both."""
        automatic = self.wishes.scheme == "auto"
        careful = self.always | self.by_default
        changes = self._has_layer(scheme, careful - self.always)
        # in a graph of first layers and heads only, leaving these float would leave nothing
        remains = self._has_layer(scheme, self.layers.keys() - careful)
        first = self._try(scheme, careful if not automatic and remains else self.always, timed=True)
        # where all in int8 passes, less of it is only larger
        if automatic and changes and remains and not first.acceptable:
            self._try(scheme, careful, timed=True)

    def _can(self, scheme: str, path: str) -> bool:
        layer = self.layers[path]
        return not self.quantizers[layer.graph].refusal(layer.name, scheme)

    def _could_win(self, start: Trial) -> bool:
        """Return whether a scheme may still beat the best: each layer that returns to float costs bytes and time."""
        leader = best(self.trials)
        if leader is None or self.wishes.scheme != "auto" or leader.cost > NOT_SLOWER >= start.cost:
            return True
        if start.scheme == leader.scheme:
            # between all in int8 and the default layers in float there may be one that is smaller
            return start.n_bytes < leader.n_bytes
        return start.price < CLEARLY * leader.price

    def _race_again(self) -> None:
        """Time all that passed in one race: those near each other are told apart by the same minute's load."""
        passed = [i for i, trial in enumerate(self.trials) if trial.acceptable and trial.us]
        if len(passed) < 2:
            return
        self.say(f"{self.engine}: timing the {len(passed)} that passed")
        entrants = [self.model.float_files[self.engine], *(self.trials[i].files for i in passed)]
        exact, *found = race(self.model, self.engine, entrants, self.fewest, ROUNDS)
        for i, us in zip(passed, found, strict=True):
            self.trials[i] = replace(self.trials[i], us={self.fewest: us}, float_us={self.fewest: exact})

    def build(self, scheme: str, kept: frozenset[str]) -> dict[str, bytes]:
        """Return the files of a candidate."""
        files = {}
        for graph, quantizer in self.quantizers.items():
            names = frozenset(layer.name for layer in quantizer.layers if layer.path in kept)
            if scheme != "static":
                files[graph] = quantizer.build(scheme, names)
            elif self.engine == "onnx":
                files[graph] = quantizer.build(scheme, names, self.activations()[graph].ranges)
            else:
                files[graph] = quantizer.build(scheme, names, self._signature_feeds(graph))
        return files

    def activations(self) -> Mapping[str, Activations]:
        """Return what calibration has seen of every ONNX graph; played once."""
        if not self._activations and self.engine == "onnx":
            self.say("calibrating: speech through the float graphs, hop by hop")
            self._activations = {
                graph: observe(self.model, graph, quantizer, self.wishes.method)
                for graph, quantizer in self.quantizers.items()
            }
        return self._activations

    def _signature_feeds(self, graph: str) -> dict[str, list[dict[str, FloatArray]]]:
        if graph not in self._feeds:
            self._feeds[graph] = self.model.signature_feeds(self.engine, graph, STATIC_FEEDS)
        return self._feeds[graph]

    def _try(self, scheme: str, kept: frozenset[str], *, timed: bool) -> Trial:
        """Build, measure and keep a candidate."""
        self.say(f"{self.engine} {scheme}: {float_layers(kept)}")
        files = self.build(scheme, kept)
        try:
            figures = quality_gate.measure(self.model, self.engine, files)
        except ModelError as error:
            # what one candidate lacks the next one may have
            trial = Trial(self.engine, scheme, kept, files, {}, (), problem=f"{DOES_NOT_LOAD}: {error}")
        else:
            trial = Trial(self.engine, scheme, kept, files, figures, self.wishes.gate.judge(figures))
            if trial.n_bytes > self.most_bytes:
                trial = replace(trial, problem=TOO_LARGE)
            if timed:
                trial = self._timed(trial)
        # only what may be written is built for more than its figures
        self.trials.append(trial if trial.acceptable else trial.without_files())
        return self.trials[-1]

    def _timed(self, trial: Trial) -> Trial:
        exact, found = race(
            self.model, self.engine, [self.model.float_files[self.engine], trial.files], self.fewest, QUICK_ROUNDS
        )
        return replace(trial, us={self.fewest: found}, float_us={self.fewest: exact})

    def _fall_back(self, start: Trial) -> None:
        """Find how many of the worst layers must return to float, then which of them need not."""
        damage = self._damage(start.scheme)
        order = self._worst_first(start, damage)
        trials: dict[int, Trial] = {}

        def passes(count: int) -> bool:
            trials[count] = self._try(start.scheme, start.kept | frozenset(order[:count]), timed=False)
            return trials[count].passed

        # with none left in int8 it would be the float model
        last = len(order) - 1
        enough, low = min(self._how_many(start, order, damage), last), 0
        while enough and not passes(enough):
            if enough == last or trials[enough].n_bytes > self.most_bytes:
                return
            low, enough = enough, min(2 * enough, last)
        while enough - low > 1:
            middle = (low + enough) // 2
            low, enough = (low, middle) if passes(middle) else (middle, enough)
        if not enough or trials[enough].n_bytes > self.most_bytes:
            return
        kept, trial = start.kept | frozenset(order[:enough]), trials[enough]
        # the last one was needed; of those before it the largest save most
        for path in sorted(order[: enough - 1], key=lambda p: -self.layers[p].n_bytes)[:MAX_SECOND_THOUGHTS]:
            without = self._try(start.scheme, kept - {path}, timed=False)
            if without.passed:
                kept, trial = kept - {path}, without
        position = self.trials.index(trial)
        self.trials[position] = self._timed(trial)

    def _worst_first(self, start: Trial, damage: Mapping[str, float]) -> list[str]:
        """Return the layers that may return to float, most noise per byte first, of graphs that fail before others."""
        limit = self.wishes.gate.limits.get("tensor", -math.inf)
        figures = self.model.tensor_figures(self.engine, self.build(start.scheme, start.kept))
        failing = {path.partition("/")[0] for path, value in figures.items() if not value >= limit}
        left = [path for path in self.layers if path not in start.kept and damage.get(path, 0) > 0]
        return sorted(
            left,
            key=lambda path: (self.layers[path].graph not in failing, -damage[path] / self.layers[path].n_bytes),
        )

    def _how_many(self, start: Trial, order: list[str], damage: Mapping[str, float]) -> int:
        """Guess how many layers must go, from noises that add up: at least one."""
        limit = self.wishes.gate.limits.get("tensor")
        if limit is None or start.tensor >= limit:
            return 1
        allowed = 10 ** (-limit / 10)
        for count in range(1, len(order)):
            totals: dict[str, float] = {}
            for path in (path for path in damage if path not in start.kept and path not in order[:count]):
                graph = self.layers[path].graph
                totals[graph] = totals.get(graph, 0.0) + damage[path]
            if max(totals.values(), default=0.0) <= allowed:
                return count
        return len(order)

    def _damage(self, scheme: str) -> Mapping[str, float]:
        """Return what each layer alone does to its graph's outputs."""
        damage = self.damage.setdefault(scheme, {})
        missing = [
            path
            for path, layer in self.layers.items()
            if path not in damage and path not in self.always and self._can(scheme, path)
        ]
        for count, path in enumerate(missing):
            self.say(f"{self.engine} {scheme}: what each layer alone does, {count + 1} of {len(missing)}")
            layer = self.layers[path]
            quantizer = self.quantizers[layer.graph]
            others = frozenset(other.name for other in quantizer.layers if other.name != layer.name)
            if scheme == "static":
                files = {layer.graph: self.build(scheme, frozenset(self.layers) - {path})[layer.graph]}
            else:
                files = {layer.graph: quantizer.build(scheme, others)}
            try:
                worst = min(self.model.tensor_figures(self.engine, files, "calibration", SENSITIVITY_CALLS).values())
            except ModelError:
                worst = -math.inf
            damage[path] = 10 ** (-worst / 10) if math.isfinite(worst) else math.inf
        return damage

    def _long_run(self) -> Trial | None:
        """Let the best candidate play for minutes, the next best where it drifts; return the one to be written."""
        for _ in range(MAX_LONG_RUNS):
            found = best(self.trials)
            if found is None or self.wishes.drift_minutes < 2:
                return found
            ratio, distances = quality_gate.measure_drift(
                self.model, self.engine, found.files, self.wishes.drift_minutes, self._say_minutes
            )
            figures = {**found.figures, "drift": ratio}
            judged = replace(found, figures=figures, gate=self.wishes.gate.judge(figures), drift=distances)
            self.trials[next(i for i, trial in enumerate(self.trials) if trial is found)] = judged
            if judged.passed:
                return judged
        return None

    def _say_minutes(self, done: float) -> None:
        self.say(f"{self.engine}: {self.wishes.drift_minutes} minutes in one stream, {done:.0%}")
