"""Opens a bundle's graphs with LiteRT or ONNX Runtime; neither is imported before it is asked for."""

from __future__ import annotations

import importlib.util
import logging
from importlib.metadata import PackageNotFoundError, version

from edgevc.backends.base import Graph, GraphState
from edgevc.bundle import ENGINES, ModelBundle
from edgevc.errors import ConfigError, EngineError

__all__ = ["ENGINES", "Graph", "GraphState", "choose_engine", "engine_version", "load_graph", "open_graph"]

_logger = logging.getLogger(__name__)

_PACKAGES = {"litert": ("ai_edge_litert", "ai-edge-litert"), "onnx": ("onnxruntime", "onnxruntime")}
"""Engine name to module and distribution."""

# onnxruntime also comes under these names, one of which has the module's files.
_ONNX_DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")


def engine_version(engine: str) -> str | None:
    """Return the installed version of `engine` without importing it; None where it is not installed."""
    module, distribution = _PACKAGES[engine]
    try:
        if importlib.util.find_spec(module) is None:
            return None
    except (ImportError, ValueError):
        # find_spec raises where the module is blocked or half loaded
        return None
    for name in _ONNX_DISTRIBUTIONS if engine == "onnx" else (distribution,):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"


def _require(engine: str) -> str:
    """Return the version of an engine that is installed and not known to be broken."""
    found = engine_version(engine)
    if found is None:
        raise EngineError(f'engine {engine} is not installed; pip install "edgevc[{engine}]"')
    if engine == "onnx" and found.startswith("1.21."):
        raise EngineError(
            f"onnxruntime {found} dies with an illegal instruction on some ARM boards (microsoft/onnxruntime#23957), "
            'so 1.21.* is refused; pip install "onnxruntime!=1.21.*"'
        )
    return found


def choose_engine(bundle: ModelBundle, engine: str = "auto") -> str:
    """Return the engine that will run `bundle` on this machine: "litert" or "onnx".

    Before an engine is used, it must have reproduced the bundle's golden vectors here (see `edgevc.trust`).

    Args:
        bundle: the model.
        engine: "auto" takes LiteRT where it is installed and trusted, else ONNX Runtime.

    Raises:
        ConfigError: unknown engine.
        EngineError: the engine is not installed, or it computes wrong values on this machine.
        ModelError: the bundle's graphs cannot be loaded.
    """
    from edgevc import trust

    if engine not in (*ENGINES, "auto"):
        raise ConfigError(f"engine must be one of auto, {', '.join(ENGINES)}, got {engine!r}")
    refused = []
    for candidate in ENGINES if engine == "auto" else (engine,):
        try:
            found = _require(candidate)
            missing = [spec.name for spec in bundle.graphs.values() if candidate not in spec.files]
            if missing:
                raise EngineError(
                    f"bundle {bundle.name} has no {candidate} file for {', '.join(missing)}; choose another engine"
                )
            trust.require(bundle, candidate, found)
            return candidate
        except EngineError as error:
            if engine != "auto":
                raise
            if engine_version(candidate) is not None:
                _logger.warning("%s", error)
            refused.append(str(error))
    raise EngineError(
        'no inference engine can be used; pip install "edgevc[litert]" (or "edgevc[onnx]"). Tried: '
        + " | ".join(refused)
    )


def open_graph(bundle: ModelBundle, name: str, engine: str = "auto", chunk_hops: int = 1) -> Graph:
    """Load one graph of a bundle with an engine that is trusted on this machine.

    Args:
        bundle: the model.
        name: "encoder" or "decoder".
        engine: "auto", "litert" or "onnx"; see `choose_engine`.
        chunk_hops: hops in a call, one of the graph's `chunk_hops`.

    Raises:
        ConfigError: unknown name, engine or chunk_hops.
        EngineError: no engine can be used; the message says what to install.
        ModelError: the graph file is damaged or differs from the manifest.
    """
    _check_request(bundle, name, chunk_hops)
    return load_graph(bundle, name, choose_engine(bundle, engine), chunk_hops)


def load_graph(bundle: ModelBundle, name: str, engine: str, chunk_hops: int) -> Graph:
    """Load one graph without asking whether the engine is trusted; `open_graph` is the way to go.

    Raises:
        ConfigError: unknown name or chunk_hops.
        EngineError: the engine cannot be imported.
        ModelError: the graph file is damaged or differs from the manifest.
    """
    _check_request(bundle, name, chunk_hops)
    found = _require(engine)
    if engine == "litert":
        from edgevc.backends.litert import LitertGraph

        return LitertGraph(bundle, name, chunk_hops, found)
    from edgevc.backends.onnx import OnnxGraph

    return OnnxGraph(bundle, name, chunk_hops, found)


def _check_request(bundle: ModelBundle, name: str, chunk_hops: int) -> None:
    if name not in bundle.graphs:
        raise ConfigError(f"graph must be one of {', '.join(bundle.graphs)}, got {name!r}")
    if chunk_hops not in bundle.graphs[name].chunk_hops:
        raise ConfigError(f"chunk_hops must be one of {bundle.graphs[name].chunk_hops}, got {chunk_hops}")
