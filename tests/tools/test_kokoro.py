"""Kokoro's sentences: known words, many timbres, nobody's."""

import numpy as np
import pytest
from vctrain.data import kokoro
from vctrain.data.corpora import decode_audio
from vctrain.errors import UserError

pytestmark = pytest.mark.tools


def test_phones_that_kokoro_does_not_know_are_left_out():
    known = {phone: i for i, phone in enumerate("kæt.")}
    assert kokoro.tokens("cat", known) == [0, 1, 2, 3]
    assert kokoro.tokens("cat", {"k": 5}) == [5]


def test_mixtures_differ_and_stay_near_the_styles():
    rng = np.random.default_rng(0)
    drawn = np.array([kokoro.mixture(rng) for _ in range(200)])
    assert drawn.sum(1) == pytest.approx(1)
    assert drawn.min() > -0.05
    assert drawn.max() < 1.15
    # no two sound alike, and every style has its turn
    assert np.linalg.norm(drawn[:100] - drawn[100:], axis=1).min() > 0.02
    assert (drawn.max(0) > 0.8).all()


def test_every_timbre_says_some_sentences_and_none_is_said_twice(monkeypatch):
    said = []

    def speak(text, shares, speed):
        said.append((text, tuple(shares), speed))
        return np.zeros(2400, np.float32)

    monkeypatch.setattr(kokoro, "speak", speak)
    found = list(kokoro.recordings([f"text {i}" for i in range(30)], 20))
    assert [r.text for r in found] == [text for text, _, _ in said]
    assert len({r.text for r in found}) == len({r.utterance for r in found}) == 20
    assert [r.speaker for r in found] == [f"kokoro-{i // 8:03d}" for i in range(20)]
    assert len({shares for _, shares, _ in said}) == 3
    assert all(r.split == "train" for r in found)
    assert len(decode_audio(found[0].audio)) == 1600
    assert [r.text for r in kokoro.recordings([f"text {i}" for i in range(30)], 20)] == [r.text for r in found]


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setattr(kokoro, "find_spec", lambda name: None)
    kokoro.vocabulary.cache_clear()
    with pytest.raises(UserError, match="--kokoro 0"):
        kokoro.speak("a", np.ones(5) / 5, 1.0)
