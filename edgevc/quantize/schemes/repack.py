"""Packs a .tflite file anew without what it carries for nothing, a fifth of an int8 file of three signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import flatbuffers


def repack(data: bytes, inputs: Sequence[str] = (), outputs: Sequence[str] = (), *, tensor_names: bool = True) -> bytes:
    """Return the file with short tensor names or none, shared tables, and its signatures' tensors named.

    Tensor names shrink (the runtime finds its tensors by the signatures), empty quantization parameters go, and what is
    equal is stored once: strings, shapes and other arrays, quantization parameters, and operators' options. flatbuffers
    may share all of them.

    Args:
        data: a .tflite file.
        inputs: names for the signatures' inputs, which a converter calls args_0, args_1, ...; none leaves them.
        outputs: names for output_0, output_1, ...; none leaves them.
        tensor_names: every tensor has one of its own, as ai_edge_quantizer wants it.
    """
    # brought by LiteRT, which is there where .tflite files are
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    arrays: dict[tuple[str, bytes], int] = {}
    strings: dict[bytes, int] = {}
    tables: dict[tuple[Any, ...], int] = {}

    class SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]
        """Writes equal arrays and strings once."""

        def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802
            """As the original."""
            key = (x.dtype.str, x.tobytes())
            if key not in arrays:
                arrays[key] = super().CreateNumpyVector(x)
            return arrays[key]

        def CreateString(self, s: str | bytes, encoding: str = "utf-8", errors: str = "strict") -> int:  # noqa: N802
            """As the original."""
            key = s if isinstance(s, bytes) else s.encode(encoding, errors)
            if key not in strings:
                strings[key] = super().CreateString(s, encoding, errors)
            return strings[key]

    def share(table: Any) -> None:
        """Let the table pack to the offset of an equal one where there is one."""
        original = type(table)

        class Shared(original):  # type: ignore[misc, valid-type]
            def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802
                fields = sorted(vars(self).items())
                contents = (np.asarray(() if value is None else value).tobytes() for _, value in fields)
                key = (original, *contents)
                if key not in tables:
                    tables[key] = super().Pack(builder)
                return tables[key]

        table.__class__ = Shared

    for buffer in model.buffers:
        if buffer.offset:
            # stored behind the flatbuffer; brought inside, where it is aligned again
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    for i, subgraph in enumerate(model.subgraphs):
        for j, tensor in enumerate(subgraph.tensors):
            tensor.name = f"{i}.{j}".encode() if tensor_names else b""
            if tensor.quantization is not None:
                if _is_empty(tensor.quantization):
                    tensor.quantization = None
                else:
                    share(tensor.quantization)
        for operator in subgraph.operators:
            if operator.builtinOptions is not None:
                share(operator.builtinOptions)
    for signature in model.signatureDefs:
        for tensors, wanted in ((signature.inputs, inputs), (signature.outputs, outputs)):
            for tensor in tensors if wanted else ():
                tensor.name = wanted[int(tensor.name.decode().rsplit("_", 1)[-1])].encode()
    builder = SharingBuilder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _is_empty(parameters: Any) -> bool:
    """Whether quantization parameters say nothing, as those of a float tensor do."""
    fields = (parameters.scale, parameters.zeroPoint, parameters.min, parameters.max, parameters.details)
    return all(field is None for field in fields)
