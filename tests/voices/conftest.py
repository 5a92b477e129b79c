"""What the tests of voices share: the smallest model, and a voice's file for it."""

import pytest
from helpers.own_voice import write_drawn_voice

from edgevc.bundle import ModelBundle


@pytest.fixture(scope="module")
def tiny():
    return ModelBundle.find("tiny")


@pytest.fixture(scope="module")
def voice_file(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("voice") / "me.voice"
    write_drawn_voice(path, tiny)
    return path
