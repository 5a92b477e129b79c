"""Where nothing is written the reason is the one that stopped the candidate that came furthest."""

import numpy as np
import pytest
from helpers import streaming_nets as nets

from edgevc.cli import main
from edgevc.errors import ModelError
from edgevc.quantize import quality_gate
from edgevc.quantize.dataset import Dataset
from edgevc.quantize.feeds import choose_feeds
from edgevc.quantize.float_graph import FloatGraph
from edgevc.quantize.prepare import load_graph_file
from edgevc.quantize.search import EngineSearch, Wishes
from edgevc.quantize.trials import DOES_NOT_LOAD, TOO_LARGE, Outcome, Trial, refusal

GATE = quality_gate.parse("tensor>=35,drift<=1.05", "graph")


def trial(tensor=40.0, n_bytes=1000, problem="", drift=None):
    figures = {"tensor": tensor} | ({} if drift is None else {"drift": drift})
    distances = () if drift is None else (0.01, 0.01 * drift)
    files = {"g": bytes(n_bytes)}
    if problem.startswith(DOES_NOT_LOAD):
        return Trial("onnx", "static", frozenset(), files, {}, (), problem=problem)
    return Trial(
        "onnx", "dynamic", frozenset(), files, figures, GATE.judge(figures), {1: 1.0}, {1: 2.0}, problem, distances
    )


def reason(*trials):
    return refusal([Outcome("onnx", list(trials), None, {}, {})], GATE, {"onnx": 1050})


def test_each_condition_is_named_and_the_furthest_candidate_decides():
    broken = trial(problem=f"{DOES_NOT_LOAD}: onnxruntime cannot load g: no such kernel; export it again")
    inexact, large, drifting = trial(tensor=30.0), trial(problem=TOO_LARGE), trial(drift=1.2)
    assert "static with all layers int8: onnxruntime cannot load g: no such kernel" in reason(broken)
    assert "tensor 30 (must be at least 35)" in reason(broken, inexact)
    said = reason(broken, inexact, large)
    assert "the smallest of them, dynamic with all layers int8, has 1 kB, the model 1 kB" in said
    assert "--gate" not in said
    said = reason(broken, drifting, inexact, large)
    assert "drift 1.2 (must be at most 1.05) after 2 minutes" in said
    assert '--gate "tensor>=35,drift<=1.5"' in said
    for text in (reason(broken), reason(inexact), reason(large), reason(drifting)):
        assert "nothing was written" in text


def test_an_error_that_grows_without_end_is_not_to_be_allowed():
    assert "--gate" not in reason(trial(drift=np.inf))


def test_a_model_of_tables_is_refused_for_its_size_and_not_for_its_gate(tmp_path, capfd):
    source = nets.save(nets.with_table(), tmp_path / "table.onnx")
    words = ["quantize", str(source), "-o", str(tmp_path / "out.onnx"), "--state-pattern", "*_in=*_out"]
    assert main([*words, "--scheme", "dynamic", "--drift-minutes", "1"]) == 7
    said = capfd.readouterr()
    last = said.err.strip().splitlines()[-1]
    assert "no int8 form for onnx that passes the gate is a tenth smaller than the model" in last
    assert "has ;" not in last
    assert "too large" in said.out
    assert [path.name for path in tmp_path.iterdir()] == ["table.onnx"]


def test_sizes_are_those_of_the_file_that_was_given(tmp_path):
    """Folding may make a graph larger than its file: the file counts."""
    model = nets.plain()
    # 160 000 constants from a few bytes
    shape = nets.numpy_helper.from_array(np.array([400, 400]), "shape")
    fill = nets.helper.make_tensor("fill", nets.TensorProto.FLOAT, [1], [0.5])
    model.graph.initializer.append(shape)
    model.graph.node.insert(0, nets.helper.make_node("ConstantOfShape", ["shape"], ["large"], value=fill))
    model.graph.node[-1].output[0] = "y0"
    model.graph.node.extend(
        [
            nets.helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
            nets.helper.make_node("Add", ["y0", "sum"], ["y"]),
        ]
    )
    path = nets.save(model, tmp_path / "net.onnx")
    prepared = load_graph_file(path, ["*_in=*_out"])
    assert prepared.n_source_bytes == path.stat().st_size


def test_one_candidate_that_does_not_load_is_a_row_and_the_others_go_on(tmp_path, monkeypatch, rng):
    prepared = load_graph_file(nets.save(nets.plain(), tmp_path / "net.onnx"), ["*_in=*_out"])
    clip = ("a", rng.normal(0, 0.1, 16_000).astype(np.float32))
    model = FloatGraph(prepared, "", choose_feeds(prepared, {}), Dataset((clip,), (clip,), ""))
    quantizer = model.quantizers["onnx"]["net"]
    real = quantizer.build

    def build(scheme, kept, ranges=None):
        data = real(scheme, kept, ranges)
        return data.replace(b"DynamicQuantizeLinear", b"DynamicQuantizeLineal")

    monkeypatch.setattr(quantizer, "build", build)
    wishes = Wishes("auto", quality_gate.parse("tensor>=20", "graph"), "min-max", frozenset(), frozenset(), 0)
    outcome = EngineSearch(model, "onnx", wishes, lambda text: None).run()
    broken = [row for row in outcome.candidates() if row.problem]
    assert {row.scheme for row in broken} == {"dynamic"}
    assert all(row.problem.startswith("does not load: onnxruntime") and "\n" not in row.problem for row in broken)
    assert outcome.chosen is not None
    assert outcome.chosen.scheme != "dynamic"


def test_what_onnxruntime_rewrites_while_it_folds_loads_again(tmp_path, rng):
    """FastEnhancer's static file did not: names that ONNX Runtime gave while it folded met themselves."""
    prepared = load_graph_file(nets.save(nets.rewritten(), tmp_path / "net.onnx"), ["cache_in_*=cache_out_*"])
    clip = ("a", rng.normal(0, 0.1, 16_000).astype(np.float32))
    model = FloatGraph(prepared, "", choose_feeds(prepared, {}), Dataset((clip,), (clip,), ""))
    wishes = Wishes("auto", quality_gate.parse("tensor>=20", "graph"), "min-max", frozenset(), frozenset(), 0)
    search = EngineSearch(model, "onnx", wishes, lambda text: None)
    for scheme in ("dynamic", "static", "weight-only"):
        (data,) = search.build(scheme, frozenset()).values()
        model.runner("onnx", "net", data)
    with pytest.raises(ModelError, match="cannot load"):
        model.runner("onnx", "net", b"no graph")
