"""Alignment: words that stand in no dictionary, and recordings that do not say their words."""

from pathlib import Path

import align
import numpy as np
import pytest
import soundfile as sf
from pocketsphinx import Decoder
from vctrain.data.pronounce import IPA_TO_ARPABET, arpabet, pronunciation
from vctrain.models.content_encoder import PHONES

pytestmark = pytest.mark.tools

SENTENCE = Path(__file__).resolve().parents[2] / "examples" / "sentence.wav"
TEXT = "please turn on the kitchen light and play some music"
OTHER = "seventeen green elephants were dancing upon the frozen lake"


def test_every_phone_has_a_name_and_every_name_a_phone():
    assert set(IPA_TO_ARPABET.values()) == set(PHONES) - {"SIL"}


@pytest.mark.parametrize(
    ("ipa", "phones"), [(["t͡ʃ", "ˈɚ", "t͡ʃ"], "CH ER CH"), (["ˌu"], "UW"), (["ʁ", "a"], None), ([], None)]
)
def test_stress_is_left_out_and_unknown_phones_refuse_a_word(ipa, phones):
    assert arpabet(ipa) == phones


def test_a_word_in_no_dictionary_is_pronounced():
    assert pronunciation("buckskins") == "B AH K S K IH N Z"
    assert pronunciation("judge's").startswith("JH AH JH")


def test_the_aligner_learns_the_words_that_it_lacks():
    aligner = Decoder(samprate=16000, bestpath=False, loglevel="FATAL", lm=None)
    assert not aligner.lookup_word("mobbledips")
    assert align.known(aligner, ["the", "mobbledips"])
    assert aligner.lookup_word("mobbledips") == pronunciation("mobbledips")


def aligned(**phone):
    of = {"frames": 8, "score": -80} | phone
    return [[["SIL", 0, 90, -9000]], [["AH", 90 + 8 * i, of["frames"], of["score"]] for i in range(8)]]


def test_what_scores_low_or_is_cut_short_does_not_fit():
    assert align.fits(aligned())
    assert not align.fits(aligned(score=-8 * 40))
    assert not align.fits(aligned(frames=3, score=-30))
    assert not align.fits([[["SIL", 0, 90, -900]]])


def test_a_recording_is_aligned_to_its_words_and_not_to_others(tmp_path):
    samples, rate = sf.read(SENTENCE)
    assert rate == 16_000
    sf.write(tmp_path / "a.wav", samples, rate)
    row = {"path": "a.wav", "text": TEXT, "seconds": len(samples) / rate}
    found = align.align((str(tmp_path), row))
    phones = np.array([p[1:] for p in found["phones"]])
    # they follow each other without a gap
    assert (phones[1:, 0] == phones[:-1, 0] + phones[:-1, 1]).all()
    assert len(found["words"]) >= len(TEXT.split())
    assert align.align((str(tmp_path), row | {"text": OTHER})) is None
    assert align.align((str(tmp_path), row | {"text": ""})) is None
