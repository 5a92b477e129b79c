"""Candidates of the search for an int8 form: which is best, and where none is, what the nearest one lacks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from edgevc.quantize import quality_gate
from edgevc.quantize.calibrate import Activations
from edgevc.quantize.float_model import Files
from edgevc.quantize.layers import sizes
from edgevc.quantize.quality_gate import Gate
from edgevc.quantize.report.result import Candidate, GateFigure

NOT_SLOWER = 1.15
"""Times float's time that still counts as equal: on a busy machine the clock may be wrong by a tenth."""
CLEARLY = 0.85
"""Times the other one's price: what a scheme must cost at most for its price to count, not its quality."""
WORTH = 0.9
"""Share of the model's bytes above which so little is int8 that it is not worth having."""

DOES_NOT_LOAD, TOO_LARGE = "does not load", "too large"
"""Why a candidate is not taken beside the gate."""


@dataclass(frozen=True)
class Trial:
    """One candidate with its files."""

    engine: str
    scheme: str
    kept: frozenset[str]
    """Layer paths that stayed float by choice."""
    files: Files
    """Empty after `without_files`."""
    figures: Mapping[str, float]
    """Empty where the engine does not load it."""
    gate: tuple[GateFigure, ...]
    us: Mapping[int, float] = field(default_factory=dict)
    """Hops per call to microseconds."""
    float_us: Mapping[int, float] = field(default_factory=dict)
    """Of float, in the same race."""
    problem: str = ""
    """DOES_NOT_LOAD with the engine's words, TOO_LARGE, or nothing."""
    drift: tuple[float, ...] = ()
    """Error in each minute of the long stream; empty where it did not play that."""
    released_bytes: int = 0
    """Of the files that it had."""

    def without_files(self) -> Trial:
        """Return it as a row of the report: dozens are tried, and their files would take most of the memory."""
        return replace(self, files={}, released_bytes=self.n_bytes)

    @property
    def loads(self) -> bool:
        """Whether the engine loads and runs it."""
        return not self.problem.startswith(DOES_NOT_LOAD)

    @property
    def passed(self) -> bool:
        """Whether every judged figure passed."""
        return self.loads and all(figure.passed for figure in self.gate)

    @property
    def acceptable(self) -> bool:
        """Whether it may be written."""
        return self.passed and not self.problem

    @property
    def n_bytes(self) -> int:
        """Of all files."""
        return self.released_bytes or sizes(self.files)

    @property
    def price(self) -> float:
        """Time and bytes weigh the same: a tenth slower is as bad as a tenth larger."""
        return self.cost * self.n_bytes

    @property
    def cost(self) -> float:
        """Time of a call with the fewest hops as a share of float's; 1 where it was not timed."""
        return self.us[min(self.us)] / self.float_us[min(self.us)] if self.us else 1.0

    @property
    def tensor(self) -> float:
        """Signal over error at the worst output, dB."""
        return self.figures.get("tensor", -200.0)

    @property
    def title(self) -> str:
        """As messages name it."""
        return f"{self.scheme} with {float_layers(self.kept)}"

    @property
    def progress(self) -> tuple[float, ...]:
        """How far it came, to compare candidates by: loads, passes the short figures, is smaller, plays for minutes."""
        failed = [figure.name for figure in self.gate if not figure.passed]
        if not self.loads:
            return (0.0,)
        if set(failed) - set(quality_gate.LONG):
            return 1.0, -len(failed), self.tensor
        if self.problem:
            return 2.0, -self.n_bytes
        return 3.0, -self.figures.get("drift", 0.0)


@dataclass
class Outcome:
    """What the search found for one engine."""

    engine: str
    trials: list[Trial]
    chosen: Trial | None
    activations: Mapping[str, Activations]
    damage: Mapping[str, Mapping[str, float]]
    """Scheme to layer path to the noise, relative to the signal, that it alone brings to its graph's worst output."""

    @property
    def nearest(self) -> Trial | None:
        """The chosen candidate; where there is none the one that came furthest, None where nothing was tried."""
        return self.chosen or max(self.trials, key=lambda trial: trial.progress, default=None)

    @property
    def drift(self) -> tuple[float, ...]:
        """Error of the nearest candidate in each minute of the long stream; empty where it was not measured."""
        return self.nearest.drift if self.nearest else ()

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
                trial.problem,
                trial is self.nearest,
            )
            for trial in self.trials
        ]


def pareto(trials: Iterable[Trial]) -> list[Trial]:
    """Return the timed trials that no other one beats in size, time and tensor figure at once."""
    timed = [trial for trial in trials if trial.us]

    def beats(one: Trial, other: Trial) -> bool:
        a = (one.n_bytes, one.cost, -one.tensor)
        b = (other.n_bytes, other.cost, -other.tensor)
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))

    return [trial for trial in timed if not any(beats(other, trial) for other in timed)]


def best(trials: Iterable[Trial]) -> Trial | None:
    """Return the one to be written: small and fast, of those that are nearly so the most exact; None: there is none.

    The clock decides only where it cannot be wrong: a busy machine chooses what a quiet one does. One that is slower
    than float is only taken where all are.
    """
    smallest: dict[str, Trial] = {}
    for trial in sorted(trials, key=lambda trial: (trial.n_bytes, -trial.tensor)):
        if trial.acceptable and trial.us:
            smallest.setdefault(trial.scheme, trial)
    quick = [trial for trial in smallest.values() if trial.cost <= NOT_SLOWER] or list(smallest.values())
    least = min((trial.price for trial in quick), default=0.0)
    near = (trial for trial in quick if CLEARLY * trial.price <= least)
    return max(near, key=lambda trial: (trial.tensor, -trial.n_bytes), default=None)


def refusal(outcomes: Iterable[Outcome], gate: Gate, source_bytes: Mapping[str, int]) -> str:
    """Return why nothing may be written: the condition that stopped the candidate that came furthest.

    Args:
        outcomes: of all engines.
        gate: as asked for.
        source_bytes: engine to the bytes of the float model's files.

    Returns:
        A sentence with its figures and what to try; empty where everything may be written.
    """
    for outcome in outcomes:
        trial, engine, n = outcome.nearest, outcome.engine, len(outcome.trials)
        if trial is None:
            return f"no layer can be quantized for {engine} with this --scheme; nothing was written"
        if trial is outcome.chosen:
            continue
        stage = trial.progress[0]
        if stage == 0:
            said = trial.problem.removeprefix(f"{DOES_NOT_LOAD}: ")
            return f"no int8 form for {engine} can be used: {trial.title}: {said}; nothing was written"
        if stage == 1:
            return (
                f'no int8 form for {engine} passes the gate "{gate.text}": the nearest of {n}, {trial.title}, has '
                f"{quality_gate.complaint(trial.gate)}; nothing was written. Try another --scheme or --method, or "
                "relax --gate if the result sounds right to you"
            )
        if stage == 2:
            before = source_bytes[engine]
            return (
                f"no int8 form for {engine} that passes the gate is a tenth smaller than the model: the smallest of "
                f"them, {trial.title}, has {_kilobytes(trial.n_bytes)}, the model {_kilobytes(before)}; "
                "nothing was written. Most bytes are in layers that stayed float, or in no layer at all"
            )
        return (
            f"int8 for {engine} passes the gate at first and drifts: {trial.title} has "
            f"{quality_gate.complaint(trial.gate)} after {len(trial.drift)} minutes; nothing was written. See each "
            f"minute with --report{_where_it_stops(gate, trial.figures['drift'])}"
        )
    return ""


def _kilobytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e3:,.0f} kB"


def _where_it_stops(gate: Gate, drift: float) -> str:
    """Return what to type where the error stops growing; nothing where it grows without end."""
    if not math.isfinite(drift):
        return ""
    limits = {**gate.limits, "drift": math.ceil(max(drift, 1.5) * 10) / 10}
    rules = (f"{name}{'<=' if quality_gate.SMALL_IS_GOOD[name] else '>='}{limit:g}" for name, limit in limits.items())
    return f'; where the error stops growing, allow it: --gate "{",".join(rules)}"'


def float_layers(kept: Iterable[str]) -> str:
    """Return how many layers stayed float, in words."""
    count = len(list(kept))
    return "all layers int8" if not count else f"{count} layer{'s' if count > 1 else ''} float"
