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
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgevc import children
from edgevc.bundle import ModelBundle
from edgevc.engines import probe
from edgevc.engines.base import FloatArray, Graph
from edgevc.engines.loader import load_graph
from edgevc.errors import EngineError, ModelError, OutputError
from edgevc.files import cache_dir, write_atomic

Watch = Callable[[str, int], None]
"""Told the name of a graph, and the bytes of its file or the hops that it is about to run."""

_RULES = 2
"""Counts up when a bundle must be checked again that passed before: its limits have changed."""
_MAX_CACHE_BYTES = 1 << 20
_MAX_CACHE_ENTRIES = 200
# Verdicts of this process, so that a cache that cannot be written costs one check and not one at each graph.
trusted: set[str] = set()


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
    key = verdict_key(bundle, engine, version)
    if key in trusted:
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
    trusted.add(key)


def verdict_key(bundle: ModelBundle, engine: str, version: str) -> str:
    """Return the name under which a verdict is kept: it holds for this bundle, engine and processor."""
    return f"{engine} {version} {bundle.sha256} {cpu_id()} rules {_RULES}"


def _passes(bundle: ModelBundle, engine: str, error: float) -> bool:
    return error <= bundle.golden.tolerance[engine]


def golden_error(
    bundle: ModelBundle, engine: str, before_load: Watch | None = None, before_run: Watch | None = None
) -> float:
    """Stream the golden inputs through every graph, at every number of hops in a call, in this process.

    Returns:
        The largest relative RMS error of any output, sqrt(sum |y - y_golden|^2 / sum |y_golden|^2); infinity where an
        output is not finite.

    Raises:
        EngineError: the engine cannot be imported.
        ModelError: a graph cannot be loaded or run.
    """
    errors = [0.0]
    for chunk_hops in sorted({hops for spec in bundle.graphs.values() for hops in spec.chunk_hops}):
        for name, output in golden_outputs(bundle, engine, chunk_hops, before_load, before_run).items():
            expected = bundle.golden_array(name).astype(np.float64)
            distance = float(np.sum((output - expected) ** 2))
            energy = float(np.sum(expected**2))
            errors.append(math.sqrt(distance / max(energy, 1e-12)) if math.isfinite(distance) else math.inf)
    return max(errors)


def golden_outputs(
    bundle: ModelBundle,
    engine: str,
    chunk_hops: int | None = None,
    before_load: Watch | None = None,
    before_run: Watch | None = None,
) -> dict[str, FloatArray]:
    """Stream the golden inputs through every graph, in this process; an exporter makes the golden outputs with it.

    Args:
        bundle: the model.
        engine: "litert" or "onnx", installed.
        chunk_hops: in a call, by those graphs that can; None: by each the fewest that it can.
        before_load: see `golden_error`.
        before_run: see `golden_error`.

    Returns:
        Name of the golden array, such as `encoder/litert/content`, to what `engine` gives now.

    Raises:
        EngineError: the engine cannot be imported.
        ModelError: a graph cannot be loaded or run.
    """
    outputs: dict[str, FloatArray] = {}
    for spec in bundle.graphs.values():
        hops = spec.chunk_hops[0] if chunk_hops is None else chunk_hops
        if hops not in spec.chunk_hops:
            continue
        if before_load is not None:
            before_load(f"{spec.name} at {hops} hops", bundle.file_bytes(spec.files[engine]))
        graph = load_graph(bundle, spec.name, engine, hops)
        if before_run is not None:
            before_run(f"{spec.name} at {hops} hops", bundle.golden.n_hops)
        columns = _stream(bundle, graph)
        named = zip(spec.outputs, columns, strict=True)
        outputs |= {f"{spec.name}/{engine}/{tensor.name}": column for tensor, column in named}
    return outputs


def _stream(bundle: ModelBundle, graph: Graph) -> list[FloatArray]:
    spec, chunk_hops = graph.spec, graph.chunk_hops
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
    path, what = str(bundle.path.resolve()), f"the golden vectors of bundle {bundle.name}"
    # what was decrypted stays in memory: the child gets it through a pipe
    content = bundle.decrypted
    said = probe.ask(
        "edgevc.engines.trust",
        "_measure_main",
        engine,
        what,
        content or b"",
        path=path,
        sha256=bundle.sha256,
        piped=content is not None,
    )
    error = said.get("error")
    if not isinstance(error, int | float):
        raise ModelError(f"engine {engine} must tell its error on {what}, it did not; use another model")
    return float(error)


def _measure_main(path: str, sha256: str, engine: str, piped: bool) -> None:
    """Measure and say it; runs in the child."""
    children.limit_resources(probe.TIME_LIMIT_S)
    try:
        bundle = ModelBundle.of_archive(sys.stdin.buffer.read(), Path(path)) if piped else ModelBundle.open(path)
        if bundle.sha256 != sha256:
            raise ModelError(f"the bundle {path} changed while it was read; open it again")
        probe.begin(engine, sum(bundle.file_bytes(spec.files[engine]) for spec in bundle.graphs.values()))
        error = golden_error(bundle, engine, probe.load_phase, probe.run_phase)
    except Exception as failure:  # what a bundle causes is the bundle's fault
        probe.refuse(failure, f"bundle {path}")
    children.answer(error=error if math.isfinite(error) else 1e9)


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
