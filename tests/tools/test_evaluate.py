"""The evaluation: what it computes has known answers here; what it runs are tiny scripts."""

import importlib.util
import json
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import evaluate
import numpy as np
import pytest
import soundfile as sf
import soxr
from scipy.signal import lfilter
from vctrain import baselines, metrics
from vctrain.data.noise import load_noises
from vctrain.data.voices import normalise
from vctrain.evaluation import languages, noise, scoring, spectrograms, statistics, tables, trials
from vctrain.evaluation.statistics import Score, difference, equal_error_rate, summarise
from vctrain.evaluation.systems import Bundle, Command, ConversionError, Natural, Run
from vctrain.evaluation.trials import Trial

from edgevc.dsp.features import LogMel

pytestmark = pytest.mark.tools

RATE = 16_000
ROOT = Path(__file__).resolve().parents[2]
SENTENCE = ROOT / "examples" / "sentence.wav"
BUNDLE = ROOT / "models" / "default"

_spec = importlib.util.spec_from_file_location("make_results", ROOT / "benchmarks" / "make_results.py")
make_results = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_results)


@pytest.fixture(scope="module")
def sentence():
    return sf.read(SENTENCE, dtype="float32")[0]


def vowel(f0_hz, seconds=1.0, formants=(700.0, 1200.0, 2600.0, 3600.0)):
    """Pulses and a little noise through resonances 80 Hz wide."""
    time = np.arange(int(seconds * RATE)) / RATE
    turns = np.cumsum(f0_hz * 2 ** (0.2 * np.sin(2 * np.pi * 1.5 * time))) / RATE
    output = np.diff(np.floor(turns), prepend=0) + 0.01 * np.random.default_rng(1).standard_normal(len(time))
    radius = np.exp(-np.pi * 80 / RATE)
    for hertz in formants:
        output = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * hertz / RATE), radius**2], output)
    return (0.5 * output / np.abs(output).max()).astype(np.float32)


def resonance(samples, low, high):
    """Hertz of the strongest peak of a smooth spectrum (linear prediction) between two limits."""
    frame = samples[4000:12000].astype(float) * np.hanning(8000)
    r = np.correlate(frame, frame, "full")[7999:8018]
    predictor = np.linalg.solve([[r[abs(i - j)] for j in range(18)] for i in range(18)], r[1:])
    response = 1 / np.abs(np.fft.rfft(np.concatenate([[1], -predictor]), 16_000))
    return low + int(np.argmax(response[low:high]))


def scores_of(values, voice="a"):
    return [Score("s", voice, f"u{i}", {"x": (float(v), 1.0)}) for i, v in enumerate(values)]


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


# Baselines


def test_mcadams_moves_the_formants_and_keeps_length_and_pitch():
    source = vowel(120.0)
    bent = baselines.mcadams(source)
    assert bent.shape == source.shape
    assert bent.dtype == np.float32
    for hertz in (700, 1200, 3600):
        moved = RATE / (2 * np.pi) * (2 * np.pi * hertz / RATE) ** baselines.MCADAMS_COEFFICIENT
        # measured: within 8 Hz
        assert resonance(source, hertz - 250, hertz + 250) == pytest.approx(hertz, abs=20)
        assert resonance(bent, int(moved) - 250, int(moved) + 250) == pytest.approx(moved, abs=25)
    # measured 3.6 cents
    melody = metrics.compare_melodies(metrics.f0(source), metrics.f0(bent))
    assert melody.cents_error < 10
    assert melody.correlation > 0.99


def test_mcadams_with_coefficient_one_gives_the_sound_back(sentence):
    same = baselines.mcadams(sentence, coefficient=1.0)
    assert np.abs(same - sentence).max() < 1e-4


def test_mcadams_of_silence_is_silence():
    assert not baselines.mcadams(np.zeros(1000, np.float32)).any()


def test_pitch_and_formants_moves_the_median_pitch_as_far_as_it_is_told():
    source = vowel(120.0)
    moved = baselines.pitch_and_formants(source, 7.0)
    assert moved.shape == source.shape
    before, after = metrics.f0_range(metrics.f0(source)), metrics.f0_range(metrics.f0(moved))
    assert after[1] - before[1] == pytest.approx(7.0, abs=0.3)


# Figures


def test_the_error_in_cents_of_a_pure_transposition_is_zero():
    contour = 120 * 2 ** (0.3 * np.sin(np.arange(200) / 9))
    contour[50:80] = 0
    melody = metrics.compare_melodies(contour, contour * 1.5)
    assert melody.cents_error == pytest.approx(0, abs=1e-9)
    assert melody.correlation == pytest.approx(1)
    assert melody.n_frames == 170


def test_half_the_frames_100_cents_too_high_are_50_cents_off():
    contour = 120 * 2 ** (0.3 * np.sin(np.arange(200) / 9))
    wrong = contour * np.where(np.arange(200) < 100, 2 ** (100 / 1200), 1)
    assert metrics.compare_melodies(contour, wrong).cents_error == pytest.approx(50)


def test_too_few_voiced_frames_give_no_figure():
    melody = metrics.compare_melodies(np.zeros(100), np.full(100, 120.0))
    assert np.isnan(melody.cents_error)
    assert metrics.f0_range(np.zeros(100)) is None


def test_edit_errors_count_substitutions_insertions_and_deletions():
    assert metrics.edit_errors(["a", "b", "c", "d"], ["a", "x", "c", "d"]) == 1
    assert metrics.edit_errors(["a", "b", "c"], ["a", "b", "c", "d"]) == 1
    assert metrics.edit_errors(["a", "b", "c"], []) == 3


@pytest.mark.parametrize(
    ("genuine", "impostor", "expected"),
    [
        ([0.9, 0.8, 0.7], [0.1, 0.2, 0.3], 0.0),
        ([0.1, 0.2, 0.3], [0.9, 0.8, 0.7], 1.0),
        ([0.5, 0.5], [0.5, 0.5, 0.5], 0.5),
        ([0.9, 0.8, 0.7, 0.2], [0.1, 0.1, 0.3, 0.75], 0.25),
    ],
)
def test_equal_error_rates_of_known_scores(genuine, impostor, expected):
    assert equal_error_rate(np.array(genuine), np.array(impostor)) == pytest.approx(expected)


def test_a_weight_of_two_is_the_trial_twice():
    genuine, impostor = np.array([0.9, 0.4, 0.7]), np.array([0.1, 0.6, 0.3])
    weighted = equal_error_rate(genuine, impostor, np.array([1.0, 2.0, 0.0]), np.ones(3))
    assert weighted == pytest.approx(equal_error_rate(np.array([0.9, 0.4, 0.4]), impostor))


def test_the_bootstrap_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        figure = summarise(scores_of(rng.normal(5, 1, 30)), draws=200)["x"]
        covered += figure["low"] <= 5 <= figure["high"]
    # measured 186; binomial: 190 +- 3, and the percentile bootstrap of 30 is a little narrow
    assert 178 <= covered <= 199


def test_the_same_seed_gives_the_same_interval():
    scores = scores_of(np.random.default_rng(1).normal(size=12))
    assert summarise(scores) == summarise(scores)
    assert summarise(scores) != summarise(scores, seed=2)


def test_words_count_alike_and_pairs_count_alike():
    scores = [
        Score("s", "a", "u1", {"wer": (1, 10)}),
        Score("s", "a", "u2", {"wer": (3, 6)}),
        Score("s", "b", "u1", {"wer": (10, 10)}),
    ]
    assert summarise(scores)["wer"]["mean"] == pytest.approx((4 / 16 + 1) / 2)


def test_one_utterance_has_no_interval():
    assert summarise(scores_of([2.0]))["x"] == {"mean": 2.0, "low": None, "high": None}


def test_paired_differences_are_taken_utterance_by_utterance():
    first, second = scores_of([1, 2, 3]), scores_of([0.5, 1.5, 2.5])[:2]
    figure = summarise(difference(first, second))["x"]
    assert figure == {"mean": 0.5, "low": 0.5, "high": 0.5}


def test_the_eer_figure_has_an_interval_around_its_mean():
    rng = np.random.default_rng(5)
    verifications = [
        statistics.Verification(s, float(rng.normal(1)), (float(rng.normal(0)), float(rng.normal(0))))
        for s in scores_of(range(60))
    ]
    figure = statistics.eer_figure(verifications)
    assert figure["low"] < figure["mean"] < figure["high"]
    assert figure["mean"] == pytest.approx(0.31, abs=0.1)
    assert statistics.eer_figure([]) is None


# Systems and scores


@pytest.fixture
def script(tmp_path):
    def write(text):
        path = tmp_path / "convert.py"
        path.write_text(text)
        return f"{sys.executable} {path} {{input}} {{output}} {{voice}}"

    return write


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
    monkeypatch.setitem(scoring._METRICS, "phones", (None, *scoring._METRICS["phones"][1:]))
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


@pytest.fixture
def esc10(tmp_path):
    rng = np.random.default_rng(2)
    for kind in ("002 - Rain", "005 - Clock tick", "010 - Fire crackling"):
        (tmp_path / kind).mkdir()
        for fold in (1, 5):
            sf.write(tmp_path / kind / f"{fold}-1-A.ogg", 0.1 * rng.standard_normal(RATE), RATE)
    return tmp_path


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


def row(speaker, utterance, seconds, text=None):
    return {"speaker": speaker, "utterance": utterance, "seconds": seconds, "text": text, "split": "test"}


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


def unit(*values):
    vector = np.array(values, float)
    return (vector / np.linalg.norm(vector)).tolist()


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


# The command


@pytest.fixture
def data(tmp_path, sentence):
    """Two utterances of three unseen speakers and four of each voice, all cut from one sentence at another pitch."""
    rows = []
    for index, (speaker, count) in enumerate({"ls19": 2, "SF1": 3, "kathleen": 2, "slt": 2, "bdl": 2}.items()):
        for i in range(count):
            samples = soxr.resample(sentence[: 3 * RATE + 1000 * i], RATE, RATE * (0.9 + 0.05 * index))
            sf.write(tmp_path / f"{speaker}-{i}.wav", samples, RATE)
            text = "the words" if speaker == "ls19" else None
            rows.append(row(speaker, f"u{i}", len(samples) / RATE, text) | {"path": f"{speaker}-{i}.wav"})
    (tmp_path / "utterances.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return tmp_path


@pytest.fixture
def quick_metrics(monkeypatch):
    """Judges that take no time and hear the level; the real ones have their own tests."""

    def level(samples):
        return float(np.sqrt((samples**2).mean()))

    said = {
        "words": lambda x: ["the", "words"] if level(x) > 0.02 else ["a"],
        "base": lambda x: ["the", "words"] if level(x) > 0.02 else ["a"],
        "tiny.en": lambda x: ["the", "word"] if level(x) > 0.02 else ["a"],
        "phones": lambda x: ["DH", "AH"] if level(x) > 0.02 else ["AH"],
        "embedding": lambda x: unit(*np.histogram(x, 8, (-0.2, 0.2))[0] + 1.0),
        "dnsmos": lambda x: {"ovrl": 3.0, "sig": 3.5, "bak": 4.0 + level(x)},
    }
    for name, metric in said.items():
        monkeypatch.setitem(scoring._METRICS, name, (metric, *scoring._METRICS[name][1:]))
    monkeypatch.setattr(evaluate, "ProcessPoolExecutor", ThreadPoolExecutor)
    monkeypatch.setattr(evaluate.whisper_asr, "unpack", lambda data: None)
    monkeypatch.setattr(evaluate.parts, "ROOM_SECONDS", 2.0)
    monkeypatch.setattr(languages, "TIMBRES", ("+m1",))
    monkeypatch.setattr(languages, "SENTENCES", {k: v[1:] for k, v in languages.SENTENCES.items()})


def run_evaluate(monkeypatch, data, *arguments):
    out = data / "scores.json"
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "--data", str(data), "--out", str(out), "--jobs", "1", *arguments])
    status = evaluate.main()
    return status, json.loads(out.read_text()) if out.exists() else None


def test_one_command_evaluates_everything(monkeypatch, data, esc10, quick_metrics):
    options = ["--float", str(BUNDLE), "--noises", str(esc10), "--baselines", "--voices", "kathleen", "bdl"]
    options += ["--utterances", "2", "--word-utterances", "1"]
    status, report = run_evaluate(monkeypatch, data, "--command", "cp {input} {output}", *options)
    assert status == 0
    assert report["bundle"] == "cp"
    assert {"ls19 -> kathleen", "SF1 -> bdl", "bdl -> kathleen"} <= report["table"].keys()
    assert report["table"]["ls19 -> bdl"]["wer"] == 0
    assert "similarity" in report["table"]["SF1 -> bdl"]["minus_float"]
    wanted = {
        "similarity",
        "wer_minus_source",
        "ovrl",
        "f0_correlation",
        "cents_error",
        "noise_wer_increase",
        "source_eer",
        "target_eer",
    }
    assert wanted <= report["summary"].keys()
    assert report["summary"]["f0_correlation"]["mean"] > 0.999
    assert set(report["baselines"]) == {
        "unprocessed source",
        "pitch and formants",
        "McAdams",
        "WORLD copy of the target",
        "natural target",
    }
    assert report["baselines"]["pitch and formants"]["summary"]["f0_low"]["mean"] == pytest.approx(0, abs=2)
    assert report["baselines"]["natural target"]["summary"]["similarity"]["mean"] > 0.9
    assert report["conditions"]["kitchen, 10 dB"]["noises"] == noise.kitchen_files(esc10)
    assert set(report["languages"]) == {"de", "fr", "es", "cmn", "hi"}
    for entry in report["languages"].values():
        assert not entry["failed"]
        assert entry["phone_change"]["mean"] == 0
        assert entry["copy_phone_change"] is not None
    # a copy of the room is as loud as the room
    for room in report["room_noise"]["rooms"]:
        assert room["output_dbfs"]["bdl"] == pytest.approx(room["input_dbfs"], abs=0.1)
    assert report["room_noise"]["silent"] is False
    assert report["trials"]["sources"]["SF1"] == [r["utterance"] for r in trials.choose(rows_of(data), "SF1", 2)]
    assert (data / "scores.png").read_bytes().startswith(b"\x89PNG")
    assert make_results.judged_parts(report)


@pytest.fixture
def clones(tmp_path, data, sentence, monkeypatch):
    """A clone with a kitchen, and 50 speakers of speechocean762's test half."""
    rows = []
    for i in range(50):
        path = f"oc{i:04d}.flac"
        sf.write(data / path, sentence[1000 * i : 1000 * i + RATE], RATE)
        rows.append(row(f"oc{i:04d}", f"u{i}", 3.0, "the words the words the words") | {"path": path, "age": 30})
    with (data / "utterances.jsonl").open("a") as file:
        file.write("".join(json.dumps(r) + "\n" for r in rows))
    repository = tmp_path / "clones" / evaluate.word_lists.KITCHEN_CLONE
    (repository / "data" / "noise").mkdir(parents=True)
    sf.write(repository / evaluate.word_lists.KITCHEN_FILE, 0.1 * np.random.default_rng(1).standard_normal(RATE), RATE)
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "c"]):
        subprocess.run(["git", "-C", str(repository), *command], check=True)
    return tmp_path / "clones"


def test_the_word_lists_are_scored_by_whisper_beside_everything(monkeypatch, data, quick_metrics, clones):
    options = ["--clones", str(clones), "--copies", "--voices", "bdl", "--list-voices", "bdl", "--pair-utterances", "1"]
    options += ["--skip", "pocketsphinx", "phones", "languages", "room", "picture"]
    status, report = run_evaluate(monkeypatch, data, "--command", "cp {input} {output}", *options)
    assert status == 0
    found = report["lists"]["lists"]
    scenes = {"kitchen, 15 dB", "kitchen, 10 dB", "kitchen, 5 dB", "babble, 10 dB", "room, 1.5 m"}
    assert set(found) == {"clean", "accent", *scenes}
    assert report["lists"]["voices"] == ["bdl"]
    assert found["accent"]["n"] == len(set(found["accent"]["utterances"])) == 40
    for entry in found.values():
        assert entry["figures"]["base"]["beyond"]["mean"] == 0
        assert set(entry["copy"]) == {"base", "tiny.en"}
    # base says "the words" three times in a transcript of six: it hears two
    assert found["accent"]["figures"]["base"]["wrong"]["mean"] == pytest.approx(4 / 6)
    assert found["accent"]["figures"]["tiny.en"]["wrong"]["mean"] == pytest.approx(5 / 6)
    # SF1 has no transcript: base's own reading counts
    assert report["table"]["SF1 -> bdl"]["wrong_base"] == 0
    assert report["table"]["SF1 -> bdl"]["wrong_tiny.en"] == 0.5
    assert report["table"]["SF1 -> bdl"]["wer"] is None
    assert report["table"]["ls19 -> bdl"]["words"] > 0


def test_a_figure_that_was_skipped_has_no_column(capsys):
    row = {"similarity": 0.8, "wer": 0.25, "source_wer": None, "n": 3}
    evaluate.show({"bundle": "x", "table": {"a -> b": row}, "summary": {}, "summary_voices": ["b"]})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["similarity", "WER", "source", "WER", "utterances"]
    assert printed[1].split() == ["a", "->", "b", "0.800", "0.250", "nan", "3"]


def rows_of(data):
    return [json.loads(line) for line in (data / "utterances.jsonl").read_text().splitlines()]


def test_words_only_writes_its_short_table(monkeypatch, data, quick_metrics, capsys):
    status, report = run_evaluate(
        monkeypatch, data, "--bundle", str(BUNDLE), "--voices", "bdl", "--utterances", "1", "--words-only"
    )
    assert status == 0
    assert report["bundle"] == "default"
    assert report["table"]["SF1 -> bdl"] == {"wer": 0, "source_wer": 0, "n": 1, "words": 2}
    assert "summary" not in report
    assert "ls19 -> bdl            0.000  0.000       2" in capsys.readouterr().out


def test_words_only_are_counted_in_a_kitchen_too(monkeypatch, data, quick_metrics, esc10):
    options = ("--bundle", str(BUNDLE), "--voices", "bdl", "--utterances", "1", "--words-only", "--noises", str(esc10))
    status, report = run_evaluate(monkeypatch, data, *options)
    assert status == 0
    assert report["table"]["SF1 -> bdl, kitchen"] == {"wer": 0, "source_wer": 0, "n": 1, "words": 2}
    # trained speakers are heard in quiet only
    assert "slt -> bdl" in report["table"]
    assert "slt -> bdl, kitchen" not in report["table"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--bundle", "models/default", "--voices", "kate"), "expected some of kathleen, slt, bdl, anon, got kate"),
        (("--run", "tools/weights", "--voices", "kate"), "expected some of kathleen, slt, bdl, anon, got kate"),
        (("--run", "tools/no"), "encoder.pt; run tools/train_encoder.py first"),
    ],
)
def test_what_cannot_be_evaluated_is_said_before_anything_is_scored(monkeypatch, data, capsys, options, said):
    monkeypatch.setattr(evaluate, "natural_speech", None)
    monkeypatch.chdir(ROOT)
    status, report = run_evaluate(monkeypatch, data, *options)
    assert (status, report) == (1, None)
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_voice_without_recordings_to_compare_with_is_said(monkeypatch, data, capsys):
    rows = [row for row in rows_of(data) if row["speaker"] != "slt"]
    (data / "utterances.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, _ = run_evaluate(monkeypatch, data, "--bundle", str(BUNDLE))
    assert status == 1
    assert "holds out no recording of slt to compare with" in capsys.readouterr().err


def test_a_command_that_cannot_work_ends_in_one_line(monkeypatch, data, capsys):
    status, report = run_evaluate(monkeypatch, data, "--command", "sox {input}")
    assert (status, report) == (1, None)
    assert capsys.readouterr().err.strip() == "evaluate.py: a command must contain {output}, got 'sox {input}'"


def test_a_command_that_fails_ends_the_evaluation(monkeypatch, data, quick_metrics, script, capsys):
    status, report = run_evaluate(monkeypatch, data, "--command", script("import sys\nsys.exit('cannot')"))
    assert (status, report) == (1, None)
    assert "exit status 1 from" in capsys.readouterr().err
