"""The manifest's rules, declared once: reader, JSON schema and the tables in docs/model-format.md are made from them.

`manifest_record` gives the keys of a format and kind. What two values must agree on is in `edgevc.bundle.agreement`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from edgevc.bundle.agreement import check_together
from edgevc.bundle.fields import (
    DATE,
    HOPS,
    MAX_DIMENSION,
    NAME,
    SHA256,
    TENSOR_NAME,
    ChunkHops,
    Field,
    Figures,
    FilePath,
    Integer,
    Items,
    Number,
    OneOf,
    PerEngine,
    Record,
    Shape,
    Text,
    broken,
)
from edgevc.bundle.specs import (
    AdaptersSpec,
    ConsentRecord,
    Contents,
    FeatureSpec,
    FileEntry,
    GoldenSpec,
    GraphSpec,
    LatencySpec,
    ModelReference,
    PitchSpec,
    SynthesisSpec,
    TensorSpec,
    TrainingSet,
    VoiceSpec,
)
from edgevc.errors import ModelError
from edgevc.limits import CHUNK_HOPS
from edgevc.text import shortened

FORMAT_VERSIONS = (1, 2)
"""Format 1 is a converter; format 2 says its kind. See `edgevc.bundle.writer` for which one is written."""
F0_LIMITS = (60.0, 500.0)
"""Hertz: what the core's pitch tracker was taught."""
PITCH_LATENCIES = (240, 480)
"""Samples that the core's pitch tracker may hear beyond the frame it judges."""
MAX_LATENCY = 8_000
"""Samples: half a second at 16 kHz, more than any model that answers while one speaks."""
MAX_MANIFEST_BYTES = 1 << 20
MAX_FILE_BYTES = 96 << 20
MAX_TOTAL_BYTES = 256 << 20
MAX_FILES = 64
MAX_GRAPHS = 8

_PATH = FilePath()
_FEATURES = Record(
    Field("sample_rate", Integer(8_000, 48_000), "hertz"),
    Field("n_fft", Integer(16, 8_192), "points of the Fourier transform"),
    Field("win_length", Integer(1, 8_192), "samples of the window, at most n_fft"),
    Field("hop_length", Integer(1, 8_192), "samples between two windows, at most win_length"),
    Field("window", NAME, 'such as "hann"'),
    Field("n_mels", Integer(1, 512), "mel bands"),
    Field("fmin", Number(0.0, 24_000.0), "hertz, lower edge of the lowest band"),
    Field("fmax", Number(0.0, 24_000.0), "hertz, upper edge of the highest band, at most half of sample_rate"),
    Field("log_floor", Number(1e-30, 1e3), "smallest mel energy before the logarithm"),
    Field("filterbank_sha256", SHA256, "of the (n_mels, n_fft / 2 + 1) float32 little-endian filterbank"),
)
_LATENCY = Record(
    Field("lookahead_samples", Integer(0, MAX_LATENCY), "that the encoder hears beyond the hop it judges"),
    Field(
        "latency_samples",
        Integer(0, MAX_LATENCY),
        "by which the output lags behind the input, at least those of lookahead and pitch; a chunk more is the "
        "algorithmic latency",
    ),
    Field("hop_samples", Integer(1, MAX_LATENCY), "equals features.hop_length"),
)
_SYNTHESIS = Record(
    Field("kind", OneOf("source-filter"), "how the decoder's `filters` become samples"),
    Field("n_fft", Integer(16, 8_192), "points of the Fourier transform"),
    Field("segment_length", Integer(1, 8_192), "samples, at most n_fft"),
)
_PITCH = Record(
    Field("f0_min", Number(*F0_LIMITS), "hertz, lowest F0 that is tracked"),
    Field("f0_max", Number(*F0_LIMITS), "hertz, at least 1 above f0_min"),
    Field("latency_samples", OneOf(*PITCH_LATENCIES), "of the tracker that made the training data"),
)
_SHAPED = Record(
    Field("name", TENSOR_NAME, "of the graph's input or output"),
    Field("shape", Shape(per_hop=True), 'two dimensions; "hops" is the number of hops in a call'),
    Field("dtype", OneOf("float32"), ""),
)
_STATE = Record(
    Field("name", TENSOR_NAME, "of the state"),
    Field("shape", Shape(per_hop=False), "two dimensions"),
    Field("dtype", OneOf("float32"), ""),
)
_GRAPH = Record(
    Field("inputs", Items(_SHAPED, 1, 8), "without states, in the order of a call"),
    Field("outputs", Items(_SHAPED, 1, 8), "without states, in the order of a call"),
    Field("states", Items(_STATE, 0, 64), "graph input state_<name>_in, graph output state_<name>_out; zeros at first"),
    Field(
        "chunk_hops",
        ChunkHops(),
        "numbers of hops that one call may take; another one, alone, is a block that it hears in",
    ),
    Field("macs_per_hop", Integer(0, 10**12), "multiplications with addition, at one hop per call"),
    Field("n_parameters", Integer(0, 10**9), "weights"),
    Field("files", PerEngine(_PATH, 1), "one file for each engine, listed under files"),
    Field("quantization", Figures(), "for each engine how it was quantized and what was measured; never acted upon"),
)
_CONSENT = Record(
    Field("basis", OneOf("spoken", "written", "licence", "nobody"), "how the speaker agreed; nobody: no one speaks so"),
    Field("statement", Text(), "what was agreed to, in the words that were spoken, signed or published"),
    Field("date", DATE, "of the agreement", optional=True),
    Field("where", Text(), "where it can be read or asked for", optional=True),
    Field("recording_sha256", SHA256, "of the recording in which it was spoken", optional=True),
)
_VOICE = Record(
    Field("name", NAME, "how it is asked for"),
    Field("description", Text(), "for people"),
    Field("licence", Text(), "of the recordings"),
    Field("consent", Text(), "how the speaker agreed, or that the voice is nobody's"),
    Field("consent_record", _CONSENT, "the same, to be read by programs; see docs/consent.md", optional=True),
    Field("log2_f0_mean", Number(3.0, 11.0), "mean of log2(F0 / Hz) over voiced frames"),
    Field("log2_f0_std", Number(0.0, 4.0), "standard deviation of the same"),
    Field("row", Integer(0, 4095), "of the voices file"),
)
_VOICES = Record(
    Field("file", _PATH, "raw little-endian float32, (rows, V), within +-1000"),
    Field("list", Items(_VOICE, 1, 256), "one entry for each voice"),
)
_GOLDEN = Record(
    Field("file", _PATH, "raw little-endian float32"),
    Field("n_hops", Integer(max(CHUNK_HOPS), 1024), f"a multiple of {max(CHUNK_HOPS)}, or of a block"),
    Field("tolerance", PerEngine(Number(0.0, 0.5), 0), "largest relative RMS error of an output, for each engine"),
    Field(
        "arrays",
        Items(
            Record(
                Field("name", Text(200), "see below"),
                Field("shape", Shape(per_hop=False), "rows are hops, or 1"),
                Field("offset", Integer(0, MAX_FILE_BYTES), "bytes, a multiple of 4"),
            ),
            1,
            256,
        ),
        "where each array lies in the file",
    ),
)
_FILES = Items(
    Record(
        Field("path", _PATH, "relative, each once"),
        Field("bytes", Integer(1, MAX_FILE_BYTES), "size"),
        Field("sha256", SHA256, "of the content"),
    ),
    1,
    MAX_FILES,
)
_TRAINING_SET = Record(
    Field("name", Text(), ""), Field("licence", Text(), ""), Field("source", Text(), "where it can be found")
)
_MODEL = Record(
    Field("name", NAME, "of the model that the voices were made for"),
    Field("version", NAME, "of that model"),
    Field("width", Integer(1, MAX_DIMENSION), "V, the values of a voice's conditioning"),
    Field(
        "graphs_sha256",
        SHA256,
        "of that model's graphs: of a line `PATH SHA256` for each of their files, sorted",
        optional=True,
    ),
)
_ADAPTERS = Record(
    Field("file", _PATH, "raw little-endian float16, within +-100: see below"),
    Field("rank", Integer(1, 64), "columns of what is added to a layer's weights"),
    Field(
        "layers", Items(Shape(per_hop=False), 1, 256), "outputs and inputs of each Linear layer, in the graph's order"
    ),
    Field("offsets", Integer(1, MAX_DIMENSION), "values that are added to the last layer's bias"),
)
_ABOUT = (
    Field("manifest_sha256", SHA256, "of manifest.json itself, taken with these 64 digits replaced by 64 dashes"),
    Field("name", NAME, "of the model"),
    Field("version", NAME, "of the model"),
    Field("description", Text(), "for people"),
    Field("licence", Text(), "of the model"),
    Field("training_data", Items(_TRAINING_SET, 0, 64), "what it was trained on"),
    Field("training_commit", NAME, "of the training code"),
    Field("files", _FILES, "every file but manifest.json"),
    Field("quality", Figures(), "measured figures of what the model makes; shown, never acted upon", optional=True),
)


@dataclass(frozen=True)
class GraphRule:
    """What the runtime relies on in a graph of a known name."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


GRAPHS = {
    "encoder": GraphRule(("log_mel",), ("content", "phones")),
    "decoder": GraphRule(("content", "pitch", "voice"), ("filters",)),
}
"""The first dimension of `voice` is 1, that of all other inputs and outputs is the hops of a call."""


@dataclass(frozen=True)
class BundleKind:
    """One kind of bundle: what it is for, its sections beside those of every bundle, and the graphs it must have."""

    help: str
    sections: tuple[Field, ...] = ()
    graphs: tuple[str, ...] = ()
    free_graphs: bool = False
    """Whether it may have graphs of other names, with any inputs and outputs."""

    def graphs_field(self) -> Field:
        """Return the key `graphs` of this kind."""
        record = Record(*(Field(name, _GRAPH, "") for name in self.graphs))
        return Field("graphs", _Graphs(record) if self.free_graphs else record, "see below")


class _Graphs(Record):
    """Graphs of known names, and some of others."""

    def __init__(self, known: Record) -> None:
        super().__init__(*known.fields)

    def read(self, value: Any, where: str) -> dict[str, Any]:
        if isinstance(value, dict) and len(value) > MAX_GRAPHS:
            raise broken(where, f"at most {MAX_GRAPHS} graphs", f"{len(value)}")
        names = [TENSOR_NAME.read(name, f"{where}: the name of a graph") for name in value if isinstance(value, dict)]
        others = [Field(name, _GRAPH, "") for name in names if name not in {field.name for field in self.fields}]
        return Record(*self.fields, *others).read(value, where)

    def schema(self) -> dict[str, Any]:
        return super().schema() | {"additionalProperties": _GRAPH.schema(), "maxProperties": MAX_GRAPHS}


_PHONES = Items(Text(64), 0, 256)
_SECTIONS = {
    "features": Field("features", _FEATURES, "the front end that the encoder was trained with"),
    "latency": Field("latency", _LATENCY, "where the delay comes from"),
    "synthesis": Field("synthesis", _SYNTHESIS, "how the decoder's output becomes sound"),
    "pitch": Field("pitch", _PITCH, "of the F0 tracker that made the training data"),
    "voices": Field("voices", _VOICES, "who can speak"),
    "golden": Field("golden", _GOLDEN, "what every engine must reproduce"),
    "model": Field("model", _MODEL, "the model whose decoder takes these voices"),
    "adapters": Field("adapters", _ADAPTERS, "what the voices change in that decoder", optional=True),
    "phones": Field("phones", _PHONES, "names of the columns of the encoder's `phones`"),
}
_MAY_NAME_PHONES = Field("phones", _PHONES, _SECTIONS["phones"].help, optional=True)


def _sections(*names: str) -> tuple[Field, ...]:
    return tuple(_SECTIONS[name] for name in names)


KINDS = {
    "converter": BundleKind(
        "one voice into another",
        (*_sections("features", "latency", "synthesis", "pitch", "voices", "golden"), _MAY_NAME_PHONES),
        ("encoder", "decoder"),
    ),
    "recogniser": BundleKind(
        "what is said, as phones",
        _sections("features", "latency", "golden", "phones"),
        ("encoder",),
    ),
    "tts": BundleKind(
        "text into speech: a decoder, and graphs that feed it",
        (*_sections("synthesis", "voices", "golden"), _MAY_NAME_PHONES),
        ("decoder",),
        free_graphs=True,
    ),
    "voice": BundleKind("voices for a model that lies elsewhere", _sections("model", "adapters", "voices")),
}


def manifest_record(version: int, kind: str) -> Record:
    """Return all keys of a manifest of this format and kind."""
    rule = KINDS[kind]
    head = [Field("format_version", OneOf(version), "of the manifest")]
    if version > 1:
        head.append(Field("kind", OneOf(kind), rule.help))
    graphs = [rule.graphs_field()] if rule.graphs else []
    return Record(*head, *_ABOUT, *rule.sections, *graphs)


def read_contents(manifest: Mapping[str, Any]) -> Contents:
    """Check what a manifest says.

    Args:
        manifest: parsed JSON.

    Raises:
        ModelError: a key is missing or unknown, or a value breaks its rule, or two values contradict one another.
    """
    version = manifest.get("format_version")
    if type(version) is not int or version not in FORMAT_VERSIONS:
        raise ModelError(
            f"this edgevc reads bundles of format_version {' and '.join(map(str, FORMAT_VERSIONS))}, got "
            f"{shortened(version)}; update edgevc or export the model again"
        )
    kind = "converter"
    if version > 1:
        if "kind" not in manifest:
            raise ModelError("manifest must have the key 'kind', which is missing; export the model again")
        kind = str(OneOf(*KINDS).read(manifest["kind"], "manifest.kind"))
    found = manifest_record(version, kind).read(manifest, "manifest")
    contents = _contents(kind, found)
    check_together(contents)
    return contents


def _contents(kind: str, found: Mapping[str, Any]) -> Contents:
    files = _listed(found["files"])
    graphs = {name: _graph(name, values, files) for name, values in (found.get("graphs") or {}).items()}
    voices, golden = found.get("voices"), found.get("golden")
    return Contents(
        kind=kind,
        **{key: found[key] for key in ("name", "version", "description", "licence", "training_commit")},
        training_data=tuple(TrainingSet(**values) for values in found["training_data"]),
        files=files,
        features=_made(FeatureSpec, found.get("features")),
        latency=_made(LatencySpec, found.get("latency")),
        synthesis=_made(SynthesisSpec, found.get("synthesis")),
        pitch=_made(PitchSpec, found.get("pitch")),
        graphs=graphs,
        phones=found.get("phones") or (),
        model=_made(ModelReference, found.get("model")),
        adapters=_adapters(found.get("adapters"), files),
        voices_file=_in(files, voices["file"], "manifest.voices.file") if voices else "",
        voices=tuple(map(_voice, voices["list"])) if voices else (),
        golden=GoldenSpec(golden["n_hops"], golden["tolerance"]) if golden else None,
        golden_file=_in(files, golden["file"], "manifest.golden.file") if golden else "",
        golden_arrays=_arrays(golden["arrays"], files[golden["file"]].n_bytes) if golden else {},
        quality=found["quality"] or {},
    )


def _voice(values: dict[str, Any]) -> VoiceSpec:
    record = values["consent_record"]
    return VoiceSpec(**{**values, "consent_record": ConsentRecord(**record) if record else None})


_T = TypeVar("_T")


def _made(make: Callable[..., _T], values: Mapping[str, Any] | None) -> _T | None:
    return make(**values) if values else None


def _listed(entries: tuple[dict[str, Any], ...]) -> dict[str, FileEntry]:
    files: dict[str, FileEntry] = {}
    for i, entry in enumerate(entries):
        if entry["path"] in files or entry["path"] == "manifest.json":
            raise broken(f"manifest.files[{i}].path", "listed once, and not manifest.json", entry["path"])
        files[entry["path"]] = FileEntry(entry["bytes"], entry["sha256"])
    total = sum(entry.n_bytes for entry in files.values())
    if total > MAX_TOTAL_BYTES:
        raise ModelError(f"the files of a bundle have at most {MAX_TOTAL_BYTES} bytes together, got {total}")
    return files


def _adapters(values: Mapping[str, Any] | None, files: Mapping[str, FileEntry]) -> AdaptersSpec | None:
    if values is None:
        return None
    _in(files, values["file"], "manifest.adapters.file")
    return AdaptersSpec(**values)


def _in(files: Mapping[str, FileEntry], path: str, where: str) -> str:
    if path not in files:
        raise broken(where, "listed under files", path)
    return path


def _graph(name: str, values: Mapping[str, Any], files: Mapping[str, FileEntry]) -> GraphSpec:
    where = f"manifest.graphs.{name}"
    for engine, path in values["files"].items():
        _in(files, path, f"{where}.files.{engine}")
    tensors = {part: tuple(TensorSpec(t["name"], t["shape"]) for t in values[part]) for part in _TENSOR_LISTS}
    for part, listed in tensors.items():
        names = [tensor.name for tensor in listed]
        if len(set(names)) != len(names):
            raise ModelError(f"{where}.{part} must have different names, got {', '.join(names)}; export it again")
    if name in GRAPHS:
        _require_rule(where, GRAPHS[name], tensors)
    return GraphSpec(
        name=name,
        inputs=tensors["inputs"],
        outputs=tensors["outputs"],
        states=tensors["states"],
        **{key: values[key] for key in ("chunk_hops", "macs_per_hop", "n_parameters", "files", "quantization")},
    )


def _require_rule(where: str, rule: GraphRule, tensors: Mapping[str, tuple[TensorSpec, ...]]) -> None:
    """Refuse a graph that is known by its name and has other inputs or outputs."""
    found = GraphRule(*(tuple(t.name for t in tensors[part]) for part in ("inputs", "outputs")))
    if found != rule:
        raise ModelError(
            f"{where} must have the inputs {', '.join(rule.inputs)} and the outputs {', '.join(rule.outputs)}, got "
            f"{', '.join(found.inputs)} and {', '.join(found.outputs)}; export the model again"
        )
    for tensor in (*tensors["inputs"], *tensors["outputs"]):
        if tensor.shape[0] != (1 if tensor.name == "voice" else HOPS):
            raise ModelError(
                f'{where}: {tensor.name} must have "hops" as first dimension (voice: 1), got shape {tensor.shape}; '
                "export the model again"
            )


_TENSOR_LISTS = ("inputs", "outputs", "states")


def _arrays(entries: tuple[dict[str, Any], ...], n_bytes: int) -> dict[str, tuple[int, tuple[int, ...]]]:
    arrays: dict[str, tuple[int, tuple[int, ...]]] = {}
    for i, entry in enumerate(entries):
        where = f"manifest.golden.arrays[{i}]"
        name, shape, offset = entry["name"], entry["shape"], entry["offset"]
        if name in arrays:
            raise broken(f"{where}.name", "there once", name)
        if offset % 4 or offset + 4 * math.prod(shape) > n_bytes:
            rule = f"a multiple of 4 with the array inside the file's {n_bytes} bytes"
            raise broken(f"{where}.offset", rule, offset)
        arrays[name] = (offset // 4, shape)
    return arrays
