"""Both engines behind the one interface, and the golden check that stands before them."""

import json
import logging
import os
import shutil
import sys
import threading

import numpy as np
import onnx
import pytest
from helpers.tiny_bundle import N_CONTENT, N_FILTERS, N_MELS, TinyNet, onnx_encoder, tflite, tflite_encoder

from edgevc import children, engines
from edgevc.bundle import ModelBundle, write_manifest
from edgevc.engines import choose_engine, load_graph, loader, onnx_file, open_graph, probe, tflite_file, trust
from edgevc.errors import ConfigError, EngineError, ModelError

# Largest difference seen between an engine and numpy is 1.5e-6 (x86-64, sums of 80 products); times 7.
TOLERANCE = 1e-5
ENGINES = ("litert", "onnx")


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


@pytest.fixture
def folder(tiny_bundle_path, tmp_path):
    return shutil.copytree(tiny_bundle_path, tmp_path / "bundle")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(trust, "trusted", set())
    return tmp_path / "cache" / "edgevc" / "trust.json"


def stream(graph, state, *signals):
    """Run whole signals through a graph; arrays with one row are given to every call."""
    hops, columns = graph.chunk_hops, []
    for start in range(0, len(signals[0]), hops):
        inputs = [signal[start : start + hops] if len(signal) > 1 else signal for signal in signals]
        columns.append([output.copy() for output in graph.run(state, *inputs)])
    return [np.concatenate(column) for column in zip(*columns, strict=True)]


@pytest.mark.parametrize("chunk_hops", [1, 2, 4])
def test_a_graph_computes_what_numpy_does(tiny_bundle, engine, chunk_hops, rng):
    net = TinyNet()
    log_mel = rng.standard_normal((24, N_MELS)).astype(np.float32)
    graph = open_graph(tiny_bundle, "encoder", engine, chunk_hops)
    assert (graph.engine, graph.chunk_hops) == (engine, chunk_hops)
    for output, expected in zip(stream(graph, graph.new_state(), log_mel), net.encoder(log_mel), strict=True):
        np.testing.assert_allclose(output, expected, atol=TOLERANCE)

    content, pitch = (rng.standard_normal((24, width)).astype(np.float32) for width in (N_CONTENT, 4))
    voice = tiny_bundle.voice("second").conditioning
    graph = open_graph(tiny_bundle, "decoder", engine, chunk_hops)
    (filters,) = stream(graph, graph.new_state(), content, pitch, voice)
    np.testing.assert_allclose(filters, net.decoder(content, pitch, voice)[0], atol=TOLERANCE)


def test_streams_of_one_graph_share_nothing(tiny_bundle, engine, rng):
    graph = open_graph(tiny_bundle, "encoder", engine)
    signals = rng.standard_normal((3, 12, N_MELS)).astype(np.float32)
    alone = [stream(graph, graph.new_state(), signal)[0] for signal in signals]
    states = [graph.new_state() for _ in signals]
    mixed = [[] for _ in signals]
    for hop in range(12):
        for i in rng.permutation(3):
            mixed[i].append(graph.run(states[i], signals[i, hop : hop + 1])[0].copy())
    for expected, rows in zip(alone, mixed, strict=True):
        np.testing.assert_array_equal(np.concatenate(rows), expected)


def test_streams_in_threads_share_nothing(tiny_bundle, engine, rng):
    graph = open_graph(tiny_bundle, "encoder", engine)
    signals = rng.standard_normal((2, 400, N_MELS)).astype(np.float32)
    alone = [stream(graph, graph.new_state(), signal)[0] for signal in signals]
    results = [None, None]

    def work(i):
        results[i] = stream(graph, graph.new_state(), signals[i])[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result, expected in zip(results, alone, strict=True):
        np.testing.assert_array_equal(result, expected)


def test_a_copied_state_has_the_same_future_and_a_reset_one_is_new(tiny_bundle, engine, rng):
    graph = open_graph(tiny_bundle, "encoder", engine)
    signal = rng.standard_normal((8, N_MELS)).astype(np.float32)
    state = graph.new_state()
    fresh = stream(graph, state, signal)[0]
    twin = state.copy()
    np.testing.assert_array_equal(twin.arrays()["last"], signal[-1:])
    original = stream(graph, state, signal)[0]
    np.testing.assert_array_equal(stream(graph, twin, signal)[0], original)
    assert not np.array_equal(original[0], fresh[0])
    state.reset()
    np.testing.assert_array_equal(stream(graph, state, signal)[0], fresh)


def test_loaded_states_take_effect(tiny_bundle, engine, rng):
    graph = open_graph(tiny_bundle, "encoder", engine)
    signal = rng.standard_normal((2, N_MELS)).astype(np.float32)
    expected = stream(graph, graph.new_state(), signal)[0][1:]
    state = graph.new_state()
    graph.run(state, signal[:1] + 1)
    state.load({"last": signal[:1]})
    np.testing.assert_array_equal(graph.run(state, signal[1:])[0], expected)
    with pytest.raises(ConfigError, match="states must be last"):
        state.load({"lost": signal[:1]})
    with pytest.raises(TypeError, match="expected a float32 array, got float64"):
        state.load({"last": np.zeros((1, N_MELS))})


def test_wrong_inputs_are_refused_and_leave_no_trace(tiny_bundle, engine, rng):
    graph = open_graph(tiny_bundle, "encoder", engine, 2)
    signal = rng.standard_normal((8, N_MELS)).astype(np.float32)
    expected = stream(graph, graph.new_state(), signal)[0]
    state = graph.new_state()
    first = graph.run(state, signal[:2])[0].copy()
    with pytest.raises(TypeError, match="log_mel: expected a float32 array, got float64"):
        graph.run(state, signal[:2].astype(np.float64))
    with pytest.raises(ConfigError, match=r"log_mel must have shape \(2, 80\) at chunk_hops 2, got \(1, 80\)"):
        graph.run(state, signal[:1])
    with pytest.raises(ConfigError, match="takes 1 inputs"):
        graph.run(state)
    with pytest.raises(ConfigError, match="new_state"):
        graph.run(open_graph(tiny_bundle, "encoder", engine, 2).new_state(), signal[:2])
    rest = stream(graph, state, signal[2:])[0]
    np.testing.assert_array_equal(np.concatenate([first, rest]), expected)


def test_outputs_of_a_state_survive_the_calls_of_others(tiny_bundle, engine, rng):
    graph = open_graph(tiny_bundle, "encoder", engine)
    signal = rng.standard_normal((2, N_MELS)).astype(np.float32)
    content, _ = graph.run(graph.new_state(), signal[:1])
    kept = content.copy()
    graph.run(graph.new_state(), signal[1:])
    np.testing.assert_array_equal(content, kept)


def test_unknown_requests_are_refused(tiny_bundle):
    with pytest.raises(ConfigError, match="graph must be one of encoder, decoder, got 'vocoder'"):
        open_graph(tiny_bundle, "vocoder")
    with pytest.raises(ConfigError, match=r"chunk_hops must be one of \(1, 2, 4\), got 3"):
        open_graph(tiny_bundle, "encoder", chunk_hops=3)
    with pytest.raises(ConfigError, match="engine must be one of auto, litert, onnx, got 'tvm'"):
        open_graph(tiny_bundle, "encoder", "tvm")


@pytest.mark.parametrize(
    ("what", "shape", "rule"),
    [("states", [2, N_MELS], "state_last_in must have shape"), ("states", None, "unknown: state_last_in")],
)
def test_a_graph_that_differs_from_the_manifest_is_refused(folder, engine, what, shape, rule):
    manifest = json.loads((folder / "manifest.json").read_text())
    if shape is None:
        manifest["graphs"]["encoder"][what] = []
    else:
        manifest["graphs"]["encoder"][what][0]["shape"] = shape
    with pytest.raises(ModelError, match=rule):
        load_graph(write_manifest(folder, manifest), "encoder", engine, 1)


def test_a_graph_with_a_loop_a_custom_operator_or_outside_data_is_refused(folder, cache):
    import onnx

    def onnx_file(edit):
        model = onnx.load_from_string(onnx_encoder(TinyNet()))
        edit(model.graph)
        return "encoder.onnx", model.SerializeToString()

    def outside(graph):
        tensor = graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../etc/passwd")

    def loop(graph):
        graph.node[0].attribute.append(onnx.helper.make_attribute("body", onnx.GraphProto(name="inner")))

    def custom(graph):
        graph.node[0].domain = "com.example"

    def operator(graph):
        graph.node[0].op_type = "Loop"

    tflite = tflite_encoder(TinyNet())
    cases = [
        (*onnx_file(outside), "external data"),
        (*onnx_file(loop), "must not contain a graph"),
        (*onnx_file(custom), "'com.example'"),
        (*onnx_file(operator), "'Loop'"),
        ("encoder.tflite", tflite.replace(b"hops1", b"hops9"), "must have the signature hops1"),
    ]
    for path, data, rule in cases:
        original = (folder / path).read_bytes()
        (folder / path).write_bytes(data)
        bundle = write_manifest(folder, json.loads((folder / "manifest.json").read_text()))
        engine = "onnx" if path.endswith("onnx") else "litert"
        with pytest.raises(ModelError, match=rule):
            open_graph(bundle, "encoder", engine)
        (folder / path).write_bytes(original)


def test_auto_prefers_litert_and_falls_back(tiny_bundle, monkeypatch):
    assert choose_engine(tiny_bundle) == "litert"
    versions = {"litert": None, "onnx": "1.31.1"}
    monkeypatch.setattr(loader, "engine_version", versions.get)
    monkeypatch.setattr(engines, "engine_version", versions.get)
    monkeypatch.setattr(trust, "require", lambda *_: None)
    assert choose_engine(tiny_bundle) == "onnx"
    with pytest.raises(EngineError, match=r'pip install "edgevc\[litert\]"'):
        choose_engine(tiny_bundle, "litert")
    versions["onnx"] = None
    with pytest.raises(EngineError, match=r'pip install "edgevc\[litert\]"'):
        choose_engine(tiny_bundle)
    versions["onnx"] = "1.21.0"
    with pytest.raises(EngineError, match=r"onnxruntime 1\.21\.0 dies"):
        choose_engine(tiny_bundle, "onnx")


def test_an_engine_that_is_not_installed_has_no_version(monkeypatch):
    for module in ("ai_edge_litert", "onnxruntime"):
        monkeypatch.setitem(sys.modules, module, None)
    assert engines.engine_version("litert") is None
    assert engines.engine_version("onnx") is None


def test_a_bundle_with_one_engine_only_runs_with_it(folder, cache, caplog):
    manifest = json.loads((folder / "manifest.json").read_text())
    for graph in manifest["graphs"].values():
        del graph["files"]["litert"]
    manifest["golden"]["arrays"] = [a for a in manifest["golden"]["arrays"] if "/litert/" not in a["name"]]
    bundle = write_manifest(folder, manifest)
    assert open_graph(bundle, "encoder").engine == "onnx"
    # it is as its maker wanted it
    assert not caplog.records
    with pytest.raises(EngineError, match="no litert file for encoder, decoder; choose another engine"):
        open_graph(bundle, "encoder", "litert")


def test_golden_outputs_are_what_an_exporter_stores(tiny_bundle, engine):
    for chunk_hops in (1, 4):
        outputs = trust.golden_outputs(tiny_bundle, engine, chunk_hops)
        assert sorted(outputs) == [f"decoder/{engine}/filters", f"encoder/{engine}/content", f"encoder/{engine}/phones"]
        for name, output in outputs.items():
            np.testing.assert_allclose(output, tiny_bundle.golden_array(name), atol=TOLERANCE)


# What the child runs before the check: LiteRT whose outputs are off by half.
WRONG_LITERT = """
import sys
from edgevc.engines import litert
right = litert.LitertGraph.run
def wrong(self, state, *inputs):
    return tuple(1.5 * output for output in right(self, state, *inputs))
litert.LitertGraph.run = wrong
"""


def in_child(code):
    """Return the child's program with `code` run before the check."""
    start, check = children.START.split("getattr(", 1)
    return f"{start}exec({code!r}, {{}})\ngetattr({check}"


def test_an_engine_that_computes_wrong_values_is_refused_by_name_and_auto_takes_the_other(
    tiny_bundle, cache, monkeypatch, caplog
):
    monkeypatch.setattr(children, "START", in_child(WRONG_LITERT))
    with pytest.raises(EngineError, match=r"engine litert .* is refused: .* at most 0\.0001, measured 0\.5"):
        open_graph(tiny_bundle, "encoder", "litert")
    with caplog.at_level(logging.WARNING):
        assert open_graph(tiny_bundle, "encoder").engine == "onnx"
    assert "engine litert" in caplog.text
    assert not any(key.startswith("litert") for key in json.loads(cache.read_text())["verdicts"])


def test_values_that_are_not_finite_are_never_trusted(tiny_bundle, cache, monkeypatch):
    monkeypatch.setattr(children, "START", in_child(WRONG_LITERT.replace("1.5", "float('nan')")))
    with pytest.raises(EngineError, match="engine litert"):
        open_graph(tiny_bundle, "encoder", "litert")


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", ModelError, "SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", EngineError, "instruction"),
        ("import os; os._exit(0)", ModelError, "exit status 0"),
        ("print('{}')\nimport os; os._exit(3)", ModelError, "exit status 3"),
        ("import time; time.sleep(60)", ModelError, "within 2 s"),
        ("import sys; sys.modules['onnxruntime'] = None", EngineError, "not installed"),
    ],
)
def test_a_child_that_ends_badly_does_no_harm(tiny_bundle, cache, monkeypatch, code, kind, message):
    monkeypatch.setattr(children, "START", in_child(code))
    monkeypatch.setattr(probe, "TIME_LIMIT_S", 2 if "sleep" in code else probe.TIME_LIMIT_S)
    with pytest.raises(kind, match=message):
        trust.measure_in_child(tiny_bundle, "onnx")


def test_a_verdict_is_remembered_across_processes(tiny_bundle, cache, monkeypatch):
    open_graph(tiny_bundle, "encoder", "onnx")
    assert [key.split()[0] for key in json.loads(cache.read_text())["verdicts"]] == ["onnx"]
    monkeypatch.setattr(trust, "trusted", set())
    monkeypatch.setattr(trust, "measure_in_child", lambda *_: pytest.fail("measured again"))
    open_graph(tiny_bundle, "encoder", "onnx")


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"verdicts": 3}', "[" * 100_000, '{"verdicts": {"KEY": NaN}}'])
def test_a_damaged_cache_is_harmless(tiny_bundle, cache, monkeypatch, damage):
    version = engines.engine_version("onnx")
    key = trust.verdict_key(tiny_bundle, "onnx", version)
    cache.parent.mkdir(parents=True)
    cache.write_text(damage.replace("KEY", key))
    monkeypatch.setattr(trust, "measure_in_child", lambda *_: 0.0)
    trust.require(tiny_bundle, "onnx", version)
    assert json.loads(cache.read_text())["verdicts"] == {key: 0.0}


def test_a_cache_that_cannot_be_written_is_harmless(tiny_bundle, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(trust, "trusted", set())
    calls = []
    monkeypatch.setattr(trust, "measure_in_child", lambda *_: calls.append(1) or 0.0)
    for _ in range(3):
        trust.require(tiny_bundle, "onnx", "9.9")
    assert len(calls) == 1


def test_another_bundle_version_or_cpu_is_checked_again(tiny_bundle, cache, monkeypatch):
    calls = []
    monkeypatch.setattr(trust, "measure_in_child", lambda *_: calls.append(1) or 0.0)
    trust.require(tiny_bundle, "onnx", "9.9")
    trust.require(tiny_bundle, "onnx", "9.10")
    monkeypatch.setattr(trust, "cpu_id", lambda: "another")
    trust.require(tiny_bundle, "onnx", "9.10")
    trust.require(tiny_bundle, "onnx", "9.10")
    assert len(calls) == 3


def test_a_bundle_that_changes_before_the_check_is_refused(folder, cache):
    bundle = ModelBundle.open(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    write_manifest(folder, {**manifest, "description": "another"})
    with pytest.raises(ModelError, match="changed while it was read"):
        trust.measure_in_child(bundle, "onnx")


def test_a_zipped_bundle_runs(tiny_bundle_path, tmp_path, cache, engine):
    archive = shutil.make_archive(str(tmp_path / "tiny"), "zip", tiny_bundle_path)
    graph = open_graph(ModelBundle.open(archive), "decoder", engine)
    assert graph.run(graph.new_state(), *(np.zeros(shape, np.float32) for shape in ((1, N_CONTENT), (1, 4), (1, 16))))[
        0
    ].shape == (1, N_FILTERS)


def test_a_relative_bundle_path_runs(tiny_bundle_path, cache, monkeypatch):
    monkeypatch.chdir(tiny_bundle_path.parent)
    assert open_graph(ModelBundle.open(os.path.basename(tiny_bundle_path)), "encoder", "onnx").chunk_hops == 1  # noqa: PTH119


@pytest.mark.parametrize("name", ["default", "low-latency", "tiny"])
def test_our_readers_see_what_the_official_parsers_see(name):
    bundle = ModelBundle.find(name)
    for spec in bundle.graphs.values():
        data = bundle.read(spec.files["onnx"])
        graph = onnx.load_model_from_string(data).graph
        ours = [onnx_file.message(value) for field, value in onnx_file.fields(memoryview(data)) if field == 7]
        nodes = [onnx_file.check_node(onnx_file.message(v), "x") for f, v in onnx_file.fields(ours[0]) if f == 1]
        assert [(n.operator, n.inputs, n.outputs) for n in nodes] == [
            (node.op_type, list(node.input), list(node.output)) for node in graph.node
        ]
        data = bundle.read(spec.files["litert"])
        model = tflite.ModelT.InitFromPackedBuf(data, 0)
        for definition in model.signatureDefs:
            shown = tflite_file.read_tflite(data, "x", definition.signatureKey.decode())
            tensors = model.subgraphs[definition.subgraphIndex].tensors
            for ours, theirs in ((shown.inputs, definition.inputs), (shown.outputs, definition.outputs)):
                assert ours == {
                    entry.name.decode(): (entry.tensorIndex, tuple(tensors[entry.tensorIndex].shape))
                    for entry in theirs
                }
