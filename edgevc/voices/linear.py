"""A Linear layer in int8, and how one is made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevc.errors import ModelError

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LinearLayer:
    """Weights in int8, symmetric, with a scale for each output."""

    weight: NDArray[np.int8]
    """(outputs, inputs)."""
    scale: FloatArray
    """(outputs,)."""
    bias: FloatArray
    """(outputs,)."""

    def values(self) -> FloatArray:
        """Return the weights as numbers, float32 (outputs, inputs)."""
        return self.weight.astype(np.float32) * self.scale[:, None]


def quantized(values: FloatArray, bias: FloatArray) -> LinearLayer:
    """Return a layer of these weights, float32 (outputs, inputs), quantized as edgevc's own models are.

    Every step is one operation of IEEE 754 on each number, so that the result is the same, bit for bit, wherever it is
    made.
    """
    scale = np.maximum(np.abs(values).max(1), np.float32(1e-9)) / np.float32(127)
    weight = np.clip(np.rint(values / scale[:, None]), -127, 127).astype(np.int8)
    return LinearLayer(weight, scale, bias)


def unsuited(path: str, why: str) -> ModelError:
    """Return the error for a graph whose layers cannot be changed."""
    return ModelError(f"{path} cannot take a voice of its own: {why}; use one of edgevc's models, `edgevc voices`")
