"""The level meter hears the voice, not what lies below it."""

import numpy as np
import pytest

from edgevc.live.meters import SILENCE_DB, Level

HOP = 160


def level_of(samples):
    level = Level()
    for start in range(0, len(samples) - HOP + 1, HOP):
        level.add(samples[start : start + HOP].astype(np.float32))
    return level.db


def test_a_tone_has_its_level():
    time = np.arange(16_000) / 16_000
    assert level_of(0.1 * np.sin(2 * np.pi * 200 * time)) == pytest.approx(-23.0, abs=0.3)


@pytest.mark.parametrize("below", ["offset", "rumble"])
def test_an_offset_or_a_rumble_is_no_voice(below):
    time = np.arange(16_000) / 16_000
    voice = 0.001 * np.sin(2 * np.pi * 200 * time)
    added = 0.3 if below == "offset" else 0.1 * np.sin(2 * np.pi * 5 * time)
    # a whisper of -63 dB on it; the meter sees a tenth of a second at a time, so some of the rumble is left
    assert level_of(voice + added) == pytest.approx(-63.0, abs=1.0 if below == "offset" else 20.0)
    assert level_of(voice + added) < 10 * np.log10(np.mean((voice + added) ** 2)) - 15


def test_nothing_is_silence():
    assert Level().db == SILENCE_DB
    assert level_of(np.zeros(1600)) == SILENCE_DB
    assert level_of(np.full(1600, 0.5)) < -100
