"""Loads a bundle's graphs with LiteRT or ONNX Runtime; neither is imported before it is asked for."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, version

from edgevc.bundle import ModelBundle
from edgevc.engines.base import Graph
from edgevc.errors import ConfigError, EngineError

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


def require_engine(engine: str) -> str:
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


def load_graph(bundle: ModelBundle, name: str, engine: str, chunk_hops: int) -> Graph:
    """Load one graph without asking whether the engine is trusted; `open_graph` is the way to go.

    Raises:
        ConfigError: unknown name or chunk_hops.
        EngineError: the engine cannot be imported.
        ModelError: the graph file is damaged or differs from the manifest.
    """
    check_request(bundle, name, chunk_hops)
    found = require_engine(engine)
    if engine == "litert":
        from edgevc.engines.litert import LitertGraph

        return LitertGraph(bundle, name, chunk_hops, found)
    from edgevc.engines.onnx import OnnxGraph

    return OnnxGraph(bundle, name, chunk_hops, found)


def check_request(bundle: ModelBundle, name: str, chunk_hops: int) -> None:
    """Refuse a graph or a number of hops that the bundle does not have."""
    if name not in bundle.graphs:
        raise ConfigError(f"graph must be one of {', '.join(bundle.graphs)}, got {name!r}")
    if chunk_hops not in bundle.graphs[name].chunk_hops:
        raise ConfigError(f"chunk_hops must be one of {bundle.graphs[name].chunk_hops}, got {chunk_hops}")
