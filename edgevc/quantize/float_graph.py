"""A bare ONNX graph with states, fed by adapters from speech or from recorded calls."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevc.engines.probe import probe_graphs
from edgevc.errors import ConfigError
from edgevc.quantize.dataset import Dataset, Material
from edgevc.quantize.feeds import Feed
from edgevc.quantize.float_model import Files, FloatModel, one_minute
from edgevc.quantize.layers import FloatArray
from edgevc.quantize.prepare import Prepared
from edgevc.quantize.runners import Calls, OnnxRunner, Runner
from edgevc.quantize.schemes.onnx import OnnxQuantizer

Inputs = list[tuple[NDArray[Any], ...]]

MIN_RECORDED_CALLS = 40
CALIBRATED_SHARE = 0.75
"""Of recorded calls; the rest judges."""
RECORDED_CALL_S = 0.01
"""How long a recorded call is taken to be, for the long stream and the report."""


class FloatGraph(FloatModel):
    """A bare ONNX graph with states, fed by adapters."""

    kind = "graph"

    def __init__(self, prepared: Prepared, sha256: str, feeds: Mapping[str, Feed], dataset: Dataset) -> None:
        """Make the calls.

        Args:
            prepared: the graph.
            sha256: of its file.
            feeds: input to adapter.
            dataset: the speech, which is not listened to where the inputs come from files.

        Raises:
            ConfigError: there are too few calls.
            ModelError: the graph crashes ONNX Runtime, or takes too much time or memory.
        """
        super().__init__()
        self.prepared, self.dataset = prepared, dataset
        self.name, self.source_sha256 = prepared.name, sha256
        data = prepared.model.SerializeToString()
        # nobody vouched for it: a child loads it first
        probe_graphs({prepared.name: data}, "onnx")
        self.float_files = {"onnx": {prepared.name: data}}
        self.source_bytes = {"onnx": prepared.n_source_bytes or len(data)}
        self.quantizers = {"onnx": {prepared.name: OnnxQuantizer(prepared)}}
        self.feeds = feeds
        self._feeds = [feeds[name] for name in prepared.inputs]
        self._recorded = self._recorded_calls()
        if self._recorded:
            cut = int(len(self._recorded) * CALIBRATED_SHARE)
            self._made = {"calibration": [self._recorded[:cut]], "held_out": [self._recorded[cut:]]}
            self.material = Material(self._recorded_sha256(), 1, cut * RECORDED_CALL_S)
            return
        self._made = {
            part: [self._inputs_of(samples) for _, samples in getattr(dataset, part)]
            for part in ("calibration", "held_out")
        }
        self.material = dataset.material
        if not any(self._made["calibration"]) or not any(self._made["held_out"]):
            raise ConfigError("the clips are shorter than one call of the graph; give longer recordings")

    def _recorded_calls(self) -> Inputs:
        if all(feed.recorded is None for feed in self._feeds):
            return []
        calls = list(zip(*(feed.played() for feed in self._feeds), strict=False))
        if len(calls) < MIN_RECORDED_CALLS:
            raise ConfigError(f"--feed: a file must have at least {MIN_RECORDED_CALLS} calls, got {len(calls)}")
        return calls

    def _recorded_sha256(self) -> str:
        digest = hashlib.sha256()
        for feed in self._feeds:
            if feed.recorded is not None:
                digest.update(np.ascontiguousarray(feed.recorded).tobytes())
        return digest.hexdigest()

    def _inputs_of(self, samples: FloatArray) -> Inputs:
        return list(zip(*(feed.calls(samples) for feed in self._feeds), strict=False))

    def _one_minute(self) -> Inputs:
        if self._recorded:
            return list(itertools.islice(itertools.cycle(self._recorded), int(60 / RECORDED_CALL_S)))
        return self._inputs_of(one_minute(self.dataset))

    @property
    def fed(self) -> str:
        """What it is played, for messages."""
        return ", ".join(f"--feed {name}={feed}" for name, feed in self.feeds.items())

    @property
    def hops(self) -> tuple[int, ...]:
        """A bare graph takes what its shape says."""
        return (1,)

    def runner(self, engine: str, graph: str, data: bytes, hops: int | None = None) -> Runner:
        """Load the graph's file, for a stream of its own."""
        return OnnxRunner(self.prepared, data)

    def calls(self, graph: str, part: str, hops: int | None = None) -> Iterator[Calls]:
        """Yield the calls of every clip of a part."""
        yield from (clip for clip in self._made[part] if clip)

    def output_names(self, graph: str) -> tuple[str, ...]:
        """Return the names of the outputs without states."""
        return self.prepared.outputs

    def audio_figures(self, engine: str, files: Files) -> dict[str, float]:
        """Nothing is heard of a bare graph: what its outputs mean is not known."""
        return {}

    def drift(self, engine: str, files: Files, minutes: int, progress: Callable[[float], None]) -> tuple[float, ...]:
        """Return the relative RMS error of all outputs in each minute of one stream, its minutes alike."""
        calls = self._one_minute()
        exact = self.runner(engine, self.name, self.float_files[engine][self.name])
        found = self.runner(engine, self.name, files[self.name])
        errors = []
        # a stream's first minute starts from empty states, all others from full ones: so shall the first here
        for inputs in calls[-len(calls) // 4 :]:
            exact.run(inputs)
            found.run(inputs)
        for index in range(minutes):
            distance = energy = 0.0
            for inputs in calls:
                for one, other in zip(exact.run(inputs), found.run(inputs), strict=True):
                    distance += float(np.sum((one.astype(np.float64) - other) ** 2))
                    energy += float(np.sum(one.astype(np.float64) ** 2))
            errors.append((distance / max(energy, 1e-30)) ** 0.5)
            progress((index + 1) / minutes)
        return tuple(errors)
