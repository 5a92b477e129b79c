"""The search finds the layer that does the harm, gives it back, and chooses by gate and clock."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import streaming_nets as nets

from edgevc.quantize import search as searching
from edgevc.quantize.dataset import Dataset
from edgevc.quantize.feeds import choose_feeds
from edgevc.quantize.float_graph import FloatGraph
from edgevc.quantize.prepare import load_graph_file
from edgevc.quantize.quality_gate import parse
from edgevc.quantize.search import EngineSearch, Wishes
from edgevc.quantize.trials import Trial, best, pareto, refusal


def model_of(tmp_path, model, seed=1):
    rng = np.random.default_rng(seed)

    def clip(name):
        return (name, (0.1 * rng.standard_normal(24_000)).astype(np.float32))

    prepared = load_graph_file(nets.save(model, tmp_path / "net.onnx"))
    speech = Dataset((clip("a"), clip("b")), (clip("c"),), "")
    return FloatGraph(prepared, "0" * 64, choose_feeds(prepared, {}), speech)


def wishes(scheme="dynamic", gate="tensor>=30", **changes):
    return replace(Wishes(scheme, parse(gate, "graph"), "min-max", frozenset(), frozenset(), 0), **changes)


def run(model, asked):
    return EngineSearch(model, "onnx", asked, lambda text: None).run()


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    """A channel of block 2 is 1000 times as loud: what follows rounds everything beside it away."""
    folder = tmp_path_factory.mktemp("poisoned")
    model = model_of(folder, nets.mixer(poison=(2, 5, 1000.0)))
    everything = frozenset(layer.path for layer in model.layers("onnx"))
    return model, run(model, wishes(quantize=everything))


def test_a_poisoned_layer_is_found_and_given_back(poisoned):
    _, outcome = poisoned
    assert not outcome.trials[0].passed
    assert outcome.chosen is not None
    assert outcome.chosen.kept == {"net/blocks.2.project"}


def test_what_each_layer_does_alone_names_the_poisoned_one(poisoned):
    _, outcome = poisoned
    damage = outcome.damage["dynamic"]
    worst = max(damage, key=damage.get)
    assert worst == "net/blocks.2.project"
    assert damage[worst] > 100 * sorted(damage.values())[-2]


def test_no_hand_search_is_smaller(poisoned):
    """Every single exclusion by hand: one passes, and it is the one that was found."""
    model, outcome = poisoned
    search = EngineSearch(model, "onnx", wishes(), lambda text: None)
    passing = []
    for path in search.layers:
        files = search.build("dynamic", frozenset({path}))
        if min(model.tensor_figures("onnx", files).values()) >= 30:
            passing.append((sum(map(len, files.values())), path))
    assert min(passing)[1] in outcome.chosen.kept
    assert outcome.chosen.n_bytes <= min(passing)[0]


def test_a_healthy_graph_needs_no_exclusion(tmp_path):
    model = model_of(tmp_path, nets.mixer())
    outcome = run(model, wishes(scheme="auto", gate="tensor>=25"))
    assert outcome.chosen is not None
    assert outcome.chosen.passed
    assert {trial.scheme for trial in outcome.trials} == {"dynamic", "static", "weight-only"}
    chosen = [candidate for candidate in outcome.candidates() if candidate.chosen]
    assert len(chosen) == 1
    assert chosen[0].on_front


def test_first_layers_and_heads_stay_float_unless_named(tmp_path):
    model = model_of(tmp_path, nets.mixer())
    outcome = run(model, wishes(gate="tensor>=20"))
    assert outcome.chosen.kept == {"net/input", "net/head"}
    outcome = run(model, wishes(gate="tensor>=20", quantize=frozenset({"net/head"})))
    assert outcome.chosen.kept == {"net/input"}
    outcome = run(model, wishes(gate="tensor>=20", keep_float=frozenset({"net/blocks.1.expand"})))
    assert outcome.chosen.kept == {"net/input", "net/head", "net/blocks.1.expand"}


def test_a_gate_that_nothing_reaches_is_refused_with_the_nearest(tmp_path):
    model = model_of(tmp_path, nets.mixer(n_blocks=2))
    asked = wishes(gate="tensor>=150")
    outcome = run(model, asked)
    assert outcome.chosen is None
    message = refusal([outcome], asked.gate, model.source_bytes)
    assert 'passes the gate "tensor>=150"' in message
    assert "must be at least 150" in message
    assert "nothing was written" in message


def test_a_graph_that_drifts_is_refused(tmp_path, monkeypatch):
    model = model_of(tmp_path, nets.mixer(n_blocks=1))
    monkeypatch.setattr(model, "drift", lambda engine, files, minutes, progress: (0.01, 0.02))
    outcome = run(model, wishes(gate="tensor>=20,drift<=1.05", drift_minutes=2))
    assert outcome.chosen is None
    assert outcome.drift == (0.01, 0.02)


def test_ten_minutes_do_not_add_up_errors_in_the_states(tmp_path):
    model = model_of(tmp_path, nets.mixer(n_blocks=1))
    outcome = run(model, wishes(gate="tensor>=20,drift<=1.05", drift_minutes=10))
    assert outcome.chosen is not None
    assert len(outcome.drift) == 10


def trial(n_bytes, us, tensor, passed=True, scheme="dynamic"):
    asked = parse("tensor>=0" if passed else "tensor>=999", "graph")
    figures = {"tensor": tensor}
    files = {"g": bytes(n_bytes)}
    return Trial("onnx", scheme, frozenset(), files, figures, asked.judge(figures), {1: us}, {1: 100.0})


def test_the_best_is_small_and_fast_together_and_no_slower_than_float():
    small = trial(100, 90.0, 40.0)
    fast, slow = trial(120, 60.0, 40.0, scheme="static"), trial(50, 130.0, 40.0, scheme="weight-only")
    assert best([small, fast, slow]) is fast
    assert best([slow, trial(10, 10.0, 40.0, passed=False)]) is slow
    assert best([]) is None


def test_of_nearly_the_same_price_the_more_exact_one_is_best():
    exact, cheaper = trial(110, 100.0, 60.0), trial(100, 100.0, 40.0, scheme="static")
    assert best([exact, cheaper]) is exact
    # clearly cheaper
    assert best([exact, trial(90, 100.0, 40.0, scheme="static")]).tensor == 40.0


def test_of_one_scheme_the_smallest_is_best_whatever_the_clock_says():
    small, large = trial(100, 110.0, 40.0), trial(105, 70.0, 50.0)
    assert best([large, small]) is small


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        # bytes, times float's time, dB, as measured: GTCRN as its authors export it, then the default model
        ([(214_670, 1.03, 61.3, "dynamic"), (290_598, 1.0, 60.7, "static"), (205_000, 1.1, 36.0, "weight-only")], 0),
        ([(3_665_973, 0.68, 35.4, "dynamic"), (3_600_000, 1.0, 43.0, "weight-only")], 0),
    ],
)
def test_a_busy_machine_chooses_as_a_quiet_one(candidates, chosen):
    """On a machine with five times as much work as it has processors, ratios were wrong by 8 % at most."""
    rng = np.random.default_rng(3)
    for _ in range(300):
        noise = rng.uniform(0.92, 1.08, len(candidates))
        trials = [
            trial(n_bytes, 100 * cost * wrong, tensor, scheme=scheme)
            for (n_bytes, cost, tensor, scheme), wrong in zip(candidates, noise, strict=True)
        ]
        assert best(trials) is trials[chosen]


def test_the_front_holds_what_nothing_beats():
    a, b, c = trial(100, 90.0, 40.0), trial(120, 60.0, 40.0), trial(130, 95.0, 39.0)
    assert pareto([a, b, c]) == [a, b]


def test_only_what_may_be_written_keeps_its_files(poisoned):
    _, outcome = poisoned
    assert not any(trial.files for trial in outcome.trials if not trial.acceptable)
    assert all(trial.n_bytes > 10_000 for trial in outcome.trials)
    assert outcome.chosen.files


def test_layers_are_searched_in_few_steps(poisoned):
    _, outcome = poisoned
    assert len(outcome.trials) <= 1 + 2 + searching.MAX_SECOND_THOUGHTS
