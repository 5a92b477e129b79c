"""What a manifest says, as frozen values. Lengths and positions in time are samples at features.sample_rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevc.bundle.fields import HOPS
from edgevc.limits import CHUNK_HOPS

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class FeatureSpec:
    """The log-mel front end that the encoder was trained with; the converter refuses any other."""

    sample_rate: int
    """Hertz."""
    n_fft: int
    win_length: int
    """Samples."""
    hop_length: int
    """Samples."""
    window: str
    n_mels: int
    fmin: float
    """Hertz."""
    fmax: float
    """Hertz."""
    log_floor: float
    """Smallest mel energy before the logarithm."""
    filterbank_sha256: str
    """Of the (n_mels, n_fft / 2 + 1) float32 little-endian filterbank."""


@dataclass(frozen=True)
class LatencySpec:
    """Where the model's delay comes from, in samples at features.sample_rate."""

    lookahead_samples: int
    latency_samples: int
    hop_samples: int


@dataclass(frozen=True)
class SynthesisSpec:
    """How the decoder's `filters` become samples."""

    kind: str
    n_fft: int
    segment_length: int
    """Samples."""


@dataclass(frozen=True)
class PitchSpec:
    """Range and delay of the F0 tracker that made the training data."""

    f0_min: float
    """Hertz."""
    f0_max: float
    """Hertz."""
    latency_samples: int


@dataclass(frozen=True)
class TensorSpec:
    """One float32 input or output of a graph."""

    name: str
    shape: tuple[int, ...]
    """The first dimension is -1 where it is the number of hops of a call."""

    def shape_for(self, chunk_hops: int) -> tuple[int, ...]:
        """Return the shape of a call with `chunk_hops` hops."""
        return tuple(chunk_hops if size == HOPS else size for size in self.shape)


@dataclass(frozen=True)
class GraphSpec:
    """One graph: what goes in, what comes out, what a stream remembers between calls."""

    name: str
    inputs: tuple[TensorSpec, ...]
    """Without the states."""
    outputs: tuple[TensorSpec, ...]
    """Without the states."""
    states: tuple[TensorSpec, ...]
    """Graph input `state_<name>_in` and graph output `state_<name>_out`; zero at the start of a stream."""
    chunk_hops: tuple[int, ...]
    """Numbers of hops that one call may take."""
    macs_per_hop: int
    n_parameters: int
    files: Mapping[str, str]
    """Engine name to path inside the bundle."""
    quantization: Mapping[str, Any]
    """Engine name to figures: how the graph was quantized and what was measured."""

    @property
    def block_hops(self) -> int | None:
        """Hops of every call, of a graph that hears in blocks; None where a call takes as many as one likes."""
        fixed = len(self.chunk_hops) == 1 and self.chunk_hops[0] not in CHUNK_HOPS
        return self.chunk_hops[0] if fixed else None

    def graph_inputs(self, chunk_hops: int) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every tensor that the graph takes, states included."""
        named = {spec.name: spec.shape_for(chunk_hops) for spec in self.inputs}
        return named | {f"state_{spec.name}_in": spec.shape for spec in self.states}

    def graph_outputs(self, chunk_hops: int) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every tensor that the graph gives, states included."""
        named = {spec.name: spec.shape_for(chunk_hops) for spec in self.outputs}
        return named | {f"state_{spec.name}_out": spec.shape for spec in self.states}


@dataclass(frozen=True)
class ConsentRecord:
    """How the speaker of a voice agreed to it."""

    basis: str
    """"spoken", "written", "licence" (published for any use), or "nobody": no person speaks like this."""
    statement: str
    """What was agreed to."""
    date: str | None = None
    """YYYY-MM-DD."""
    where: str | None = None
    """Where it can be read or asked for."""
    recording_sha256: str | None = None
    """Of the recording in which it was spoken; the recording itself is not part of a bundle."""


@dataclass(frozen=True)
class VoiceSpec:
    """One target voice."""

    name: str
    description: str
    licence: str
    consent: str
    """How the speaker agreed, or that the voice is nobody's."""
    log2_f0_mean: float
    """Mean of log2(F0 / Hz) over voiced frames."""
    log2_f0_std: float
    row: int
    """Row of the voices file."""
    consent_record: ConsentRecord | None = None
    """None where the bundle has the sentence alone."""


@dataclass(frozen=True)
class AdapterLayer:
    """What is added to the weights of one Linear layer: up @ down."""

    up: FloatArray
    """(outputs, rank)."""
    down: FloatArray
    """(rank, inputs)."""


@dataclass(frozen=True, eq=False)
class Adapters:
    """What a voice changes in the decoder of the model that it was made for."""

    layers: tuple[AdapterLayer, ...]
    """One for each Linear layer of the decoder, in the order of the graph."""
    offsets: FloatArray
    """Added to the last layer's bias."""
    sha256: str
    """Of the manifest of the voice's file: names them."""


@dataclass(frozen=True)
class Voice:
    """A voice with its conditioning."""

    spec: VoiceSpec
    conditioning: FloatArray
    """(1, V), the decoder's `voice` input; read-only."""
    adapters: Adapters | None = None
    """Of a voice that was made by `edgevc voice make`; None for a model's own."""


@dataclass(frozen=True)
class TrainingSet:
    """One data set that the model was trained on."""

    name: str
    licence: str
    source: str


@dataclass(frozen=True)
class GoldenSpec:
    """Inputs and the outputs that every engine must reproduce before it is trusted."""

    n_hops: int
    tolerance: Mapping[str, float]
    """Engine name to the largest relative RMS error of an output."""


@dataclass(frozen=True)
class ModelReference:
    """The model that a bundle of kind "voice" was made for."""

    name: str
    version: str
    width: int
    """Of the decoder's `voice` input."""
    graphs_sha256: str | None = None
    """See `edgevc.bundle.ModelBundle.graphs_sha256`; None where any model of the name and version will do."""


@dataclass(frozen=True)
class AdaptersSpec:
    """Where a voice's adapters lie, and their sizes."""

    file: str
    rank: int
    layers: tuple[tuple[int, int], ...]
    """Outputs and inputs of each Linear layer."""
    offsets: int
    """Values that are added to the last bias."""

    @property
    def n_values(self) -> int:
        """Values in the file."""
        return sum(self.rank * (outputs + inputs) for outputs, inputs in self.layers) + self.offsets


@dataclass(frozen=True)
class FileEntry:
    """One listed file."""

    n_bytes: int
    sha256: str


@dataclass(frozen=True)
class Contents:
    """All that a manifest says, checked. A section that its kind of bundle does not have is None or empty."""

    kind: str
    """"converter", "tts", "voice" or "recogniser"."""
    name: str
    version: str
    description: str
    licence: str
    training_data: tuple[TrainingSet, ...]
    training_commit: str
    files: Mapping[str, FileEntry]
    """Path to size and hash."""
    features: FeatureSpec | None
    latency: LatencySpec | None
    synthesis: SynthesisSpec | None
    pitch: PitchSpec | None
    graphs: Mapping[str, GraphSpec]
    phones: tuple[str, ...]
    model: ModelReference | None
    adapters: AdaptersSpec | None
    voices_file: str
    """Empty where the bundle has no voices."""
    voices: tuple[VoiceSpec, ...]
    golden: GoldenSpec | None
    golden_file: str
    golden_arrays: Mapping[str, tuple[int, tuple[int, ...]]]
    """Name to position, in values, and shape."""
    quality: Mapping[str, Any]

    @property
    def voice_width(self) -> int:
        """Values of a voice's conditioning."""
        if self.model is not None:
            return self.model.width
        return next((t.shape[1] for g in self.graphs.values() for t in g.inputs if t.name == "voice"), 0)
