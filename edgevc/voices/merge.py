"""A decoder that speaks as a voice of its own: the adapters added to the weights of the model's decoder."""

from __future__ import annotations

from edgevc.bundle import AdapterLayer, Adapters, ModelBundle
from edgevc.errors import ModelError
from edgevc.voices.layers import read_layers, with_layers
from edgevc.voices.linear import FloatArray, LinearLayer, quantized


def merged(bundle: ModelBundle, adapters: Adapters, engine: str) -> ModelBundle:
    """Return the model with another decoder, in memory only; see `ModelBundle.with_files`.

    Args:
        bundle: the model that the adapters were made for.
        adapters: of the voice.
        engine: "litert" or "onnx": whose file is changed.

    Raises:
        ModelError: the decoder has other layers than the adapters.
    """
    path = bundle.graphs["decoder"].files[engine]
    data = bundle.read(path)
    layers = read_layers(engine, data, path)
    sizes, wanted = [layer.weight.shape for layer in layers], [_size(layer) for layer in adapters.layers]
    if sizes != wanted or len(adapters.offsets) != sizes[-1][0]:
        raise ModelError(
            f"the voice was made for a decoder with other layers than {path} of {bundle.name}; make it again"
        )
    changed = [adapted(layer, adapter) for layer, adapter in zip(layers, adapters.layers, strict=True)]
    last = changed[-1]
    changed[-1] = LinearLayer(last.weight, last.scale, last.bias + adapters.offsets)
    return bundle.with_files({path: with_layers(engine, data, path, changed)})


def adapted(layer: LinearLayer, adapter: AdapterLayer) -> LinearLayer:
    """Return a layer with an adapter added to its weights."""
    return quantized(added(layer.values(), adapter), layer.bias)


def added(values: FloatArray, adapter: AdapterLayer) -> FloatArray:
    """Return weights, float32 (outputs, inputs), with an adapter's product added.

    One column after the other, never by a matrix product: libraries for those add in an order of their own, and what is
    made on a PC and on a board must be the same.
    """
    total: FloatArray = values.copy()
    for column, row in zip(adapter.up.T, adapter.down, strict=True):
        total += column[:, None] * row
    return total


def _size(layer: AdapterLayer) -> tuple[int, int]:
    return len(layer.up), layer.down.shape[1]
