"""Consent that is spoken: the words of the moment, in the voice of the recordings, or nothing. Some 15 s."""

import dataclasses
import hashlib
import json
import re
import subprocess

import numpy as np
import pytest
import soundfile as sf

from edgevc.bundle import ModelBundle
from edgevc.cli import main
from edgevc.converter import VoiceConverter
from edgevc.dsp.resample import resample
from edgevc.errors import ConfigError, GateError
from edgevc.voice_maker import consent
from edgevc.voice_maker.hearing import read_words
from edgevc.voice_maker.material import normalised

RATE = 16_000


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.fixture(scope="module")
def converter():
    return VoiceConverter(ModelBundle.find("default"), "onnx", 4)


def spoken(path, text, voice="en-us"):
    """What espeak-ng says, at 16 kHz."""
    subprocess.run(["espeak-ng", "-v", voice, "-s", "140", "-w", path, text], check=True)
    samples, rate = sf.read(path, dtype="float32")
    return resample(samples, rate, RATE)


def test_each_sentence_has_other_words_and_names_the_voice():
    first, second = consent.ask("anna"), consent.ask("anna")
    assert first.words != second.words
    assert len(set(first.words)) == consent.N_WORDS
    assert set(first.words) <= set(read_words())
    assert "a synthetic voice, anna, is made from my recordings" in first.sentence
    assert all(word in first.sentence.lower() for word in first.words)
    # the last one that was shown holds
    assert consent.asked("anna") == second


def test_words_hold_for_half_an_hour_and_for_one_voice(home):
    shown = consent.ask("anna")
    assert consent.asked("anna", shown.made_at + 1799) == shown
    for later in (1801, -10):
        with pytest.raises(ConfigError, match=r"minutes ago, it holds for 30; .* `edgevc voice consent anna`"):
            consent.asked("anna", shown.made_at + later)
    with pytest.raises(ConfigError, match="no sentence was shown for the voice bert"):
        consent.asked("bert")
    consent.forget("anna")
    with pytest.raises(ConfigError, match="no sentence was shown"):
        consent.asked("anna")
    path = home / "state" / "edgevc" / "consent" / "anna.json"
    for damaged in ("", "{}", json.dumps({"words": ["one"], "made_at": 1}), json.dumps({"words": 7, "made_at": "x"})):
        path.write_text(damaged)
        with pytest.raises(ConfigError, match="no sentence was shown"):
            consent.asked("anna")


def test_the_words_of_the_moment_are_heard_better_than_others(home, converter):
    """A synthesiser is no person, and is heard worse; even so the right words are the best of twenty sets."""
    rng = np.random.default_rng(4)
    words = list(read_words())
    for _ in range(2):
        shown = consent.ask("anna")
        samples = normalised(spoken(home / "said.wav", shown.sentence))
        right = consent.heard_score(shown.words, samples, converter)
        others = [
            consent.heard_score([words[i] for i in rng.choice(len(words), 4, replace=False)], samples, converter)
            for _ in range(20)
        ]
        assert all(right > other for other in others)


def test_a_reading_is_recorded_as_its_hash_and_another_speaker_is_refused(home, converter, monkeypatch, sentence):
    shown = consent.ask("anna")
    path = home / "reading.wav"
    samples = spoken(path, shown.sentence)
    same = [spoken(home / "a.wav", "The quick brown fox jumps over the lazy dog, and runs away into the forest.")]
    other = [converter.convert(sentence, "slt")]
    monkeypatch.setattr(consent, "LEAST_HEARD", -9.0)
    record = consent.check(shown, path, same, converter, None)
    assert (record.basis, record.statement) == ("spoken", shown.sentence)
    assert record.recording_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(GateError, match="another speaker's than the recordings"):
        consent.check(shown, path, other, converter, None)
    monkeypatch.setattr(consent, "LEAST_HEARD", 0.1)
    with pytest.raises(GateError, match=re.escape(", ".join(shown.words)) + " are not heard"):
        consent.check(shown, path, same, converter, None)
    sf.write(path, samples[:RATE], RATE)
    with pytest.raises(ConfigError, match=r"a reading has 2 to 40 s, got 1\.0"):
        consent.check(shown, path, same, converter, None)


def test_the_command_wants_one_of_both_and_what_it_names(home, capsys):
    recording = home / "a.wav"
    sf.write(recording, np.zeros(RATE, np.float32), RATE)
    words = ["voice", "make", "anna", str(recording), "-o", str(home / "anna.voice")]
    for more, said in (
        ([], "must have agreed: either --consent FILE"),
        (["--consent", "none.wav"], "there is no recording none.wav"),
        (["--i-have-written-consent", ""], "must say where"),
        (["--consent", str(recording), "--i-have-written-consent", "x"], "must have agreed"),
    ):
        assert main([*words, *more]) == 2
        assert said in capsys.readouterr().err
    assert main(["voice", "consent", "anna"]) == 0
    assert consent.asked("anna").sentence in capsys.readouterr().out


def test_a_challenge_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        consent.ask("anna").name = "bert"
