"""The watermark from end to end: every voice of every model carries it, whatever is done to the stream."""

import copy
import dataclasses
import logging
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import edgevc
from edgevc import VoiceConverter, VoiceSettings, _core
from edgevc.bundle import ModelBundle, shipped_models
from edgevc.dsp.resample import resample
from edgevc.mark.correlator import match, rows
from edgevc.mark.detector import THRESHOLD_SHORT
from edgevc.mark.pattern import PUBLIC_KEY, pattern

RATE = 16_000
ROOT = Path(__file__).resolve().parents[2]
FOUND = slice(RATE // 2, 3 * RATE)
"""2.5 s of the sentence."""
VOICES = [(model, voice.name) for model in shipped_models() for voice in ModelBundle.find(model).voices]


@cache
def sentence():
    samples, rate = edgevc.read(ROOT / "examples" / "sentence.wav")
    assert rate == RATE
    return np.concatenate([samples, samples])[: 4 * RATE]


@cache
def converter(model="default", hops=4):
    return VoiceConverter(model, chunk_hops=hops)


def score(samples):
    assert len(samples) == 2.5 * RATE
    return match(rows(samples)).score


@cache
def said(model="default", voice="slt", **settings):
    return converter(model).convert(sentence(), voice, VoiceSettings(**settings))


def test_core_and_detector_hold_the_same_pattern():
    assert np.array_equal(_core.watermark_pattern(), pattern(PUBLIC_KEY))
    assert _core.SourceFilter.watermark_db == (0.3, 0.6)


@pytest.mark.parametrize(("model", "voice"), VOICES)
def test_each_voice_of_each_model_carries_the_mark_unless_told_otherwise(model, voice):
    assert score(said(model, voice)[FOUND]) > THRESHOLD_SHORT
    assert score(said(model, voice, mark=False)[FOUND]) < THRESHOLD_SHORT


def test_the_sentence_itself_carries_none():
    assert score(sentence()[FOUND]) < THRESHOLD_SHORT


@pytest.mark.parametrize("semitones", [-4.0, 4.0])
def test_moved_formants_keep_the_mark(semitones):
    assert score(said(formant_semitones=semitones)[FOUND]) > THRESHOLD_SHORT


@pytest.mark.parametrize("semitones", [-5.0, 5.0])
def test_another_pitch_keeps_the_mark(semitones):
    assert score(said(semitones=semitones)[FOUND]) > THRESHOLD_SHORT


@pytest.mark.parametrize("hops", [1, 2])
def test_hops_per_call_do_not_change_the_mark(hops):
    # the last 0.1 s have heard what follows in the one and silence in the other
    n = 2 * RATE - RATE // 10
    assert np.array_equal(converter(hops=hops).convert(sentence()[: 2 * RATE], "slt")[:n], said()[:n])


def test_cuts_do_not_change_the_mark(rng):
    stream, pieces, place = converter().stream("slt"), [], 0
    while place < len(sentence()):
        length = int(rng.integers(0, 5_000))
        pieces.append(stream.process(sentence()[place : place + length]))
        place += length
    assert np.array_equal(np.concatenate([*pieces, stream.flush()])[stream.latency :], said())


def test_a_fork_and_another_voice_go_on_with_the_mark():
    stream = converter().stream("slt")
    first = stream.process(sentence()[:RATE])
    twin, other = copy.copy(stream), stream.fork(voice="bdl")
    rest = stream.process(sentence()[RATE:])
    assert np.array_equal(twin.process(sentence()[RATE:]), rest)
    # half of the seconds in each voice: the pattern does not begin anew with the second one
    changed = np.concatenate([first, other.process(sentence()[RATE:])])
    assert score(changed[FOUND]) > THRESHOLD_SHORT


def test_a_reset_begins_the_mark_anew():
    stream = converter().stream("slt")
    first = stream.process(sentence())
    stream.reset()
    assert np.array_equal(stream.process(sentence()), first)


@pytest.mark.parametrize("gate", [True, False])
def test_the_gate_does_not_break_the_mark(gate):
    quiet = np.concatenate([sentence()[:RATE], np.zeros(RATE // 2, np.float32), sentence()[RATE:]])
    output = converter().convert(quiet, "slt", VoiceSettings(gate=gate))
    assert score(output[FOUND]) > THRESHOLD_SHORT


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_resampling_keeps_the_mark(rate):
    there_and_back = resample(resample(said(), RATE, rate), rate, RATE)
    assert score(there_and_back[FOUND]) > THRESHOLD_SHORT


def test_the_mark_changes_little():
    difference = said() - said(mark=False)
    assert 10 * np.log10(np.mean(difference**2) / np.mean(said() ** 2)) < -22


def test_turning_it_off_is_logged_once_and_only_then(caplog):
    with caplog.at_level(logging.WARNING, logger="edgevc"):
        stream = converter().stream("slt")
        stream.settings = dataclasses.replace(stream.settings, semitones=1)
        assert not caplog.records
        stream.settings = dataclasses.replace(stream.settings, mark=False)
        stream.fork()
        stream.settings = dataclasses.replace(stream.settings, semitones=2)
    assert [record.message for record in caplog.records] == [
        "mark = false: the output does not carry the watermark that says that it was made"
    ]
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="edgevc"):
        converter().stream("slt", VoiceSettings(mark=False))
    assert len(caplog.records) == 1
