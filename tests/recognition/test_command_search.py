"""The search of a command grammar's network, on posteriors that are made here."""

import time

import numpy as np
import pytest
from helpers.synthetic_speech import GRAMMAR, LEXICON, PHONE_INDEX, PHONES, UNIFORM, sound

from edgevc import _core
from edgevc.recognition.automaton import compile_grammar
from edgevc.recognition.emissions import SearchSettings, emissions
from edgevc.recognition.grammar import Meaning
from edgevc.recognition.network import build_network
from edgevc.recognition.phone_loop import decode_phones
from edgevc.recognition.reference import ReferenceSearch
from edgevc.recognition.rhino import parse_rhino
from edgevc.recognition.search import CommandSearch, SearchState, fully_right

SETTINGS = SearchSettings(prior_weight=1.0)


@pytest.fixture(scope="module")
def automaton():
    return compile_grammar(parse_rhino(GRAMMAR))


@pytest.fixture(scope="module", params=[CommandSearch, ReferenceSearch])
def search(automaton, request):
    return request.param(build_network(automaton, LEXICON, PHONES), UNIFORM, SETTINGS)


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
def test_a_sentence_of_the_grammar_is_understood_word_by_word(search, words, intent, slots):
    found = search.decode(sound(words))
    assert found.words == tuple(words.split())
    assert fully_right(found, intent, slots)
    assert found.meaning == Meaning(intent, slots)


def test_words_run_together_are_told_apart(search):
    rng = np.random.default_rng(3)
    found = search.decode(sound("turn on living room lamp", frames=4, pause=0, right=0.5, rng=rng))
    assert found.words == ("turn", "on", "living", "room", "lamp")


def test_half_heard_words_go_to_the_nearest_slot_value(search):
    posteriors = sound("bed room lamp on")
    start = 8  # the pause in front; then B EH D of 6 frames each
    posteriors[start : start + 6] = np.roll(posteriors[start : start + 6], PHONE_INDEX["G"] - PHONE_INDEX["B"], axis=1)
    found = search.decode(posteriors)
    assert found.meaning.slots == {"place": "bed room"}


def test_a_missing_or_additional_slot_is_not_right(search):
    found = search.decode(sound("play music in the kitchen"))
    assert fully_right(found, "music", {"place": " kitchen"})
    assert not fully_right(found, "music", {})
    assert not fully_right(found, "light", {"place": "kitchen"})
    assert not fully_right(None, "music", {})


def test_what_the_grammar_does_not_contain_gets_a_lower_confidence(search):
    inside = search.decode(sound("turn on kitchen lamp"))
    outside = search.decode(sound("weather in the garage tomorrow"))
    assert inside.confidence > -0.001
    assert outside is None or outside.confidence < -1


def test_silence_alone_is_no_sentence_worth_trusting(search):
    found = search.decode(sound("", pause=200))
    assert found is None or found.confidence < -0.5


def test_the_result_does_not_depend_on_how_the_frames_come(search):
    rng = np.random.default_rng(5)
    posteriors = sound("turn on bed room lamp", right=0.4, rng=rng)
    whole = search.decode(posteriors)
    search.reset()
    for piece in np.array_split(posteriors, np.sort(rng.integers(0, len(posteriors), 20))):
        search.process(piece)
    assert search.result() == whole


def test_reset_forgets(search):
    first = search.decode(sound("play music"))
    search.decode(sound("turn off kitchen lamp"))
    assert search.decode(sound("play music")) == first


def test_a_phone_shorter_than_its_minimum_is_not_heard(automaton):
    search = CommandSearch(build_network(automaton, LEXICON, PHONES, dict.fromkeys(PHONES, 4)), UNIFORM, SETTINGS)
    short, enough = (search.decode(sound("play music", frames=n, pause=4)).confidence for n in (3, 4))
    assert enough > -0.001
    assert short < -0.1


def test_each_slots_value_costs_its_penalty_and_the_confidence_does_not_count_it(automaton):
    network = build_network(automaton, LEXICON, PHONES)
    said = sound("play music in the living room")
    free, dear = (CommandSearch(network, UNIFORM, SearchSettings(slot_penalty=p)).decode(said) for p in (0.0, -8.0))
    assert dear.words == free.words
    # one value of two words
    assert dear.score == pytest.approx(free.score - 8.0, abs=1e-3)
    assert dear.confidence == pytest.approx(free.confidence, abs=1e-3)


def test_a_value_that_may_be_left_out_must_be_worth_its_penalty(automaton):
    network = build_network(automaton, LEXICON, PHONES)
    said = sound("play music in the living room", right=0.12)
    free, dear = (CommandSearch(network, UNIFORM, SearchSettings(slot_penalty=p)).decode(said) for p in (0.0, -900.0))
    assert free.meaning.slots == {"place": "living room"}
    assert dear.meaning.slots == {}


def test_the_insertion_penalty_takes_single_frames_away():
    posteriors = sound("play")
    posteriors[10] = sound("", pause=1, right=0.5)[0]
    counts = [len(decode_phones(emissions(posteriors, UNIFORM, SETTINGS), p)) for p in (-0.1, -10)]
    assert counts == [7, 5]


def test_the_search_is_fast(automaton):
    search = CommandSearch(build_network(automaton, LEXICON, PHONES), UNIFORM, SETTINGS)
    posteriors = sound("turn on living room lamp")
    started = time.process_time()
    search.decode(posteriors)
    # measured 0.0003 on one core of the build machine; it shares the machine with others
    assert (time.process_time() - started) / (len(posteriors) / 100) < 0.02


WORDS = ("bed", "go", "in", "on", "off", "play", "room", "stop", "the", "turn", "lamp", "music")


def random_expression(rng, depth=0):
    """Words, choices and optional parts, at most three levels deep."""
    parts = []
    for _ in range(rng.integers(1, 4)):
        kind = rng.random()
        if kind < 0.5 or depth == 3:
            parts.append(str(rng.choice(WORDS)))
        elif kind < 0.6:
            parts.append("$thing:what")
        else:
            inner = [random_expression(rng, depth + 1) for _ in range(rng.integers(1, 4))]
            parts.append("[" + ", ".join(inner) + "]" if rng.random() < 0.6 else "(" + ", ".join(inner) + ")")
    return " ".join(parts)


def random_grammar(rng):
    intents = []
    for i in range(rng.integers(1, 4)):
        # something that is not optional, so that no sentence is empty
        lines = ", ".join(f'"{rng.choice(WORDS)} {random_expression(rng)}"' for _ in range(rng.integers(1, 4)))
        intents.append(f"intent{i}: [{lines}]")
    slots = 'slots: {thing: ["kitchen", "living room", "bed room lamp"]}'
    return compile_grammar(parse_rhino(f"context: {{expressions: {{{', '.join(intents)}}}, {slots}}}"))


def random_settings(rng):
    return SearchSettings(
        prior_weight=float(rng.uniform(0, 1)),
        word_penalty=float(rng.uniform(-10, 0)),
        slot_penalty=float(rng.uniform(-20, 0)),
        beam=float(rng.uniform(20, 150)),
        filler=float(rng.choice([0, 3])),
        closed_end_frames=int(rng.integers(1, 20)),
        open_end_frames=int(rng.integers(1, 60)),
        unsure_end_frames=int(rng.integers(20, 200)),
        max_sentence_frames=int(rng.integers(50, 500)),
    )


@pytest.mark.parametrize("seed", range(40))
def test_the_search_in_cpp_equals_the_reference_bit_for_bit(seed):
    rng = np.random.default_rng(seed)
    network = build_network(random_grammar(rng), LEXICON, PHONES)
    settings = random_settings(rng)
    priors = np.log(rng.dirichlet(np.ones(len(PHONES))))
    words = " ".join(rng.choice(WORDS, rng.integers(1, 9)))
    said = sound(words, frames=5, pause=int(rng.integers(0, 10)), right=float(rng.uniform(0.2, 0.9)), rng=rng, tail=200)
    fast, plain = (kind(network, priors, settings) for kind in (CommandSearch, ReferenceSearch))
    # one frame at a time, through every state
    for frame in said:
        assert fast.process(frame[None]) == plain.process(frame[None])
    assert fast.result() == plain.result()
    assert fast.decode(said) == plain.decode(said)
    assert fast.dropped_words == 0


def test_hours_of_noise_change_neither_memory_nor_what_is_heard_then(automaton):
    rng = np.random.default_rng(1)
    search = CommandSearch(build_network(automaton, LEXICON, PHONES), UNIFORM, SETTINGS)
    size = search.n_bytes
    noise = np.log(rng.dirichlet(np.ones(len(PHONES)), 6000)).astype(np.float32)
    noise[:, 0] = np.log(0.3)
    for _ in range(60):
        start = 0
        while start < len(noise):
            taken, state = search.process(noise[start:])
            start += taken
            if state in (SearchState.ENDED, SearchState.TIMED_OUT):
                search.reset()
    assert search.n_bytes == size < 1_000_000
    assert search.dropped_words == 0
    # in the same stream, without a reset
    taken, state = search.process(sound("turn off kitchen lamp", tail=100))
    assert state is SearchState.ENDED
    assert search.result().words[-4:] == ("turn", "off", "kitchen", "lamp")


def test_scores_stay_exact_in_a_stream_of_an_hour(automaton):
    network = build_network(automaton, LEXICON, PHONES)
    # a quiet room: silence is likely, and costs a little in every frame all the same
    room = np.tile(np.log(np.r_[0.2, np.full(39, 0.8 / 39)]).astype(np.float32), (6000, 1))
    early, late = (CommandSearch(network, np.zeros(40), SETTINGS) for _ in range(2))
    for _ in range(60):
        assert late.process(room)[1] is SearchState.WAITING
    said = sound("play some music in the bed room", right=0.5, rng=np.random.default_rng(2))
    early.process(said)
    waited = 360_000 * float(np.log(np.float32(0.2)))
    late.process(said)
    assert late.result().words == early.result().words
    assert late.result().score - waited == pytest.approx(early.result().score, abs=1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_posteriors_that_are_no_probabilities_do_not_stop_the_search(search, value):
    said = sound("turn on kitchen lamp")
    broken = said.copy()
    broken[3:6] = value
    broken[2, 7] = value
    assert search.decode(broken).words == ("turn", "on", "kitchen", "lamp")
    assert search.decode(said).words == ("turn", "on", "kitchen", "lamp")


def test_a_long_sentence_without_a_beam_stays_within_its_memory():
    # hundreds of two-phone words in a row and no beam: every frame ends many of them
    words = " ".join("[on, off, in, go]" for _ in range(300))
    network = build_network(
        compile_grammar(parse_rhino(f'context: {{expressions: {{a: ["{words}"]}}}}')), LEXICON, PHONES
    )
    search = CommandSearch(network, UNIFORM, SearchSettings(prior_weight=1.0, beam=9000.0))
    rng = np.random.default_rng(0)
    search.decode(np.log(rng.dirichlet(np.ones(len(PHONES)), 3000)).astype(np.float32))
    assert search.n_frames == 3000
    assert search.n_bytes < 2_000_000


def core_arguments(**changes):
    arguments = {
        "n_phones": 2,
        "n_nodes": 2,
        "start": 0,
        "silence": 0,
        "phone": [1, 1],
        "first": [0],
        "last": [1],
        "source": [0],
        "target": [1],
        "finals": [1],
        "offsets": [0.0, 0.0],
    }
    return arguments | changes


def core_settings(**changes):
    names = (
        *("floor", "acoustic_scale", "word_penalty", "beam", "filler", "closed_end_frames", "open_end_frames"),
        *("unsure_end_frames", "unsure_margin", "max_sentence_frames"),
    )
    defaults = SearchSettings()
    return _core.CommandSearchSettings(**{name: getattr(defaults, name) for name in names} | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phone": [1, 2]}, "phone must hold columns"),
        ({"phone": [1, -1]}, "phone must hold columns"),
        ({"first": [1]}, "chains must lie one after another"),
        ({"last": [2]}, "chains must fill all states"),
        ({"last": [0]}, "chains must fill all states"),
        ({"source": [2]}, "source, target and finals must hold nodes"),
        ({"target": [-1]}, "source, target and finals must hold nodes"),
        ({"finals": [7]}, "source, target and finals must hold nodes"),
        ({"finals": []}, "source, target and finals must hold nodes"),
        ({"start": 2}, "start must be a node"),
        ({"silence": 2}, "silence must be a phone"),
        ({"offsets": [0.0]}, "offsets must be one for each phone"),
        ({"source": []}, "first, last, source and target must be of one length"),
        ({"first": [], "last": [], "source": [], "target": [], "phone": []}, "at least one word"),
        ({"n_nodes": 0}, "must have phones and nodes"),
        ({"penalty": [-1.0, -1.0]}, "penalty must be one for each chain, or none"),
        ({"penalty": [1.0]}, "penalty must be between -1000 and 0"),
        ({"penalty": [float("nan")]}, "penalty must be between -1000 and 0"),
    ],
)
def test_a_network_that_does_not_hold_together_is_refused(changes, message):
    _core.CommandSearch(**core_arguments(), settings=core_settings())
    with pytest.raises(ValueError, match=message):
        _core.CommandSearch(**core_arguments(**changes), settings=core_settings())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("floor", 0.0),
        ("floor", float("nan")),
        ("acoustic_scale", 0.0),
        ("word_penalty", 1.0),
        ("beam", 0.0),
        ("beam", float("nan")),
        ("filler", -1.0),
        ("unsure_margin", float("inf")),
        ("closed_end_frames", 0),
        ("max_sentence_frames", 0),
    ],
)
def test_a_setting_out_of_its_range_is_refused(name, value):
    with pytest.raises(ValueError, match=name if not name.endswith("frames") else "at least 1 frame"):
        _core.CommandSearch(**core_arguments(), settings=core_settings(**{name: value}))


def test_posteriors_of_another_shape_are_refused(automaton):
    search = CommandSearch(build_network(automaton, LEXICON, PHONES), UNIFORM, SETTINGS)
    with pytest.raises(ValueError, match=r"log_posteriors must have shape \(any, 40\), got \(3, 39\)"):
        search.process(np.zeros((3, 39), np.float32))
    with pytest.raises(TypeError):
        search.process(np.zeros((3, 40)))


def test_silence_ends_nothing_and_waits(search):
    search.reset()
    assert search.process(sound("", pause=300)) == (300, SearchState.WAITING)
