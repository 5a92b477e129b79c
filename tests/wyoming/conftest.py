"""A converter that is quick, for everything that does not need a good one."""

import pytest
from helpers.tiny_bundle import write_tiny_bundle

from edgevc.converter import VoiceConverter
from edgevc.dsp.features import LogMel
from edgevc.wyoming.recording import VoiceChange


@pytest.fixture(scope="session")
def change(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wyoming") / "tiny"
    write_tiny_bundle(folder, filterbank_sha256=LogMel().filterbank_sha256, latency_samples=480)
    return VoiceChange(VoiceConverter(folder), "second")
