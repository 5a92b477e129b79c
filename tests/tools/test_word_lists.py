"""The test lists for words: who is on them, where they are heard, and how words are counted."""

import json

import numpy as np
import pytest
import soundfile as sf
from vctrain.errors import UserError
from vctrain.evaluation import whisper_asr, word_lists
from vctrain.evaluation.systems import Natural
from vctrain.evaluation.trials import Trial

pytestmark = pytest.mark.tools

RATE = 16_000


@pytest.fixture
def speech():
    rng = np.random.default_rng(6)
    return (0.05 * rng.standard_normal(2 * RATE) * np.abs(np.sin(np.arange(2 * RATE) / 900))).astype(np.float32)


def row(speaker, utterance, text="one two three four five six", age=30, split="test"):
    return {"speaker": speaker, "utterance": utterance, "text": text, "age": age, "split": split, "seconds": 3.0}


# Reading


def test_numbers_signs_and_short_forms_do_not_count():
    found = whisper_asr.words("Mr. Smith, OK: it\u2019s St. John!")
    assert found == ["mister", "smith", "okay", "it's", "saint", "john"]


@pytest.mark.parametrize(
    ("reference", "heard", "errors"),
    [("a b c", "a b c", 0), ("a b c", "a c", 1), ("a b", "x y z " * 50, 2), ("", "a", 0)],
)
def test_no_utterance_has_more_errors_than_words(reference, heard, errors):
    assert whisper_asr.word_errors(reference.split(), heard.split()) == errors


def test_a_reader_that_is_not_installed_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(whisper_asr, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"requirements-no-deps\.txt"):
        whisper_asr.model_folder("base", tmp_path)


def test_a_reader_of_another_version_is_refused(tmp_path, monkeypatch):
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.bin").write_bytes(b"something else")
    monkeypatch.setattr(whisper_asr, "find_spec", lambda name: Spec)
    with pytest.raises(UserError, match="sha256"):
        whisper_asr.model_folder("tiny.en", tmp_path / "data")
    assert not (tmp_path / "data" / "whisper" / "tiny.en" / "model.bin").exists()


# Who


def test_accented_speakers_are_adults_with_one_long_sentence_each():
    rows = [row(f"oc{i:04d}", f"u{i}-{k}") for i in range(60) for k in range(3)]
    rows += [row("oc9001", "child", age=9), row("oc9002", "short", text="one two"), row("oc9003", "t", split="train")]
    rows += [row("ls19", "other")]
    chosen = word_lists.accented(rows)
    assert len(chosen) == len({r["speaker"] for r in chosen}) == 40
    assert not {"oc9001", "oc9002", "oc9003", "ls19"} & {r["speaker"] for r in chosen}
    assert chosen == word_lists.accented(rows[::-1])


def test_those_who_talk_behind_are_nobody_on_the_list_and_nobody_who_trains():
    rows = [row(f"oc{i:04d}", f"u{i}-{k}") for i in range(60) for k in range(2)]
    rows += [row("oc9003", "t", split="train"), row("oc9001", "child", age=9)]
    others = {r["speaker"] for r in word_lists.talkers(rows)}
    assert len(others) == 21
    assert not others & {r["speaker"] for r in word_lists.accented(rows)}
    assert "oc9003" not in others


# Where


@pytest.fixture
def kitchen(tmp_path, monkeypatch):
    rng = np.random.default_rng(3)
    sf.write(tmp_path / "kitchen.wav", 0.1 * rng.standard_normal((5 * 8000, 2)), 8000)

    class Clone:
        def __init__(self, path):
            assert path.name == word_lists.KITCHEN_CLONE

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self, name):
            assert name == word_lists.KITCHEN_FILE
            return (tmp_path / "kitchen.wav").read_bytes()

    monkeypatch.setattr(word_lists, "Clone", Clone)
    word_lists.kitchen_noise.cache_clear()
    yield word_lists.RealKitchen(tmp_path, 5.0)
    word_lists.kitchen_noise.cache_clear()


@pytest.fixture
def babble(tmp_path):
    rng = np.random.default_rng(3)
    rows = []
    for i in range(60):
        path = f"oc{i:04d}.flac"
        sf.write(tmp_path / path, rng.uniform(0.01, 0.3) * rng.standard_normal(RATE), RATE)
        rows.append(row(f"oc{i:04d}", f"u{i}") | {"path": path})
    (tmp_path / "utterances.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return word_lists.Babble(tmp_path, 5.0)


@pytest.mark.parametrize("place", ["kitchen", "babble"])
def test_a_scene_is_as_loud_as_it_says_and_always_the_same(request, speech, place):
    scene = request.getfixturevalue(place)
    noisy = scene.add(speech, "s/u")
    added = noisy.astype(float) - speech
    assert 10 * np.log10((speech.astype(float) ** 2).mean() / (added**2).mean()) == pytest.approx(5, abs=0.01)
    assert np.array_equal(noisy, scene.add(speech, "s/u"))
    assert not np.array_equal(noisy, scene.add(speech, "s/other"))


def test_a_room_begins_with_the_sound_itself_and_falls_by_sixty_decibels_in_420_ms():
    room = word_lists.Room()
    response = word_lists.impulse_response(room)
    assert response[:2].sum() == pytest.approx(1, abs=1e-6)
    later = np.cumsum(response[::-1] ** 2)[::-1]
    decibels = 10 * np.log10(later / later[0] + 1e-12)
    # from -5 to -25 dB, three times over
    fall = (np.argmax(decibels < -25) - np.argmax(decibels < -5)) / RATE * 3
    assert fall == pytest.approx(0.42, rel=0.1)
    # 1.5 m away is beyond the distance of .65 m at which room and mouth are equally loud
    assert 2 < (response[2:] ** 2).sum() < 6


def test_a_room_keeps_level_and_place(speech):
    wet = word_lists.Room().add(speech, "any")
    assert len(wet) == len(speech)
    assert (wet.astype(float) ** 2).mean() == pytest.approx((speech.astype(float) ** 2).mean(), rel=1e-4)
    correlation = np.correlate(wet, speech[:8000], "valid")
    assert int(np.argmax(np.abs(correlation))) == 0


# Words


def test_words_are_counted_beyond_the_sources_own(tmp_path):
    def trial(speaker):
        return Trial(Natural(), speaker, "kathleen", "u", tmp_path)

    def read(base, tiny):
        return {"base": base.split(), "tiny.en": tiny.split()}

    clean = {("a", "u"): read("w x y z", "w x y q"), ("b", "u"): read("k l", "k l")}
    noisy = {("a", "u"): read("w x y q", "w x y z"), ("b", "u"): read("k l", "k")}
    converted = [(trial("a"), read("w q y q", "w x y z")), (trial("b"), read("q " * 30, "k l"))]
    figures = word_lists.figures(converted, noisy, clean, {("a", "u"): None, ("b", "u"): "k m"})
    # a: what base reads in its clean source is the reference; b: its transcript, and two errors at most
    assert figures["base"]["wrong"]["mean"] == pytest.approx((2 + 2) / 6)
    assert figures["base"]["source"]["mean"] == pytest.approx((1 + 1) / 6)
    assert figures["base"]["beyond"]["mean"] == pytest.approx(2 / 6)
    assert figures["tiny.en"]["wrong"]["mean"] == pytest.approx(1 / 6)
    assert figures["tiny.en"]["source"]["mean"] == pytest.approx(1 / 6)
    assert figures["base"]["wrong"]["low"] < figures["base"]["wrong"]["high"]
