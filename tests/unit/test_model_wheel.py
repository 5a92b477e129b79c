"""A bundle packed as a wheel is installed by pip, found by its name, and converts."""

import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_bundle import write_tiny_bundle

from edgevc.bundle import ModelBundle, shipped_models, write_manifest
from edgevc.converter import VoiceConverter
from edgevc.converter.bench import speech_like
from edgevc.dsp.features import LogMel
from edgevc.errors import ConfigError

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "model_wheel.py"


@pytest.fixture(scope="module")
def packing():
    spec = importlib.util.spec_from_file_location("model_wheel", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("studio") / "bundle"
    settings = {"filterbank_sha256": LogMel().filterbank_sha256, "latency_samples": 480}
    write_tiny_bundle(path, "blocks", chunk_hops=(22,), **settings)
    (path / "CARD.md").write_text("# What it is\n")
    return path


def test_a_wheel_is_installed_and_its_model_found(folder, tmp_path, monkeypatch):
    done = subprocess.run(
        [sys.executable, SCRIPT, folder, "--name", "large_one", "--out", tmp_path / "dist"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    wheel = tmp_path / "dist" / "edgevc_large_one-1.0-py3-none-any.whl"
    assert done.stdout.startswith(f"{wheel}: ")
    site = tmp_path / "site"
    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", site, wheel]
    # pip compares every file with its hash in RECORD
    installed = subprocess.run([sys.executable, *pip], capture_output=True, text=True)
    assert installed.returncode == 0, installed.stderr
    monkeypatch.syspath_prepend(site)
    assert shipped_models()["large_one"] == site / "edgevc_large_one"
    assert (site / "edgevc_large_one" / "CARD.md").is_file()
    bundle = ModelBundle.find("large_one")
    assert bundle.sha256 == ModelBundle.open(folder).sha256
    speech = speech_like(0.5)
    assert np.array_equal(VoiceConverter(bundle).convert(speech), VoiceConverter(folder).convert(speech))


def test_an_archive_is_refused(packing, folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    with pytest.raises(ConfigError, match="a wheel is made of a bundle's folder"):
        packing.write(ModelBundle.open(tmp_path / "bundle.zip"), "large", tmp_path / "dist")


def test_the_same_bundle_gives_the_same_bytes(packing, folder, tmp_path):
    bundle = ModelBundle.open(folder)
    first, second = (packing.write(bundle, "large", tmp_path / name).read_bytes() for name in "ab")
    assert first == second
    with zipfile.ZipFile(tmp_path / "a" / "edgevc_large-1.0-py3-none-any.whl") as wheel:
        assert wheel.testzip() is None
        metadata = wheel.read("edgevc_large-1.0.dist-info/METADATA").decode()
    assert f"Summary: {bundle.description}\nLicense: CC0-1.0\nRequires-Dist: edgevc\n" in metadata


@pytest.mark.parametrize("name", ["Large", "a-b", "../x", "", "1a", "a__b"])
def test_a_name_that_no_package_may_have_is_refused(packing, folder, name, tmp_path):
    with pytest.raises(ConfigError, match="--name must be lower-case letters"):
        packing.write(ModelBundle.open(folder), name, tmp_path / "dist")
    assert not (tmp_path / "dist").exists()


def test_a_name_that_edgevc_has_and_a_version_in_words_are_refused(packing, folder, tmp_path, capsys, monkeypatch):
    with pytest.raises(ConfigError, match="edgevc itself has a model tiny"):
        packing.write(ModelBundle.open(folder), "tiny", tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text()) | {"version": "one"}
    other = tmp_path / "other"
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    write_manifest(other, manifest)
    monkeypatch.setattr(sys, "argv", ["model_wheel.py", str(other), "--name", "large", "--out", str(tmp_path / "dist")])
    assert packing.main() == 2
    assert "version must be numbers with dots, got 'one'" in capsys.readouterr().err
    assert not (tmp_path / "dist").exists()
