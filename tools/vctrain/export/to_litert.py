"""Streaming graphs to LiteRT, float and int8 (int8 weights per channel, activations quantized on the fly).

Runs in an environment of its own (tools/requirements-litert.txt): litert-torch brings its own set of versions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import flatbuffers
import litert_torch
import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import quantizer, recipe

from vctrain.export.graphs import CHUNK_HOPS, DecoderGraph, EncoderGraph, names


def export_float(make_graph: Callable[[int], EncoderGraph | DecoderGraph], path: Path) -> None:
    """Writes one file with a signature `hops1`, `hops2`, `hops4` per number of frames, sharing the weights."""
    converter = None
    for n_frames in CHUNK_HOPS:
        graph = make_graph(n_frames).eval()
        for parameter in graph.parameters():
            # litert-torch 0.10.0 mixes up the weights of parameters that are not contiguous
            parameter.data = parameter.data.contiguous()
        inputs = graph.example_inputs(n_frames)
        signature = f"hops{n_frames}"
        converter = (litert_torch if converter is None else converter).signature(signature, graph, inputs)
    with torch.no_grad():
        converter.convert().export(str(path))
    _repack(path, *names(graph))


def quantize(source: Path, target: Path) -> None:
    """Dynamic-range int8 of every Linear layer of a converted file."""
    tool = quantizer.Quantizer(str(source), recipe.dynamic_wi8_afp32())
    tool.quantize().export_model(str(target), overwrite=True)
    _repack(target)


def _repack(path: Path, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> None:
    """Names what a signature takes and gives, and removes what a file carries for nothing, a sixth of an int8 file.

    Tensor names shrink (the runtime finds its tensors by the signatures), and equal quantization
    parameters, repeated for each signature, are stored once.
    """
    data = path.read_bytes()
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    stored: dict[bytes, int] = {}

    class SharedQuantization(schema.QuantizationParametersT):
        """Packs to the offset of an equal one where there is one: flatbuffers may share tables."""

        def Pack(self, builder: flatbuffers.Builder) -> int:
            """As the generated method, which writes a new table each time."""
            content = [self.scale, self.zeroPoint, self.min, self.max, self.quantizedDimension]
            key = b"|".join(np.asarray(() if part is None else part, np.float64).tobytes() for part in content)
            if key not in stored:
                stored[key] = super().Pack(builder)
            return stored[key]

    for buffer in model.buffers:
        if buffer.offset:
            # stored behind the flatbuffer; brought inside, where it is aligned again
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    for i, subgraph in enumerate(model.subgraphs):
        for j, tensor in enumerate(subgraph.tensors):
            # the quantizer wants them unique
            tensor.name = f"{i}.{j}".encode()
            if tensor.quantization is not None:
                tensor.quantization.__class__ = SharedQuantization
    for signature in model.signatureDefs:
        # the converter calls them args_0, args_1, ... and output_0, output_1, ...
        for tensors, wanted in ((signature.inputs, inputs), (signature.outputs, outputs)):
            for tensor in tensors if wanted else ():
                tensor.name = wanted[int(tensor.name.decode().rsplit("_", 1)[-1])].encode()
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
