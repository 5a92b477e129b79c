"""Streaming graphs to ONNX, float and int8 (static, QDQ, only the Linear layers, their outputs float)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from vctrain.export.graphs import DecoderGraph, EncoderGraph, names


def export_float(graph: EncoderGraph | DecoderGraph, path: Path) -> None:
    """Writes an ONNX file whose first axis, frames per call, is free."""
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
            dynamic_axes={name: {0: "n_frames"} for name in streamed},
            opset_version=17,
            dynamo=False,
        )


class _Frames(CalibrationDataReader):
    def __init__(self, frames: Iterator[dict[str, NDArray[np.float32]]]) -> None:
        self.frames = frames

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self.frames, None)


def quantize(source: Path, target: Path, frames: Iterator[dict[str, NDArray[np.float32]]]) -> None:
    """Int8 weights per channel, uint8 activations calibrated on `frames`: graph inputs, states included, as streamed.

    The outputs stay float: with them quantized ONNX Runtime no longer fuses GELU and is slower and 4 to 12 dB worse.
    """
    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True, skip_optimization=True)
    quantize_static(
        str(prepared),
        str(target),
        _Frames(frames),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul", "Gemm"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
    )
    prepared.unlink()
