"""Systems that convert, scores of their output, noise, tables and spectrograms."""

import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers.evaluation_rows import row, unit
from vctrain import metrics
from vctrain.data.noise import load_noises
from vctrain.data.voices import normalise
from vctrain.evaluation import noise, scoring, spectrograms, tables, trials
from vctrain.evaluation.systems import Bundle, Command, ConversionError, Natural, Run
from vctrain.evaluation.trials import Trial

from edgevc.dsp.features import LogMel

pytestmark = pytest.mark.tools

RATE = 16_000
ROOT = Path(__file__).resolve().parents[2]
SENTENCE = ROOT / "examples" / "sentence.wav"
BUNDLE = ROOT / "models" / "default"


def test_a_training_run_sounds_like_the_bundle_that_was_made_of_it(sentence):
    source = normalise(sentence)
    run = Run(ROOT / "tools" / "weights").convert(source, "kathleen")
    bundle = Bundle(BUNDLE).convert(source, "kathleen")
    assert len(run) == len(bundle) == len(source)
    frames = [LogMel().process(sound) for sound in (run, bundle, source)]
    loud = frames[2].mean(1) > frames[2].mean(1).max() - 4
    to_bundle, to_source = (np.abs(frames[0] - other)[loud].mean() for other in frames[1:])
    # half of it is the noise that both draw, and int8; shifted by one hop it is twice as far
    assert to_bundle < 0.35 * to_source
    shifted = np.abs(frames[0][1:] - frames[1][:-1])[loud[1:]].mean()
    assert to_bundle < 0.7 * shifted


def test_a_command_line_converts(script, sentence):
    command = script(
        "import sys, soundfile as sf\n"
        "x, rate = sf.read(sys.argv[1])\n"
        "assert rate == 16000 and sys.argv[3] == 'a voice; $HOME'\n"
        "sf.write(sys.argv[2], x[:-1000] / 2, rate)\n"
    )
    output = Command(command).convert(sentence, "a voice; $HOME")
    assert output.shape == sentence.shape
    assert np.abs(output[:-1000] - sentence[:-1000] / 2).max() < 1e-4
    assert not output[-1000:].any()


def test_a_failing_command_says_what_it_said(script, sentence):
    command = script("import sys\nsys.exit('no such voice: kate')")
    with pytest.raises(ConversionError, match=r"exit status 1 from .*convert\.py.*no such voice: kate"):
        Command(command).convert(sentence, "kate")


def test_a_command_that_writes_nothing_is_told(script, sentence):
    with pytest.raises(ConversionError, match=r"wrote no \{output\}"):
        Command(script("pass")).convert(sentence, "kate")


def test_a_missing_program_is_told(sentence):
    with pytest.raises(ConversionError, match="no such program: no-such-converter"):
        Command("no-such-converter {input} {output}").convert(sentence, "kate")


def test_a_command_without_placeholders_is_refused():
    with pytest.raises(ValueError, match=r"must contain \{output\}"):
        Command("sox {input}")


def trial(system, tmp_path, **more):
    return Trial(system, "s", "v", "u", SENTENCE, wanted=frozenset({"phones", "f0"}), **more)


def test_a_slow_metric_is_computed_once(tmp_path, monkeypatch, sentence):
    heard = scoring.cached_metric(sentence, "phones", tmp_path)
    assert len(heard) > 10
    monkeypatch.setitem(scoring.METRICS, "phones", (None, *scoring.METRICS["phones"][1:]))
    assert scoring.cached_metric(sentence, "phones", tmp_path) == heard
    with pytest.raises(TypeError):
        scoring.cached_metric(sentence * 0.5, "phones", tmp_path)


def test_a_copy_changes_no_phones_and_no_melody(tmp_path, script):
    copy = script("import shutil, sys\nshutil.copy(*sys.argv[1:3])")
    with ThreadPoolExecutor(1) as pool:
        both = [trial(Natural(), tmp_path), trial(Command(copy), tmp_path)]
        natural, copied = scoring.score_all(both, tmp_path, pool, "test")
    assert copied["cents_error"] < 1
    assert copied["f0_correlation"] > 0.999
    # 16-bit rounding may turn a phone
    assert metrics.edit_errors(natural["phones"], copied["phones"]) <= 2
    assert "f0_correlation" not in natural


def test_a_failure_ends_the_run_unless_it_is_a_result(tmp_path, script):
    broken = Command(script("import sys\nsys.exit(3)"))
    with pytest.raises(ConversionError, match="exit status 3"):
        scoring.score(trial(broken, tmp_path), tmp_path)
    result = scoring.score(trial(broken, tmp_path, may_fail=True), tmp_path)
    table = tables.language_table([trial(broken, tmp_path)], [result], {})
    assert "exit status 3" in table["s"]["failed"][0]
    assert table["s"]["phone_change"] is None


@pytest.mark.parametrize("seconds", [2.5, 12.3])
def test_dnsmos_gives_what_the_package_gives(sentence, seconds):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from speechmos import dnsmos
    samples = np.resize(sentence, int(seconds * RATE))
    theirs = dnsmos.run(samples, RATE)
    for name, value in metrics.dnsmos(samples).items():
        assert value == pytest.approx(float(theirs[f"{name}_mos"]), abs=1e-4)


# Noise and splits


def test_training_and_evaluation_hear_different_noises(esc10):
    assert len(load_noises(esc10)) == 3
    assert len(load_noises(esc10, held_out=True)) == 3
    assert all(Path(name).name.startswith("5-") for name in noise.kitchen_files(esc10))


def test_the_kitchen_is_as_loud_as_it_says_and_always_the_same(esc10, sentence):
    kitchen = noise.Kitchen(esc10, snr_db=10)
    noisy = kitchen.add(sentence, "s/u")
    added = noisy.astype(float) - sentence
    assert 10 * np.log10((sentence.astype(float) ** 2).mean() / (added**2).mean()) == pytest.approx(10, abs=0.01)
    assert np.array_equal(noisy, kitchen.add(sentence, "s/u"))
    assert not np.array_equal(noisy, kitchen.add(sentence, "s/other"))


def test_a_missing_class_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="Rain"):
        noise.kitchen_files(tmp_path)


def test_the_room_has_the_level_that_was_asked_for():
    assert scoring.level_dbfs(noise.room(2, -45)) == pytest.approx(-45, abs=0.1)


def test_loud_bursts_are_found():
    quiet = np.zeros(RATE, np.float32)
    quiet[8000:9600] = 0.1
    assert scoring.loudest_dbfs(quiet) == pytest.approx(-20, abs=0.1)


def test_only_transcribed_speakers_lend_long_utterances():
    rows = [
        row("SF1", "a", 12.0),
        row("SF1", "b", 4.0),
        row("ls19", "c", 12.0, "words"),
        row("ls19", "d", 20.0, "words"),
    ]
    chosen = trials.sources(rows, utterances=6, transcribed=16)
    assert [r["utterance"] for r in chosen["SF1"]] == ["b"]
    assert [r["utterance"] for r in chosen["ls19"]] == ["c"]


def test_enrolment_and_conversion_share_no_utterance():
    rows = [row("SF1", f"u{i}", 4.0) for i in range(20)]
    chosen = trials.sources(rows, utterances=6, transcribed=16)
    known = {r["utterance"] for r in trials.enrolment(rows, chosen)["SF1"]}
    assert len(known) == trials.ENROLMENT_UTTERANCES
    assert not known & {r["utterance"] for r in chosen["SF1"]}


# Tables and picture


@pytest.fixture
def scored():
    """Two unseen speakers, two voices; SF1's conversions keep much of SF1."""
    scores = {"ovrl": 3.0, "sig": 3.5, "bak": 4.0}

    def result(embedding, words=("a", "b")):
        return {"embedding": embedding, "words": list(words), "phones": ["A", "B"], "dnsmos": scores, "f0_range": None}

    results, path = {}, Path()
    for speaker, axis in (("SF1", 0), ("SM1", 1)):
        for i in range(4):
            results[speaker, f"u{i}"] = result(unit(*[1.0 if k == axis else 0.1 * i for k in range(4)]))
    for voice, axis in (("kathleen", 2), ("bdl", 3)):
        results[voice, "t"] = result(unit(*[float(k == axis) for k in range(4)]))
    known = tables.Known(
        results=results,
        texts={("SM1", "u0"): "a c", ("SM1", "u1"): "a c"},
        voices={v: [(v, "t")] for v in ("kathleen", "bdl")},
        enrolment={s: [(s, "u2"), (s, "u3")] for s in ("SF1", "SM1")},
        chosen={s: [(s, "u0"), (s, "u1")] for s in ("SF1", "SM1")},
    )
    jobs = [Trial(Natural(), s, v, u, path) for s in ("SF1", "SM1") for v in known.voices for u in ("u0", "u1")]
    outputs = [
        result(unit(0.5 * (t.speaker == "SF1"), 0.2, t.voice == "kathleen", t.voice == "bdl"), words=("a", "c"))
        for t in jobs
    ]
    return tables.System(jobs, outputs, known)


def test_words_are_errors_with_a_transcript_and_changes_without(scored):
    table = scored.table()
    assert table["SM1 -> bdl"]["wer"] == 0
    assert table["SM1 -> bdl"]["source_wer"] == 0.5
    assert table["SF1 -> bdl"]["wer"] == 0.5
    assert table["SF1 -> bdl"]["source_wer"] == 0
    summary = scored.summary(["kathleen", "bdl"])
    assert summary["wer_minus_source"]["mean"] == -0.5
    assert summary["words_changed"]["mean"] == 0.5


def test_conversions_that_reach_their_targets_have_no_target_eer(scored):
    assert scored.summary(["kathleen", "bdl"])["target_eer"]["mean"] == 0
    assert scored.summary(["kathleen", "bdl"])["source_eer"]["mean"] > 0


def test_a_row_has_the_keys_of_old_and_survives_json(scored):
    table = json.loads(json.dumps(tables.rounded(scored.table(scored))))
    assert set(tables.TABLE_KEYS) | {"n", "interval"} <= table["SF1 -> bdl"].keys()
    assert table["SF1 -> bdl"]["minus_float"]["similarity"] == 0
    assert table["SF1 -> bdl"]["f0_correlation"] is None


def test_the_picture_is_written(tmp_path, sentence):
    path = tmp_path / "scores.png"
    spectrograms.draw(path, [[("source", sentence), ("converted", sentence[:8000])], [("alone", sentence)]])
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 10_000
