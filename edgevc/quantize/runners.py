"""Plays a stream through one graph, call by call, and keeps its states."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevc.engines import Graph
from edgevc.engines.onnx import open_session
from edgevc.errors import ModelError
from edgevc.quantize.layers import FloatArray
from edgevc.quantize.prepare import Prepared
from edgevc.text import first_line

Calls = Sequence[tuple[NDArray[Any], ...]]
"""A graph's inputs without states, call by call."""


class Runner(ABC):
    """One graph with one stream's states."""

    @abstractmethod
    def run(self, inputs: tuple[NDArray[Any], ...]) -> tuple[FloatArray, ...]:
        """Take one call's inputs; return the outputs without states, valid until the next call."""

    def play(self, calls: Calls) -> list[FloatArray]:
        """Take a whole stream; return each output with all calls in front, (n_calls, ...)."""
        columns: list[list[FloatArray]] = []
        for inputs in calls:
            outputs = self.run(inputs)
            columns = columns or [[] for _ in outputs]
            for column, output in zip(columns, outputs, strict=True):
                column.append(output.copy())
        return [np.stack(column) for column in columns]


class OnnxRunner(Runner):
    """A bare graph in ONNX Runtime; also reads inner tensors."""

    def __init__(self, prepared: Prepared, data: bytes, outputs: Sequence[str] | None = None) -> None:
        """Load as whoever uses the file does; `outputs` in place of the graph's own.

        Raises:
            ModelError: ONNX Runtime cannot load it.
        """
        self._session = open_session(data, prepared.name, "export it again")
        self._states = {pair.input: np.zeros(prepared.state_shapes[pair.input], np.float32) for pair in prepared.states}
        self._names = tuple(prepared.inputs)
        self._outputs = tuple(outputs if outputs is not None else prepared.outputs)
        self._pairs = prepared.states
        # a state can be an output that is looked at, too, and may be asked for once only
        self._wanted = list(dict.fromkeys([*self._outputs, *(pair.output for pair in prepared.states)]))

    def run(self, inputs: tuple[NDArray[Any], ...]) -> tuple[FloatArray, ...]:
        """Take one call's inputs; return the outputs without states."""
        feed = dict(zip(self._names, inputs, strict=True)) | self._states
        try:
            values = dict(zip(self._wanted, self._session.run(self._wanted, feed), strict=True))
        except Exception as error:  # onnxruntime's own exceptions derive from Exception only
            raise ModelError(
                f"onnxruntime cannot run the graph: {first_line(error)}; see --shape and --feed"
            ) from error
        self._states = {pair.input: values[pair.output] for pair in self._pairs}
        return tuple(values[name] for name in self._outputs)


class EngineRunner(Runner):
    """A graph of a bundle in one of the engines."""

    def __init__(self, graph: Graph) -> None:
        """Start a stream."""
        self._graph, self._state = graph, graph.new_state()

    def run(self, inputs: tuple[NDArray[Any], ...]) -> tuple[FloatArray, ...]:
        """Take one call's inputs; return the outputs without states."""
        return self._graph.run(self._state, *inputs)
