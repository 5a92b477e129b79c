"""The search of a command grammar's network, on posteriors that are made here."""

import time

import numpy as np
import pytest
from synthetic_speech import GRAMMAR, LEXICON, PHONE_INDEX, PHONES, UNIFORM, sound

from edgevc.recognition.automaton import Meaning, compile_grammar
from edgevc.recognition.decoder import GrammarDecoder, SearchSettings, emissions, fully_right
from edgevc.recognition.network import build_network
from edgevc.recognition.phone_loop import decode_phones
from edgevc.recognition.rhino import parse_rhino

SETTINGS = SearchSettings(prior_weight=1.0)


@pytest.fixture(scope="module")
def automaton():
    return compile_grammar(parse_rhino(GRAMMAR))


@pytest.fixture(scope="module")
def decoder(automaton):
    return GrammarDecoder(build_network(automaton, LEXICON, PHONES), SETTINGS)


def hear(decoder, posteriors):
    return decoder.decode(emissions(posteriors, UNIFORM, decoder.settings))


@pytest.mark.parametrize(
    ("words", "intent", "slots"),
    [
        ("turn off kitchen lamp", "light", {"place": "kitchen"}),
        ("please switch on living room lamp", "light", {"place": "living room"}),
        ("bed room lamp off", "light", {"place": "bed room"}),
        ("play music", "music", {}),
        ("play some music in the living room", "music", {"place": "living room"}),
    ],
)
def test_a_sentence_of_the_grammar_is_understood_word_by_word(decoder, words, intent, slots):
    found = hear(decoder, sound(words))
    assert found.words == tuple(words.split())
    assert fully_right(found, intent, slots)
    assert found.meaning == Meaning(intent, slots)


def test_words_run_together_are_told_apart(decoder):
    rng = np.random.default_rng(3)
    found = hear(decoder, sound("turn on living room lamp", frames=4, pause=0, right=0.5, rng=rng))
    assert found.words == ("turn", "on", "living", "room", "lamp")


def test_half_heard_words_go_to_the_nearest_slot_value(decoder):
    posteriors = sound("bed room lamp on")
    start = 8  # the pause in front; then B EH D of 6 frames each
    posteriors[start : start + 6] = np.roll(posteriors[start : start + 6], PHONE_INDEX["G"] - PHONE_INDEX["B"], axis=1)
    found = hear(decoder, posteriors)
    assert found.meaning.slots == {"place": "bed room"}


def test_a_missing_or_additional_slot_is_not_right(decoder):
    found = hear(decoder, sound("play music in the kitchen"))
    assert fully_right(found, "music", {"place": " kitchen"})
    assert not fully_right(found, "music", {})
    assert not fully_right(found, "light", {"place": "kitchen"})
    assert not fully_right(None, "music", {})


def test_what_the_grammar_does_not_contain_gets_a_lower_confidence(decoder):
    inside = hear(decoder, sound("turn on kitchen lamp"))
    outside = hear(decoder, sound("weather in the garage tomorrow"))
    assert inside.confidence > -0.001
    assert outside is None or outside.confidence < -1


def test_silence_alone_is_no_sentence_worth_trusting(decoder):
    found = hear(decoder, sound("", pause=200))
    assert found is None or found.confidence < -0.5


def test_the_result_does_not_depend_on_how_the_frames_come(decoder):
    rng = np.random.default_rng(5)
    emitted = emissions(sound("turn on bed room lamp", right=0.4, rng=rng), UNIFORM, SETTINGS)
    whole = decoder.decode(emitted)
    decoder.reset()
    for piece in np.array_split(emitted, np.sort(rng.integers(0, len(emitted), 20))):
        decoder.process(piece)
    assert decoder.result() == whole


def test_reset_forgets(decoder):
    first = hear(decoder, sound("play music"))
    hear(decoder, sound("turn off kitchen lamp"))
    assert hear(decoder, sound("play music")) == first


def test_a_phone_shorter_than_its_minimum_is_not_heard(automaton):
    decoder = GrammarDecoder(build_network(automaton, LEXICON, PHONES, dict.fromkeys(PHONES, 4)), SETTINGS)
    emitted = [emissions(sound("play music", frames=n, pause=4), UNIFORM, SETTINGS) for n in (3, 4)]
    short, enough = (decoder.decode(frames).confidence for frames in emitted)
    assert enough > -0.001
    assert short < -0.1


def test_the_insertion_penalty_takes_single_frames_away():
    posteriors = sound("play")
    posteriors[10] = sound("", pause=1, right=0.5)[0]
    counts = [len(decode_phones(emissions(posteriors, UNIFORM, SETTINGS), p)) for p in (-0.1, -10)]
    assert counts == [7, 5]


def test_the_search_is_fast(decoder):
    emitted = emissions(sound("turn on living room lamp"), UNIFORM, SETTINGS)
    started = time.process_time()
    decoder.decode(emitted)
    # measured 0.01 on one core of the build machine; it shares the machine with others
    assert (time.process_time() - started) / (len(emitted) / 100) < 0.2
