"""A bundle whose values differ from what the runtime has built in is refused by name, never by a traceback."""

import json
import shutil

import pytest
from helpers.tiny_bundle import write_tiny_bundle

from edgevc.bundle import write_manifest
from edgevc.bundle.specs import PitchSpec
from edgevc.converter.fits import require_fit
from edgevc.dsp.features import LogMel
from edgevc.errors import ModelError


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good") / "bundle"
    write_tiny_bundle(folder, filterbank_sha256=LogMel().filterbank_sha256)
    return folder


def test_a_bundle_with_the_built_in_values_fits(good):
    require_fit(write_manifest(good, json.loads((good / "manifest.json").read_text())))


def test_what_the_core_refuses_is_the_bundles_fault(good, monkeypatch):
    bundle = write_manifest(good, json.loads((good / "manifest.json").read_text()))
    # as if the reader let through what the core does not
    monkeypatch.setattr(type(bundle), "pitch", PitchSpec(60.0, 60.0, 480))
    with pytest.raises(ModelError, match="model tiny does not fit this version of edgevc: expected 60 <= f0_min"):
        require_fit(bundle)


CHANGES = {
    r"features\.sample_rate must be 16000, got 48000": ("features", {"sample_rate": 48_000}),
    r"features\.hop_length must be 160, got 400": ("features", {"hop_length": 400}),
    r"features\.hop_length must be 160, got 1;": ("features", {"hop_length": 1}),
    r"features\.n_fft must be 512, got 1024": ("features", {"n_fft": 1024}),
    r"features\.win_length must be 400, got 399": ("features", {"win_length": 399}),
    r"features\.window must be hann, got 'povey'": ("features", {"window": "povey"}),
    r"features\.fmin must be 20\.0, got 21\.0": ("features", {"fmin": 21}),
    r"features\.fmax must be 8000\.0, got 7000\.0": ("features", {"fmax": 7000}),
    r"features\.log_floor must be 1e-05, got 0\.001": ("features", {"log_floor": 1e-3}),
    r"synthesis\.segment_length must be 320, got 16": ("synthesis", {"segment_length": 16}),
    "a different mel filter bank": ("features", {"filterbank_sha256": "0" * 64}),
}


@pytest.mark.parametrize("message", CHANGES)
def test_another_value_is_named(good, tmp_path, message):
    folder = shutil.copytree(good, tmp_path / "bundle")
    manifest = json.loads((folder / "manifest.json").read_text())
    section, change = CHANGES[message]
    manifest[section].update(change)
    manifest["latency"]["hop_samples"] = manifest["features"]["hop_length"]
    with pytest.raises(ModelError, match=message):
        require_fit(write_manifest(folder, manifest))
