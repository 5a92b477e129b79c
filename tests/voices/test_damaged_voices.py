"""500 tampered voice files: each ends in ModelError. Some 10 s."""

import io
import json
import zipfile

import numpy as np
import pytest

from edgevc.bundle.reader import UNSEALED, seal
from edgevc.errors import ModelError
from edgevc.voices.library import load_voice
from edgevc.voices.merge import merged

N_FLIPS, N_CUTS, N_EDITS, N_VALUES = 250, 50, 150, 50
FREE = ("description", "statement", "consent", "licence", "name", "version", "training_commit", "date", "where")
"""Words for people: others are as good. A name is no damage, nor is a file's hash as long as it is right."""


@pytest.fixture(scope="module")
def whole(voice_file):
    return voice_file.read_bytes()


def refused(path, tiny, content):
    """Whether the file, or at the latest its decoder, is refused."""
    path.write_bytes(content)
    with pytest.raises(ModelError):
        merged(tiny, load_voice(path, tiny).adapters, "onnx")


def parts(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target.getvalue()


def sealed(files, manifest):
    """The file of somebody who knows how to seal it."""
    text = json.dumps(manifest | {"manifest_sha256": UNSEALED}).encode()
    return zipped({**files, "manifest.json": text.replace(UNSEALED.encode(), seal(text, UNSEALED).encode())})


def test_bits_that_flipped_in_what_counts(whole, tiny, tmp_path):
    rng = np.random.default_rng(1)
    places = list(parts(whole).values())
    for _ in range(N_FLIPS):
        data = places[rng.integers(len(places))]
        at = whole.index(data) + int(rng.integers(len(data)))
        content = bytearray(whole)
        content[at] ^= 1 << int(rng.integers(8))
        refused(tmp_path / "f.voice", tiny, bytes(content))


def test_files_that_were_cut(whole, tiny, tmp_path):
    for length in np.linspace(0, len(whole) - 1, N_CUTS).astype(int):
        refused(tmp_path / "c.voice", tiny, whole[:length])


def leaves(value, path=()):
    """Every place in the manifest where something else means something else."""
    if path and (path[-1] in FREE or path[0] in ("quality", "manifest_sha256") or "consent_record" in path):
        return
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from leaves(inner, (*path, key))


def test_manifests_that_were_changed_and_sealed_again(whole, tiny, tmp_path):
    rng = np.random.default_rng(2)
    files = parts(whole)
    plain = json.loads(files["manifest.json"])
    places = [path for path in leaves(plain) if path]
    wrong = (None, -1, 1e9, "x y\n", [], {}, True, [[1, 2]], float("nan"))
    for _ in range(N_EDITS):
        manifest = json.loads(files["manifest.json"])
        path = places[rng.integers(len(places))]
        value = wrong[rng.integers(len(wrong))]
        inner = manifest
        for key in path[:-1]:
            inner = inner[key]
        if inner[path[-1]] == value:
            value = "0" * 64
        inner[path[-1]] = value
        refused(tmp_path / "m.voice", tiny, sealed(files, manifest))


def test_values_beyond_all_measure_in_files_with_right_hashes(whole, tiny, tmp_path):
    import hashlib

    rng = np.random.default_rng(3)
    files = parts(whole)
    bad = (np.nan, np.inf, -np.inf, 101.0, -6e4)
    for i in range(N_VALUES):
        manifest = json.loads(files["manifest.json"])
        name, kind = (("adapters.f16", "<f2"), ("voices.f32", "<f4"))[i % 2]
        values = np.frombuffer(files[name], kind).copy()
        values[rng.integers(len(values))] = bad[i % len(bad)] * (100 if i % 2 else 1)
        changed = {**files, name: values.tobytes()}
        for entry in manifest["files"]:
            entry["sha256"] = hashlib.sha256(changed[entry["path"]]).hexdigest()
        refused(tmp_path / "v.voice", tiny, sealed(changed, manifest))
