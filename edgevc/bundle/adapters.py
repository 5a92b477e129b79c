"""The adapters in a voice's file: small matrices that change the decoder of the model that the voice was made for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevc.bundle.specs import AdapterLayer, Adapters, AdaptersSpec
from edgevc.errors import ModelError

LARGEST_ADAPTER_VALUE = 100.0
"""Of one value; those that were tuned stay below 3."""


def read_adapters(spec: AdaptersSpec, data: bytes, sha256: str) -> Adapters:
    """Return what the adapters' file holds.

    Args:
        spec: from the manifest.
        data: little-endian float16: for each layer the (rank, inputs) that come first in the product and the
            (outputs, rank) behind them, then the offsets.
        sha256: names them.

    Raises:
        ModelError: the file has another size, or a value that is not finite or beyond all measure.
    """
    if len(data) != 2 * spec.n_values:
        raise ModelError(
            f"{spec.file} must hold {spec.n_values} float16 values, got {len(data)} bytes; download or copy it again"
        )
    values = np.frombuffer(data, "<f2").astype(np.float32)
    # not <=: NaN
    if not float(np.max(np.abs(values))) <= LARGEST_ADAPTER_VALUE:
        raise ModelError(f"{spec.file} must hold values within +-{LARGEST_ADAPTER_VALUE:g}; make the voice again")
    values.flags.writeable = False
    layers = []
    for outputs, inputs in spec.layers:
        down, up, values = np.split(values, [spec.rank * inputs, spec.rank * (inputs + outputs)])
        layers.append(AdapterLayer(up.reshape(outputs, spec.rank), down.reshape(spec.rank, inputs)))
    return Adapters(tuple(layers), values, sha256)


def pack_adapters(layers: tuple[AdapterLayer, ...], offsets: NDArray[np.float32]) -> bytes:
    """Return the file's bytes, see `read_adapters`."""
    parts = [array for layer in layers for array in (layer.down, layer.up)]
    return b"".join(array.astype("<f2").tobytes() for array in (*parts, offsets))
