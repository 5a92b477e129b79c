"""The models that have a package of their own: what they promise, and that no copy of edgevc carries them. 3 s."""

import importlib.util
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgevc.bundle import ModelBundle
from edgevc.bundle.shipped import MODEL_FOLDERS, own_models, shipped_models
from edgevc.converter import VoiceConverter
from edgevc.converter.bench import speech_like

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
STUDIO = ROOT / "more_models" / "studio"
MAX_MODEL_BYTES = 24_000_000
MAX_WHEEL_MODELS_BYTES = 19_000_000
"""What lies in models/ today, and a little."""


@pytest.fixture(scope="module")
def studio():
    return ModelBundle.open(STUDIO)


def test_no_wheel_and_no_source_archive_of_edgevc_carries_them():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["scikit-build"]
    assert "more_models" in settings["sdist"]["exclude"]
    assert settings["wheel"]["packages"] == ["edgevc"]
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.findall(r"install\(DIRECTORY (\S+)", cmake) == ["models/"]
    assert "studio" not in own_models()
    assert STUDIO.parent not in MODEL_FOLDERS
    carried = [path.stat().st_size for path in (ROOT / "models").rglob("*") if path.is_file()]
    assert len(carried) > 20
    assert sum(carried) < MAX_WHEEL_MODELS_BYTES


def test_studio_is_as_large_and_as_slow_as_its_card_says(studio):
    graphs = studio.graphs.values()
    assert sum(len(studio.read(graph.files["onnx"])) for graph in graphs) < MAX_MODEL_BYTES
    assert sum(graph.macs_per_hop for graph in graphs) * 100 < 2e9
    assert studio.block_hops == 22
    assert "250 ms" in studio.description
    assert [voice.name for voice in studio.voices] == [voice.name for voice in ModelBundle.default().voices]
    assert {recipe["recipe"] for graph in graphs for recipe in graph.quantization.values()} != {"none"}


def test_its_package_is_found_and_speaks_as_the_folder_does(studio, tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("model_wheel", ROOT / "scripts" / "model_wheel.py")
    packing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(packing)
    wheel = packing.write(studio, "studio", tmp_path)
    # pip is what tests/unit/test_model_wheel.py is about
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert shipped_models()["studio"] == tmp_path / "site" / "edgevc_studio"
    installed = VoiceConverter("studio")
    assert installed.latency_ms == 250
    speech = speech_like(1.0)
    spoken = installed.convert(speech, "bdl")
    assert np.array_equal(spoken, VoiceConverter(STUDIO).convert(speech, "bdl"))
    assert np.abs(spoken).max() > 1e-3
