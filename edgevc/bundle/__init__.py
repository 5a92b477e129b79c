"""Reads and writes a model bundle: a folder, or a .zip of one, with manifest.json and the files it lists.

docs/model-format.md describes every key; `edgevc.bundle.manifest` declares them. Nothing in a bundle is executed: the
manifest is JSON, arrays are raw little-endian float32, and graphs are only handed to an inference engine after
`edgevc.engines` has looked at their structure.
"""

from __future__ import annotations

from edgevc.bundle.fields import MAX_DIMENSION, MAX_ELEMENTS
from edgevc.bundle.manifest import MAX_FILE_BYTES, MAX_MANIFEST_BYTES, MAX_TOTAL_BYTES
from edgevc.bundle.reader import ModelBundle
from edgevc.bundle.shipped import shipped_models
from edgevc.bundle.specs import AdapterLayer, Adapters, ConsentRecord, GraphSpec, TensorSpec, Voice, VoiceSpec
from edgevc.bundle.writer import pack_golden, write_manifest
from edgevc.limits import CHUNK_HOPS, ENGINES

__all__ = [
    "CHUNK_HOPS",
    "ENGINES",
    "MAX_DIMENSION",
    "MAX_ELEMENTS",
    "MAX_FILE_BYTES",
    "MAX_MANIFEST_BYTES",
    "MAX_TOTAL_BYTES",
    "AdapterLayer",
    "Adapters",
    "ConsentRecord",
    "GraphSpec",
    "ModelBundle",
    "TensorSpec",
    "Voice",
    "VoiceSpec",
    "pack_golden",
    "shipped_models",
    "write_manifest",
]
