"""Packs a .tflite file anew without what it carries for nothing, a fifth of an int8 file of three signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgevc.errors import ModelError


def unpack(data: bytes, path: str) -> Any:
    """Return a .tflite file as a tree of Python objects, a `ModelT` of LiteRT's schema.

    Args:
        data: the file.
        path: names it in messages.

    Raises:
        ModelError: it is damaged.
    """
    # brought by LiteRT, which is there where .tflite files are
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        if not model.subgraphs or model.buffers is None or model.operatorCodes is None:
            raise ValueError("it has no graph")
    except Exception as error:  # offsets that point anywhere end in whatever reading there raises
        raise _damaged(path, error) from error
    return model


def _damaged(path: str, error: Exception) -> ModelError:
    said = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
    return ModelError(f"{path} is a damaged .tflite file: {said}; convert it again")


def repack(
    data: bytes,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    *,
    tensor_names: bool = True,
    path: str = "the graph",
) -> bytes:
    """Return the file with short tensor names or none, shared tables, and its signatures' tensors named.

    Tensor names shrink (the runtime finds its tensors by the signatures), empty quantization parameters go, and what is
    equal is stored once: strings, shapes and other arrays, quantization parameters, and operators' options. flatbuffers
    may share all of them.

    Args:
        data: a .tflite file.
        inputs: names for the signatures' inputs, which a converter calls args_0, args_1, ...; none leaves them.
        outputs: names for output_0, output_1, ...; none leaves them.
        tensor_names: every tensor has one of its own, as ai_edge_quantizer wants it.
        path: names the file in messages.

    Raises:
        ModelError: the file is damaged.
    """
    model = unpack(data, path)
    try:
        return _packed(model, data, inputs, outputs, tensor_names)
    except Exception as error:  # as in unpack: a tree that could be read may still hold what cannot be written
        raise _damaged(path, error) from error


def _packed(model: Any, data: bytes, inputs: Sequence[str], outputs: Sequence[str], tensor_names: bool) -> bytes:
    from edgevc.quantize.schemes.sharing_builder import SharingBuilder

    builder = SharingBuilder(len(data))
    for buffer in model.buffers:
        if buffer.offset:
            # stored behind the flatbuffer; brought inside, where it is aligned again
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    for i, subgraph in enumerate(model.subgraphs):
        for j, tensor in enumerate(subgraph.tensors):
            tensor.name = f"{i}.{j}".encode() if tensor_names else b""
            if tensor.quantization is not None and _is_empty(tensor.quantization):
                tensor.quantization = None
            if tensor.quantization is not None:
                builder.share(tensor.quantization)
        for operator in subgraph.operators:
            if operator.builtinOptions is not None:
                builder.share(operator.builtinOptions)
    for signature in model.signatureDefs or ():
        _name(signature.inputs, inputs)
        _name(signature.outputs, outputs)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _name(tensors: Sequence[Any], wanted: Sequence[str]) -> None:
    """Give a signature's tensors their names; they end in their number."""
    for tensor in tensors if wanted else ():
        tensor.name = wanted[int(tensor.name.decode().rsplit("_", 1)[-1])].encode()


def _is_empty(parameters: Any) -> bool:
    """Whether quantization parameters say nothing, as those of a float tensor do."""
    fields = (parameters.scale, parameters.zeroPoint, parameters.min, parameters.max, parameters.details)
    return all(field is None for field in fields)
