"""Reads a model bundle: manifest.json and the files it lists, checked before anything is used.

A bundle is a folder, or a .zip of one that is read in place. docs/model-format.md describes every key. Nothing in a
bundle is executed: the manifest is JSON, arrays are raw little-endian float32, and graphs are only handed to an
inference engine after `edgevc.engines` has looked at their structure.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgevc.errors import ModelError
from edgevc.text import shortened

FORMAT_VERSION = 1
ENGINES = ("litert", "onnx")
"""Inference engines in the order in which `auto` tries them."""

CHUNK_HOPS = (1, 2, 4)
F0_LIMITS = (60.0, 500.0)
"""Hertz: what the core's pitch tracker was taught."""
PITCH_LATENCIES = (240, 480)
"""Samples that the core's pitch tracker may hear beyond the frame it judges."""
MAX_MANIFEST_BYTES = 1 << 20
MAX_FILE_BYTES = 64 << 20
MAX_TOTAL_BYTES = 256 << 20
MAX_FILES = 64
MAX_FIGURE_DEPTH = 8
MAX_DIMENSION = 1 << 16
MAX_ELEMENTS = 1 << 22
"""Of one tensor: 16 MiB of float32."""

_PIECE = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TENSOR_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Printable, portable path parts; a leading dot would allow "." and "..".
_PATH_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")

# RuntimeError: a loop of links. The others come from the file system or from zipfile.
_READ_ERRORS = (OSError, RuntimeError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, struct.error)

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
        return tuple(chunk_hops if size == -1 else size for size in self.shape)


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

    def graph_inputs(self, chunk_hops: int) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every tensor that the graph takes, states included."""
        named = {spec.name: spec.shape_for(chunk_hops) for spec in self.inputs}
        return named | {f"state_{spec.name}_in": spec.shape for spec in self.states}

    def graph_outputs(self, chunk_hops: int) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every tensor that the graph gives, states included."""
        named = {spec.name: spec.shape_for(chunk_hops) for spec in self.outputs}
        return named | {f"state_{spec.name}_out": spec.shape for spec in self.states}


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


@dataclass(frozen=True)
class Voice:
    """A voice with its conditioning."""

    spec: VoiceSpec
    conditioning: FloatArray
    """(1, V), the decoder's `voice` input; read-only."""


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


class _Source(Protocol):
    """Where the bytes of a bundle come from."""

    def size(self, path: str) -> int: ...

    def pieces(self, path: str, limit: int) -> bytes: ...


_MODEL_FOLDERS = tuple(parent / "models" for parent in Path(__file__).resolve().parents[1:3])
"""In an installed package, and in a source tree."""


def shipped_models() -> dict[str, Path]:
    """Name to folder of the bundles that come with the package; the default one is the first."""
    for folder in _MODEL_FOLDERS:
        names = sorted(path.parent.name for path in folder.glob("*/manifest.json"))
        if names:
            return {name: folder / name for name in sorted(names, key=lambda name: name != "default")}
    return {}


class ModelBundle:
    """A checked bundle. Immutable; holds no engine and no stream, so that streams and threads may share it.

    Make one with `ModelBundle.open` or `ModelBundle.default`.
    """

    def __init__(self, path: Path, source: _Source, manifest: bytes) -> None:
        """Check everything that the manifest says; use `open` instead."""
        self.path = path
        self.sha256 = hashlib.sha256(manifest).hexdigest()
        """Of manifest.json, which holds the hashes of all other files: names the whole bundle."""
        self._source = source
        self._manifest = manifest
        root = _Fields(_parse_json(manifest), "manifest")
        version = root.take("format_version")
        if type(version) is not int or version != FORMAT_VERSION:
            raise ModelError(
                f"this edgevc reads bundles of format_version {FORMAT_VERSION}, got {shortened(version)}; "
                "update edgevc or export the model again"
            )
        sealed = root.sha256("manifest_sha256")
        if _seal(manifest, sealed) != sealed:
            raise ModelError(
                f"manifest.json must have the manifest_sha256 {_seal(manifest, sealed)}, it says {sealed}; "
                "copy the bundle again, or write the manifest with edgevc.bundle.write_manifest"
            )
        self.name = root.name("name")
        self.version = root.name("version")
        self.description = root.text("description")
        self.licence = root.text("licence")
        self.training_data = tuple(map(_read_training_set, root.objects("training_data", 0, 64)))
        self.training_commit = root.name("training_commit")
        self._files = _read_files(root)
        self.features = _read_features(root.object("features"))
        self.latency = _read_latency(root.object("latency"), self.features)
        self.synthesis = _read_synthesis(root.object("synthesis"))
        self.pitch = _read_pitch(root.object("pitch"))
        self.graphs: Mapping[str, GraphSpec] = _read_graphs(root.object("graphs"), self._files)
        self.phones = tuple(root.texts("phones", 256)) if root.has("phones") else ()
        """Names of the columns of the encoder's `phones` output; empty where the manifest does not say."""
        _check_widths(self)
        voices_path, voices = _read_voices(root.object("voices"), self._files)
        self.voices = voices
        golden = root.object("golden")
        golden_path = golden.file("file", self._files)
        self.golden, self._golden_arrays = _read_golden(golden, self.graphs, self._files[golden_path].n_bytes)
        self.quality: Mapping[str, Any] = _read_figures(root.take("quality") if root.has("quality") else {}, "quality")
        """Measured figures of the speech that the model makes, shown and never acted upon; may be empty."""
        root.done()

        for listed in self._files:
            self.read(listed)
        width = self.graphs["decoder"].inputs[2].shape[1]
        table = _floats(self.read(voices_path), voices_path)
        rows = len(table) // width
        if len(table) != rows * width or any(voice.row >= rows for voice in voices):
            raise ModelError(
                f"{voices_path} must hold {width} float32 values for each of the {len(voices)} voices' rows, "
                f"got {len(table)} values; export the model again"
            )
        self._voice_table = table.reshape(rows, width)
        self._golden_values = _floats(self.read(golden_path), golden_path)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> ModelBundle:
        """Read and check the bundle at `path`, a folder or a .zip of it.

        Raises:
            ModelError: anything is missing, damaged, too large or unknown.
        """
        where = Path(path)
        try:
            if where.is_dir():
                source: _Source = _Folder(where)
            elif where.is_file():
                source = _Zip(where)
            else:
                raise ModelError(f"a bundle is a folder or a .zip of one, found neither at {where}; check the path")
            return cls(where, source, source.pieces("manifest.json", MAX_MANIFEST_BYTES))
        except _READ_ERRORS as error:
            raise ModelError(f"cannot read the bundle {where}: {error}; copy it again") from error

    @classmethod
    def find(cls, which: str | os.PathLike[str] | None = None) -> ModelBundle:
        """Read the bundle that a person names: one of `shipped_models()`, or a path; None for the default.

        A name goes before a folder of the same name in the working directory, which `./NAME` names.

        Raises:
            ModelError: there is no such bundle, or it is damaged.
        """
        if which is None:
            return cls.default()
        name = os.fspath(which)
        if os.sep in name or name.endswith(".zip"):
            return cls.open(name)
        shipped = shipped_models()
        if name in shipped:
            return cls.open(shipped[name])
        if not Path(name).exists():
            raise ModelError(
                f"a model is one of {', '.join(shipped)}, or a folder or a .zip of one, found no {name!r}; "
                "edgevc voices lists them"
            )
        return cls.open(name)

    @classmethod
    def default(cls) -> ModelBundle:
        """Read the default one of the bundles that come with the package."""
        shipped = shipped_models()
        if "default" not in shipped:
            raise ModelError(
                f"this copy of edgevc carries no default model ({_MODEL_FOLDERS[0] / 'default'} is missing); "
                "install the wheel, or name a bundle"
            )
        return cls.open(shipped["default"])

    def read(self, path: str) -> bytes:
        """Return a listed file's bytes, checked against the manifest's size and sha256 in this very read."""
        entry = self._files.get(path)
        if entry is None:
            raise ModelError(f"{path!r} is not listed under files in the manifest; known: {', '.join(self._files)}")
        try:
            n_bytes = self._source.size(path)
            if n_bytes != entry.n_bytes:
                raise ModelError(f"{path} must have {entry.n_bytes} bytes, got {n_bytes}; copy the bundle again")
            data = self._source.pieces(path, entry.n_bytes)
        except _READ_ERRORS as error:
            raise ModelError(f"cannot read {path} of the bundle: {error}; copy it again") from error
        found = hashlib.sha256(data).hexdigest()
        if len(data) != entry.n_bytes or found != entry.sha256:
            raise ModelError(f"{path} must have sha256 {entry.sha256}, got {found}; copy the bundle again")
        return data

    def manifest(self) -> dict[str, Any]:
        """Return what manifest.json says, a copy: the start of a bundle made from this one."""
        return _parse_json(self._manifest)

    def file_bytes(self, path: str) -> int:
        """Return the size of a listed file."""
        return self._files[path].n_bytes

    def files(self) -> tuple[str, ...]:
        """Return the paths of all listed files."""
        return tuple(self._files)

    def voice(self, name: str) -> Voice:
        """Return the voice called `name`.

        Raises:
            ModelError: the bundle has no such voice.
        """
        for spec in self.voices:
            if spec.name == name:
                return Voice(spec, self._voice_table[spec.row : spec.row + 1])
        known = ", ".join(spec.name for spec in self.voices)
        raise ModelError(f"bundle {self.name} has no voice {name!r}; known: {known}")

    def golden_array(self, name: str) -> FloatArray:
        """Return a golden array, such as `encoder/input/log_mel` or `encoder/litert/content`; read-only.

        Raises:
            ModelError: the bundle has no such array.
        """
        if name not in self._golden_arrays:
            raise ModelError(f"the golden file must hold {name!r}, which is missing; export the model again")
        offset, shape = self._golden_arrays[name]
        return self._golden_values[offset : offset + math.prod(shape)].reshape(shape)


def write_manifest(folder: str | os.PathLike[str], manifest: Mapping[str, Any]) -> ModelBundle:
    """Write manifest.json for the files that lie in `folder`, and open the result.

    Args:
        folder: holds every file of the bundle.
        manifest: as docs/model-format.md has it. Of `files` only each `path` is needed; sizes and hashes are filled in,
            and so is `manifest_sha256`.

    Raises:
        ModelError: the manifest breaks a rule; the file is written all the same, to look at.
    """
    where = Path(folder)
    files = []
    for entry in manifest["files"]:
        data = (where / entry["path"]).read_bytes()
        files.append({"path": entry["path"], "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    text = json.dumps({**manifest, "files": files, "manifest_sha256": _UNSEALED}, indent=1, ensure_ascii=False)
    data = text.encode()
    (where / "manifest.json").write_bytes(data.replace(_UNSEALED.encode(), _seal(data, _UNSEALED).encode()))
    return ModelBundle.open(where)


def pack_golden(arrays: Mapping[str, FloatArray]) -> tuple[bytes, list[dict[str, Any]]]:
    """Return the golden file's bytes and the manifest's `golden.arrays` for named arrays."""
    entries: list[dict[str, Any]] = []
    data = bytearray()
    for name, array in arrays.items():
        entries.append({"name": name, "shape": list(array.shape), "offset": len(data)})
        data += array.astype("<f4").tobytes()
    return bytes(data), entries


_UNSEALED = "-" * 64


def _seal(manifest: bytes, sealed: str) -> str:
    """Return the sha256 of the manifest's bytes with the value of manifest_sha256 replaced by 64 dashes."""
    return hashlib.sha256(manifest.replace(sealed.encode(), _UNSEALED.encode())).hexdigest()


@dataclass(frozen=True)
class _FileEntry:
    n_bytes: int
    sha256: str


class _Folder:
    """A bundle as a folder. Links may point inside the folder only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def _open(self, path: str) -> int:
        target = (self._folder / path).resolve()
        if not target.is_relative_to(self._folder):
            raise ModelError(f"{path} must lie inside the bundle, it is a link to {target}; replace it by the file")
        # O_NONBLOCK: opening a FIFO must not wait for a writer. O_NOFOLLOW: the path was resolved just above.
        descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ModelError(f"{path} must be a regular file; replace it by the file")
        return descriptor

    def size(self, path: str) -> int:
        descriptor = self._open(path)
        try:
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def pieces(self, path: str, limit: int) -> bytes:
        with os.fdopen(self._open(path), "rb") as file:
            return _read_bounded(file.read, path, limit)


class _Zip:
    """A bundle as a zip archive, read without extracting."""

    def __init__(self, path: Path) -> None:
        self._path = path
        size = path.stat().st_size
        if not 22 <= size <= MAX_TOTAL_BYTES:
            raise ModelError(f"a zipped bundle has 22 to {MAX_TOTAL_BYTES} bytes, got {size}; give a bundle's .zip")
        with path.open("rb") as file:
            file.seek(size - 22)
            end = file.read(22)
        # zipfile builds an object for each entry of the directory, so its size is bounded first. Zip64 and archive
        # comments are refused, since both let another end record be found than the one looked at here.
        signature, _, _, _, n_entries, directory_bytes, _, comment_bytes = struct.unpack("<4s4H2IH", end)
        if signature != b"PK\x05\x06" or comment_bytes:
            raise ModelError(f"{path} is not a zip archive without comment; zip the bundle's folder again")
        if n_entries > 4 * MAX_FILES or directory_bytes > MAX_MANIFEST_BYTES:
            raise ModelError(
                f"a zipped bundle has at most {4 * MAX_FILES} entries, got {n_entries}; zip only the bundle's folder"
            )
        self._entries: dict[str, zipfile.ZipInfo] = {}
        with self._archive() as archive:
            names = [info.filename for info in archive.infolist()]
            if not all(names):
                raise ModelError(f"an entry of {path} has no name; zip the bundle's folder again")
            manifests = [name for name in names if re.fullmatch(rf"({_PATH_PART.pattern}/)?manifest\.json", name)]
            if len(manifests) != 1:
                raise ModelError(
                    f"a zipped bundle has one manifest.json, got {len(manifests)}; zip one bundle's folder"
                )
            prefix = manifests[0][: -len("manifest.json")]
            for info in archive.infolist():
                if info.is_dir() or not info.filename.startswith(prefix):
                    continue
                name = info.filename[len(prefix) :]
                if name in self._entries:
                    raise ModelError(f"entry {name[:80]!r} is there twice in {path}; zip the bundle's folder again")
                self._entries[name] = info

    def _archive(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self._path)
        except (ValueError, OverflowError, RuntimeError, LookupError) as error:
            raise ModelError(f"cannot read the zip archive {self._path}: {error}; zip the folder again") from error

    def _entry(self, path: str) -> zipfile.ZipInfo:
        info = self._entries.get(path)
        if info is None:
            raise ModelError(f"{path} is missing in {self._path}; zip the bundle's folder again")
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise ModelError(f"{path} must be a regular file in {self._path}, got mode {mode:o}; zip the file itself")
        if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ModelError(f"{path} must be stored or deflated, without a password; zip the bundle's folder again")
        return info

    def size(self, path: str) -> int:
        return self._entry(path).file_size

    def pieces(self, path: str, limit: int) -> bytes:
        info = self._entry(path)
        try:
            with self._archive() as archive, archive.open(info) as file:
                return _read_bounded(file.read, path, limit)
        except (ValueError, OverflowError, RuntimeError) as error:
            raise ModelError(f"cannot unzip {path}: {error}; zip the bundle's folder again") from error


def _read_bounded(read: Callable[[int], bytes], path: str, limit: int) -> bytes:
    """Read to the end, but never more than one piece beyond `limit`, whatever size was declared."""
    data = bytearray()
    while piece := read(_PIECE):
        data += piece
        if len(data) > limit:
            raise ModelError(f"{path} must have at most {limit} bytes, it has more; copy the bundle again")
    return bytes(data)


def _parse_json(data: bytes) -> dict[str, Any]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"manifest.json must be UTF-8: {error}; copy the bundle again") from error
    try:
        parsed = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_small
        )
    except (ValueError, RecursionError) as error:
        raise ModelError(f"manifest.json must be valid JSON: {error}; copy the bundle again") from error
    if not isinstance(parsed, dict):
        raise ModelError(f"manifest.json must be an object, got {shortened(parsed)}; export the model again")
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"key {shortened(name)} is there twice")
        result[name] = value
    return result


def _refuse_constant(text: str) -> float:
    raise ValueError(f"numbers must be finite, got {text}")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"numbers must be finite, got {text[:40]}")
    return value


def _small(text: str) -> int:
    if len(text) > 18:
        raise ValueError(f"integers must be below 1e17, got {text[:40]}")
    return int(text)


class _Fields:
    """One JSON object: every key is taken once by rule; what is left over is unknown and refused."""

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, dict):
            raise ModelError(f"{where} must be an object, got {shortened(values)}; export the model again")
        self.where = where
        self._values: dict[str, Any] = values
        self._taken: set[str] = set()

    def has(self, key: str) -> bool:
        return key in self._values

    def keys(self) -> list[str]:
        return list(self._values)

    def take(self, key: str) -> Any:
        self._taken.add(key)
        if key not in self._values:
            raise ModelError(f"{self.where} must have the key {key!r}, which is missing; export the model again")
        return self._values[key]

    def fail(self, key: str, rule: str, value: object) -> ModelError:
        return ModelError(f"{self.where}.{key} must be {rule}, got {shortened(value)}; export the model again")

    def text(self, key: str, limit: int = 2000) -> str:
        value = self.take(key)
        if not isinstance(value, str) or not value or len(value) > limit or not value.isprintable():
            raise self.fail(key, f"printable text of 1 to {limit} characters", value)
        return value

    def name(self, key: str) -> str:
        value = self.take(key)
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise self.fail(key, "a name of 1 to 64 letters, digits, dots, dashes or underscores", value)
        return value

    def tensor_name(self, key: str) -> str:
        value = self.take(key)
        if not isinstance(value, str) or not _TENSOR_NAME.fullmatch(value):
            raise self.fail(key, "a tensor name: a lower-case letter, then at most 47 of a-z, 0-9 and _", value)
        return value

    def sha256(self, key: str) -> str:
        value = self.take(key)
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            raise self.fail(key, "64 lower-case hexadecimal digits", value)
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        value = self.take(key)
        if type(value) is not int or not low <= value <= high:
            raise self.fail(key, f"an integer from {low} to {high}", value)
        return value

    def number(self, key: str, low: float, high: float) -> float:
        value = self.take(key)
        if type(value) not in (int, float) or not low <= value <= high:
            raise self.fail(key, f"a number from {low} to {high}", value)
        return float(value)

    def one_of(self, key: str, known: tuple[str, ...]) -> str:
        value = self.take(key)
        if value not in known:
            raise self.fail(key, f"one of {', '.join(known)}", value)
        return str(value)

    def path(self, key: str) -> str:
        value = self.take(key)
        if not isinstance(value, str) or len(value) > 200 or not all(map(_PATH_PART.fullmatch, value.split("/"))):
            raise self.fail(
                key, "a relative path of letters, digits, dots, dashes and underscores, without '..'", value
            )
        return str(PurePosixPath(value))

    def file(self, key: str, files: Mapping[str, _FileEntry]) -> str:
        value = self.path(key)
        if value not in files:
            raise self.fail(key, "listed under files", value)
        return value

    def items(self, key: str, low: int, high: int) -> list[Any]:
        value = self.take(key)
        if not isinstance(value, list) or not low <= len(value) <= high:
            rule = f"a list of {low} to {high} items"
            raise self.fail(key, rule, f"{len(value)} items" if isinstance(value, list) else value)
        return value

    def texts(self, key: str, high: int) -> list[str]:
        values = self.items(key, 0, high)
        if not all(isinstance(value, str) and 0 < len(value) <= 64 for value in values):
            raise self.fail(key, "a list of texts of 1 to 64 characters", values)
        return values

    def object(self, key: str) -> _Fields:
        return _Fields(self.take(key), f"{self.where}.{key}")

    def objects(self, key: str, low: int, high: int) -> list[_Fields]:
        items = self.items(key, low, high)
        return [_Fields(item, f"{self.where}.{key}[{i}]") for i, item in enumerate(items)]

    def shape(self, key: str) -> tuple[int, ...]:
        value = self.take(key)
        if (
            not isinstance(value, list)
            or len(value) != 2
            or any(type(size) is not int or not 1 <= size <= MAX_DIMENSION for size in value)
            or math.prod(value) > MAX_ELEMENTS
        ):
            rule = f"two integers from 1 to {MAX_DIMENSION} with a product of at most {MAX_ELEMENTS}"
            raise self.fail(key, rule, str(value)[:80] if isinstance(value, list) else value)
        return tuple(value)

    def done(self) -> None:
        """Refuse keys that nobody asked for."""
        for key in self._values:
            if key not in self._taken:
                near = difflib.get_close_matches(key[:80], sorted(self._taken), 1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(self._taken))}"
                raise ModelError(f"{self.where} has the unknown key {key[:80]!r}; {hint}")


def _read_files(root: _Fields) -> dict[str, _FileEntry]:
    files: dict[str, _FileEntry] = {}
    for item in root.objects("files", 1, MAX_FILES):
        path = item.path("path")
        if path in files or path == "manifest.json":
            raise item.fail("path", "listed once, and not manifest.json", path)
        files[path] = _FileEntry(item.integer("bytes", 1, MAX_FILE_BYTES), item.sha256("sha256"))
        item.done()
    total = sum(entry.n_bytes for entry in files.values())
    if total > MAX_TOTAL_BYTES:
        raise ModelError(f"the files of a bundle have at most {MAX_TOTAL_BYTES} bytes together, got {total}")
    return files


def _read_training_set(fields: _Fields) -> TrainingSet:
    spec = TrainingSet(fields.text("name"), fields.text("licence"), fields.text("source"))
    fields.done()
    return spec


def _read_features(fields: _Fields) -> FeatureSpec:
    sample_rate = fields.integer("sample_rate", 8_000, 48_000)
    n_fft = fields.integer("n_fft", 16, 8_192)
    win_length = fields.integer("win_length", 1, n_fft)
    spec = FeatureSpec(
        sample_rate=sample_rate,
        n_fft=n_fft,
        win_length=win_length,
        hop_length=fields.integer("hop_length", 1, win_length),
        window=fields.name("window"),
        n_mels=fields.integer("n_mels", 1, 512),
        fmin=fields.number("fmin", 0.0, sample_rate / 2),
        fmax=fields.number("fmax", 0.0, sample_rate / 2),
        log_floor=fields.number("log_floor", 1e-30, 1e3),
        filterbank_sha256=fields.sha256("filterbank_sha256"),
    )
    if spec.fmin >= spec.fmax:
        raise fields.fail("fmin", f"below fmax = {spec.fmax}", spec.fmin)
    fields.done()
    return spec


def _read_latency(fields: _Fields, features: FeatureSpec) -> LatencySpec:
    longest = 10 * features.sample_rate
    spec = LatencySpec(
        fields.integer("lookahead_samples", 0, longest),
        fields.integer("latency_samples", 0, longest),
        fields.integer("hop_samples", 1, longest),
    )
    if spec.hop_samples != features.hop_length:
        raise fields.fail("hop_samples", f"features.hop_length = {features.hop_length}", spec.hop_samples)
    fields.done()
    return spec


def _read_synthesis(fields: _Fields) -> SynthesisSpec:
    kind = fields.one_of("kind", ("source-filter",))
    n_fft = fields.integer("n_fft", 16, 8_192)
    spec = SynthesisSpec(kind, n_fft, fields.integer("segment_length", 1, n_fft))
    fields.done()
    return spec


def _read_pitch(fields: _Fields) -> PitchSpec:
    f0_min = fields.number("f0_min", *F0_LIMITS)
    spec = PitchSpec(
        f0_min,
        fields.number("f0_max", f0_min, F0_LIMITS[1]),
        fields.integer("latency_samples", min(PITCH_LATENCIES), max(PITCH_LATENCIES)),
    )
    if spec.latency_samples not in PITCH_LATENCIES:
        raise fields.fail("latency_samples", f"one of {PITCH_LATENCIES}", spec.latency_samples)
    if spec.f0_min == spec.f0_max:
        raise fields.fail("f0_max", f"above f0_min = {f0_min}", spec.f0_max)
    fields.done()
    return spec


def _read_tensors(items: list[_Fields], per_hop: bool) -> tuple[TensorSpec, ...]:
    tensors = []
    for item in items:
        name = item.tensor_name("name")
        item.one_of("dtype", ("float32",))
        shape = item.take("shape")
        if per_hop and isinstance(shape, list) and shape[:1] == ["hops"]:
            inner = _Fields({"shape": [1, *shape[1:]]}, item.where)
            tensors.append(TensorSpec(name, (-1, *inner.shape("shape")[1:])))
        else:
            tensors.append(TensorSpec(name, item.shape("shape")))
        item.done()
    names = [tensor.name for tensor in tensors]
    if len(set(names)) != len(names):
        raise ModelError(f"{items[0].where} and its neighbours must have different names, got {', '.join(names)}")
    return tuple(tensors)


def _read_figures(value: Any, where: str, depth: int = 0) -> Any:
    """Check free-form measured figures: text, numbers and objects of them; they are shown, never acted upon."""
    if isinstance(value, dict):
        if depth == MAX_FIGURE_DEPTH:
            raise ModelError(f"{where} may nest {MAX_FIGURE_DEPTH} levels; export the model again")
        return {key: _read_figures(inner, f"{where}.{key[:40]}", depth + 1) for key, inner in value.items()}
    if isinstance(value, str) and len(value) <= 2000 and value.isprintable():
        return value
    if type(value) in (int, float, bool):
        return value
    raise ModelError(f"{where} must be text, a number or an object of them, got {shortened(value)}")


# What the converter relies on. The first dimension of `voice` is 1, that of all others is the hops of a call.
_SIGNATURES = {
    "encoder": (("log_mel",), ("content", "phones")),
    "decoder": (("content", "pitch", "voice"), ("filters",)),
}


def _read_graphs(fields: _Fields, files: Mapping[str, _FileEntry]) -> dict[str, GraphSpec]:
    graphs = {name: _read_graph(name, fields.object(name), files) for name in _SIGNATURES}
    fields.done()
    if graphs["encoder"].chunk_hops != graphs["decoder"].chunk_hops:
        raise ModelError(
            f"graphs.encoder and graphs.decoder must have the same chunk_hops, got {graphs['encoder'].chunk_hops} "
            f"and {graphs['decoder'].chunk_hops}; export the model again"
        )
    return graphs


def _read_graph(name: str, fields: _Fields, files: Mapping[str, _FileEntry]) -> GraphSpec:
    inputs = _read_tensors(fields.objects("inputs", 1, 8), per_hop=True)
    outputs = _read_tensors(fields.objects("outputs", 1, 8), per_hop=True)
    states = _read_tensors(fields.objects("states", 0, 64), per_hop=False)
    found = (tuple(spec.name for spec in inputs), tuple(spec.name for spec in outputs))
    if found != _SIGNATURES[name]:
        raise ModelError(f"{fields.where} must have the inputs and outputs {_SIGNATURES[name]}, got {found}")
    for tensor in (*inputs, *outputs):
        rows = 1 if tensor.name == "voice" else -1
        if tensor.shape[0] != rows:
            rule = '"hops" as first dimension (voice: 1)'
            raise ModelError(f"{fields.where}: {tensor.name} must have {rule}, got shape {tensor.shape}")
    chunk_hops = fields.items("chunk_hops", 1, len(CHUNK_HOPS))
    if any(type(hops) is not int or hops not in CHUNK_HOPS for hops in chunk_hops) or chunk_hops != sorted(
        set(chunk_hops)
    ):
        raise fields.fail("chunk_hops", f"a rising list out of {list(CHUNK_HOPS)}", str(chunk_hops)[:80])
    file_fields = fields.object("files")
    paths = {engine: file_fields.file(engine, files) for engine in ENGINES if file_fields.has(engine)}
    file_fields.done()
    if not paths:
        raise fields.fail("files", f"a path for at least one of {', '.join(ENGINES)}", "none")
    quantization = _read_figures(fields.object("quantization")._values, f"{fields.where}.quantization")
    spec = GraphSpec(
        name=name,
        inputs=inputs,
        outputs=outputs,
        states=states,
        chunk_hops=tuple(chunk_hops),
        macs_per_hop=fields.integer("macs_per_hop", 0, 10**12),
        n_parameters=fields.integer("n_parameters", 0, 10**9),
        files=paths,
        quantization=quantization,
    )
    fields.done()
    return spec


def _check_widths(bundle: ModelBundle) -> None:
    """Compare the numbers that two parts of the manifest must agree on."""
    encoder, decoder = bundle.graphs["encoder"], bundle.graphs["decoder"]
    n_bins = bundle.synthesis.n_fft // 2 + 1
    for what, got, rule, expected in (
        ("encoder input log_mel", encoder.inputs[0].shape[1], "features.n_mels", bundle.features.n_mels),
        ("decoder input content", decoder.inputs[0].shape[1], "encoder output content", encoder.outputs[0].shape[1]),
        ("decoder output filters", decoder.outputs[0].shape[1], "3 * (synthesis.n_fft / 2 + 1)", 3 * n_bins),
    ):
        if got != expected:
            raise ModelError(f"width of {what} must equal {rule} = {expected}, got {got}; export the model again")
    if bundle.phones and len(bundle.phones) != encoder.outputs[1].shape[1]:
        raise ModelError(
            f"phones must name the {encoder.outputs[1].shape[1]} columns of the encoder's output, "
            f"got {len(bundle.phones)} names; export the model again"
        )


def _read_voices(fields: _Fields, files: Mapping[str, _FileEntry]) -> tuple[str, tuple[VoiceSpec, ...]]:
    path = fields.file("file", files)
    voices = []
    for item in fields.objects("list", 1, 256):
        voices.append(
            VoiceSpec(
                name=item.name("name"),
                description=item.text("description"),
                licence=item.text("licence"),
                consent=item.text("consent"),
                log2_f0_mean=item.number("log2_f0_mean", 3.0, 11.0),
                log2_f0_std=item.number("log2_f0_std", 0.0, 4.0),
                row=item.integer("row", 0, 4095),
            )
        )
        item.done()
    for part in ("name", "row"):
        values = [getattr(voice, part) for voice in voices]
        if len(set(values)) != len(values):
            raise ModelError(
                f"every voice must have its own {part}, got {shortened(str(values))}; export the model again"
            )
    fields.done()
    return path, tuple(voices)


def _read_golden(
    fields: _Fields, graphs: Mapping[str, GraphSpec], n_bytes: int
) -> tuple[GoldenSpec, dict[str, tuple[int, tuple[int, ...]]]]:
    n_hops = fields.integer("n_hops", max(CHUNK_HOPS), 1024)
    if n_hops % max(CHUNK_HOPS):
        raise fields.fail("n_hops", f"a multiple of {max(CHUNK_HOPS)}", n_hops)
    limits = fields.object("tolerance")
    tolerance = {engine: limits.number(engine, 0.0, 0.5) for engine in ENGINES if limits.has(engine)}
    limits.done()
    arrays: dict[str, tuple[int, tuple[int, ...]]] = {}
    for item in fields.objects("arrays", 1, 256):
        name = item.text("name", 200)
        shape = item.shape("shape")
        offset = item.integer("offset", 0, MAX_FILE_BYTES)
        if name in arrays:
            raise item.fail("name", "there once", name)
        if offset % 4 or offset + 4 * math.prod(shape) > n_bytes:
            raise item.fail("offset", f"a multiple of 4 with the array inside the file's {n_bytes} bytes", offset)
        item.done()
        arrays[name] = (offset // 4, shape)
    fields.done()

    expected: dict[str, tuple[int, ...]] = {}
    for graph in graphs.values():
        expected |= {f"{graph.name}/input/{spec.name}": spec.shape_for(n_hops) for spec in graph.inputs}
        for engine in graph.files:
            if engine not in tolerance:
                raise ModelError(f"golden.tolerance must give a number for {engine}; export the model again")
            expected |= {f"{graph.name}/{engine}/{spec.name}": spec.shape_for(n_hops) for spec in graph.outputs}
    for name, wanted in expected.items():
        if name not in arrays or arrays[name][1] != wanted:
            found = arrays[name][1] if name in arrays else "nothing"
            raise ModelError(f"golden.arrays must hold {name} of shape {wanted}, got {found}; export the model again")
    if unknown := sorted(set(arrays) - set(expected)):
        raise ModelError(f"golden.arrays has the unknown array {unknown[0][:80]!r}; known: {', '.join(expected)}")
    return GoldenSpec(n_hops, tolerance), arrays


def _floats(data: bytes, path: str) -> FloatArray:
    if len(data) % 4:
        raise ModelError(f"{path} must hold float32 values, its {len(data)} bytes are no multiple of 4")
    values = np.frombuffer(data, dtype="<f4").astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise ModelError(f"{path} must hold finite numbers, got NaN or infinity; export the model again")
    values.flags.writeable = False
    return values
