"""A voice of its own for tests: adapters drawn by chance, small enough that speech stays speech."""

import numpy as np

from edgevc.bundle import AdapterLayer, Adapters
from edgevc.voices.layers import read_layers
from edgevc.voices.writer import write_voice

FACTS = {
    "description": "drawn by chance",
    "licence": "Apache-2.0",
    "consent": "nobody speaks like this",
    "consent_record": {"basis": "nobody", "statement": "drawn by chance for a test"},
    "log2_f0_mean": 7.4,
    "log2_f0_std": 0.2,
}


def drawn_adapters(model, seed=0, rank=2, strength=0.02):
    """Adapters for a model's decoder."""
    rng = np.random.default_rng(seed)
    path = model.graphs["decoder"].files["onnx"]
    layers = []
    for layer in read_layers("onnx", model.read(path), path):
        outputs, inputs = layer.weight.shape
        up = strength * rng.standard_normal((outputs, rank))
        layers.append(AdapterLayer(up.astype(np.float32), rng.standard_normal((rank, inputs)).astype(np.float32)))
    offsets = 0.1 * rng.standard_normal(len(layers[-1].up))
    return Adapters(tuple(layers), offsets.astype(np.float32), "")


def write_drawn_voice(path, model, seed=0, name="me", **changes):
    """Write a voice's file for a model."""
    conditioning = model.voice(model.voices[0].name).conditioning
    facts = {"name": name, **FACTS, **changes}
    return write_voice(path, model, facts, conditioning, drawn_adapters(model, seed), {"similarity": 0.8})
