"""The evaluation as a command: metrics that take no time, systems that are tiny scripts."""

import importlib.util
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import evaluate
import numpy as np
import pytest
import soundfile as sf
import soxr
from helpers.evaluation_rows import row, unit
from vctrain.evaluation import languages, noise, scoring, trials

pytestmark = pytest.mark.tools

RATE = 16_000
ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "models" / "default"

_spec = importlib.util.spec_from_file_location("make_results", ROOT / "benchmarks" / "make_results.py")
make_results = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_results)


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
        monkeypatch.setitem(scoring.METRICS, name, (metric, *scoring.METRICS[name][1:]))
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
