"""The interface that both inference engines implement: a graph is shared, a stream's memory is a value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgevc.arrays import require_float32
from edgevc.bundle import GraphSpec
from edgevc.errors import ConfigError, ModelError

FloatArray = NDArray[np.float32]


class GraphState(ABC):
    """All that one stream remembers of one graph, made by `Graph.new_state` and usable with that graph only."""

    @abstractmethod
    def arrays(self) -> dict[str, FloatArray]:
        """Return a copy of every state, by its name in the manifest."""

    @abstractmethod
    def load(self, arrays: Mapping[str, FloatArray]) -> None:
        """Overwrite every state; `arrays` has the names and shapes of `arrays()`."""

    @abstractmethod
    def copy(self) -> GraphState:
        """Return an independent state with the same values: from here two streams may part."""

    def reset(self) -> None:
        """Make this state equal to a new one."""
        self.load({name: np.zeros_like(array) for name, array in self.arrays().items()})


class Graph(ABC):
    """A loaded graph. Immutable: what a stream remembers is in its GraphState, so streams share one graph.

    Calls with different states may come in any order and from different threads. Two threads must not use the same
    state at once.
    """

    def __init__(self, spec: GraphSpec, engine: str, engine_version: str, chunk_hops: int) -> None:
        """Keep what every engine has in common."""
        self.spec = spec
        self.engine = engine
        self.engine_version = engine_version
        self.chunk_hops = chunk_hops
        """Hops that one call takes."""

    @abstractmethod
    def new_state(self) -> GraphState:
        """Return the state of a stream that has heard nothing: zeros."""

    @abstractmethod
    def run(self, state: GraphState, *inputs: FloatArray) -> tuple[FloatArray, ...]:
        """Take one chunk through the graph and advance `state`.

        Args:
            state: from this graph's `new_state`.
            inputs: one array for each of `spec.inputs`, in that order, float32, of the exact shape for `chunk_hops`.

        Returns:
            One array for each of `spec.outputs`. They belong to `state` and are overwritten by the next call with it.

        Raises:
            TypeError: an input is not float32.
            ConfigError: an input has another shape, or `state` is another graph's.
            ModelError: the engine could not run the graph.
        """


def copy_inputs(graph: Graph, targets: tuple[FloatArray, ...], inputs: tuple[FloatArray, ...]) -> None:
    """Copy a call's inputs to the bound buffers, refusing what would be cast or broadcast."""
    if len(inputs) != len(targets):
        raise ConfigError(
            f"{graph.spec.name} takes {len(targets)} inputs ({', '.join(spec.name for spec in graph.spec.inputs)}), "
            f"got {len(inputs)}"
        )
    for i, (target, value) in enumerate(zip(targets, inputs, strict=True)):
        if value.dtype != target.dtype:
            require_float32(value, graph.spec.inputs[i].name)
        if value.shape != target.shape:
            raise ConfigError(
                f"{graph.spec.inputs[i].name} must have shape {target.shape} at chunk_hops {graph.chunk_hops}, "
                f"got {value.shape}"
            )
        target[...] = value


def check_state_arrays(own: Mapping[str, FloatArray], arrays: Mapping[str, FloatArray]) -> None:
    """Refuse arrays that do not fit the states of a graph."""
    if set(arrays) != set(own):
        raise ConfigError(f"states must be {', '.join(own) or 'none'}, got {', '.join(arrays) or 'none'}")
    for name, array in arrays.items():
        require_float32(array, name)
        if array.shape != own[name].shape:
            raise ConfigError(f"state {name} must have shape {own[name].shape}, got {array.shape}")


def check_tensors(
    what: str, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int | str | None, ...]]
) -> None:
    """Compare what a graph file declares with what the manifest says.

    Args:
        what: names the tensors in the message, such as "inputs of encoder (onnx)".
        expected: name to shape.
        found: name to shape; a dimension that is not an int is free and fits any number of hops.
    """
    if set(expected) != set(found):
        missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
        raise ModelError(
            f"{what} must be those of the manifest; missing: {', '.join(missing) or 'none'}; "
            f"unknown: {', '.join(map(str, extra))[:200] or 'none'}; export the model again"
        )
    for name, shape in expected.items():
        got = found[name]
        free_first = len(got) > 0 and not isinstance(got[0], int)
        if got != shape and not (free_first and got[1:] == shape[1:]):
            raise ModelError(f"{what}: {name} must have shape {shape}, got {got}; export the model again")
