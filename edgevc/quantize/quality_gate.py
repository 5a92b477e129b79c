"""The gate: what a quantized model must reach to be written, and the figures that say whether it does."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgevc.errors import ConfigError
from edgevc.quantize.float_model import Files, FloatModel
from edgevc.quantize.report.result import GateFigure

HELD_OUT = {"bundle": ("tensor", "snr", "mel"), "graph": ("tensor",)}
"""Kind of model to the figures that every candidate is measured by."""
LONG = ("drift",)
"""Measured on the candidate that is about to be chosen: it takes ten minutes of audio."""
JUDGED = ("similarity", "wer", "ovrl")
"""Differences int8 - float, by the judges of tools; measured with --judge."""
DEFAULT = {"bundle": "tensor>=35,snr>=15,mel<=0.1,drift<=1.05", "graph": "tensor>=35,drift<=1.05"}

_RULE = re.compile(r"\s*([a-z_]+)\s*(<=|>=)\s*([-+0-9.eE]+)\s*")
SMALL_IS_GOOD = {
    "mel": True,
    "drift": True,
    "wer": True,
    "tensor": False,
    "snr": False,
    "similarity": False,
    "ovrl": False,
}


@dataclass(frozen=True)
class Gate:
    """Limits by figure."""

    limits: Mapping[str, float]
    text: str
    """As given."""

    def judge(self, figures: Mapping[str, float]) -> tuple[GateFigure, ...]:
        """Compare figures with their limits; one that is not finite fails."""
        judged = []
        for name, value in figures.items():
            limit = self.limits.get(name)
            at_least = not SMALL_IS_GOOD[name]
            reached = limit is None or (value >= limit if at_least else value <= limit)
            judged.append(GateFigure(name, value, limit, reached and not math.isnan(value), at_least))
        return tuple(judged)


def parse(text: str, kind: str) -> Gate:
    """Read limits such as "mel<=0.1,tensor>=35"; figures that are not named are shown, not judged.

    Raises:
        ConfigError: it cannot be read, or names a figure that this kind of model does not have.
    """
    known = (*HELD_OUT[kind], *LONG, *(JUDGED if kind == "bundle" else ()))
    limits = {}
    for rule in text.split(","):
        found = _RULE.fullmatch(rule)
        try:
            name, sign, limit = (found[1], found[2], float(found[3])) if found else ("", "", math.nan)
        except ValueError:
            name, sign, limit = "", "", math.nan
        if not name or not math.isfinite(limit):
            raise ConfigError(f'--gate is a list such as "{DEFAULT[kind]}", cannot read {rule.strip()!r}')
        if name not in known:
            raise ConfigError(f"--gate: a {kind} has the figures {', '.join(known)}, got {name!r}")
        if (sign == "<=") != SMALL_IS_GOOD[name]:
            raise ConfigError(
                f"--gate: {name} is good when {'small' if sign == '>=' else 'large'}, got {rule.strip()!r}"
            )
        limits[name] = limit
    return Gate(limits, text)


def measure(model: FloatModel, engine: str, files: Files) -> dict[str, float]:
    """Return the short figures of a candidate on the held-out speech: "tensor", and of a bundle "snr" and "mel"."""
    tensors = model.tensor_figures(engine, files)
    return {"tensor": min(tensors.values()), **model.audio_figures(engine, files)}


def drift_ratio(distances: tuple[float, ...]) -> float:
    """Return the last minute's distance over the first's: 1 where errors do not add up in the states."""
    if distances[0] <= 0:
        return 1.0 if distances[-1] <= 0 else math.inf
    return distances[-1] / distances[0]


def measure_drift(
    model: FloatModel, engine: str, files: Files, minutes: int, progress: Callable[[float], None]
) -> tuple[float, tuple[float, ...]]:
    """Return the drift ratio and the distance of each minute."""
    distances = model.drift(engine, files, minutes, progress)
    return drift_ratio(distances), distances


def complaint(figures: tuple[GateFigure, ...]) -> str:
    """Return the figures that failed, as a person reads them."""
    return ", ".join(
        f"{figure.name} {figure.value:.3g} (must be at {'least' if figure.at_least else 'most'} {figure.limit:g})"
        for figure in figures
        if not figure.passed and figure.limit is not None
    )
