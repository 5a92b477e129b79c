"""What one run of `edgevc quantize` is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    model: Path
    output: Path
    engine: str = "both"
    scheme: str = "auto"
    calib: Path | None = None
    method: str = "min-max"
    gate: str | None = None
    keep_float: tuple[str, ...] = ()
    quantize: tuple[str, ...] = ()
    state_patterns: tuple[str, ...] = ()
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    feeds: Mapping[str, str] = field(default_factory=dict)
    """Input to an adapter, or to a number."""
    boards: tuple[str, ...] = ()
    drift_minutes: int = 10
    judge: str | None = None
    force: bool = False

    @property
    def kind(self) -> str:
        """What MODEL is: "graph" for an .onnx file, else "bundle"."""
        return "graph" if self.model.suffix.lower() == ".onnx" else "bundle"
