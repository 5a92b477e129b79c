"""Writes a quantized model: complete and with its provenance, or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgevc.bundle import ModelBundle, pack_golden, write_manifest
from edgevc.engines import trust
from edgevc.errors import ConfigError, GateError, OutputError
from edgevc.files import check_output
from edgevc.quantize.float_model import Files
from edgevc.quantize.report.result import ClockRow, GateFigure, Provenance

GOLDEN_TOLERANCE = 0.08
"""Relative RMS error: int8 kernels round differently on other CPUs, and an error travels on in the states."""
SPARE_BYTES = 16 << 20
METADATA_KEY = "edgevc.quantization"
"""Where a graph says how it was made, as JSON."""

RECIPES = {
    "dynamic": "int8 weights per channel, activations quantized in each call",
    "static": "int8 weights per channel, 8-bit activations with calibrated ranges",
    "weight-only": "int8 weights per channel, arithmetic in float",
}


@contextlib.contextmanager
def staged(target: Path, n_bytes: int, *, overwrite: bool) -> Iterator[Path]:
    """Give a path beside `target` to write to; it takes the target's place when the block ends, or vanishes.

    What replaces something has its permissions, and goes through a symbolic link to what is behind it.

    Args:
        target: a file or a folder.
        n_bytes: that will be needed.
        overwrite: replace an existing target.

    Raises:
        OutputError: the target exists, its folder does not, or the disk is too full.
    """
    check_target(target, n_bytes, overwrite=overwrite)
    target = Path(os.path.realpath(target))
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        made = scratch / target.name
        yield made
        if target.exists():
            made.chmod(stat.S_IMODE(target.stat().st_mode))
            target.rename(scratch / "replaced")
        made.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check_target(target: Path, n_bytes: int, *, overwrite: bool) -> None:
    """Refuse what could not be written, before the minutes of work.

    Raises:
        OutputError: the target exists, its folder does not or cannot be written to, or the disk is too full.
    """
    check_output(target, overwrite=overwrite)
    free = shutil.disk_usage(target.parent).free
    if free < n_bytes + SPARE_BYTES:
        raise OutputError(
            f"{target.parent} must have {(n_bytes + SPARE_BYTES) >> 20} MiB free, got {free >> 20}; make room"
        )


def write_bundle(
    folder: Path,
    source: ModelBundle,
    files: Mapping[str, Files],
    figures: Mapping[str, Mapping[str, dict[str, Any]]],
) -> ModelBundle:
    """Write a bundle like `source` with other graph files, golden outputs of its own and new figures.

    Args:
        folder: does not exist yet.
        source: the float bundle.
        files: engine to graph to content; engines that are not here are left out.
        figures: graph to engine to what the manifest says of its quantization.

    Returns:
        The bundle, opened: every rule of the format holds.
    """
    folder.mkdir()
    manifest = source.manifest()
    # as make_bundle.py calls a model's float twin
    manifest["name"] = manifest["name"].removesuffix("-float")
    graph_files = {path for graph in manifest["graphs"].values() for path in graph["files"].values()}
    golden_file = manifest["golden"]["file"]
    kept = [path for path in source.files() if path not in graph_files and path != golden_file]
    for path in kept:
        _put(folder, path, source.read(path))
    for name, graph in manifest["graphs"].items():
        graph["files"] = {engine: graph["files"][engine] for engine in files}
        graph["quantization"] = figures[name]
        for engine, path in graph["files"].items():
            _put(folder, path, files[engine][name])
            kept.append(path)
    golden = _golden_arrays(source, files)
    manifest["files"] = [{"path": path} for path in sorted([*kept, golden_file])]
    manifest["golden"]["tolerance"] = dict.fromkeys(files, GOLDEN_TOLERANCE)

    def write() -> ModelBundle:
        data, manifest["golden"]["arrays"] = pack_golden(golden)
        _put(folder, golden_file, data)
        return write_manifest(folder, manifest)

    draft = write()
    for engine in files:
        golden |= trust.golden_outputs(draft, engine)
    return write()


def _golden_arrays(source: ModelBundle, engines: Iterable[str]) -> dict[str, Any]:
    """Return the golden inputs, and the float model's outputs, which stand for the engines' until these have spoken."""
    names = [f"{name}/input/{tensor.name}" for name, spec in source.graphs.items() for tensor in spec.inputs]
    names += [
        f"{name}/{engine}/{tensor.name}"
        for engine in engines
        for name, spec in source.graphs.items()
        for tensor in spec.outputs
    ]
    return {name: source.golden_array(name) for name in names}


def _put(folder: Path, path: str, data: bytes) -> None:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def graph_figures(
    engine: str,
    graph: str,
    tensors: Mapping[str, float],
    gate: tuple[GateFigure, ...],
    clock: tuple[ClockRow, ...],
    n_bytes: tuple[int, int],
    provenance: Provenance,
) -> dict[str, Any]:
    """Return what the manifest says of one graph and engine: how it was quantized and what was measured.

    Args:
        engine: "onnx" or "litert".
        graph: its name.
        tensors: graph/output to signal-to-noise ratio in dB.
        gate: figures of the whole model.
        clock: of the whole model.
        n_bytes: of this file, float and int8.
        provenance: of the whole model.
    """
    kept = [path for path in provenance.excluded[engine] if path.startswith(f"{graph}/")]
    scheme = provenance.schemes[engine]
    return {
        "recipe": RECIPES[scheme],
        "scheme": scheme,
        "kept_float": ", ".join(kept)[:2000] or "none",
        **{f"{path.partition('/')[2]}_snr_db": round(value, 1) for path, value in tensors.items()},
        "bytes_float": n_bytes[0],
        "bytes_int8": n_bytes[1],
        "gate": {figure.name: {"value": _rounded(figure.value), **_limit(figure)} for figure in gate},
        "times_faster": {
            f"hops{row.hops}": _rounded(row.ratio) for row in clock if row.engine == engine and row.precision == "int8"
        },
        "source": provenance.source,
        "source_sha256": provenance.source_sha256,
        "calibration": {
            "sha256": provenance.calibration_sha256,
            "clips": provenance.calibration_clips,
            "seconds": round(provenance.calibration_seconds, 1),
            "method": provenance.method,
        },
        "versions": dict(provenance.versions),
    }


def _limit(figure: GateFigure) -> dict[str, float]:
    return {} if figure.limit is None else {"at_least" if figure.at_least else "at_most": figure.limit}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def write_graph(
    path: Path, data: bytes, provenance: Provenance, gate: tuple[GateFigure, ...], source_bytes: int
) -> None:
    """Write a bare graph with its provenance in its metadata.

    Raises:
        GateError: with it the file is no smaller than the one that was given.
    """
    import onnx

    model = onnx.load_model_from_string(data)
    facts = {**asdict(provenance), "gate": [asdict(figure) for figure in gate]}
    kept = [entry for entry in model.metadata_props if entry.key != METADATA_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, json.dumps(facts)
    onnx.checker.check_model(model)
    written = model.SerializeToString()
    if len(written) >= source_bytes:
        raise GateError(
            f"the int8 file must be smaller than the float one, it has {len(written)} bytes and that {source_bytes}; "
            "nothing was written. The model is too small for int8 to save anything"
        )
    path.write_bytes(written)


def check_kind(target: Path, kind: str) -> None:
    """Refuse an output name that cannot be meant.

    Raises:
        ConfigError: a graph's output is no .onnx file, or a bundle's is an archive.
    """
    if kind == "graph" and target.suffix.lower() != ".onnx":
        raise ConfigError(f"a graph is written to an .onnx file, got {target}")
    if kind == "bundle" and target.suffix.lower() in (".zip", ".onnx", ".tflite"):
        raise ConfigError(f"a bundle is written to a folder, got {target}; zip the folder afterwards if you want")
