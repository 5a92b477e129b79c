"""Finds the smallest and fastest int8 form of a model that passes the gate, layer by layer if it must."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from edgevc.quantize import gate as gates
from edgevc.quantize.calibrate import Activations, observe
from edgevc.quantize.clock import race
from edgevc.quantize.gate import Gate
from edgevc.quantize.layers import FloatArray, sizes
from edgevc.quantize.report.result import Candidate, GateFigure
from edgevc.quantize.subject import Files, Subject

Say = Callable[[str], None]

NOT_SLOWER = 1.03
"""Times float's time that still counts as equal: the clock's noise."""
WORTH = 0.9
"""Share of float's bytes above which so little is int8 that it is not worth having."""
CLEARLY = 0.9
"""Times the other one's price: what a scheme must cost at most to be worth a search of its own."""
MAX_SECOND_THOUGHTS = 6
"""Layers that are tried in int8 again after too many returned to float."""
SENSITIVITY_CALLS = 60
"""Of each calibration clip, to see what one layer alone does."""
QUICK_ROUNDS = 10
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


@dataclass(frozen=True)
class Trial:
    """One candidate with its files."""

    engine: str
    scheme: str
    kept: frozenset[str]
    """Layer paths that stayed float by choice."""
    files: Files
    figures: Mapping[str, float]
    gate: tuple[GateFigure, ...]
    us: Mapping[int, float] = field(default_factory=dict)
    float_us: Mapping[int, float] = field(default_factory=dict)
    """Of float, in the same race."""

    @property
    def passed(self) -> bool:
        """Whether every judged figure passed."""
        return all(figure.passed for figure in self.gate)

    @property
    def n_bytes(self) -> int:
        """Of all files."""
        return sizes(self.files)

    @property
    def price(self) -> float:
        """Time and bytes weigh the same: a tenth slower is as bad as a tenth larger."""
        return self.cost * self.n_bytes

    @property
    def cost(self) -> float:
        """Time of a call with one hop as a share of float's; 1 where it was not timed."""
        return self.us[1] / self.float_us[1] if 1 in self.us else 1.0


@dataclass
class Outcome:
    """What the search found for one engine."""

    engine: str
    trials: list[Trial]
    chosen: Trial | None
    drift: tuple[float, ...]
    activations: Mapping[str, Activations]
    damage: Mapping[str, Mapping[str, float]]
    """Scheme to layer path to the noise, relative to the signal, that it alone brings to its graph's worst output."""

    def candidates(self) -> list[Candidate]:
        """Return the trials as the report shows them."""
        front = pareto(self.trials)
        return [
            Candidate(
                trial.engine,
                trial.scheme,
                tuple(sorted(trial.kept)),
                trial.n_bytes,
                dict(trial.us),
                trial.gate,
                trial.passed,
                trial in front,
                trial is self.chosen,
            )
            for trial in self.trials
        ]


def pareto(trials: Iterable[Trial]) -> list[Trial]:
    """Return the timed trials that no other one beats in size, time and tensor figure at once."""
    timed = [trial for trial in trials if trial.us]

    def beats(one: Trial, other: Trial) -> bool:
        a = (one.n_bytes, one.cost, -one.figures["tensor"])
        b = (other.n_bytes, other.cost, -other.figures["tensor"])
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))

    return [trial for trial in timed if not any(beats(other, trial) for other in timed)]


def best(trials: Iterable[Trial]) -> Trial | None:
    """Return the one of those that passed with the smallest product of time and bytes; None where none passed.

    One that is slower than float is only taken where all are.
    """
    passed = [trial for trial in trials if trial.passed and trial.us]
    return min(passed, key=lambda trial: (trial.cost > NOT_SLOWER, trial.price), default=None)


class EngineSearch:
    """The search for one engine."""

    def __init__(
        self,
        subject: Subject,
        engine: str,
        wishes: Wishes,
        say: Say,
        known_damage: Mapping[str, Mapping[str, float]] | None = None,
        known_activations: Mapping[str, Activations] | None = None,
    ) -> None:
        """`known_*`: what another engine's search has found on the same layers."""
        self.subject, self.engine, self.wishes, self.say = subject, engine, wishes, say
        self.quantizers = subject.quantizers[engine]
        self.layers = {layer.path: layer for layer in subject.layers(engine)}
        self.by_default = frozenset(
            path for path, layer in self.layers.items() if layer.place and path not in wishes.quantize
        )
        self.always = frozenset(path for path in self.layers if path in wishes.keep_float)
        self.trials: list[Trial] = []
        self._activations: Mapping[str, Activations] = known_activations or {}
        self._feeds: dict[str, dict[str, list[dict[str, FloatArray]]]] = {}
        self.damage: dict[str, dict[str, float]] = {
            scheme: {path: value for path, value in found.items() if path in self.layers}
            for scheme, found in (known_damage or {}).items()
        }

    def run(self) -> Outcome:
        """Try, judge, time and choose."""
        wanted = self.wishes.scheme
        schemes = next(iter(self.quantizers.values())).schemes if wanted == "auto" else (wanted,)
        usable = [
            scheme
            for scheme in schemes
            if any(self._can(scheme, path) for path in self.layers if path not in self.always)
        ]
        careful = self.always | self.by_default
        for scheme in usable:
            changes = any(self._can(scheme, path) for path in careful - self.always)
            remains = any(self._can(scheme, path) for path in self.layers if path not in careful)
            # in a graph of first layers and heads only, leaving these float would leave nothing
            first = self._try(scheme, careful if wanted != "auto" and remains else self.always, timed=True)
            if wanted == "auto" and changes and remains and (first.cost < 1 or best(self.trials) is None):
                self._try(scheme, careful, timed=True)
        for scheme in usable:
            start = next(trial for trial in self.trials if trial.scheme == scheme)
            if not start.passed and self._could_win(start):
                self._fall_back(start)
        self._race_again()
        chosen, drift = self._long_run()
        return Outcome(self.engine, self.trials, chosen, drift, self._activations, self.damage)

    def _can(self, scheme: str, path: str) -> bool:
        layer = self.layers[path]
        return not self.quantizers[layer.graph].refusal(layer.name, scheme)

    def _could_win(self, start: Trial) -> bool:
        """Return whether a scheme may still beat the best: each layer that returns to float costs bytes and time."""
        leader = best(self.trials)
        if leader is None or self.wishes.scheme != "auto":
            return True
        if leader.cost > NOT_SLOWER >= start.cost:
            return True
        first = next(trial for trial in self.trials if trial.scheme == leader.scheme)
        if start is first:
            # between all in int8 and the default layers in float there may be one that is smaller
            return start.n_bytes < leader.n_bytes
        # no more exact and hardly cheaper where both have all in int8: it will not overtake
        behind = start.figures["tensor"] <= first.figures["tensor"] and start.price > CLEARLY * first.price
        return start.price < leader.price and not (first is not leader and behind)

    def _race_again(self) -> None:
        """Time all that passed in one race: those near each other are told apart by the same minute's load."""
        passed = [i for i, trial in enumerate(self.trials) if trial.passed and trial.us]
        if len(passed) < 2:
            return
        self.say(f"{self.engine}: timing the {len(passed)} that passed")
        entrants = [self.subject.float_files[self.engine], *(self.trials[i].files for i in passed)]
        exact, *found = race(self.subject, self.engine, entrants, 1, QUICK_ROUNDS)
        for i, us in zip(passed, found, strict=True):
            self.trials[i] = replace(self.trials[i], us={1: us}, float_us={1: exact})

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
                graph: observe(self.subject, graph, quantizer, self.wishes.method)
                for graph, quantizer in self.quantizers.items()
            }
        return self._activations

    def _signature_feeds(self, graph: str) -> dict[str, list[dict[str, FloatArray]]]:
        if graph not in self._feeds:
            self._feeds[graph] = self.subject.signature_feeds(self.engine, graph, STATIC_FEEDS)
        return self._feeds[graph]

    def _try(self, scheme: str, kept: frozenset[str], *, timed: bool) -> Trial:
        """Build, measure and keep a candidate."""
        self.say(f"{self.engine} {scheme}: {_float_layers(kept)}")
        files = self.build(scheme, kept)
        figures = gates.measure(self.subject, self.engine, files)
        trial = Trial(self.engine, scheme, kept, files, figures, self.wishes.gate.judge(figures))
        if timed:
            trial = self._timed(trial)
        self.trials.append(trial)
        return trial

    def _timed(self, trial: Trial) -> Trial:
        exact, found = race(
            self.subject, self.engine, [self.subject.float_files[self.engine], trial.files], 1, QUICK_ROUNDS
        )
        return replace(trial, us={1: found}, float_us={1: exact})

    def _fall_back(self, start: Trial) -> None:
        """Find how many of the worst layers must return to float, then which of them need not."""
        damage = self._damage(start.scheme)
        order = self._worst_first(start, damage)
        most = WORTH * sizes(self.subject.float_files[self.engine])
        trials: dict[int, Trial] = {}

        def passes(count: int) -> bool:
            trials[count] = self._try(start.scheme, start.kept | frozenset(order[:count]), timed=False)
            return trials[count].passed

        # with none left in int8 it would be the float model
        last = len(order) - 1
        enough, low = min(self._how_many(start, order, damage), last), 0
        while enough and not passes(enough):
            if enough == last or trials[enough].n_bytes > most:
                return
            low, enough = enough, min(2 * enough, last)
        while enough - low > 1:
            middle = (low + enough) // 2
            low, enough = (low, middle) if passes(middle) else (middle, enough)
        if not enough or trials[enough].n_bytes > most:
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
        figures = self.subject.tensor_figures(self.engine, start.files)
        failing = {path.partition("/")[0] for path, value in figures.items() if not value >= limit}
        left = [path for path in self.layers if path not in start.kept and damage.get(path, 0) > 0]
        return sorted(
            left,
            key=lambda path: (self.layers[path].graph not in failing, -damage[path] / self.layers[path].n_bytes),
        )

    def _how_many(self, start: Trial, order: list[str], damage: Mapping[str, float]) -> int:
        """Guess how many layers must go, from noises that add up: at least one."""
        limit = self.wishes.gate.limits.get("tensor")
        if limit is None or start.figures["tensor"] >= limit:
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
            figures = self.subject.tensor_figures(self.engine, files, "calibration", SENSITIVITY_CALLS)
            worst = min(figures.values())
            damage[path] = 10 ** (-worst / 10) if math.isfinite(worst) else math.inf
        return damage

    def _long_run(self) -> tuple[Trial | None, tuple[float, ...]]:
        """Let the best candidate play for minutes; give more layers back where it drifts."""
        distances: tuple[float, ...] = ()
        rejected: set[int] = set()
        while True:
            found = best(trial for trial in self.trials if id(trial) not in rejected)
            if found is None or self.wishes.drift_minutes < 2:
                return found, distances
            index = next(i for i, trial in enumerate(self.trials) if trial is found)
            ratio, distances = gates.measure_drift(
                self.subject, self.engine, found.files, self.wishes.drift_minutes, self._say_minutes
            )
            figures = {**found.figures, "drift": ratio}
            judged = replace(found, figures=figures, gate=self.wishes.gate.judge(figures))
            self.trials[index] = judged
            if judged.passed:
                return judged, distances
            rejected.add(id(judged))
            if len(rejected) >= 3:
                return None, distances

    def _say_minutes(self, done: float) -> None:
        self.say(f"{self.engine}: {self.wishes.drift_minutes} minutes in one stream, {done:.0%}")


def refusal(outcomes: Iterable[Outcome], gate: Gate) -> str:
    """Return why nothing may be written, with the figures of the nearest candidate; empty where all may."""
    for outcome in outcomes:
        if not outcome.trials:
            return f"no layer can be quantized for {outcome.engine} with this --scheme; nothing was written"
        if outcome.chosen is None:
            nearest = min(outcome.trials, key=lambda t: (sum(not f.passed for f in t.gate), -t.figures["tensor"]))
            return (
                f'no int8 form for {outcome.engine} passes the gate "{gate.text}": the nearest of '
                f"{len(outcome.trials)}, {nearest.scheme} with {_float_layers(nearest.kept)}, has "
                f"{gates.complaint(nearest.gate)}; nothing was written. Try another --scheme or --method, or lower "
                "--gate if your ears agree"
            )
    return ""


def _float_layers(kept: Iterable[str]) -> str:
    count = len(list(kept))
    return "all layers int8" if not count else f"{count} layer{'s' if count > 1 else ''} float"
