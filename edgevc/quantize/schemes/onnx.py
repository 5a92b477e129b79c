"""Int8 forms of an ONNX graph that ONNX Runtime has fast kernels for.

- dynamic: int8 weights per channel; activations become uint8 in each call (DynamicQuantizeLinear, MatMulInteger).
- static: int8 weights per channel, uint8 activations with ranges from calibration, in QDQ form (U8S8). The outputs of
  a layer stay float: quantized, they break ONNX Runtime's GELU fusion and cost speed and 4 to 12 dB.
- weight-only: int8 weights per channel, arithmetic in float. As small, as exact as int8 weights allow, not faster.

The rewriting is done here and not by onnxruntime.quantization because a search tries dozens of exclusions: this takes
20 ms a graph instead of a second, keeps all in memory, and takes weights that several operators share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edgevc.errors import ConfigError
from edgevc.quantize.folding import shown
from edgevc.quantize.graph_file import STATIC_OPSET, WEIGHT_INPUTS, carry_descriptions, opset_of, require_onnx
from edgevc.quantize.layers import FloatArray, Layer, Node, places, quantize_rows
from edgevc.quantize.prepare import Prepared

if TYPE_CHECKING:
    from onnx import ModelProto

SCHEMES = ("dynamic", "static", "weight-only")
Range = tuple[float, float]
"""Smallest and largest value of an activation."""

_BIAS_INPUT = {"Gemm": 2, "Conv": 2, "ConvTranspose": 2, "LSTM": 3, "GRU": 3}


class OnnxQuantizer:
    """One float graph and every way to quantize it."""

    schemes = SCHEMES

    def __init__(self, prepared: Prepared) -> None:
        """Find the layers."""
        self.prepared = prepared
        self._model = prepared.model
        graph = self._model.graph
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self._constants[node.output[0]] = node.attribute[0].t
        self._arrays: dict[str, Any] = {}
        self._ranks = _ranks(self._model)
        self.nodes: dict[str, Any] = {}
        for node in graph.node:
            if node.op_type in WEIGHT_INPUTS and self._weight_names(node):
                self.nodes[self._layer_name(node)] = node
        names = {node.output[0]: name for name, node in self.nodes.items()}
        walk = [
            Node(tuple(n.input), tuple(n.output), names.get(n.output[0] if n.output else "", "")) for n in graph.node
        ]
        near = places(walk, prepared.inputs, prepared.outputs)
        self.layers = tuple(
            Layer(
                prepared.name,
                name,
                node.op_type,
                tuple(_rows(self._array(w), node, i) for i, w in self._weight_names(node).items()),
                sum(self._array(node.input[i]).nbytes for i in self._parameter_inputs(node)),
                near.get(name, ""),
            )
            for name, node in self.nodes.items()
        )

    def _weight_names(self, node: Any) -> dict[int, str]:
        """Return input index to name of the weights; empty where one of them is not a float constant."""
        found = {i: node.input[i] for i in WEIGHT_INPUTS[node.op_type] if i < len(node.input)}
        known: list[Any] = [self._constants.get(name) for name in found.values()]
        if len(found) != len(WEIGHT_INPUTS[node.op_type]) or any(t is None or t.data_type != 1 for t in known):
            return {}
        # a product with a vector or a table of matrices is no layer
        return found if node.op_type != "MatMul" or len(known[0].dims) == 2 else {}

    def _parameter_inputs(self, node: Any) -> list[int]:
        indexes = [*WEIGHT_INPUTS[node.op_type], _BIAS_INPUT.get(node.op_type, 99)]
        return [i for i in indexes if i < len(node.input) and node.input[i] in self._constants]

    def _layer_name(self, node: Any) -> str:
        """After the weights where a trainer named them, for nodes are numbered by the exporter."""
        weight = shown(next(iter(self._weight_names(node).values())))
        name = str(weight[: -len(".weight")] if weight.endswith(".weight") else node.name or shown(node.output[0]))
        name = name.removeprefix(f"{self.prepared.name}.").strip("/").replace("/", ".")
        taken = name
        count = 2
        while taken in self.nodes:
            taken, count = f"{name}.{count}", count + 1
        return taken

    def _array(self, name: str) -> Any:
        if name not in self._arrays:
            self._arrays[name] = require_onnx().numpy_helper.to_array(self._constants[name])
        return self._arrays[name]

    def activation(self, layer: str) -> str:
        """Return the tensor that a layer multiplies its weights with."""
        return str(self.nodes[layer].input[0])

    def linear(self, layer: str) -> tuple[FloatArray, FloatArray | None] | None:
        """Return weights (in, out) and bias (out,) of a Gemm or MatMul; None for all else."""
        node = self.nodes[layer]
        if node.op_type not in ("Gemm", "MatMul"):
            return None
        weights = self._array(node.input[1])
        bias = self._array(node.input[2]) if len(node.input) > 2 and node.input[2] in self._constants else None
        return (weights.T if _attribute(node, "transB", 0) else weights), bias

    def refusal(self, layer: str, scheme: str) -> str:
        """Return why a layer cannot be quantized by a scheme; empty where it can."""
        node = self.nodes[layer]
        too_old = f"opset {opset_of(self._model)} has no scale per channel"
        if scheme == "weight-only":
            return too_old if opset_of(self._model) < STATIC_OPSET else ""
        if node.op_type == "LSTM" and scheme == "dynamic":
            return "" if _is_plain_lstm(node) else "an LSTM with peepholes or batch-first layout has no int8 kernel"
        if node.op_type not in ("Gemm", "MatMul"):
            return f"{node.op_type}: ONNX Runtime has no int8 form that pays"
        if node.op_type == "Gemm" and not _is_plain_gemm(node):
            return "a Gemm with factors or a transposed input has no int8 form"
        if scheme == "static" and opset_of(self._model) < STATIC_OPSET:
            return too_old
        if scheme == "static" and node.op_type == "MatMul" and self._ranks.get(node.input[0], 0) > 2:
            # seen in onnxruntime 1.24 and 1.31: fifteen times slower than float
            return "a MatMul of 3 dimensions: ONNX Runtime would unpack its weights in every call"
        return ""

    def build(self, scheme: str, keep_float: frozenset[str], ranges: Mapping[str, Range] | None = None) -> bytes:
        """Return the graph file with every layer in int8 but those of `keep_float` and those that refuse.

        Args:
            scheme: one of SCHEMES.
            keep_float: layer names.
            ranges: activation to its range; needed by static.
        """
        if scheme not in SCHEMES:
            raise ConfigError(f"scheme must be one of {', '.join(SCHEMES)}, got {scheme!r}")
        chosen = {
            node.output[0]
            for name, node in self.nodes.items()
            if name not in keep_float and not self.refusal(name, scheme)
        }
        rewrite = _Rewrite(self._array, self._constants.__contains__, ranges or {})
        write: Callable[[Any], None] = {
            "dynamic": rewrite.dynamic,
            "static": rewrite.static,
            "weight-only": rewrite.weight_only,
        }[scheme]
        for node in self._model.graph.node:
            if node.output and node.output[0] in chosen:
                write(node)
            else:
                rewrite.nodes.append(node)
        return bytes(self._assemble(rewrite).SerializeToString())

    def _assemble(self, rewrite: _Rewrite) -> ModelProto:
        onnx = require_onnx()
        model: ModelProto = onnx.ModelProto()
        model.ir_version = self._model.ir_version
        model.producer_name = "edgevc"
        model.opset_import.extend(self._model.opset_import)
        domains = {entry.domain for entry in model.opset_import}
        if "com.microsoft" not in domains and any(n.domain == "com.microsoft" for n in rewrite.nodes):
            model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
        used = {name for node in rewrite.nodes for name in node.input}
        outputs = {value.name for value in self._model.graph.output}
        graph = model.graph
        graph.name = self._model.graph.name
        graph.input.extend(self._model.graph.input)
        graph.output.extend(self._model.graph.output)
        graph.node.extend(
            n for n in rewrite.nodes if n.op_type != "Constant" or used.union(outputs).intersection(n.output)
        )
        graph.initializer.extend(t for t in self._model.graph.initializer if t.name in used | outputs)
        graph.initializer.extend(rewrite.constants.values())
        carry_descriptions(self._model, model)
        return model


class _Rewrite:
    """The operators and constants of the new graph, in the making."""

    def __init__(self, array: Callable[[str], Any], known: Callable[[str], bool], ranges: Mapping[str, Range]) -> None:
        self._array = array
        self._known = known
        self._ranges = ranges
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self._quantized_activations: set[str] = set()

    def _constant(self, name: str, array: Any) -> str:
        if name not in self.constants:
            self.constants[name] = require_onnx().numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def _add(self, op: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes: Any) -> None:
        helper = require_onnx().helper
        name = f"{outputs[0]}.{op}"
        self.nodes.append(helper.make_node(op, inputs, outputs, name=name, domain=domain, **attributes))

    def dynamic(self, node: Any) -> None:
        if node.op_type == "LSTM":
            self._dynamic_lstm(node)
            return
        x, weight, output = node.input[0], node.input[1], node.output[0]
        if x not in self._quantized_activations:
            self._quantized_activations.add(x)
            self._add("DynamicQuantizeLinear", [x], [f"{x}.u8", f"{x}.scale", f"{x}.zero"])
        transposed = bool(_attribute(node, "transB", 0))
        matrix = self._array(weight)
        values, scales = quantize_rows(matrix if transposed else np.ascontiguousarray(matrix.T))
        key = f"{weight}.{'t' if transposed else 'n'}"
        stored = self._constant(f"{key}.s8", values.T)
        factors = self._constant(f"{key}.scale", scales)
        self._add("MatMulInteger", [f"{x}.u8", stored, f"{x}.zero"], [f"{output}.s32"])
        self._add("Cast", [f"{output}.s32"], [f"{output}.f32"], to=1)
        self._add("Mul", [f"{x}.scale", factors], [f"{output}.factor"])
        bias = node.input[2] if len(node.input) > 2 else ""
        product = f"{output}.product" if bias else output
        self._add("Mul", [f"{output}.f32", f"{output}.factor"], [product])
        if bias:
            self._add("Add", [product, bias], [output])

    def _dynamic_lstm(self, node: Any) -> None:
        inputs = [*node.input, *[""] * (8 - len(node.input))]
        parameters = []
        for index in (1, 2):
            # (directions, 4 hidden, in) as the kernel wants it: (directions, in, 4 hidden)
            array = self._array(inputs[index])
            directions, rows, width = array.shape
            values, scales = quantize_rows(array.reshape(-1, width))
            turned = values.reshape(array.shape).transpose(0, 2, 1)
            inputs[index] = self._constant(f"{node.input[index]}.s8", turned)
            parameters.append(self._constant(f"{node.input[index]}.scale", scales.reshape(directions, rows)))
            zeros = np.zeros((directions, rows), np.int8)
            parameters.append(self._constant(f"{node.input[index]}.zero", zeros))
        lstm = require_onnx().helper.make_node(
            "DynamicQuantizeLSTM", [*inputs, *parameters], list(node.output), name=node.name, domain="com.microsoft"
        )
        lstm.attribute.extend(a for a in node.attribute if a.name != "layout")
        self.nodes.append(lstm)

    def static(self, node: Any) -> None:
        x, weight = node.input[0], node.input[1]
        if x not in self._ranges:
            raise ConfigError(f"static needs the range of {x}, which calibration has not seen")
        low, high = self._ranges[x]
        low, high = min(low, 0.0), max(high, 0.0)
        scale = np.float32(max(high - low, 1e-12) / 255)
        zero = np.uint8(np.clip(np.rint(-low / scale), 0, 255))
        x_scale, x_zero = self._constant(f"{x}.scale", scale), self._constant(f"{x}.zero", zero)
        if x not in self._quantized_activations:
            self._quantized_activations.add(x)
            self._add("QuantizeLinear", [x, x_scale, x_zero], [f"{x}.u8"])
        output = node.output[0]
        # one for each consumer, as the fusion wants it
        self._add("DequantizeLinear", [f"{x}.u8", x_scale, x_zero], [f"{output}.x"])
        axis = 0 if _attribute(node, "transB", 0) else 1
        inputs = [f"{output}.x", f"{output}.w"]
        if len(node.input) > 2 and node.input[2] and not self._known(node.input[2]):
            # no int32 bias can be stored for it: the sum is taken in float, behind a product
            self._dequantized(weight, axis, f"{output}.w", transposed=axis == 0)
            self._add("MatMul", inputs, [f"{output}.product"])
            self._add("Add", [f"{output}.product", node.input[2]], [output])
            return
        scales = self._dequantized(weight, axis, f"{output}.w")
        if len(node.input) > 2 and node.input[2]:
            factors = scale * scales
            bias = np.clip(np.rint(self._array(node.input[2]) / factors), -(2**31), 2**31 - 1).astype(np.int32)
            stored = self._constant(f"{output}.bias.s32", bias.reshape(-1))
            factor = self._constant(f"{output}.bias.scale", factors)
            zero_bias = self._constant(f"{output}.bias.zero", np.zeros(factors.shape, np.int32))
            self._add("DequantizeLinear", [stored, factor, zero_bias], [f"{output}.b"], axis=0)
            inputs.append(f"{output}.b")
        self._replace_inputs(node, inputs)

    def weight_only(self, node: Any) -> None:
        inputs = list(node.input)
        for index in WEIGHT_INPUTS[node.op_type]:
            axis = _channel_axis(node, index)
            target = f"{node.output[0]}.w{index}"
            self._dequantized(node.input[index], axis, target)
            inputs[index] = target
        self._replace_inputs(node, inputs)

    def _dequantized(self, weight: str, axis: int, target: str, *, transposed: bool = False) -> FloatArray:
        """Add the int8 form of a weight and the operator that unpacks it to `target`; return its scales.

        transposed: stores a matrix turned round, its channels along the other axis.
        """
        array = self._array(weight)
        turned = np.moveaxis(array, axis, 0)
        # scales along one axis only: the directions of an LSTM share theirs
        values, scales = quantize_rows(np.ascontiguousarray(turned).reshape(turned.shape[0], -1))
        values = np.moveaxis(values.reshape(turned.shape), 0, axis)
        if transposed:
            axis, values = 1 - axis, values.T
        stored = self._constant(f"{weight}.{axis}.s8", values)
        factors = self._constant(f"{weight}.{axis}.scale", scales)
        # written out although it is the default: ONNX Runtime fuses the three-input form only
        zeros = self._constant(f"{weight}.{axis}.zero", np.zeros(scales.shape, np.int8))
        self._add("DequantizeLinear", [stored, factors, zeros], [target], axis=axis)
        return scales

    def _replace_inputs(self, node: Any, inputs: list[str]) -> None:
        twin = type(node)()
        twin.CopyFrom(node)
        del twin.input[:]
        twin.input.extend(inputs)
        self.nodes.append(twin)


def _is_plain_lstm(node: Any) -> bool:
    peepholes = len(node.input) > 7 and node.input[7] != ""
    return not peepholes and _attribute(node, "layout", 0) == 0


def _is_plain_gemm(node: Any) -> bool:
    factors = _attribute(node, "alpha", 1.0), _attribute(node, "beta", 1.0)
    return factors == (1, 1) and not _attribute(node, "transA", 0)


def _channel_axis(node: Any, index: int) -> int:
    if node.op_type in ("MatMul", "Gemm"):
        return 0 if _attribute(node, "transB", 0) else 1
    if node.op_type in ("LSTM", "GRU", "ConvTranspose"):
        return 1
    return 0


def _rows(array: Any, node: Any, index: int) -> FloatArray:
    turned = np.moveaxis(array, _channel_axis(node, index), 0)
    return np.ascontiguousarray(turned.reshape(turned.shape[0], -1), np.float32)


def _attribute(node: Any, name: str, default: Any) -> Any:
    for attribute in node.attribute:
        if attribute.name == name:
            return require_onnx().helper.get_attribute_value(attribute)
    return default


def _ranks(model: ModelProto) -> dict[str, int]:
    """Return tensor to number of dimensions, where shape inference finds it."""
    onnx = require_onnx()
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except Exception:  # a shape that cannot be inferred costs a check, not the run
        inferred = model
    graph = inferred.graph
    return {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.input, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }
