"""Sentences out of a stream: when they end, how certain they are, and which are refused."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.synthetic_speech import GRAMMAR, LEXICON, PHONES, sound

from edgevc.errors import ConfigError
from edgevc.recognition.automaton import compile_grammar
from edgevc.recognition.emissions import SearchSettings
from edgevc.recognition.evidence import Evidence, EvidenceFinder, SlotEvidence, edit_distance
from edgevc.recognition.grammar import Meaning
from edgevc.recognition.network import build_network
from edgevc.recognition.phones import log_priors
from edgevc.recognition.recognizer import LISTENING, CommandRecognizer, Heard, Refusal
from edgevc.recognition.rhino import parse_rhino
from edgevc.recognition.search import CommandSearch, Recognition, SearchState


@pytest.fixture(scope="module")
def network():
    return build_network(compile_grammar(parse_rhino(GRAMMAR)), LEXICON, PHONES)


@pytest.fixture
def recognizer(network):
    return CommandRecognizer(network, PHONES)


def noise(n_frames, rng):
    """Frames in which nothing is likely for long, and silence never is."""
    posteriors = rng.dirichlet(np.full(len(PHONES), 0.3), n_frames)
    posteriors[:, 0] = 1e-4
    return np.log(posteriors + 1e-6).astype(np.float32)


def end_of(network, words, tail, settings=LISTENING):
    """Frames from the last word's end to the decision; None where there was none."""
    search = CommandSearch(network, log_priors(PHONES), settings)
    said = sound(words, tail=tail)
    taken, state = search.process(said)
    # each sound ends with a pause of 8 frames
    return taken - 1 - (len(said) - tail - 8 - 1) if state is SearchState.ENDED else None


def test_where_no_word_may_follow_the_end_comes_after_a_tenth_of_a_second(network):
    assert end_of(network, "turn on kitchen lamp", tail=200) == LISTENING.closed_end_frames == 10


def test_where_one_may_follow_it_waits_for_half_a_second(network):
    assert end_of(network, "play music", tail=200) == LISTENING.open_end_frames == 45


def test_a_sentence_in_the_middle_does_not_end(network):
    assert end_of(network, "turn on kitchen", tail=140) is None


def test_the_end_comes_the_same_in_noise_that_is_no_word(network):
    rng = np.random.default_rng(0)
    said = sound("turn on kitchen lamp")
    search = CommandSearch(network, log_priors(PHONES), LISTENING)
    taken, state = search.process(np.concatenate([said, noise(300, rng)]))
    assert state is SearchState.ENDED
    assert taken < len(said) + 30
    assert search.result().words == ("turn", "on", "kitchen", "lamp")


def test_what_goes_on_for_too_long_is_given_up(network):
    search = CommandSearch(network, log_priors(PHONES), replace(LISTENING, max_sentence_frames=150))
    taken, state = search.process(np.concatenate([sound("turn on kitchen"), sound("kitchen", frames=60)]))
    assert state is SearchState.TIMED_OUT
    # counted from the first word, after 8 frames of silence
    assert 150 <= taken <= 175


def test_two_commands_in_a_row_are_two(recognizer):
    stream = np.concatenate([sound("turn off bed room lamp", tail=40), sound("play some music", tail=100)])
    heard = recognizer.process(stream)
    assert [" ".join(h.recognition.words) for h in heard] == ["turn off bed room lamp", "play some music"]
    assert [h.refusal for h in heard] == [None, None]
    assert heard[0].recognition.meaning.slots == {"place": "bed room"}
    assert set(heard[0].evidence.slots) == {"place"}
    assert set(heard[1].evidence.slots) == {""}


def test_the_sentences_do_not_depend_on_how_the_frames_come(network):
    rng = np.random.default_rng(4)
    parts = [sound(words, right=0.6, rng=rng, tail=90) for words in ("turn off bed room lamp", "play some music")]
    stream = np.concatenate(parts)
    whole = CommandRecognizer(network, PHONES).process(stream)
    single = CommandRecognizer(network, PHONES)
    pieces = [heard for frame in stream for heard in single.process(frame[None])]
    assert len(whole) == 2
    assert [(h.recognition, h.end, h.refusal) for h in whole] == [(h.recognition, h.end, h.refusal) for h in pieces]
    assert [h.evidence.certainty for h in pieces] == pytest.approx([h.evidence.certainty for h in whole])


def test_a_value_that_the_grammar_lacks_is_refused_and_its_slot_says_so(recognizer):
    (right,) = recognizer.process(sound("turn on kitchen lamp", tail=100))
    (wrong,) = recognizer.process(sound("turn on garage lamp", tail=200))
    assert right.refusal is None
    assert right.evidence.slots["place"].certainty > 0.5
    # the search has nothing better than one of its own rooms
    assert wrong.recognition.words[-1] == "lamp"
    assert wrong.refusal is Refusal.UNCERTAIN
    place = wrong.evidence.slots["place"]
    assert place.replaced < 0
    assert place.score < right.evidence.slots["place"].score - 1


def test_an_additional_word_in_front_of_a_value_is_noticed(recognizer):
    (right,) = recognizer.process(sound("turn on kitchen lamp", tail=200))
    (found,) = recognizer.process(sound("turn on garage kitchen lamp", tail=200))
    assert found.recognition.words == right.recognition.words
    # 20 is no doubt at all
    assert found.evidence.slots["place"].inserted < 10 < 20 < right.evidence.slots["place"].inserted


def test_a_slots_rival_is_the_next_best_value_of_its_list(recognizer):
    (heard,) = recognizer.process(sound("turn on kitchen lamp", tail=100))
    place = heard.evidence.slots["place"]
    assert place.value == "kitchen"
    assert place.rival in ("living room", "bed room")
    assert place.margin > 50
    # B EH D and a word half way to living: the rival comes near
    half = sound("turn on bed room lamp", right=0.1)
    half[60:90] = np.logaddexp(half[60:90], sound("turn on living room lamp", right=0.1)[60:90]) - np.log(2)
    near = recognizer.process(np.concatenate([half, sound("", pause=100)]))
    assert near == [] or near[0].evidence.slots["place"].margin < place.margin


def test_a_sentence_without_slots_has_no_rival(recognizer):
    (heard,) = recognizer.process(sound("play music", tail=100))
    whole = heard.evidence.slots[""]
    assert (whole.value, whole.rival, whole.margin) == ("play music", "", float("inf"))


def test_a_refusal_says_why_and_what_was_nearest(recognizer):
    (heard,) = recognizer.process(sound("turn on garage lamp", tail=200))
    assert heard.refusal is Refusal.UNCERTAIN
    words = " ".join(heard.recognition.words)
    value = heard.evidence.slots["place"].value
    assert heard.reason == (
        f"sounds like something that the grammar does not contain; nearest is {words!r}, in which place {value!r} is "
        "doubtful"
    )
    (right,) = recognizer.process(sound("turn on kitchen lamp", tail=200))
    assert right.reason == ""


def test_a_tie_of_two_values_names_both():
    slots = {"place": SlotEvidence(-0.1, 1.0, 20.0, "kitchen", "chicken", 0.5)}
    found = Recognition(Meaning("light", {"place": "kitchen"}), ("kitchen", "on"), 0.0, 0.0, (0, 1), (5, 9))
    heard = Heard(found, Evidence(-0.1, slots), 20, Refusal.AMBIGUOUS)
    assert heard.reason == "unsure between 'kitchen' and 'chicken' in 'kitchen on'"


def test_what_holds_no_words_is_called_noise():
    assert Heard(None, None, 20, Refusal.NOISE).reason == "noise, or nothing like the grammar"


def test_other_speech_is_no_command(recognizer):
    heard = recognizer.process(sound("weather tomorrow garage stop weather go garage tomorrow", tail=400))
    assert [h for h in heard if h.refusal is None] == []


def test_everything_is_taken_where_that_is_asked_for(network):
    recognizer = CommandRecognizer(network, PHONES, least_certainty=float("-inf"))
    (heard,) = recognizer.process(sound("turn on garage lamp", tail=200))
    assert heard.refusal is None


def test_a_long_wait_before_a_sentence_costs_it_nothing(network):
    at_once, late = (CommandRecognizer(network, PHONES) for _ in range(2))
    said = sound("turn on kitchen lamp", tail=60)
    (first,) = at_once.process(said)
    for _ in range(50):
        assert late.process(sound("", pause=200)) == []
    assert late.process(sound("", pause=6_789)) == []
    (second,) = late.process(said)
    assert second.recognition.words == first.recognition.words
    assert second.end == first.end + 16_789
    assert second.evidence.certainty == pytest.approx(first.evidence.certainty, abs=1e-3)


def test_a_recogniser_that_is_reset_is_a_new_one(network, recognizer):
    said = sound("play music in the kitchen", tail=100)
    recognizer.process(sound("turn on kitchen"))
    recognizer.reset()
    assert recognizer.process(said) == CommandRecognizer(network, PHONES).process(said)


def test_a_setting_out_of_range_is_one_line(network):
    with pytest.raises(ConfigError, match="search settings: beam must be above 0"):
        CommandRecognizer(network, PHONES, SearchSettings(beam=-1))


def test_words_that_sound_like_the_grammars_are_no_decoys(network):
    finder = EvidenceFinder(network, PHONES, log_priors(PHONES))
    # "bed" is among the decoys and in the grammar
    bed = [PHONES.index(p) for p, n in (("B", 3), ("EH", 4), ("D", 3)) for _ in range(n)]
    assert bed not in finder.decoys
    assert len(finder.decoys) > 150


def test_the_distance_of_phones():
    assert edit_distance(["K", "AE", "T"], ["K", "AE", "T"]) == 0
    assert edit_distance(["K", "AE", "T"], ["B", "AE", "D"]) == 2
    assert edit_distance(["K", "AE", "T"], []) == 3


def test_a_sentence_whose_next_best_value_fits_nearly_as_well_is_refused_and_both_are_named(recognizer):
    said = sound("turn on kitchen lamp", tail=60)
    (taken,) = recognizer.process(said)
    assert taken.refusal is None
    recognizer.least_margin = taken.evidence.slots["place"].margin + 1
    (doubted,) = recognizer.process(said)
    assert doubted.refusal is Refusal.AMBIGUOUS
    assert doubted.reason.startswith(f"unsure between 'kitchen' and {doubted.evidence.slots['place'].rival!r}")
