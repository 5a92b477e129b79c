"""Opens a bundle: manifest.json and the files it lists, checked before anything is used."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from edgevc.bundle.adapters import read_adapters
from edgevc.bundle.archive import READ_ERRORS, Archive, Source, open_source
from edgevc.bundle.fields import SHA256
from edgevc.bundle.manifest import MAX_MANIFEST_BYTES, read_contents
from edgevc.bundle.pseudo import is_pseudo, pseudo_voice
from edgevc.bundle.shipped import MODEL_FOLDERS, own_models, shipped_models
from edgevc.bundle.specs import (
    FeatureSpec,
    FloatArray,
    GoldenSpec,
    GraphSpec,
    LatencySpec,
    PitchSpec,
    SynthesisSpec,
    Voice,
)
from edgevc.errors import ConfigError, ModelError
from edgevc.signing.minisign import MAX_BYTES as MAX_SIGNATURE_BYTES
from edgevc.signing.policy import check_signer
from edgevc.signing.trusted import Signer, signer_of
from edgevc.text import printable, shortened

LARGEST_VOICE_VALUE = 1e3
"""Conditioning is a network's output, some units large; beyond this, filters would be beyond what float32 holds."""
SIGNATURE = "manifest.json.minisig"
"""Beside the manifest, which holds the hashes of all files: it signs the whole bundle."""
UNSEALED = "-" * 64
"""What stands in place of manifest_sha256 while it is taken."""

_DAMAGED = "download or copy it again"
_Section = TypeVar("_Section")


class ModelBundle:
    """A checked bundle. Immutable; holds no engine and no stream, so that streams and threads may share it.

    Make one with `ModelBundle.open` or `ModelBundle.default`.
    """

    def __init__(self, path: Path, source: Source, manifest: bytes, signature: bytes | None = None) -> None:
        """Check everything that the manifest says; use `open` instead."""
        self.path = path
        self.signature = signature
        """Content of manifest.json.minisig; None where there is none."""
        self.signer: Signer | None = None if signature is None else signer_of(manifest, signature, f"the model {path}")
        """Who signed the manifest; None: nobody. `trusted` says whether that is proven."""
        check_signer(self.signer, f"the model {path}")
        self.sha256 = hashlib.sha256(manifest).hexdigest()
        """Of manifest.json, which holds the hashes of all other files: names the whole bundle."""
        self._source = source
        self._replaced: Mapping[str, bytes] = {}
        self.manifest_bytes = manifest
        """What is signed."""
        parsed = parse_json(manifest)
        _check_seal(manifest, parsed)
        self._contents = contents = read_contents(parsed)
        self.kind = contents.kind
        """"converter", "tts", "voice" or "recogniser"."""
        self.name, self.version = contents.name, contents.version
        self.description, self.licence = contents.description, contents.licence
        self.training_data, self.training_commit = contents.training_data, contents.training_commit
        self.graphs: Mapping[str, GraphSpec] = contents.graphs
        self.phones = contents.phones
        """Names of the columns of the encoder's `phones` output; empty where the manifest does not say."""
        self.model = contents.model
        """The model that a bundle of kind "voice" was made for; None for others."""
        self.voices = contents.voices
        self.quality: Mapping[str, Any] = contents.quality
        """Measured figures of the speech that the model makes, shown and never acted upon; may be empty."""

        for listed in contents.files:
            self.read(listed)
        self._voice_table = self._read_voices()
        self._adapters = None
        if contents.adapters is not None:
            self._adapters = read_adapters(contents.adapters, self.read(contents.adapters.file), self.sha256)
        self._golden_values = (
            _floats(self.read(contents.golden_file), contents.golden_file) if contents.golden_file else _NOTHING
        )

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> ModelBundle:
        """Read and check the bundle at `path`, a folder or a .zip of it, encrypted with age or not.

        Raises:
            ModelError: anything is missing, damaged, too large or unknown, or a signature is wrong or missing where
                `edgevc.signing.policy` asks for one.
        """
        where = Path(path)
        return cls._of(where, lambda: open_source(where))

    @classmethod
    def of_archive(cls, content: bytes, path: Path) -> ModelBundle:
        """Check the bundle in the bytes of a .zip; `path` is what messages call it."""
        return cls._of(path, lambda: Archive(path, content))

    @classmethod
    def _of(cls, where: Path, open_it: Callable[[], Source]) -> ModelBundle:
        try:
            source = open_it()
            manifest = source.pieces("manifest.json", MAX_MANIFEST_BYTES)
            signature = source.pieces(SIGNATURE, MAX_SIGNATURE_BYTES) if source.has(SIGNATURE) else None
            return cls(where, source, manifest, signature)
        except ConfigError:
            # a key's file, not the model's
            raise
        except READ_ERRORS as error:
            raise ModelError(f"cannot read the model {where}: {error}; {_DAMAGED}") from error

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
        if os.sep in name or name.endswith((".zip", ".age")):
            return cls.open(name)
        # other packages are looked for only where this one has no such model: that takes a slow board a while
        shipped = own_models()
        if name not in shipped:
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
        shipped = own_models()
        if "default" not in shipped:
            raise ModelError(
                f"this copy of edgevc carries no default model ({MODEL_FOLDERS[0] / 'default'} is missing); "
                "install the wheel, or name a bundle"
            )
        return cls.open(shipped["default"])

    @property
    def built_in(self) -> bool:
        """Whether the bundle came with this package, and from nobody else."""
        return self.path.resolve().parent in MODEL_FOLDERS

    @property
    def decrypted(self) -> bytes | None:
        """The .zip's bytes where the file holds them encrypted; None for all other bundles."""
        return self._source.content if isinstance(self._source, Archive) else None

    @property
    def graphs_sha256(self) -> str:
        """Of the graphs alone: what a voice that was made for this model depends on, whatever is said of it."""
        paths = sorted({path for graph in self.graphs.values() for path in graph.files.values()})
        lines = [f"{path} {self._contents.files[path].sha256}\n" for path in paths]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def features(self) -> FeatureSpec:
        """The front end that the encoder was trained with."""
        return self._section(self._contents.features, "features")

    @property
    def latency(self) -> LatencySpec:
        """Where the delay comes from."""
        return self._section(self._contents.latency, "latency")

    @property
    def synthesis(self) -> SynthesisSpec:
        """How the decoder's output becomes sound."""
        return self._section(self._contents.synthesis, "synthesis")

    @property
    def pitch(self) -> PitchSpec:
        """The F0 tracker that made the training data."""
        return self._section(self._contents.pitch, "pitch")

    @property
    def golden(self) -> GoldenSpec:
        """Inputs and outputs that every engine must reproduce."""
        return self._section(self._contents.golden, "golden vectors")

    @property
    def block_hops(self) -> int | None:
        """Hops of every call, of a model that hears in blocks; None where a call takes as many as one likes."""
        encoder = self.graphs.get("encoder")
        return None if encoder is None else encoder.block_hops

    def _section(self, value: _Section | None, name: str) -> _Section:
        if value is None:
            raise ModelError(f"bundle {self.name} is of kind {self.kind}, which has no {name}; name a converter")
        return value

    def require_kind(self, kind: str) -> None:
        """Return if the bundle is of `kind`.

        Raises:
            ModelError: it is of another kind.
        """
        if self.kind != kind:
            raise ModelError(
                f"a model of kind {kind} is needed, {self.name} is of kind {self.kind}; name another model"
            )

    def require_values(self, fixed: Mapping[str, str | float]) -> None:
        """Compare the manifest with what the runtime has built in.

        Args:
            fixed: key, such as "features.hop_length", to the one value that the runtime works with.

        Raises:
            ModelError: a value differs.
        """
        for key, expected in fixed.items():
            section, _, name = key.partition(".")
            found = getattr(getattr(self, section), name)
            if found != expected:
                raise ModelError(
                    f"model {self.name} does not fit this version of edgevc: {key} must be {expected}, got "
                    f"{shortened(found)}; update edgevc or export the model again"
                )

    def read(self, path: str) -> bytes:
        """Return a listed file's bytes, checked against the manifest's size and sha256 in this very read."""
        entry = self._contents.files.get(path)
        if entry is None:
            raise ModelError(f"{path!r} is not listed under files in the manifest; known: {', '.join(self.files())}")
        if path in self._replaced:
            return self._replaced[path]
        try:
            n_bytes = self._source.size(path)
            if n_bytes != entry.n_bytes:
                raise ModelError(
                    f"the model file {path} is damaged (it has {n_bytes} bytes, not {entry.n_bytes}); {_DAMAGED}"
                )
            data = self._source.pieces(path, entry.n_bytes)
        except READ_ERRORS as error:
            raise ModelError(f"cannot read the model file {path}: {error}; {_DAMAGED}") from error
        if len(data) != entry.n_bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise ModelError(f"the model file {path} is damaged (sha256 differs); {_DAMAGED}")
        return data

    def with_files(self, replaced: Mapping[str, bytes]) -> ModelBundle:
        """Return this bundle with other graphs, in memory only: a candidate is tried before anything is written.

        What the manifest says of it, `sha256` among it, is said of the files on disk.

        Args:
            replaced: path in the bundle to content.
        """
        other = copy.copy(self)
        other._replaced = {**self._replaced, **replaced}
        return other

    def manifest(self) -> dict[str, Any]:
        """Return what manifest.json says, a copy: the start of a bundle made from this one."""
        return parse_json(self.manifest_bytes)

    def file_bytes(self, path: str) -> int:
        """Return the size of a listed file."""
        return self._contents.files[path].n_bytes

    def files(self) -> tuple[str, ...]:
        """Return the paths of all listed files."""
        return tuple(self._contents.files)

    def voice(self, name: str) -> Voice:
        """Return the voice called `name`; `pseudo-KEY` is a mixture of the bundle's voices, see `edgevc.bundle.pseudo`.

        Raises:
            ModelError: the bundle has no such voice.
        """
        for spec in self.voices:
            if spec.name == name:
                return Voice(spec, self._voice_table[spec.row : spec.row + 1], self._adapters)
        if self.voices and is_pseudo(name):
            return pseudo_voice(name, self.voices, self._voice_table)
        known = ", ".join(spec.name for spec in self.voices) or "none"
        raise ModelError(f"bundle {self.name} has no voice {name!r}; known: {known}")

    def golden_array(self, name: str) -> FloatArray:
        """Return a golden array, such as `encoder/input/log_mel` or `encoder/litert/content`; read-only.

        Raises:
            ModelError: the bundle has no such array.
        """
        arrays = self._contents.golden_arrays
        if name not in arrays:
            raise ModelError(f"the golden file must hold {name!r}, which is missing; export the model again")
        offset, shape = arrays[name]
        return self._golden_values[offset : offset + math.prod(shape)].reshape(shape)

    def _read_voices(self) -> FloatArray:
        path, width = self._contents.voices_file, self._contents.voice_width
        if not path:
            return _NOTHING
        table = _floats(self.read(path), path)
        rows = len(table) // width
        if len(table) != rows * width or any(voice.row >= rows for voice in self.voices):
            raise ModelError(
                f"{path} must hold {width} float32 values for each of the {len(self.voices)} voices' rows, "
                f"got {len(table)} values; export the model again"
            )
        largest = float(np.max(np.abs(table)))
        if largest > LARGEST_VOICE_VALUE:
            raise ModelError(
                f"{path} must hold values within +-{LARGEST_VOICE_VALUE:g}, got {largest:.3g}; export the model again"
            )
        return table.reshape(rows, width)


def seal(manifest: bytes, sealed: str) -> str:
    """Return the sha256 of the manifest's bytes with the value of manifest_sha256 replaced by 64 dashes."""
    return hashlib.sha256(manifest.replace(sealed.encode(), UNSEALED.encode())).hexdigest()


def _check_seal(manifest: bytes, parsed: Mapping[str, Any]) -> None:
    if "manifest_sha256" not in parsed:
        raise ModelError("manifest must have the key 'manifest_sha256', which is missing; export the model again")
    sealed = SHA256.read(parsed["manifest_sha256"], "manifest.manifest_sha256")
    found = seal(manifest, sealed)
    if found != sealed:
        raise ModelError(
            f"manifest.json is damaged: its manifest_sha256 must be {found}, it says {sealed}; {_DAMAGED}, or, after a "
            "change by hand, write it with edgevc.bundle.write_manifest"
        )


def parse_json(data: bytes) -> dict[str, Any]:
    """Return the object that a manifest's bytes hold.

    Raises:
        ModelError: they are no JSON, or hold a key twice, or a number that is not finite or longer than 17 digits.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"manifest.json must be UTF-8: {error}; {_DAMAGED}") from error
    try:
        parsed = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_small
        )
    except (ValueError, RecursionError) as error:
        raise ModelError(f"manifest.json must be valid JSON: {printable(str(error))}; {_DAMAGED}") from error
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


_NOTHING = np.zeros(0, np.float32)


def _floats(data: bytes, path: str) -> FloatArray:
    if len(data) % 4:
        raise ModelError(f"{path} must hold float32 values, its {len(data)} bytes are no multiple of 4")
    values = np.frombuffer(data, dtype="<f4").astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise ModelError(f"{path} must hold finite numbers, got NaN or infinity; export the model again")
    values.flags.writeable = False
    return values
