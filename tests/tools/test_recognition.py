"""Evaluation of a bundle's phone head: phone error rate, and which recordings numbers were chosen on."""

import numpy as np
import pytest
from evaluate_encoder import DICTIONARY, in_tuning_third, phone_errors
from vctrain.models.content_encoder import PHONE_INDEX, PHONES

from edgevc.recognition.emissions import SearchSettings, emissions, phone_log_priors
from edgevc.recognition.lexicon import read_dictionary
from edgevc.recognition.phone_loop import decode_phones
from edgevc.recognition.phones import PHONE_SHARES

pytestmark = pytest.mark.tools

UNIFORM = np.full(len(PHONES), np.log(1 / len(PHONES)))
SETTINGS = SearchSettings(prior_weight=1.0)


def test_the_package_and_the_training_name_the_same_phones_in_the_same_order():
    assert tuple(PHONE_SHARES) == PHONES


def test_the_benchmarks_dictionary_has_only_phones_of_the_models():
    found = {phone for ways in read_dictionary(DICTIONARY).values() for way in ways for phone in way.split()}
    assert found < set(PHONES)


def test_a_perfect_posterior_has_no_phone_errors():
    reference = [PHONE_INDEX[phone] for phone in ["P", "L", "EY", "S", "AH", "M", "M", "Y", "UW", "Z", "IH", "K"]]
    columns = [0] * 8 + [column for column in reference for _ in range(6)] + [0] * 8
    posteriors = np.full((len(columns), len(PHONES)), 0.1 / len(PHONES))
    posteriors[np.arange(len(columns)), columns] += 0.9
    heard = decode_phones(emissions(np.log(posteriors).astype(np.float32), UNIFORM, SETTINGS), -2.0)
    # two M meet: without a pause between them they are heard as one
    assert phone_errors(reference, heard) == 1
    assert phone_errors([*reference, PHONE_INDEX["S"]], heard) == 2


def test_priors_add_up_and_never_vanish():
    priors = phone_log_priors(np.array([0, 10, 87]))
    assert np.exp(priors).sum() == pytest.approx(1)
    assert priors.min() > -np.inf


def test_a_third_of_the_recordings_is_for_choosing_numbers():
    names = [f"{i:04d}.wav" for i in range(3000)]
    share = np.mean([in_tuning_third(name) for name in names])
    assert 0.3 < share < 0.36
