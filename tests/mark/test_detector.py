"""The detector alone: windows, spans, search, and what it refuses. The marked sound is noise."""

import numpy as np
import pytest

import edgevc
from edgevc import _core
from edgevc.dsp.resample import resample
from edgevc.errors import ConfigError
from edgevc.mark.correlator import match, rows
from edgevc.mark.detector import THRESHOLD_MANY, THRESHOLD_SHORT, MarkDetector

RATE = 16_000
N_BINS = _core.SourceFilter.n_filters // 3


def hiss(seconds, *, marked, seed=1):
    """Noise from the synthesis, whose level moves as speech's does."""
    n = round(100 * seconds)
    synthesis = _core.SourceFilter(seed)
    synthesis.set_marked(marked)
    filters = np.full((n, 3, N_BINS), -14, np.float32)
    syllables = np.sin(2 * np.pi * 4 * np.arange(n) / 100) - 3
    filters[:, 2] = syllables[:, None]
    out = np.empty(160 * n, np.float32)
    synthesis.process_into(filters.reshape(n, -1), np.zeros(n, np.float32), out)
    return out


def test_marked_noise_is_found_and_other_noise_is_not():
    for seconds in (2.5, 6, 12, 31):
        found, other = (edgevc.detect(hiss(seconds, marked=marked)) for marked in (True, False))
        assert found.marked
        assert found.score > 3 * other.score
        assert not other.marked
        assert other.spans == ()
        assert found.seconds == other.seconds == seconds


def test_the_public_key_alone_is_found():
    found = rows(hiss(5, marked=True))
    assert match(found).score > 2 * THRESHOLD_SHORT
    assert all(match(found, key=f"another key {i}").score < THRESHOLD_SHORT for i in range(20))


def test_where_the_mark_is():
    parts = [hiss(12, marked=False, seed=2), hiss(17, marked=True), hiss(12, marked=False, seed=3)]
    detection = edgevc.detect(np.concatenate(parts))
    assert detection.marked
    assert detection.threshold == THRESHOLD_MANY
    assert np.allclose(detection.spans, [(12, 29)], atol=1.0)


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_any_rate_will_do(rate):
    found = edgevc.detect(resample(hiss(5, marked=True), RATE, rate), rate)
    assert found.marked
    assert abs(found.seconds - 5) < 0.01


def test_a_wrong_clock_is_found_by_default_and_more_with_search():
    sound = hiss(10, marked=True)
    assert edgevc.detect(resample(sound, 16_000, 15_920)).marked
    faster = resample(sound, 16_000, 15_500)
    assert not edgevc.detect(faster).marked
    found = edgevc.detect(faster, search=True)
    assert found.marked
    assert np.allclose(found.spans, [(0, len(faster) / RATE)], atol=1.0)


def test_search_finds_nothing_where_nothing_is():
    assert not edgevc.detect(hiss(5, marked=False), search=True).marked


def test_windows_do_not_depend_on_how_the_stream_is_cut(rng):
    sound = np.concatenate([hiss(14, marked=True), hiss(12, marked=False)])
    whole = MarkDetector(RATE)
    expected = [*whole.process(sound), whole.finish()]
    assert [window.marked for window in expected[:-1]] == [True, True, True, False]
    assert [(window.start, window.end) for window in expected[:-1]] == [(0, 10), (5, 15), (10, 20), (15, 25)]
    cut, found, place = MarkDetector(RATE), [], 0
    while place < len(sound):
        length = int(rng.integers(0, 30_000))
        found += cut.process(sound[place : place + length])
        place += length
    assert [*found, cut.finish()] == expected


@pytest.mark.parametrize("seconds", [0, 0.01, 1, 2.49])
def test_too_little_sound_is_refused(seconds):
    with pytest.raises(ConfigError, match=r"at least 2.5 s of sound"):
        edgevc.detect(np.zeros(round(seconds * RATE), np.float32))


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(4 * RATE, np.float32),
        np.full(4 * RATE, 0.5, np.float32),
        np.eye(1, 4 * RATE, dtype=np.float32)[0],
        np.tile(np.float32([1, -1]), 2 * RATE),
        np.full(4 * RATE, 1e6, np.float32),
        np.full(4 * RATE, 1e-30, np.float32),
    ],
)
def test_what_is_no_speech_at_all_is_not_marked(sound):
    detection = edgevc.detect(sound)
    assert not detection.marked
    assert np.isfinite(detection.score)


def test_samples_that_are_none_are_refused():
    with pytest.raises(ConfigError, match="must be finite"):
        edgevc.detect(np.full(4 * RATE, np.nan, np.float32))
    with pytest.raises(TypeError):
        edgevc.detect(np.zeros(4 * RATE))
    with pytest.raises(ConfigError, match=r"rate|Hz"):
        edgevc.detect(np.zeros(4 * RATE, np.float32), 100)
