"""Loads and runs graphs that nobody vouched for in a child process, which may crash, hang or run out of memory.

What a graph does with time and memory follows from its file alone (shapes are constants, see onnx_file and
tflite_file), so what the child measured holds for every later call. `trust` checks a bundle with it; whoever has a
graph and no golden vectors calls `probe_graphs` before the graph is loaded in a process that shall live.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from edgevc import children
from edgevc.engines.loader import require_engine
from edgevc.errors import EdgevcError, EngineError, ModelError
from edgevc.stderr import quiet_stderr
from edgevc.text import first_line, printable

TIME_LIMIT_S = 60
"""Of a child, by the clock. A Raspberry Pi Zero 2 W needs some 10 s to import onnxruntime from a cold card."""
BUDGET_S = 2.0
"""Processor time for all that a child loads and runs, and BUDGET_S_PER_MIB for its files, MAX_BUDGET_S at most. All
times here are those of a machine on which a child begins after START_COST_S; a slower one is given more. Measured for
the shipped bundles, each graph loaded at three numbers of hops: 0.1 to 0.4 s."""
BUDGET_S_PER_MIB = 0.1
MAX_BUDGET_S = 4.0
HOP_LIMIT_S = 0.01
"""For each hop of a bundle's graph, beside START_LIMIT_S: as long as it sounds."""
START_LIMIT_S = 0.05
START_COST_S = 0.3
"""Processor time of a child until its module is imported, on x86-64. It tells how slow a machine is."""
GROWTH_LIMIT_BYTES = 64 << 20
"""Address space that all graphs of a bundle may take, and GROWTH_PER_FILE_BYTE for each byte of their files. Measured:
25 MiB for the default model's 4 MB, six times loaded."""
GROWTH_PER_FILE_BYTE = 8

_PROBE_CALLS = 4
# a call of a graph that is no bundle's may stand for any length of sound
_CALL_LIMIT_S = 0.25
# of this process, when it is a child
_slowness = max(1.0, time.process_time() / START_COST_S)
_spent_at = 0.0
_NUMPY = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16, "tensor(bool)": np.bool_,
    "tensor(int8)": np.int8, "tensor(uint8)": np.uint8, "tensor(int32)": np.int32, "tensor(int64)": np.int64,
}  # fmt: skip


def probe_graphs(files: Mapping[str, bytes], engine: str, hops: Sequence[int] = (1,)) -> None:
    """Load and run graph files in a child process; return if nothing happens to it.

    Args:
        files: name for messages to content.
        engine: "litert" or "onnx", installed.
        hops: LiteRT: the signatures `hops<n>`; ONNX Runtime: what the inputs' free dimensions are set to.

    Raises:
        EngineError: the engine cannot be imported.
        ModelError: a graph cannot be loaded or run, or crashes the engine, or takes too much time or memory.
    """
    sizes = {name: len(data) for name, data in files.items()}
    ask(
        "edgevc.engines.probe", "_probe_main", engine, ", ".join(files),
        data=b"".join(files.values()), sizes=sizes, hops=list(hops),
    )  # fmt: skip


def ask(module: str, function: str, engine: str, what: str, data: bytes = b"", **arguments: Any) -> dict[str, Any]:
    """Call `module.function(engine=engine, **arguments)` in a child and return its answer.

    The function begins with `begin`, says with `phase` what it is about to do, and ends with `children.answer` or
    `refuse`.

    Args:
        module: of edgevc.
        function: of that module.
        engine: "litert" or "onnx".
        what: names the graphs in messages.
        data: what the child finds in its stdin.
        arguments: what JSON can hold.

    Raises:
        EngineError: the engine cannot be imported, or needs an instruction that this CPU does not have.
        ModelError: what `refuse` said, or the child crashed or took too much time.
    """
    what = printable(what)
    try:
        ended = children.ask(module, function, TIME_LIMIT_S, data, engine=engine, **arguments)
    except OSError as error:
        raise EngineError(
            f"cannot start {sys.executable!r} to check engine {engine} in a process of its own: {error}; "
            "run edgevc from a normal Python"
        ) from error
    said = ended.answer
    if not ended.how:
        if "message" in said:
            raise (EngineError if said.get("kind") == "EngineError" else ModelError)(str(said["message"]))
        return said
    while_it = f" while it was to {printable(str(said['phase']))[:200]}" if "phase" in said else ""
    if ended.how == "SIGILL":
        raise EngineError(
            f"engine {engine} died of an instruction that this CPU does not have; "
            "install another version of it, or choose the other engine"
        )
    if ended.how == children.TIMED_OUT:
        raise ModelError(f"engine {engine} must run {what} within {TIME_LIMIT_S} s, it did not{while_it}; {_NEXT}")
    if ended.how == children.OUT_OF_TIME:
        limit = f"{said['seconds']:.3g} s of processor time" if "seconds" in said else "its processor time"
        raise ModelError(f"engine {engine} was given {limit}, which was not enough{while_it}; {_NEXT}")
    raise ModelError(f"engine {engine} must survive {what}, it ended with {ended.how}{while_it}; {_NEXT}")


_NEXT = "use another model, or a smaller one"


def begin(engine: str, n_bytes: int) -> None:
    """In the child: import the engine, then bound what comes.

    Args:
        engine: "litert" or "onnx".
        n_bytes: of all graph files together.

    Raises:
        EngineError: the engine cannot be imported.
    """
    children.limit_resources(TIME_LIMIT_S)
    children.at(phase=f"import engine {engine}")
    require_engine(engine)
    try:
        with quiet_stderr():
            # what the engine takes by itself is no fault of a graph
            if engine == "onnx":
                import onnxruntime  # noqa: F401
            else:
                from ai_edge_litert.interpreter import Interpreter  # noqa: F401
    except ImportError as error:
        raise EngineError(f'cannot import engine {engine}: {error}; pip install "edgevc[{engine}]"') from error
    children.limit_growth(GROWTH_LIMIT_BYTES + GROWTH_PER_FILE_BYTE * n_bytes)
    global _spent_at
    _spent_at = time.process_time() + _slowness * min(BUDGET_S + BUDGET_S_PER_MIB * n_bytes / (1 << 20), MAX_BUDGET_S)


def load_phase(name: str, n_bytes: int) -> None:
    """In the child: a graph of `n_bytes` is about to be loaded."""
    phase(f"load {name}")


def run_phase(name: str, n_hops: int) -> None:
    """In the child: a graph is about to run for `n_hops` hops."""
    phase(f"run {name} for {n_hops} hops", START_LIMIT_S + HOP_LIMIT_S * n_hops)


def phase(what: str, seconds: float = MAX_BUDGET_S) -> None:
    """In the child: say what comes, and bound its processor time by `seconds` and by what is left of the budget."""
    # 0 would be no limit
    seconds = max(min(_slowness * seconds, _spent_at - time.process_time()), 0.001)
    children.at(phase=what, seconds=seconds)
    children.limit_processor_time(seconds)


def refuse(error: Exception, what: str) -> NoReturn:
    """In the child: give an error as the answer."""
    if isinstance(error, MemoryError):
        children.answer(message=f"{what} must run in {_bound()}, it needs more; {_NEXT}")
    kind = "EngineError" if isinstance(error, EngineError) else "ModelError"
    message = str(error) if isinstance(error, EdgevcError) else f"{what} cannot be run: {first_line(error)}; {_NEXT}"
    children.answer(kind=kind, message=message)


def _bound() -> str:
    return f"{GROWTH_LIMIT_BYTES >> 20} MiB and {GROWTH_PER_FILE_BYTE} times its file's size"


def _probe_main(engine: str, sizes: dict[str, int], hops: list[int]) -> None:
    name = ", ".join(sizes)
    try:
        begin(engine, sum(sizes.values()))
        for name, size in sizes.items():
            data = sys.stdin.buffer.read(size)
            for count in hops:
                load_phase(name, size)
                (try_onnx if engine == "onnx" else _try_litert)(data, name, count)
    except Exception as error:  # engines raise what they like
        refuse(error, name)
    children.answer()


def try_onnx(data: bytes, name: str, hops: int) -> None:
    """Load a graph and run it, in this process."""
    from edgevc.engines.onnx import open_session

    session = open_session(data, name, "download or export it again")
    inputs: dict[str, NDArray[Any]] = {}
    for node in session.get_inputs():
        if node.type not in _NUMPY:
            raise ModelError(f"{name}: input {node.name} must hold numbers, got {node.type}; export it again")
        shape = [size if isinstance(size, int) else hops for size in node.shape]
        inputs[node.name] = np.zeros(shape, _NUMPY[node.type])
    phase(f"run {name} {_PROBE_CALLS} times", _CALL_LIMIT_S * _PROBE_CALLS)
    for i in range(_PROBE_CALLS):
        session.run(None, {key: _sound(array, i) for key, array in inputs.items()})


def _try_litert(data: bytes, name: str, hops: int) -> None:
    from ai_edge_litert.interpreter import Interpreter

    from edgevc.engines.tflite_file import read_tflite

    graph = read_tflite(data, name, f"hops{hops}")
    interpreter = Interpreter(model_content=graph.content, num_threads=1)
    interpreter.allocate_tensors()
    phase(f"run {name} {_PROBE_CALLS} times", _CALL_LIMIT_S * _PROBE_CALLS)
    for i in range(_PROBE_CALLS):
        for index, shape in graph.inputs.values():
            interpreter.set_tensor(index, _sound(np.zeros(shape, np.float32), i))
        interpreter.invoke()


def _sound(like: NDArray[Any], seed: int) -> NDArray[Any]:
    """Return zeros at first, then small random numbers; integers stay 0, since they may be places in a table."""
    if seed == 0 or like.dtype.kind != "f":
        return like
    return np.random.default_rng(seed).standard_normal(like.shape).astype(like.dtype)
