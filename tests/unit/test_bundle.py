"""The bundle reader: what it gives, and the rule, value and next step of each refusal."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from helpers.tiny_bundle import N_VOICE, VOICES, write_tiny_bundle

import edgevc
from edgevc.bundle import ModelBundle, shipped_models, write_manifest
from edgevc.engines import choose_engine
from edgevc.engines.trust import golden_error
from edgevc.errors import ModelError


@pytest.fixture
def folder(tiny_bundle_path, tmp_path):
    return shutil.copytree(tiny_bundle_path, tmp_path / "bundle")


def change(folder, edit):
    """Change the manifest by hand and seal it again, without opening."""
    manifest = json.loads((folder / "manifest.json").read_text())
    edit(manifest)
    try:
        write_manifest(folder, manifest)
    except ModelError as error:
        return error
    return None


def zip_folder(folder, path, prefix=""):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, prefix + file.name)
    return path


def test_the_manifest_is_readable_as_attributes(tiny_bundle):
    assert tiny_bundle.name == "tiny"
    assert tiny_bundle.features.hop_length == tiny_bundle.latency.hop_samples == 160
    assert tiny_bundle.latency.latency_samples == 560
    assert tiny_bundle.synthesis.segment_length == 320
    assert tiny_bundle.pitch.f0_max == 500.0
    assert tiny_bundle.training_data[0].source.startswith("random")
    decoder = tiny_bundle.graphs["decoder"]
    assert decoder.graph_inputs(4) == {
        "content": (4, 48),
        "pitch": (4, 4),
        "voice": (1, N_VOICE),
        "state_past_in": (2, 48),
    }
    assert decoder.graph_outputs(1) == {"filters": (1, 771), "state_past_out": (2, 48)}
    assert decoder.quantization["litert"]["snr_db"] == 120.5


def test_specs_cannot_be_changed(tiny_bundle):
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny_bundle.features.hop_length = 80


def test_a_voice_is_its_row_of_the_table(tiny_bundle_path, tiny_bundle):
    table = np.frombuffer((tiny_bundle_path / "voices.f32").read_bytes(), "<f4").reshape(-1, N_VOICE)
    for row, name in enumerate(VOICES):
        voice = tiny_bundle.voice(name)
        assert voice.spec.log2_f0_mean == 7.0 + row
        np.testing.assert_array_equal(voice.conditioning, table[row : row + 1])
        assert not voice.conditioning.flags.writeable


def test_an_unknown_voice_is_refused_with_the_known_ones(tiny_bundle):
    with pytest.raises(ModelError, match="no voice 'third'; known: first, second"):
        tiny_bundle.voice("third")


@pytest.mark.parametrize("prefix", ["", "tiny/"])
def test_a_zipped_bundle_equals_its_folder(tiny_bundle_path, tiny_bundle, tmp_path, prefix):
    archive = zip_folder(tiny_bundle_path, tmp_path / "tiny.zip", prefix)
    bundle = ModelBundle.open(archive)
    assert bundle.sha256 == tiny_bundle.sha256
    assert bundle.read("encoder.onnx") == tiny_bundle.read("encoder.onnx")
    assert list(tmp_path.iterdir()) == [archive], "nothing may be extracted"


def test_an_archive_entry_without_a_name_is_refused(tiny_bundle_path, tmp_path):
    archive = tmp_path / "odd.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("manifest.json", "{}")
        file.writestr("x", "")
    data = bytearray(archive.read_bytes())
    for mark, at in ((b"PK\x03\x04", 30), (b"PK\x01\x02", 46)):
        data[data.rindex(mark) + at] = 0
    archive.write_bytes(data)
    with pytest.raises(ModelError, match="has no name"):
        ModelBundle.open(archive)


def test_a_manifest_with_many_keys_is_read_in_time_that_grows_with_its_bytes(folder):
    keys = [f'"{i:05x}":1' for i in range(90_000)]
    (folder / "manifest.json").write_text("{" + ",".join([*keys, keys[-1]]) + "}")
    start = time.process_time()
    with pytest.raises(ModelError, match="'15f8f' is there twice"):
        ModelBundle.open(folder)
    # measured 0.1 s; the square of the keys took 97 s
    assert time.process_time() - start < 5


def test_reading_needs_a_listed_file(tiny_bundle):
    with pytest.raises(ModelError, match="not listed"):
        tiny_bundle.read("../secret")


def test_a_file_that_changes_after_opening_is_refused(folder):
    bundle = ModelBundle.open(folder)
    data = bytearray((folder / "encoder.onnx").read_bytes())
    data[100] ^= 1
    (folder / "encoder.onnx").write_bytes(data)
    with pytest.raises(ModelError, match=r"encoder\.onnx is damaged \(sha256 differs\); download or copy it again"):
        bundle.read("encoder.onnx")


def test_unlisted_files_do_not_matter(folder, tiny_bundle):
    (folder / "CARD.md").write_text("about the model")
    assert ModelBundle.open(folder).sha256 == tiny_bundle.sha256


def test_phone_names_are_optional_and_counted(folder):
    assert change(folder, lambda m: m.update(phones=[f"p{i}" for i in range(40)])) is None
    assert ModelBundle.open(folder).phones[39] == "p39"
    assert "40 columns" in str(change(folder, lambda m: m.update(phones=["a", "b"])))


REFUSALS = {
    "format_version 1 and 2, got 3": lambda m: m.update(format_version=3),
    "must have the key 'kind'": lambda m: m.update(format_version=2),
    "format_version 1 and 2, got True": lambda m: m.update(format_version=True),
    "unknown key 'licens'; did you mean 'licence'": lambda m: m.update(licens="MIT"),
    "must have the key 'pitch'": lambda m: m.pop("pitch"),
    "manifest.name must be a name": lambda m: m.update(name="a/b"),
    r"n_mels must be an integer from 1 to 512, got 1e\+30": lambda m: m["features"].update(n_mels=1e30),
    "fmin must be below fmax": lambda m: m["features"].update(fmin=8000.0),
    "latency_samples must be at least the 480 samples": lambda m: m["latency"].update(latency_samples=0),
    "latency_samples must be an integer from 0 to 8000, got 160000": lambda m: m["latency"].update(
        latency_samples=160_000
    ),
    "f0_max must be at least 1 Hz above f0_min = 60.0, got 60.5": lambda m: m["pitch"].update(f0_max=60.5),
    "fmax must be at most half of sample_rate = 8000": lambda m: m["features"].update(fmax=9000),
    "segment_length must be at most n_fft = 512": lambda m: m["synthesis"].update(segment_length=513),
    "hop_samples must be features.hop_length = 160, got 80": lambda m: m["latency"].update(hop_samples=80),
    "kind must be one of source-filter, got 'gan'": lambda m: m["synthesis"].update(kind="gan"),
    r"filters must equal 3 \* \(synthesis.n_fft / 2 \+ 1\) = 1539, got 771": lambda m: m["synthesis"].update(
        n_fft=1024
    ),
    "log_mel must equal features.n_mels = 64, got 80": lambda m: m["features"].update(n_mels=64),
    "dtype must be one of float32, got 'float64'": lambda m: m["graphs"]["encoder"]["states"][0].update(
        dtype="float64"
    ),
    "shape must be two integers": lambda m: m["graphs"]["encoder"]["states"][0].update(shape=[70000, 70000]),
    r"chunk_hops must be a rising list out of \[1, 2, 4\]": lambda m: m["graphs"]["encoder"].update(chunk_hops=[2, 1]),
    "must have the same chunk_hops": lambda m: m["graphs"]["encoder"].update(chunk_hops=[1]),
    "files.onnx must be listed under files, got 'absent.onnx'": lambda m: m["graphs"]["encoder"]["files"].update(
        onnx="absent.onnx"
    ),
    "every voice must have its own row": lambda m: m["voices"]["list"][0].update(row=1),
    "each of the 2 voices' rows": lambda m: m["voices"]["list"][0].update(row=9),
    "golden.arrays must hold encoder/input/log_mel of shape": lambda m: m["golden"]["arrays"][0].update(name="x"),
    "offset must be a multiple of 4 with the array inside": lambda m: m["golden"]["arrays"][-1].update(offset=1 << 25),
    "tolerance must give a number for onnx": lambda m: m["golden"]["tolerance"].pop("onnx"),
}


@pytest.mark.parametrize("rule", REFUSALS)
def test_a_broken_rule_is_named_with_the_value(folder, rule):
    with pytest.raises(ModelError, match=rule):
        raise change(folder, REFUSALS[rule]) or AssertionError("the bundle was accepted")


def test_a_manifest_changed_by_hand_is_refused_until_sealed(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("it says nothing", "it says a lot!!"))
    with pytest.raises(ModelError, match="write_manifest"):
        ModelBundle.open(folder)


def test_links_inside_the_folder_are_followed_and_those_that_leave_it_are_refused(folder, tmp_path):
    (folder / "real.onnx").write_bytes((folder / "encoder.onnx").read_bytes())
    (folder / "encoder.onnx").unlink()
    (folder / "encoder.onnx").symlink_to("real.onnx")
    ModelBundle.open(folder)
    (tmp_path / "outside.onnx").write_bytes((folder / "real.onnx").read_bytes())
    (folder / "encoder.onnx").unlink()
    (folder / "encoder.onnx").symlink_to(tmp_path / "outside.onnx")
    with pytest.raises(ModelError, match="must lie inside the bundle"):
        ModelBundle.open(folder)


def test_a_pipe_in_place_of_a_file_does_not_hang(folder):
    (folder / "voices.f32").unlink()
    os.mkfifo(folder / "voices.f32")
    with pytest.raises(ModelError, match="regular file"):
        ModelBundle.open(folder)


def test_a_path_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(ModelError, match="found neither"):
        ModelBundle.open(tmp_path / "nothing")
    with pytest.raises(ModelError, match=r"manifest\.json"):
        ModelBundle.open(tmp_path)


def test_the_default_bundle_is_named_when_missing_or_opened(tmp_path, monkeypatch):
    import edgevc.bundle.shipped

    folders = tmp_path / "edgevc" / "models", tmp_path / "models"
    monkeypatch.setattr(edgevc.bundle.shipped, "MODEL_FOLDERS", folders)
    with pytest.raises(ModelError, match="no default model"):
        ModelBundle.default()
    write_tiny_bundle(tmp_path / "models" / "default")
    assert ModelBundle.default().name == "tiny"
    write_tiny_bundle(tmp_path / "edgevc" / "models" / "default", name="installed")
    assert ModelBundle.default().name == "installed"


SCHEMA = Path(edgevc.__file__).parent / "bundle" / "manifest.schema.json"


def test_schema_and_tables_are_made_from_the_rules():
    script = Path(__file__).resolve().parents[2] / "scripts" / "manifest_documents.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_accepts_and_refuses_what_the_reader_does(folder):
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    manifest = json.loads((folder / "manifest.json").read_text())
    jsonschema.validate(manifest, schema)
    jsonschema.validate(manifest | {"quality": {"similarity": 0.85, "command": "a judge"}}, schema)
    jsonschema.validate(manifest | {"format_version": 2, "kind": "converter"}, schema)
    both = {
        "an unknown key": lambda m: m["features"].update(surprise=1),
        "a missing key": lambda m: m.pop("golden"),
        "a number outside": lambda m: m["features"].update(n_mels=1000),
        "a word that is none of a few": lambda m: m["synthesis"].update(kind="gan"),
        "a kind in format 1": lambda m: m.update(kind="converter"),
        "a format of the future": lambda m: m.update(format_version=3),
        "a graph too many": lambda m: m["graphs"].update(extra=m["graphs"]["encoder"]),
    }
    for what, edit in both.items():
        changed = json.loads(json.dumps(manifest))
        edit(changed)
        assert not jsonschema.Draft202012Validator(schema).is_valid(changed), what
        assert change(folder, edit) is not None, what


def other_kind(folder, kind):
    """Make the tiny bundle one of another kind, as an exporter would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["format_version"]
    keep = {"recogniser": ("features", "latency", "golden"), "tts": ("synthesis", "voices", "golden")}.get(
        kind, ("voices",)
    )
    for section in ("features", "latency", "synthesis", "pitch", "voices", "golden"):
        if section not in keep:
            del manifest[section]
    manifest["kind"] = kind
    if kind == "voice":
        manifest["model"] = {"name": "tiny", "version": "1.0", "width": N_VOICE}
        del manifest["graphs"]
        used = ["voices.f32"]
    else:
        name = "encoder" if kind == "recogniser" else "decoder"
        graph = manifest["graphs"].pop(name)
        manifest["graphs"] = {name: graph}
        arrays = manifest["golden"]["arrays"]
        manifest["golden"]["arrays"] = [entry for entry in arrays if entry["name"].startswith(name)]
        used = ["golden.f32", *graph["files"].values(), *(["voices.f32"] if kind == "tts" else [])]
    if kind == "recogniser":
        manifest["phones"] = [f"p{i}" for i in range(40)]
    manifest["files"] = [{"path": path} for path in used]
    return manifest


def test_a_converter_is_written_in_format_1_and_other_kinds_in_format_2(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["format_version"]
    write_manifest(folder, manifest)
    assert json.loads((folder / "manifest.json").read_text())["format_version"] == 1
    bundle = write_manifest(folder, manifest | {"kind": "converter"})
    assert json.loads((folder / "manifest.json").read_text())["format_version"] == 2
    assert bundle.kind == "converter"
    assert bundle.latency.latency_samples == 560


@pytest.mark.parametrize("kind", ["recogniser", "tts", "voice"])
def test_other_kinds_of_bundles_are_read_and_say_what_they_lack(folder, kind):
    manifest = other_kind(folder, kind)
    bundle = write_manifest(folder, manifest)
    assert bundle.kind == kind
    jsonschema.validate(json.loads((folder / "manifest.json").read_text()), json.loads(SCHEMA.read_text()))
    with pytest.raises(ModelError, match=f"is of kind {kind}, which has no pitch; name a converter"):
        _ = bundle.pitch
    with pytest.raises(ModelError, match="a model of kind converter is needed"):
        bundle.require_kind("converter")
    if kind == "voice":
        assert bundle.voice("second").conditioning.shape == (1, N_VOICE)
        assert bundle.model.version == "1.0"
        with pytest.raises(ModelError, match="no graphs to run"):
            choose_engine(bundle)
    else:
        assert golden_error(bundle, "onnx") < 1e-4
    with pytest.raises(ModelError, match="unknown key 'pitch'"):
        write_manifest(folder, manifest | {"pitch": {}})


def test_a_speaking_bundle_may_have_graphs_of_any_name(folder):
    manifest = other_kind(folder, "tts")
    graph = json.loads(json.dumps(manifest["graphs"]["decoder"]))
    manifest["graphs"]["durations"] = graph
    arrays = manifest["golden"]["arrays"]
    manifest["golden"]["arrays"] += [a | {"name": a["name"].replace("decoder", "durations")} for a in arrays]
    bundle = write_manifest(folder, manifest)
    assert list(bundle.graphs) == ["decoder", "durations"]
    assert golden_error(bundle, "litert") < 1e-4
    manifest["graphs"]["Bad name"] = graph
    with pytest.raises(ModelError, match="the name of a graph must be a tensor name"):
        write_manifest(folder, manifest)
    manifest["graphs"] = {"decoder": graph} | {f"g{i}": graph for i in range(8)}
    with pytest.raises(ModelError, match="at most 8 graphs"):
        write_manifest(folder, manifest)


def test_values_that_the_runtime_has_built_in_are_compared(tiny_bundle):
    tiny_bundle.require_values({"features.hop_length": 160, "features.window": "hann"})
    with pytest.raises(ModelError, match=r"tiny does not fit .*: features\.hop_length must be 80, got 160; update"):
        tiny_bundle.require_values({"features.hop_length": 80})


@pytest.mark.parametrize("value", [1001.0, -3e38])
def test_voices_beyond_all_measure_are_refused(folder, value):
    table = np.fromfile(folder / "voices.f32", "<f4")
    table[3] = value
    table.tofile(folder / "voices.f32")
    assert "voices.f32 must hold values within +-1000" in str(change(folder, lambda m: None))


RECORD = {"basis": "spoken", "statement": "I agree.", "date": "2026-05-02", "recording_sha256": "0" * 64}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"basis": "maybe"}, r"consent_record\.basis must be one of spoken, written, licence, nobody"),
        ({"statement": ""}, r"consent_record\.statement must be"),
        ({"date": "2.5.2026"}, r"consent_record\.date must be a date as YYYY-MM-DD"),
        ({"date": "2026-13-01"}, r"consent_record\.date must be a date as YYYY-MM-DD"),
        ({"recording_sha256": "0"}, r"consent_record\.recording_sha256 must be 64 lower-case"),
        ({"recording": "me.wav"}, r"consent_record"),
    ],
)
def test_a_record_of_consent_has_its_rules(tmp_path, change, rule):
    folder = tmp_path / "model"
    shutil.copytree(shipped_models()["tiny"], folder, ignore=shutil.ignore_patterns("*.minisig"))
    manifest = ModelBundle.open(folder).manifest()
    manifest["voices"]["list"][0]["consent_record"] = RECORD
    record = write_manifest(folder, manifest).voices[0].consent_record
    assert (record.basis, record.date, record.where) == ("spoken", "2026-05-02", None)
    manifest["voices"]["list"][0]["consent_record"] = RECORD | change
    with pytest.raises(ModelError, match=rule):
        write_manifest(folder, manifest)
    del manifest["voices"]["list"][0]["consent_record"]
    assert write_manifest(folder, manifest).voices[0].consent_record is None
