"""The streaming graphs of a trained model, whichever kind of encoder it has, and what a bundle says of them."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from vctrain.export import graphs, studio
from vctrain.export.graphs import CHUNK_HOPS, DecoderGraph, EncoderGraph, FoldedDecoder, FoldedEncoder
from vctrain.export.studio import StudioGraph
from vctrain.export.trained import Trained
from vctrain.models.ear import PER_ROW, WhisperEar

Graph = EncoderGraph | DecoderGraph | StudioGraph
MakeGraph = Callable[[int | None], Graph]
"""Frames per call, None for any, to the graph; all that one makes share their weights."""


def graph_makers(model: Trained) -> dict[str, MakeGraph]:
    """Encoder and decoder; a studio encoder takes its block, however many frames are asked for."""
    # folded once: LiteRT's signatures share weights only where they are the same tensors
    decoder = FoldedDecoder(model.decoder)
    makers: dict[str, MakeGraph] = {"decoder": lambda n: DecoderGraph(decoder, n)}
    if isinstance(model.encoder, WhisperEar):
        ear = StudioGraph(model.encoder)
        return {"encoder": lambda _: ear} | makers
    encoder = FoldedEncoder(model.encoder)
    return {"encoder": lambda n: EncoderGraph(encoder, n)} | makers


def chunk_hops(model: Trained) -> tuple[int, ...]:
    """Frames that a call may take."""
    return (PER_ROW * model.encoder.config.block,) if isinstance(model.encoder, WhisperEar) else CHUNK_HOPS


def latency(model: Trained) -> int:
    """Samples by which the output lags behind the input of a call."""
    return studio.LATENCY if isinstance(model.encoder, WhisperEar) else model.encoder.config.latency


def macs_per_hop(graph: Graph) -> int:
    """Multiply-accumulates of one frame."""
    return studio.macs_per_hop(graph) if isinstance(graph, StudioGraph) else graphs.macs_per_hop(graph)


def n_parameters(graph: Graph) -> int:
    """Weights that the graph holds."""
    return _count(graph) if isinstance(graph, StudioGraph) else graphs.n_parameters(graph)


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
