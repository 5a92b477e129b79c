"""Packs a .tflite file anew without what it carries for nothing, a sixth of an int8 file of three signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import flatbuffers


def repack(data: bytes, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> bytes:
    """Return the file with short tensor names and shared tables, and its signatures' tensors named.

    Tensor names shrink (the runtime finds its tensors by the signatures), and equal quantization parameters, repeated
    for each signature, are stored once.

    Args:
        data: a .tflite file.
        inputs: names for the signatures' inputs, which a converter calls args_0, args_1, ...; none leaves them.
        outputs: names for output_0, output_1, ...; none leaves them.
    """
    # brought by LiteRT, which is there where .tflite files are
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    stored: dict[bytes, int] = {}

    class SharedQuantization(schema.QuantizationParametersT):  # type: ignore[misc]
        """Packs to the offset of an equal one where there is one: flatbuffers may share tables."""

        def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802
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
            # ai_edge_quantizer wants them unique
            tensor.name = f"{i}.{j}".encode()
            if tensor.quantization is not None:
                tensor.quantization.__class__ = SharedQuantization
    for signature in model.signatureDefs:
        for tensors, wanted in ((signature.inputs, inputs), (signature.outputs, outputs)):
            for tensor in tensors if wanted else ():
                tensor.name = wanted[int(tensor.name.decode().rsplit("_", 1)[-1])].encode()
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
