"""Streaming graphs to LiteRT.

Runs in an environment of its own (tools/requirements-litert.txt): litert-torch brings its own set of versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import litert_torch
import torch

from edgevc.quantize.schemes.repack import repack
from vctrain.export.graphs import names
from vctrain.export.model_graphs import MakeGraph


def export(make_graph: MakeGraph, chunk_hops: Sequence[int], path: Path) -> None:
    """Writes one file with a signature per number of frames, such as `hops1`, sharing the weights."""
    converter = None
    for n_frames in chunk_hops:
        graph = make_graph(n_frames).eval()
        for parameter in graph.parameters():
            # litert-torch 0.10.0 mixes up the weights of parameters that are not contiguous
            parameter.data = parameter.data.contiguous()
        inputs = graph.example_inputs(n_frames)
        signature = f"hops{n_frames}"
        converter = (litert_torch if converter is None else converter).signature(signature, graph, inputs)
    with torch.no_grad():
        converter.convert().export(str(path))
    path.write_bytes(repack(path.read_bytes(), *names(graph)))
