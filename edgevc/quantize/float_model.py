"""A float model, the recordings it is judged by, and what it makes of them: one face for bundles and bare graphs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgevc.dsp.features import LogMel
from edgevc.errors import ModelError
from edgevc.limits import SAMPLE_RATE
from edgevc.quantize.dataset import Dataset, Material
from edgevc.quantize.layers import FloatArray, Layer, sqnr_db
from edgevc.quantize.runners import Calls, Runner

Files = Mapping[str, bytes]
"""Graph name to its file's content, all of one engine."""


class FloatModel(ABC):
    """A model, the speech it is judged by, and what its float form makes of it."""

    kind = ""
    quantizers: Mapping[str, Mapping[str, Any]]
    """Engine to graph to quantizer."""
    float_files: Mapping[str, Files]
    """Engine to float files."""
    source_bytes: Mapping[str, int]
    """Engine to the bytes of the files that were given."""
    dataset: Dataset
    material: Material
    name = ""
    source_sha256 = ""

    def __init__(self) -> None:
        """Start without references."""
        self._references: dict[tuple[str, str, str, int], list[list[FloatArray]]] = {}

    @property
    def engines(self) -> tuple[str, ...]:
        """In the order in which they are quantized."""
        return tuple(self.float_files)

    @property
    def graphs(self) -> tuple[str, ...]:
        """In the order in which a call runs them."""
        return tuple(next(iter(self.float_files.values())))

    def layers(self, engine: str) -> list[Layer]:
        """Return all layers of an engine's graphs."""
        return [layer for quantizer in self.quantizers[engine].values() for layer in quantizer.layers]

    @abstractmethod
    def runner(self, engine: str, graph: str, data: bytes, hops: int | None = None) -> Runner:
        """Load one graph's file, for a stream of its own; `hops` per call, None: the fewest."""

    @abstractmethod
    def calls(self, graph: str, part: str, hops: int | None = None) -> Iterator[Calls]:
        """Yield the calls of every clip of a part, "calibration" or "held_out"; `hops` as in `runner`."""

    @abstractmethod
    def output_names(self, graph: str) -> tuple[str, ...]:
        """Return the names of a graph's outputs without states."""

    @property
    @abstractmethod
    def hops(self) -> tuple[int, ...]:
        """Numbers of hops that a call may take, rising."""

    @abstractmethod
    def audio_figures(self, engine: str, files: Files) -> dict[str, float]:
        """Compare what is heard with the float model's output, on the held-out speech."""

    @abstractmethod
    def drift(self, engine: str, files: Files, minutes: int, progress: Callable[[float], None]) -> tuple[float, ...]:
        """Return the distance from the float model in each minute of one long stream."""

    def signature_feeds(self, engine: str, graph: str, count: int) -> dict[str, list[dict[str, FloatArray]]]:
        """Return inputs and states of some calls, by signature; a bare graph has none."""
        return {}

    def tensor_figures(self, engine: str, files: Files, part: str = "held_out", n_calls: int = 0) -> dict[str, float]:
        """Return graph/output to its signal-to-noise ratio against float, in dB, each graph given float inputs.

        Args:
            engine: of the files.
            files: some or all graphs.
            part: of the speech.
            n_calls: per clip; 0 takes all.
        """
        figures: dict[str, float] = {}
        for graph, data in files.items():
            exact = self.reference(engine, graph, part, n_calls)
            found: list[list[FloatArray]] = []
            for calls in self.calls(graph, part):
                # a stream's states are its own
                found.append(self.runner(engine, graph, data).play(calls[:n_calls] if n_calls else calls))
            for i, name in enumerate(self.output_names(graph)):
                figures[f"{graph}/{name}"] = sqnr_db(
                    np.concatenate([clip[i] for clip in exact]), np.concatenate([clip[i] for clip in found])
                )
        return figures

    def require_finite(self) -> None:
        """Refuse a model that gives no numbers itself: int8 could not be compared with it.

        Raises:
            ModelError: an output on the held-out recordings is NaN or infinite.
        """
        for engine in self.engines:
            for graph in self.graphs:
                for clip in self.reference(engine, graph, "held_out", 0):
                    for name, values in zip(self.output_names(graph), clip, strict=True):
                        finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
                        if not finite.all():
                            raise ModelError(
                                f"{self.name}: the float model itself must give numbers, its output {name} is NaN or "
                                f"infinite from call {int(np.argmin(finite)) + 1} on with {self.fed}; "
                                "repair the model, or feed it what it was trained with"
                            )

    @property
    def fed(self) -> str:
        """What it is played, for messages."""
        return "speech"

    def reference(self, engine: str, graph: str, part: str, n_calls: int) -> list[list[FloatArray]]:
        """Return the float graph's outputs of every clip."""
        key = (engine, graph, part, n_calls)
        if key not in self._references:
            data = self.float_files[engine][graph]
            self._references[key] = [
                self.runner(engine, graph, data).play(calls[:n_calls] if n_calls else calls)
                for calls in self.calls(graph, part)
            ]
        return self._references[key]


def one_minute(dataset: Dataset) -> FloatArray:
    """Return a minute of the held-out clips, and of the others where they are too short, repeated if need be."""
    joined = np.concatenate([samples for _, samples in (*dataset.held_out, *dataset.calibration)])
    return np.resize(joined, 60 * SAMPLE_RATE).astype(np.float32)


def mel_distance(exact: Sequence[FloatArray], found: Sequence[FloatArray]) -> float:
    """Return the mean absolute difference of two signals' log-mel, natural logarithm of power: 0.1 is 0.43 dB.

    Infinite where a signal holds what is no sound.
    """
    total, count = 0.0, 0
    for one, other in zip(exact, found, strict=True):
        if not np.isfinite(other).all():
            return float(np.inf)
        difference = np.abs(LogMel(primed=True).process(one) - LogMel(primed=True).process(other))
        total += float(difference.sum(dtype=np.float64))
        count += difference.size
    return total / max(count, 1)
