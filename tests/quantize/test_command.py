"""`edgevc quantize` from the command line, over both engines, and what it leaves behind when it refuses."""

import json
import signal
import subprocess
import sys
import time

import onnx
import pytest
from helpers import streaming_nets as nets
from helpers.tiny_bundle import write_tiny_bundle

from edgevc.bundle import ModelBundle
from edgevc.cli import main
from edgevc.dsp.features import LogMel
from edgevc.engines import choose_engine
from edgevc.errors import EngineError, GateError, OutputError
from edgevc.quantize import pipeline
from edgevc.quantize.write import staged

GATE = "tensor>=20,mel<=1,drift<=1.5"
"""A net of random numbers rounds as it likes; that the default gate holds is shown on the real model."""


def run(*words):
    return main(["quantize", *map(str, words)])


@pytest.fixture(scope="module")
def float_bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("float") / "tiny-float"
    write_tiny_bundle(folder, "tiny-float", filterbank_sha256=LogMel().filterbank_sha256, latency_samples=480)
    return folder


@pytest.fixture(scope="module")
def quantized(float_bundle, tmp_path_factory):
    """One whole run of the command over both engines: output, report and standard output."""
    folder = tmp_path_factory.mktemp("out")
    target, report = folder / "int8", folder / "report.json"
    code = run(
        float_bundle, "-o", target, "--gate", GATE, "--drift-minutes", "2", "--report", report, "--board", "pi-4"
    )
    assert code == 0
    return target, json.loads(report.read_text())


def test_the_output_is_a_bundle_that_both_engines_trust(quantized):
    bundle = ModelBundle.open(quantized[0])
    for engine in ("onnx", "litert"):
        assert choose_engine(bundle, engine) == engine


def test_int8_files_are_smaller(quantized, float_bundle):
    small, large = ModelBundle.open(quantized[0]), ModelBundle.open(float_bundle)
    for path in ("decoder.onnx", "decoder.tflite", "encoder.onnx"):
        assert len(small.read(path)) < 0.5 * len(large.read(path))


def test_the_manifest_says_where_the_graphs_come_from(quantized, float_bundle):
    bundle = ModelBundle.open(quantized[0])
    figures = bundle.graphs["decoder"].quantization["litert"]
    assert figures["source_sha256"] == ModelBundle.open(float_bundle).sha256
    assert len(figures["calibration"]["sha256"]) == 64
    assert figures["scheme"] in ("dynamic", "static", "weight-only")
    assert figures["filters_snr_db"] > 20
    assert figures["gate"]["tensor"]["at_least"] == 20
    assert set(figures["times_faster"]) == {"hops1", "hops2", "hops4"}
    assert "onnxruntime" in figures["versions"]
    assert "kept_float" in figures


def test_the_report_holds_layers_candidates_and_clock_of_both_engines(quantized):
    report = quantized[1]
    assert report["passed"]
    assert {layer["engine"] for layer in report["layers"]} == {"onnx", "litert"}
    assert {row["hops"] for row in report["clock"]} == {1, 2, 4}
    assert sum(candidate["chosen"] for candidate in report["candidates"]) == 2
    assert len(report["drift"]["onnx"]) == 2
    assert any("float outputs of onnx and litert differ by" in note for note in report["notes"])
    assert "stimate" in json.dumps(report["cpu"])


def test_an_already_quantized_bundle_is_refused(quantized, tmp_path, capsys):
    assert run(quantized[0], "-o", tmp_path / "out") == 3
    assert "already quantized" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_below_the_gate_nothing_is_written(float_bundle, tmp_path, capsys):
    code = run(
        float_bundle,
        "-o",
        tmp_path / "out",
        "--engine",
        "onnx",
        "--scheme",
        "dynamic",
        "--gate",
        "tensor>=150",
        "--drift-minutes",
        "0",
        "--json",
    )
    assert code == 7
    said = capsys.readouterr()
    assert json.loads(said.out)["passed"] is False
    assert "nothing was written" in said.err
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_is_refused_before_any_work(float_bundle, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    assert run(float_bundle, "-o", tmp_path / "out") == 8
    assert "--force" in capsys.readouterr().err


def test_an_output_is_never_the_model_or_the_report_under_whatever_name(float_bundle, tmp_path, capsys):
    (tmp_path / "link").symlink_to(float_bundle)
    for words, message in (
        (["-o", tmp_path / "link"], "the output must not be the model"),
        (["-o", tmp_path / "o.html", "--report", tmp_path / "o.html"], "the report must not be the output"),
    ):
        assert run(float_bundle, *words, "--force") == 2
        assert message in capsys.readouterr().err
    assert ModelBundle.open(float_bundle).name == "tiny-float"


def test_a_bare_graph_is_quantized_with_its_provenance(tmp_path, capsys):
    source = nets.save(nets.lstm(), tmp_path / "masker.onnx")
    target = tmp_path / "masker.int8.onnx"
    code = run(
        source, "-o", target, "--state-pattern", "memory=memory_next", "--gate", "tensor>=25", "--drift-minutes", "0"
    )
    assert code == 0, capsys.readouterr().err
    model = onnx.load(target)
    facts = json.loads(model.metadata_props[0].value)
    assert facts["source"] == "masker.onnx"
    assert target.stat().st_size < source.stat().st_size / 2


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--gate", "mel>=1"], 2, "good when small"),
        (["--gate", "wer<=0.1"], 2, "needs judges"),
        (["--feed", "log_mel=logmel"], 2, "--feed is for a bare graph"),
        (["--shape", "log_mel=1xx"], 2, "list of sizes"),
        (["--feed", "nonsense"], 2, "NAME=VALUE"),
        (["--keep-float", "nothing*"], 2, "names no layer"),
        (["--keep-float", "encoder/*", "--quantize", "*content*"], 2, "decide for one"),
        (["--board", "abacus"], 2, "board must be one of"),
        (["--calib", "/nowhere"], 2, "--calib must be a folder"),
        (["--report", "report.pdf"], 2, "a report must be"),
        (["--to", "tflite"], 2, "converts a training run"),
    ],
)
def test_what_cannot_be_meant_is_refused(float_bundle, tmp_path, capsys, options, code, message):
    assert run(float_bundle, "-o", tmp_path / "out", *options) == code
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_conversion_says_how_to_make_its_environment(tmp_path, capsys):
    source = nets.save(nets.mixer(), tmp_path / "net.onnx")
    assert run(source, "-o", tmp_path / "net.tflite", "--to", "tflite") == 2
    said = capsys.readouterr().err
    assert "pip install onnx2tf" in said
    assert "--tools-python" in said


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def write():
        with staged(tmp_path / "out", 0, overwrite=False) as target:
            target.mkdir()
            (target / "half").write_bytes(b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_replaced_output_is_whole_or_as_before(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()

    def fail():
        with staged(tmp_path / "out", 0, overwrite=True) as target:
            target.mkdir()
            raise GateError("below")

    with pytest.raises(GateError):
        fail()
    assert (tmp_path / "out" / "old").exists()
    with staged(tmp_path / "out", 0, overwrite=True) as target:
        target.mkdir()
        (target / "new").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_replaced_keeps_its_permissions_and_its_link(tmp_path):
    (tmp_path / "private.onnx").write_bytes(b"old")
    (tmp_path / "private.onnx").chmod(0o600)
    (tmp_path / "link.onnx").symlink_to("private.onnx")
    with staged(tmp_path / "link.onnx", 0, overwrite=True) as target:
        target.write_bytes(b"new")
    assert (tmp_path / "link.onnx").is_symlink()
    assert (tmp_path / "private.onnx").read_bytes() == b"new"
    assert (tmp_path / "private.onnx").stat().st_mode & 0o777 == 0o600


def test_too_little_disk_is_told_before_the_work(tmp_path):
    with (
        pytest.raises(OutputError, match=r"MiB free, got \d+; make room"),
        staged(tmp_path / "out", 1 << 60, overwrite=False),
    ):
        pass


def test_a_killed_run_leaves_nothing(float_bundle, tmp_path):
    words = [sys.executable, "-m", "edgevc", "quantize", str(float_bundle), "-o", str(tmp_path / "out")]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    for line in process.stderr:
        if "dynamic" in line:
            break
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 130
    process.stderr.close()
    assert list(tmp_path.iterdir()) == []


def test_judges_compare_float_and_int8(float_bundle, tmp_path):
    script = tmp_path / "judge.py"
    script.write_text(
        "import sys, json\n"
        "words = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "better = 'out' not in words['--bundle']\n"
        "row = {'similarity': 0.8 + 0.1 * better, 'wer': 0.2 - 0.1 * better, 'ovrl': 3.0}\n"
        "open(words['--out'], 'w').write(json.dumps({'table': {'a -> b': row}}))\n"
    )
    differences = pipeline.judge(f"{sys.executable} {script}", float_bundle, tmp_path / "out", "onnx")
    assert differences == pytest.approx({"similarity": -0.1, "wer": 0.1, "ovrl": 0.0})


def test_a_judge_that_fails_is_told_with_what_it_said(float_bundle, tmp_path):
    with pytest.raises(EngineError, match="status 3: no data"):
        pipeline.judge(
            f"{sys.executable} -c \"import sys; print('no data', file=sys.stderr); sys.exit(3)\"",
            float_bundle,
            tmp_path,
            "onnx",
        )


def test_memory_and_time_are_reported(quantized):
    assert 20 < quantized[1]["peak_rss_mb"] < 1000
    assert quantized[1]["seconds"] > 0
