"""LiteRT (ai-edge-litert) with its XNNPACK kernels: one thread, public Python calls only."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgevc import _core
from edgevc.bundle import ModelBundle
from edgevc.engines.base import (
    FloatArray,
    Graph,
    GraphState,
    check_state_arrays,
    check_tensors,
    copy_inputs,
)
from edgevc.engines.tflite_file import read_tflite
from edgevc.errors import ConfigError, EngineError, ModelError
from edgevc.stderr import quiet_stderr
from edgevc.text import first_line


class LitertState(GraphState):
    """A stream's states. While it was the last to run, the newest values are in the interpreter, else here."""

    def __init__(self, graph: LitertGraph) -> None:
        """Allocate; use `Graph.new_state` instead."""
        self.graph = graph
        self.values = {tensor.name: np.zeros(tensor.shape, np.float32) for tensor in graph.spec.states}
        self.outputs = tuple(np.zeros(t.shape_for(graph.chunk_hops), np.float32) for t in graph.spec.outputs)
        self.after = _core.Copies((*graph.states_in, *self.outputs), (*graph.states_out, *graph.outputs))
        """Carries the new states to where the next call reads them, and the outputs here."""

    def arrays(self) -> dict[str, FloatArray]:
        """Return a copy of every state, by its name in the manifest."""
        with self.graph.lock:
            self.graph.evict(self)
            return {name: array.copy() for name, array in self.values.items()}

    def load(self, arrays: Mapping[str, FloatArray]) -> None:
        """Overwrite every state."""
        check_state_arrays(self.values, arrays)
        with self.graph.lock:
            self.graph.evict(self)
            for name, array in arrays.items():
                np.copyto(self.values[name], array)

    def copy(self) -> LitertState:
        """Return an independent state with the same values."""
        twin = LitertState(self.graph)
        twin.load(self.arrays())
        return twin


class LitertGraph(Graph):
    """One interpreter, shared by all streams, one call at a time.

    The interpreter owns its buffers, and its Python API cannot bind others, so states cannot change places without a
    copy. The stream that ran last is resident: its states stay inside, and a call copies each new state over the old
    one, all of them at once. When another stream comes, states are carried out and in. Streams in several threads take
    turns; to run truly in parallel, open the graph once for each.
    """

    def __init__(self, bundle: ModelBundle, name: str, chunk_hops: int, version: str) -> None:
        """Load; use `edgevc.engines.open_graph` instead."""
        super().__init__(bundle.graphs[name], "litert", version, chunk_hops)
        path = self.spec.files["litert"]
        graph = read_tflite(bundle.read(path), path, f"hops{chunk_hops}")
        for kind, expected, found in (
            ("inputs", self.spec.graph_inputs(chunk_hops), graph.inputs),
            ("outputs", self.spec.graph_outputs(chunk_hops), graph.outputs),
        ):
            check_tensors(f"{kind} of {name} (litert)", expected, {key: shape for key, (_, shape) in found.items()})
        try:
            with quiet_stderr():
                from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise EngineError(f'cannot import ai_edge_litert: {error}; pip install "edgevc[litert]"') from error
        self.lock = threading.Lock()
        try:
            with quiet_stderr():
                self._interpreter = Interpreter(model_content=graph.content, num_threads=1)
                self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"ai-edge-litert {version} cannot load {path}: {first_line(error)}; download or export it again"
            ) from error
        self._invoke = self._interpreter.invoke
        inputs = {key: _view(self._interpreter, index, shape) for key, (index, shape) in graph.inputs.items()}
        outputs = {key: _view(self._interpreter, index, shape) for key, (index, shape) in graph.outputs.items()}
        self._inputs = tuple(inputs[tensor.name] for tensor in self.spec.inputs)
        self.outputs = tuple(outputs[tensor.name] for tensor in self.spec.outputs)
        self.states_in = tuple(inputs[f"state_{tensor.name}_in"] for tensor in self.spec.states)
        self.states_out = tuple(outputs[f"state_{tensor.name}_out"] for tensor in self.spec.states)
        index, _ = graph.outputs[self.spec.outputs[0].name]
        # a look costs 2 us; what came with the package is looked at by the project's tests
        self._watched = None if bundle.built_in else self._interpreter.tensor(index)
        self._address = _address(self._interpreter.tensor(index)())
        self._resident: LitertState | None = None

    def new_state(self) -> LitertState:
        """Return the state of a stream that has heard nothing: zeros."""
        return LitertState(self)

    def evict(self, state: LitertState) -> None:
        """Carry the states of `state` out of the interpreter, if they are there; needs `lock`."""
        if self._resident is state:
            for tensor, array in zip(self.spec.states, self.states_in, strict=True):
                np.copyto(state.values[tensor.name], array)
            self._resident = None

    def run(self, state: GraphState, *inputs: FloatArray) -> tuple[FloatArray, ...]:
        """Take one chunk through the graph and advance `state`; see `Graph.run`."""
        if not isinstance(state, LitertState) or state.graph is not self:
            raise ConfigError(f"the state must come from this {self.spec.name} graph's new_state()")
        with self.lock:
            copy_inputs(self, self._inputs, inputs)
            if self._resident is not state:
                if self._resident is not None:
                    self.evict(self._resident)
                for tensor, array in zip(self.spec.states, self.states_in, strict=True):
                    np.copyto(array, state.values[tensor.name])
                self._resident = state
            try:
                self._invoke()
            except (RuntimeError, ValueError) as error:
                raise ModelError(
                    f"ai-edge-litert cannot run {self.spec.name}: {first_line(error)}; export it again"
                ) from error
            if self._watched is not None and _address(self._watched()) != self._address:
                raise ModelError(f"LiteRT moved the memory of {self.spec.name} in a call; export it with fixed shapes")
            state.after.run()
        return state.outputs


def _address(array: FloatArray) -> int:
    return int(array.__array_interface__["data"][0])


def _view(interpreter: Any, index: int, shape: tuple[int, ...]) -> FloatArray:
    """Return a tensor's memory as an array that stays valid as long as the interpreter does not move it.

    The array that LiteRT gives may not be kept across invoke(), which refuses to run while one is alive. Memory moves
    in allocate_tensors(), which is called once, and in invoke() where a shape is computed at run time: `read_tflite`
    refuses such graphs, and `run` looks at one address of a stranger's graph after each call, before it touches any.
    """
    tensor = interpreter.tensor(index)()
    if tensor.shape != shape or tensor.dtype != np.float32 or not tensor.flags.c_contiguous:
        raise ModelError(f"LiteRT gives tensor {index} shape {tensor.shape}, the file says {shape}; export it again")
    buffer = (ctypes.c_float * tensor.size).from_address(_address(tensor))
    return np.ctypeslib.as_array(buffer).reshape(shape)
