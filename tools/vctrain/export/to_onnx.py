"""Streaming graphs to ONNX."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from vctrain.export.graphs import names
from vctrain.export.model_graphs import Graph
from vctrain.export.studio import StudioGraph


def export(graph: Graph, path: Path) -> None:
    """Writes an ONNX file whose first axis, frames per call, is free; that of a studio encoder is its block."""
    inputs, outputs = names(graph)
    streamed = [n for n in (*inputs, *outputs) if not n.startswith("state_") and n != "voice"]
    with warnings.catch_warnings():
        # the TorchScript exporter is deprecated, but its files are smaller and need no onnxscript
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.eval(),
            graph.example_inputs(2),
            str(path),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=None if isinstance(graph, StudioGraph) else {name: {0: "n_frames"} for name in streamed},
            opset_version=17,
            dynamo=False,
        )
