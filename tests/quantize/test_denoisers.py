"""Graphs of our own with the shapes, names and metadata of public denoisers, through the command at its defaults.

benchmarks/quantize_public.py measures the public ones; docs/results.md has the figures.
"""

import json

import onnx
import pytest
from helpers import streaming_nets as nets

from edgevc.cli import main


def quantize(source, target, pattern, *options):
    return main(["quantize", str(source), "-o", str(target), "--state-pattern", pattern, *options])


@pytest.fixture(scope="module")
def gtcrn(tmp_path_factory):
    """A complex spectrum, three states, the metadata of sherpa-onnx: source, int8 file and report."""
    folder = tmp_path_factory.mktemp("gtcrn")
    source = nets.save(nets.denoiser(), folder / "denoiser.onnx")
    target, report = folder / "denoiser.int8.onnx", folder / "report.json"
    assert quantize(source, target, "*_cache=*_cache_out", "--drift-minutes", "2", "--report", str(report)) == 0
    return source, target, json.loads(report.read_text())


def entries(model):
    return {entry.key: entry.value for entry in model.metadata_props}


def test_a_model_keeps_all_that_it_says_about_itself(gtcrn):
    source, target = (onnx.load(path) for path in gtcrn[:2])
    before, after = entries(source), entries(target)
    assert len(before) >= 8
    assert after.items() >= before.items()
    assert after.keys() - before.keys() == {"edgevc.quantization"}
    assert (target.doc_string, target.model_version) == ("a line of its author", 3)
    described = {v.name: v.doc_string for v in (*target.graph.input, *target.graph.output)}
    assert described["mix"] == "one STFT frame, real and imaginary"
    assert described["enh"] == "the same frame, cleaned"
    assert target.producer_name == "edgevc"


def test_inputs_and_outputs_keep_their_names_and_shapes(gtcrn):
    source, target = (onnx.load(path).graph for path in gtcrn[:2])
    for before, after in ((source.input, target.input), (source.output, target.output)):
        assert [(v.name, str(v.type)) for v in before] == [(v.name, str(v.type)) for v in after]


def test_a_complex_spectrum_is_fed_with_one_and_the_report_says_so(gtcrn):
    report = gtcrn[2]
    assert any("input mix was taken for spectrum:256:sqrt-hann, by its shape" in note for note in report["notes"])
    (figure,) = [f for c in report["candidates"] if c["chosen"] for f in c["gate"] if f["name"] == "drift"]
    assert figure["passed"]


def test_the_int8_file_is_smaller_than_the_file_that_was_given(gtcrn):
    source, target, report = gtcrn
    assert report["bytes_float"]["onnx"] == source.stat().st_size
    assert target.stat().st_size < source.stat().st_size / 2


def test_an_int8_file_quantized_before_names_one_origin_only(gtcrn, tmp_path):
    """What an earlier run wrote about itself is replaced, and the author's entries stay."""
    model = onnx.load(gtcrn[0])
    entry = model.metadata_props.add()
    entry.key, entry.value = "edgevc.quantization", "old"
    source = nets.save(model, tmp_path / "again.onnx")
    target = tmp_path / "again.int8.onnx"
    assert quantize(source, target, "*_cache=*_cache_out", "--scheme", "dynamic", "--drift-minutes", "0") == 0
    found = onnx.load(target)
    assert [entry.key for entry in found.metadata_props].count("edgevc.quantization") == 1
    assert json.loads(entries(found)["edgevc.quantization"])["source"] == "again.onnx"


def test_waveforms_with_caches_pass_at_the_defaults(tmp_path):
    source = nets.save(nets.rewritten(), tmp_path / "enhancer.onnx")
    target, report = tmp_path / "enhancer.int8.onnx", tmp_path / "report.json"
    assert quantize(source, target, "cache_in_*=cache_out_*", "--drift-minutes", "2", "--report", str(report)) == 0
    result = json.loads(report.read_text())
    assert any("input wav_in was taken for samples:256" in note for note in result["notes"])
    assert {c["scheme"] for c in result["candidates"] if not c["problem"]} == {"dynamic", "static", "weight-only"}
