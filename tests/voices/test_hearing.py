"""Words in phones: found in their order, missed where they are not. Computed, not spoken; some 2 s."""

import numpy as np
import pytest

from edgevc.bundle import ModelBundle
from edgevc.voice_maker.hearing import LEAST_FRAMES, read_words, word_scores

NAMES = ModelBundle.find("tiny").phones


def said(words, rng, frames=7, certainty=6.0):
    """Log-probabilities of somebody who says these phones, each some frames long, with noise."""
    rows = []
    for phone in ["SIL", *(phone for word in words for phone in (*word, "SIL"))]:
        logits = rng.normal(0, 1, (frames, len(NAMES)))
        logits[:, NAMES.index(phone)] += certainty
        rows.append(logits)
    logits = np.concatenate(rows)
    return (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32)


def test_there_are_words_enough_and_each_is_one_of_the_models_phones():
    words = read_words()
    # four of them in their order: one in five million
    assert len(words) >= 48
    assert all(len(phones) >= 5 and set(phones) <= set(NAMES) for phones in words.values())


def test_what_was_said_is_heard_where_it_was_said(rng):
    words = list(read_words().values())[:6]
    scores, spans = word_scores(said(words, rng), NAMES, words[1:5])
    assert all(score > -0.1 for score in scores)
    begins = 7 * (1 + np.cumsum([0, *(len(word) + 1 for word in words[:5])]))
    for (first, last), begin, word in zip(spans, begins[1:5], words[1:5], strict=True):
        assert abs(first - begin) <= 2
        assert abs(last - (begin + 7 * len(word) - 1)) <= 2


def test_other_words_are_not_heard_nor_are_the_same_in_another_order(rng):
    words = list(read_words().values())
    for _ in range(10):
        chosen = [words[i] for i in rng.choice(len(words), 8, replace=False)]
        phones = said(chosen[:4], rng)
        assert np.mean(word_scores(phones, NAMES, chosen[:4])[0]) > -0.2
        assert np.mean(word_scores(phones, NAMES, chosen[4:])[0]) < -1.5
        assert np.mean(word_scores(phones, NAMES, chosen[3::-1])[0]) < -1.0


def test_words_are_not_squeezed_into_a_few_frames(rng):
    word = ("B", "AE", "S", "K", "AH", "T")
    _, spans = word_scores(said([word], rng), NAMES, [word])
    assert spans[0][1] - spans[0][0] > 5 * LEAST_FRAMES * 3 // 2


@pytest.mark.parametrize("n_frames", [1, 10, 40])
def test_a_sound_that_is_too_short_has_no_words(n_frames):
    words = list(read_words().values())[:4]
    phones = np.log(np.full((n_frames, len(NAMES)), 1 / len(NAMES), np.float32))
    assert word_scores(phones, NAMES, words)[0] == [-np.inf] * 4
