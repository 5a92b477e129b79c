"""Int8 forms of a LiteRT graph, by Google's ai-edge-quantizer, and the file made small again afterwards.

- dynamic: int8 weights per channel, XNNPACK quantizes each row of the activations as it comes.
- static: the fully connected layers with int8 activations, whose ranges are calibrated.
- weight-only: int8 weights per channel, unpacked before use; arithmetic in float.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevc.errors import ConfigError, EngineError, ModelError
from edgevc.quantize.layers import FloatArray, Layer, Node, places
from edgevc.quantize.schemes.repack import repack, unpack
from edgevc.stderr import quiet_stderr

SCHEMES = ("dynamic", "static", "weight-only")
SignatureFeeds = Mapping[str, Sequence[Mapping[str, FloatArray]]]
"""Signature to the inputs of its calls, states included."""

_LAYER_OPS = {"FULLY_CONNECTED": 1, "CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "TRANSPOSE_CONV": 1}
"""Operator to the position of its weights."""
_FLOAT32 = 0


def require_quantizer() -> tuple[Any, Any]:
    """Import ai-edge-quantizer; return its modules quantizer and qtyping.

    Raises:
        EngineError: it is not installed.
    """
    try:
        with quiet_stderr():
            # absl and tqdm write to the terminal on their own account
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
            from ai_edge_quantizer import qtyping, quantizer
    except ImportError as error:
        raise EngineError(
            f'quantizing for LiteRT needs ai-edge-quantizer: {error}; pip install "edgevc[quantize]"'
        ) from error
    return quantizer, qtyping


class LitertQuantizer:
    """One float .tflite file, with one signature per number of hops, and every way to quantize it."""

    schemes = SCHEMES

    def __init__(self, graph: str, data: bytes, known: Mapping[str, str] | None = None) -> None:
        """Find the layers.

        Args:
            graph: its name.
            data: the file.
            known: `fingerprint` of weights to the layer's name elsewhere, so that both engines' reports agree.

        Raises:
            ModelError: the file is already quantized.
        """
        self.graph, self._original = graph, data
        model = unpack(data, f"{graph} (litert)")
        try:
            names = [tensor.name for subgraph in model.subgraphs for tensor in subgraph.tensors]
            if len(set(names)) < len(names):
                # the quantizer wants the names of all signatures' tensors unique
                data = repack(data, path=f"{graph} (litert)")
                model = unpack(data, f"{graph} (litert)")
            self._data = data
            self._scopes: dict[str, list[str]] = {}
            found, near = self._find_layers(model, known or {})
            quantized = any(t.quantization is not None and _has_scales(t) for s in model.subgraphs for t in s.tensors)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{graph} (litert) is a damaged .tflite file: {error}; convert it again") from error
        if quantized:
            raise ModelError(f"{graph} (litert) must be float, got quantized tensors; give the float model")
        self.layers = tuple(replace(layer, place=near.get(layer.name, "")) for layer in found.values())

    def _find_layers(self, model: Any, known: Mapping[str, str]) -> tuple[dict[str, Layer], dict[str, str]]:
        """Return the layers by name, and where those lie that are at an end of the graph.

        All signatures have the same layers, which are told by their weights.
        """
        ops = _operator_names(model)
        found: dict[str, Layer] = {}
        by_weights: dict[str, str] = {}
        near: dict[str, str] = {}
        signatures = {signature.subgraphIndex: signature for signature in model.signatureDefs or ()}
        for index, subgraph in enumerate(model.subgraphs):
            walk = []
            for operator in subgraph.operators:
                op = ops[operator.opcodeIndex]
                weights = _weights(model, subgraph, operator, op, self._data)
                name = ""
                if weights is not None:
                    key = fingerprint(weights)
                    if key not in by_weights:
                        by_weights[key] = _free_name(known.get(key, ""), op, found)
                    name = by_weights[key]
                    if name not in found:
                        found[name] = self._layer(name, op, operator, weights)
                    self._scopes.setdefault(name, []).append(_scope(subgraph, operator))
                walk.append(Node(tuple(map(str, operator.inputs)), tuple(map(str, operator.outputs)), name))
            signature = signatures.get(index)
            if signature is not None:
                near |= places(walk, _plain(signature.inputs), _plain(signature.outputs))
        return found, near

    def _layer(self, name: str, op: str, operator: Any, weights: FloatArray) -> Layer:
        bias = 4 * len(weights) if len(operator.inputs) > 2 and operator.inputs[2] >= 0 else 0
        return Layer(self.graph, name, op, (weights,), weights.nbytes + bias)

    def refusal(self, layer: str, scheme: str) -> str:
        """Return why a layer cannot be quantized by a scheme; empty where it can."""
        op = next(entry.op for entry in self.layers if entry.name == layer)
        if scheme == "static" and op != "FULLY_CONNECTED":
            return f"{op} stays float in the static scheme"
        return ""

    def build(self, scheme: str, keep_float: frozenset[str], feeds: SignatureFeeds | None = None) -> bytes:
        """Return the file with every layer in int8 but those of `keep_float`.

        Args:
            scheme: one of SCHEMES.
            keep_float: layer names.
            feeds: calls of every signature; needed by static.
        """
        if scheme not in SCHEMES:
            raise ConfigError(f"scheme must be one of {', '.join(SCHEMES)}, got {scheme!r}")
        chosen = {
            layer.name for layer in self.layers if layer.name not in keep_float and not self.refusal(layer.name, scheme)
        }
        if not chosen:
            return self._original
        quantizer, qtyping = require_quantizer()
        with _silence():
            tool = quantizer.Quantizer(bytearray(self._data))
            self._configure(tool, qtyping.TFLOperationName, scheme, chosen)
            ranges = None
            if scheme == "static":
                ranges = tool.calibrate({key: list(calls) for key, calls in (feeds or {}).items()}, num_threads=1)
            done = tool.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
        return repack(bytes(done.quantized_model), tensor_names=False, path=f"{self.graph} (litert)")

    def _configure(self, tool: Any, name: Any, scheme: str, chosen: set[str]) -> None:
        """Tell the tool which operators become int8, and how."""
        if scheme == "static":
            tool.add_static_config(
                regex=".*", operation_name=name.FULLY_CONNECTED, activation_num_bits=8, weight_num_bits=8
            )
        else:
            add = tool.add_dynamic_config if scheme == "dynamic" else tool.add_weight_only_config
            for op in sorted({layer.op for layer in self.layers}):
                kind = name.CONV_2D_TRANSPOSE if op == "TRANSPOSE_CONV" else name[op]
                add(regex=".*", operation_name=kind, num_bits=8)
        for layer in self.layers:
            if layer.name not in chosen:
                for scope in self._scopes[layer.name]:
                    tool.update_quantization_recipe(scope, name.ALL_SUPPORTED, algorithm_key="no_quantize")


def _operator_names(model: Any) -> list[str]:
    """Return the name of each operator code of a file."""
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    return [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]


def _scope(subgraph: Any, operator: Any) -> str:
    """Return a pattern for one operator, as ai_edge_quantizer names it: its outputs, each with a semicolon."""
    outputs = [subgraph.tensors[i].name.decode() for i in operator.outputs]
    return "^" + re.escape(";".join(outputs) + ";") + "$"


def fingerprint(weights: FloatArray) -> str:
    """Return a name for weights, (channels, n) float32, that is the same in both engines' files."""
    return hashlib.sha256(np.ascontiguousarray(weights, "<f4").tobytes()).hexdigest()


def _weights(model: Any, subgraph: Any, operator: Any, op: str, data: bytes) -> FloatArray | None:
    position = _LAYER_OPS.get(op)
    if position is None or position >= len(operator.inputs):
        return None
    tensor = subgraph.tensors[operator.inputs[position]]
    buffer = model.buffers[tensor.buffer]
    if tensor.type != _FLOAT32:
        return None
    if buffer.offset:
        raw: Any = data[buffer.offset : buffer.offset + buffer.size]
    elif buffer.data is not None:
        raw = np.asarray(buffer.data, np.uint8).tobytes()
    else:
        return None
    array: NDArray[Any] = np.frombuffer(raw, "<f4").reshape([int(size) for size in tensor.shape])
    if op == "DEPTHWISE_CONV_2D":
        # (1, height, width, channels)
        array = np.moveaxis(array, 3, 0)
    return np.ascontiguousarray(array.reshape(len(array), -1), np.float32)


def _plain(tensors: Any) -> list[str]:
    return [str(t.tensorIndex) for t in tensors if not t.name.decode().startswith("state_")]


def _has_scales(tensor: Any) -> bool:
    scale = tensor.quantization.scale
    return scale is not None and len(scale) > 0


def _free_name(wanted: str, op: str, taken: Mapping[str, Layer]) -> str:
    base, count = wanted or op.lower(), 2
    name = base
    while name in taken:
        name, count = f"{base}.{count}", count + 1
    return name


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the tool's own progress lines off the terminal; its errors are exceptions."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            quiet_stderr(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
