"""Opens a bundle's graphs with an engine that is trusted on this machine."""

from __future__ import annotations

import logging

from edgevc.bundle import ENGINES, ModelBundle
from edgevc.engines import trust
from edgevc.engines.base import Graph, GraphState
from edgevc.engines.loader import check_request, engine_version, load_graph, require_engine
from edgevc.errors import ConfigError, EngineError, ModelError

__all__ = ["ENGINES", "Graph", "GraphState", "choose_engine", "engine_version", "load_graph", "open_graph"]

_LOG = logging.getLogger(__name__)


def choose_engine(bundle: ModelBundle, engine: str = "auto") -> str:
    """Return the engine that will run `bundle` on this machine: "litert" or "onnx".

    Before an engine is used, it must have reproduced the bundle's golden vectors here (see `edgevc.engines.trust`).

    Args:
        bundle: the model.
        engine: "auto" takes LiteRT where it is installed and trusted, else ONNX Runtime.

    Raises:
        ConfigError: unknown engine.
        EngineError: the engine is not installed, or it computes wrong values on this machine.
        ModelError: the bundle's graphs cannot be loaded.
    """
    if engine not in (*ENGINES, "auto"):
        raise ConfigError(f"engine must be one of auto, {', '.join(ENGINES)}, got {engine!r}")
    if not bundle.graphs:
        raise ModelError(
            f"bundle {bundle.name} is of kind {bundle.kind} and has no graphs to run; name a model that has"
        )
    refused = []
    for candidate in ENGINES if engine == "auto" else (engine,):
        missing = [spec.name for spec in bundle.graphs.values() if candidate not in spec.files]
        if missing:
            # a large model may be made for one engine alone, which is nothing to warn of where that one can be used
            refused.append(f"bundle {bundle.name} has no {candidate} file for {', '.join(missing)}")
            continue
        try:
            found = require_engine(candidate)
            trust.require(bundle, candidate, found)
            return candidate
        except EngineError as error:
            if engine != "auto":
                raise
            if engine_version(candidate) is not None:
                _LOG.warning("%s", error)
            refused.append(str(error))
    if engine != "auto":
        raise EngineError(f"{refused[0]}; choose another engine")
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
    check_request(bundle, name, chunk_hops)
    return load_graph(bundle, name, choose_engine(bundle, engine), chunk_hops)
