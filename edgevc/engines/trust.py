"""Lets an inference engine run a bundle only after it has reproduced the bundle's golden vectors on this machine.

Engines have been seen to return garbage for int8 graphs without a word (tflite-runtime 2.14), to die with an illegal
instruction (onnxruntime 1.21 on a Raspberry Pi 4), and to crash on a damaged file. So the first time that an engine
version meets a bundle on a kind of CPU, a child process with bounded time and memory loads every graph and runs the
golden inputs; this process only learns the result. It is remembered in `$XDG_CACHE_HOME/edgevc/trust.json`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgevc.bundle import GraphSpec, ModelBundle
from edgevc.children import limit_resources, python_command
from edgevc.engines.base import FloatArray
from edgevc.engines.loader import load_graph
from edgevc.errors import EdgevcError, EngineError, ModelError, OutputError
from edgevc.files import cache_dir, write_atomic

TIME_LIMIT_S = 60
"""A Raspberry Pi Zero 2 W needs some 10 s to import onnxruntime from a cold card."""

_MAX_CACHE_BYTES = 1 << 20
_MAX_CACHE_ENTRIES = 200
# Verdicts of this process, so that a cache that cannot be written costs one check and not one at each graph.
_trusted: set[str] = set()


def require(bundle: ModelBundle, engine: str, version: str) -> None:
    """Return if `engine` reproduces the golden vectors of `bundle` here.

    Args:
        bundle: the model.
        engine: "litert" or "onnx", installed.
        version: of the engine.

    Raises:
        EngineError: the engine computes wrong values, or dies of an instruction that this CPU does not have.
        ModelError: the engine cannot load or run the graphs, crashes on them, or takes too much time or memory.
    """
    key = f"{engine} {version} {bundle.sha256} {cpu_id()}"
    if key in _trusted:
        return
    cache = _read_cache()
    error = cache.get(key, math.inf)
    # Only passes are kept, so anything else in the cache is damage and is measured again.
    if not _passes(bundle, engine, error):
        error = measure_in_child(bundle, engine)
        if _passes(bundle, engine, error):
            _write_cache({**cache, key: error})
    if not _passes(bundle, engine, error):
        raise EngineError(
            f"engine {engine} ({version}) is refused: its relative error on the golden vectors of bundle {bundle.name} "
            f"must be at most {bundle.golden.tolerance[engine]:g}, measured {error:.3g}; "
            "install another version of it, or choose the other engine"
        )
    _trusted.add(key)


def _passes(bundle: ModelBundle, engine: str, error: float) -> bool:
    return error <= bundle.golden.tolerance[engine]


def golden_error(bundle: ModelBundle, engine: str) -> float:
    """Stream the golden inputs through every graph, at every number of hops in a call, in this process.

    Returns:
        The largest relative RMS error of any output, sqrt(sum |y - y_golden|^2 / sum |y_golden|^2); infinity where an
        output is not finite.

    Raises:
        EngineError: the engine cannot be imported.
        ModelError: a graph cannot be loaded or run.
    """
    errors = [0.0]
    for chunk_hops in bundle.graphs["encoder"].chunk_hops:
        for name, output in golden_outputs(bundle, engine, chunk_hops).items():
            expected = bundle.golden_array(name).astype(np.float64)
            distance = float(np.sum((output - expected) ** 2))
            energy = float(np.sum(expected**2))
            errors.append(math.sqrt(distance / max(energy, 1e-12)) if math.isfinite(distance) else math.inf)
    return max(errors)


def golden_outputs(bundle: ModelBundle, engine: str, chunk_hops: int = 1) -> dict[str, FloatArray]:
    """Stream the golden inputs through every graph, in this process; an exporter makes the golden outputs with it.

    Returns:
        Name of the golden array, such as `encoder/litert/content`, to what `engine` gives now.

    Raises:
        EngineError: the engine cannot be imported.
        ModelError: a graph cannot be loaded or run.
    """
    outputs: dict[str, FloatArray] = {}
    for spec in bundle.graphs.values():
        columns = _stream(bundle, spec, engine, chunk_hops)
        named = zip(spec.outputs, columns, strict=True)
        outputs |= {f"{spec.name}/{engine}/{tensor.name}": column for tensor, column in named}
    return outputs


def _stream(bundle: ModelBundle, spec: GraphSpec, engine: str, chunk_hops: int) -> list[FloatArray]:
    graph = load_graph(bundle, spec.name, engine, chunk_hops)
    state = graph.new_state()
    golden = [bundle.golden_array(f"{spec.name}/input/{tensor.name}") for tensor in spec.inputs]
    chunks = []
    for start in range(0, bundle.golden.n_hops, chunk_hops):
        inputs = [
            array[start : start + chunk_hops] if tensor.shape[0] == -1 else array
            for tensor, array in zip(spec.inputs, golden, strict=True)
        ]
        chunks.append([output.copy() for output in graph.run(state, *inputs)])
    return [np.concatenate(column) for column in zip(*chunks, strict=True)]


def measure_in_child(bundle: ModelBundle, engine: str) -> float:
    """Return `golden_error`, measured in a child process, which may crash without harm.

    Raises:
        EngineError: the engine cannot be imported, or needs an instruction that this CPU does not have.
        ModelError: a graph cannot be loaded or run, or crashes the engine, or takes too much time or memory.
    """
    path = str(bundle.path.resolve())
    try:
        done = subprocess.run(  # noqa: S603
            python_command("edgevc.engines.trust", "_child_main", path=path, sha256=bundle.sha256, engine=engine),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            timeout=TIME_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"engine {engine} must run the golden vectors of bundle {bundle.name} within {TIME_LIMIT_S} s, it did not; "
            "copy the bundle again"
        ) from error
    except OSError as error:
        raise EngineError(
            f"cannot start {sys.executable!r} to check engine {engine} in a process of its own: {error}; "
            "run edgevc from a normal Python"
        ) from error
    return _verdict(bundle, engine, done)


def _verdict(bundle: ModelBundle, engine: str, done: subprocess.CompletedProcess[bytes]) -> float:
    # Engines may print to stdout as well; the verdict is the last line.
    last = done.stdout[-10_000:].strip().rpartition(b"\n")[2]
    try:
        answer = json.loads(last)
        if "error" in answer:
            return float(answer["error"])
        kind, message = EngineError if answer["kind"] == "EngineError" else ModelError, str(answer["message"])
    except (ValueError, TypeError, KeyError):
        pass
    else:
        raise kind(message)
    if done.returncode == -signal.SIGILL:
        raise EngineError(
            f"engine {engine} died of an instruction that this CPU does not have; "
            "install another version of it, or choose the other engine"
        )
    how = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit status {done.returncode}"
    raise ModelError(
        f"engine {engine} must survive the graphs of bundle {bundle.name}, it ended with {how}; copy the bundle again"
    )


def _child_main(path: str, sha256: str, engine: str) -> None:
    """Measure and print one line of JSON; runs in the child."""
    limit_resources(TIME_LIMIT_S)
    answer: dict[str, Any]
    try:
        bundle = ModelBundle.open(path)
        if bundle.sha256 != sha256:
            raise ModelError(f"the bundle {path} changed while it was read; open it again")
        error = golden_error(bundle, engine)
        answer = {"error": error if math.isfinite(error) else 1e9}
    except EdgevcError as failure:
        answer = {"kind": type(failure).__name__, "message": str(failure)}
    except MemoryError:
        answer = {"kind": "ModelError", "message": f"the graphs of {path} need too much memory; copy the bundle again"}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    sys.stdout.flush()
    # Engines were seen to crash while the interpreter shuts down; the verdict is already out.
    os._exit(0)


@functools.lru_cache(maxsize=1)
def cpu_id() -> str:
    """Return a name for this kind of CPU: engines choose their kernels by its instruction sets."""
    keep = ("vendor_id", "model name", "flags", "Features", "CPU implementer", "CPU part", "CPU variant", "Model")
    facts = [platform.machine()]
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.partition(":")[0].strip() in keep and line not in facts:
                facts.append(line)
    return f"{platform.machine()}-{hashlib.sha256(chr(10).join(facts).encode()).hexdigest()[:16]}"


def cache_path() -> Path | None:
    """Return where verdicts are kept; None where there is no home."""
    folder = cache_dir()
    return None if folder is None else folder / "trust.json"


def _read_cache() -> dict[str, float]:
    """Return the verdicts, key to error; empty where there are none or the file is damaged."""
    path = cache_path()
    try:
        if path is None or not path.is_file() or path.stat().st_size > _MAX_CACHE_BYTES:
            return {}
        values = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): float(error) for key, error in values["verdicts"].items() if type(error) in (int, float)}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _write_cache(verdicts: dict[str, float]) -> None:
    """Replace the cache file at once, so that a reader sees the old or the new one; failing to is harmless."""
    path = cache_path()
    if path is None:
        return
    newest = dict(list(verdicts.items())[-_MAX_CACHE_ENTRIES:])
    with contextlib.suppress(OSError, OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps({"verdicts": newest}, indent=1).encode())
