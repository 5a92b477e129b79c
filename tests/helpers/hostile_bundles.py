"""Bundles as somebody makes them who knows the rules: every hash right, golden outputs as the engine gives them."""

import hashlib
import json

import flatbuffers
import numpy as np

from edgevc.bundle import ModelBundle, pack_golden
from edgevc.dsp.features import LogMel
from edgevc.engines.trust import golden_outputs
from helpers.tiny_bundle import TfliteFile, TfliteGraph, tflite, write_tiny_bundle


def write_bundle(folder, engine, phones=None, **files):
    """Write a tiny bundle for one engine with other graph files, such as encoder_tflite=bytes, and seal it."""
    write_tiny_bundle(
        folder, filterbank_sha256=LogMel().filterbank_sha256, pitch_latency_samples=480, latency_samples=640
    )
    for name, data in files.items():
        (folder / name.replace("_", ".")).write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    other = {"litert": "onnx", "onnx": "litert"}[engine]
    for graph in manifest["graphs"].values():
        graph["files"].pop(other)
        graph["quantization"].pop(other, None)
    golden = manifest["golden"]
    golden["tolerance"].pop(other)
    golden["arrays"] = [entry for entry in golden["arrays"] if f"/{other}/" not in entry["name"]]
    used = {path for graph in manifest["graphs"].values() for path in graph["files"].values()}
    manifest["files"] = [entry for entry in manifest["files"] if entry["path"] in used | {"voices.f32", "golden.f32"}]
    if phones is not None:
        manifest["phones"] = phones
    seal(folder, manifest)
    return manifest


def seal(folder, manifest):
    """Write a manifest whose sizes and hashes fit what lies in the folder."""
    for entry in manifest["files"]:
        data = (folder / entry["path"]).read_bytes()
        entry["bytes"], entry["sha256"] = len(data), hashlib.sha256(data).hexdigest()
    text = json.dumps(manifest | {"manifest_sha256": "-" * 64})
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / "manifest.json").write_text(text.replace("-" * 64, digest))


def take_golden_outputs(folder, engine):
    """Let the golden outputs be those that `engine` gives here; only for graphs that do this process no harm."""
    bundle = ModelBundle.open(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    names = [entry["name"] for entry in manifest["golden"]["arrays"]]
    arrays = {name: bundle.golden_array(name).copy() for name in names}
    arrays |= {name: array for name, array in golden_outputs(bundle, engine).items() if name in arrays}
    data, manifest["golden"]["arrays"] = pack_golden(arrays)
    (folder / "golden.f32").write_bytes(data)
    seal(folder, manifest)


def change_tflite(data, change):
    """Return a .tflite file after `change(model)` on its objects."""
    model = tflite.ModelT.InitFromPackedBuf(data, 0)
    change(model)
    builder = flatbuffers.Builder(len(data) + 1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def without_inputs(data, operator=3):
    """Return a file in which one operator of each graph reads nothing, tensor -1; an ADD so crashes LiteRT 2.3."""

    def change(model):
        for graph in model.subgraphs:
            inputs = graph.operators[operator].inputs
            graph.operators[operator].inputs = [-1] * len(inputs)

    return change_tflite(data, change)


def moving_arena(net, first_hop=60, step=60_000):
    """An encoder for LiteRT whose state counts hops, and which from `first_hop` on takes more memory with each."""
    file = TfliteFile()
    for hops in (1, 2, 4):
        graph = TfliteGraph(file)
        n_mels, n_phones = net.content.shape[0], net.phones.shape[1]
        log_mel, last = graph.tensor("log_mel", (hops, n_mels)), graph.tensor("state_last_in", (1, n_mels))
        one = graph.constant("one", np.eye(1, n_mels, dtype=np.float32) * hops)
        graph.add("ADD", [last, one], "state_last_out", (1, n_mels), tflite.AddOptionsT())
        graph.linear(log_mel, "content", hops, "content_w", net.content)
        logits = graph.linear(log_mel, "logits", hops, "phones_w", net.phones)
        graph.add("LOG_SOFTMAX", [logits], "phones", (hops, n_phones), tflite.LogSoftmaxOptionsT())
        first = graph.rows(last, "first", 0, 1, 1)
        flat = graph.add("RESHAPE", [first, graph.constant("flat_shape", np.array([1], np.int32))], "flat", (1,))

        def scalar(operator, value, source, name, options, graph=graph):
            other = graph.constant(f"{name}_value", np.array([value], np.float32))
            return graph.add(operator, [source, other], name, (1,), options)

        late = scalar("SUB", first_hop, flat, "late", tflite.SubOptionsT())
        big = scalar("MUL", step, late, "big", tflite.MulOptionsT())
        most = scalar("MAXIMUM", 1, big, "most", tflite.MaximumMinimumOptionsT())
        cast = tflite.CastOptionsT()
        cast.inDataType, cast.outDataType = tflite.TensorType.FLOAT32, tflite.TensorType.INT32
        dims = graph.add("CAST", [most], "dims", (1,), cast)
        graph.graph.tensors[dims].type = tflite.TensorType.INT32
        value = graph.constant("value", np.array(1.0, np.float32))
        filled = graph.add("FILL", [dims, value], "filled", (1,), tflite.FillOptionsT())
        # memory of the arena, since no kernel of XNNPACK
        graph.add("CUMSUM", [filled, graph.constant("axis", np.array(0, np.int32))], "grown", (1,))
        graph.finish(hops, ["log_mel", "state_last_in"], ["content", "phones", "state_last_out"])
    return file.pack()
