"""ONNX Runtime: one thread, buffers bound once, states exchanged instead of copied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgevc.bundle import GraphSpec, ModelBundle
from edgevc.engines.base import (
    FloatArray,
    Graph,
    GraphState,
    check_state_arrays,
    check_tensors,
    copy_inputs,
)
from edgevc.engines.onnx_file import check_onnx
from edgevc.engines.onnx_overflow import PRECISION_MODE, may_overflow, with_own_weights
from edgevc.errors import ConfigError, EngineError, ModelError
from edgevc.stderr import quiet_stderr
from edgevc.text import first_line


class OnnxState(GraphState):
    """Two sets of state buffers: each call reads one and writes the other, then they change places."""

    def __init__(self, graph: OnnxGraph) -> None:
        """Allocate and bind; use `Graph.new_state` instead."""
        self.graph = graph
        spec, hops = graph.spec, graph.chunk_hops
        self.inputs = tuple(_aligned(tensor.shape_for(hops)) for tensor in spec.inputs)
        self.outputs = tuple(_aligned(tensor.shape_for(hops)) for tensor in spec.outputs)
        self._banks = tuple({tensor.name: _aligned(tensor.shape) for tensor in spec.states} for _ in range(2))
        self.parity = 0
        self.bindings = (self._bind(*self._banks), self._bind(*self._banks[::-1]))

    def _bind(self, before: Mapping[str, FloatArray], after: Mapping[str, FloatArray]) -> Any:
        spec = self.graph.spec
        binding = self.graph.session.io_binding()
        named_inputs = {tensor.name: array for tensor, array in zip(spec.inputs, self.inputs, strict=True)}
        named_outputs = {tensor.name: array for tensor, array in zip(spec.outputs, self.outputs, strict=True)}
        named_inputs |= {f"state_{name}_in": array for name, array in before.items()}
        named_outputs |= {f"state_{name}_out": array for name, array in after.items()}
        for name, array in named_inputs.items():
            binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for name, array in named_outputs.items():
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        return binding

    def arrays(self) -> dict[str, FloatArray]:
        """Return a copy of every state, by its name in the manifest."""
        return {name: array.copy() for name, array in self._banks[self.parity].items()}

    def load(self, arrays: Mapping[str, FloatArray]) -> None:
        """Overwrite every state."""
        bank = self._banks[self.parity]
        check_state_arrays(bank, arrays)
        for name, array in arrays.items():
            np.copyto(bank[name], array)

    def copy(self) -> OnnxState:
        """Return an independent state with the same values."""
        twin = OnnxState(self.graph)
        twin.load(self.arrays())
        return twin


class OnnxGraph(Graph):
    """One session, shared by all streams: a session may be run from several threads at once."""

    def __init__(self, bundle: ModelBundle, name: str, chunk_hops: int, version: str) -> None:
        """Load; use `edgevc.engines.open_graph` instead."""
        super().__init__(bundle.graphs[name], "onnx", version, chunk_hops)
        path = self.spec.files["onnx"]
        data = bundle.read(path)
        free = check_onnx(data, path)
        # with a fixed number of hops, the shape arithmetic of the file is computed once, at load
        sizes = dict.fromkeys(free, chunk_hops)
        self.session = open_session(data, path, "download or export it again", sizes)
        _check_declared(self.session.get_inputs(), self.spec.graph_inputs(chunk_hops), f"inputs of {name} (onnx)")
        _check_declared(self.session.get_outputs(), self.spec.graph_outputs(chunk_hops), f"outputs of {name} (onnx)")

    def new_state(self) -> OnnxState:
        """Return the state of a stream that has heard nothing: zeros."""
        return OnnxState(self)

    def run(self, state: GraphState, *inputs: FloatArray) -> tuple[FloatArray, ...]:
        """Take one chunk through the graph and advance `state`; see `Graph.run`."""
        if not isinstance(state, OnnxState) or state.graph is not self:
            raise ConfigError(f"the state must come from this {self.spec.name} graph's new_state()")
        copy_inputs(self, state.inputs, inputs)
        try:
            # No run options: with them, each call costs 30 us more in onnxruntime 1.30 and 1.31.
            self.session.run_with_iobinding(state.bindings[state.parity])
        except Exception as error:  # as above
            raise _failed(self.spec, error) from error
        state.parity ^= 1
        return state.outputs


def open_session(data: bytes, path: str, advice: str, sizes: Mapping[str, int] | None = None) -> Any:
    """Load a graph that may be trusted so far, on one thread and with every optimization.

    Args:
        data: the file.
        path: names it in messages.
        advice: what to do where it cannot be loaded.
        sizes: free dimensions to their size.

    Raises:
        EngineError: ONNX Runtime cannot be imported.
        ModelError: it cannot load the graph.
    """
    try:
        with quiet_stderr():
            import onnxruntime
    except ImportError as error:
        raise EngineError(f'cannot import onnxruntime: {error}; pip install "edgevc[onnx]"') from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    if may_overflow():
        options.add_session_config_entry(PRECISION_MODE, "1")
        data = with_own_weights(data)
    for dimension, size in (sizes or {}).items():
        options.add_free_dimension_override_by_name(dimension, size)
    try:
        with quiet_stderr():
            return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions derive from Exception only
        version = onnxruntime.__version__
        raise ModelError(f"onnxruntime {version} cannot load {path}: {first_line(error)}; {advice}") from error


def _aligned(shape: tuple[int, ...]) -> FloatArray:
    """Return zeros on a 64-byte boundary, which the engine's kernels like best."""
    n_bytes = 4 * int(np.prod(shape))
    buffer = np.zeros(n_bytes + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    return buffer[start : start + n_bytes].view(np.float32).reshape(shape)


def _check_declared(declared: Any, expected: Mapping[str, tuple[int, ...]], what: str) -> None:
    for node in declared:
        if node.type != "tensor(float)":
            raise ModelError(f"{what}: {node.name} must be float32, got {node.type}; export the model again")
    check_tensors(what, expected, {node.name: tuple(node.shape) for node in declared})


def _failed(spec: GraphSpec, error: Exception) -> ModelError:
    return ModelError(f"onnxruntime cannot run {spec.name}: {first_line(error)}; export the model again")
