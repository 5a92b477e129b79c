"""Makes a small bundle with both engines' graphs, whose outputs numpy can compute as well.

encoder: smooth_t = (log_mel_t + log_mel_(t-1)) / 2, content = smooth @ C, phones = log_softmax(smooth @ P)
decoder: mixed_t = content_t + content_(t-2) + pitch_t @ Q, filters = mixed @ F + voice @ V
"""

import json
from pathlib import Path

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as tflite
from onnx import TensorProto, helper, numpy_helper

from edgevc.bundle import pack_golden, write_manifest

N_MELS, N_CONTENT, N_PHONES, N_VOICE, N_FILTERS = 80, 48, 40, 16, 771
GOLDEN_HOPS = 16
VOICES = ("first", "second")


class TinyNet:
    """The weights and the numpy reference; states are the last inputs, oldest first."""

    def __init__(self, seed=7):
        rng = np.random.default_rng(seed)

        def matrix(rows, columns):
            return (rng.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32)

        self.content, self.phones = matrix(N_MELS, N_CONTENT), matrix(N_MELS, N_PHONES)
        self.filters, self.pitch = matrix(N_CONTENT, N_FILTERS), matrix(4, N_CONTENT)
        self.voice = matrix(N_VOICE, N_FILTERS)

    def encoder(self, log_mel):
        before = np.concatenate([np.zeros_like(log_mel[:1]), log_mel[:-1]])
        smooth = 0.5 * (log_mel + before)
        logits = smooth @ self.phones
        return smooth @ self.content, logits - np.log(np.exp(logits).sum(1, keepdims=True))

    def decoder(self, content, pitch, voice):
        before = np.concatenate([np.zeros_like(content[:2]), content[:-2]])
        mixed = content + before + pitch @ self.pitch
        return (mixed @ self.filters + voice @ self.voice,)


class LevelNet(TinyNet):
    """Gives noise whose level follows the input's and nothing else, so that the place of a sound is known exactly.

    Log-magnitude of the noise = SLOPE * (the decoder's level input - LEVEL); the harmonic part is as good as silent.
    """

    SLOPE, LEVEL = 30.0, 0.7
    N_BINS = N_FILTERS // 3

    def __init__(self):
        super().__init__()
        for weights in (self.content, self.filters, self.pitch, self.voice):
            weights[:] = 0.0
        self.pitch[3, 0] = 1.0
        self.filters[0, 2 * self.N_BINS :] = self.SLOPE
        self.voice[0, : self.N_BINS] = -14.0
        self.voice[0, 2 * self.N_BINS :] = -self.SLOPE * self.LEVEL
        self.voices = np.zeros((len(VOICES), N_VOICE), np.float32)
        self.voices[:, 0] = 1.0


def write_tiny_bundle(
    folder,
    name="tiny",
    net=None,
    filterbank_sha256="0" * 64,
    latency_samples=560,
    pitch_latency_samples=480,
    chunk_hops=(1, 2, 4),
):
    """Write the bundle to `folder` and return its manifest as a dictionary.

    The converter runs it if `filterbank_sha256` is that of `edgevc.dsp.features.LogMel()`; TinyNet's and LevelNet's
    true latency is then that of the pitch tracker.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    net, rng = net or TinyNet(), np.random.default_rng(11)
    files = {
        "encoder.onnx": onnx_encoder(net),
        "decoder.onnx": onnx_decoder(net),
        "encoder.tflite": tflite_encoder(net, chunk_hops),
        "decoder.tflite": tflite_decoder(net, chunk_hops),
    }
    n_hops = -(-GOLDEN_HOPS // chunk_hops[-1]) * chunk_hops[-1]
    voices = rng.standard_normal((len(VOICES), N_VOICE)).astype(np.float32)
    voices = getattr(net, "voices", voices)
    files["voices.f32"] = voices.astype("<f4").tobytes()
    log_mel = rng.standard_normal((n_hops, N_MELS)).astype(np.float32)
    pitch = rng.standard_normal((n_hops, 4)).astype(np.float32)
    content, phones = net.encoder(log_mel)
    (filters,) = net.decoder(content, pitch, voices[:1])
    golden = {
        "encoder/input/log_mel": log_mel,
        "decoder/input/content": content,
        "decoder/input/pitch": pitch,
        "decoder/input/voice": voices[:1],
    }
    for engine in ("litert", "onnx"):
        golden |= {f"encoder/{engine}/content": content, f"encoder/{engine}/phones": phones}
        golden |= {f"decoder/{engine}/filters": filters}
    files["golden.f32"], arrays = pack_golden(golden)
    for path, data in files.items():
        (folder / path).write_bytes(data)

    def tensors(**shapes):
        return [{"name": key, "shape": list(shape), "dtype": "float32"} for key, shape in shapes.items()]

    def graph(graph_name, inputs, outputs, states):
        return {
            "inputs": inputs,
            "outputs": outputs,
            "states": states,
            "chunk_hops": list(chunk_hops),
            "macs_per_hop": 40_000,
            "n_parameters": 40_000,
            "files": {"litert": f"{graph_name}.tflite", "onnx": f"{graph_name}.onnx"},
            "quantization": {"litert": {"recipe": "none", "snr_db": 120.5}, "onnx": {"recipe": "none"}},
        }

    manifest = {
        "format_version": 1,
        "name": name,
        "version": "1.0",
        "description": "A model for tests; it says nothing",
        "licence": "CC0-1.0",
        "training_data": [{"name": "none", "licence": "CC0-1.0", "source": "random numbers, seed 7"}],
        "training_commit": "0000000",
        "features": {
            "sample_rate": 16000,
            "n_fft": 512,
            "win_length": 400,
            "hop_length": 160,
            "window": "hann",
            "n_mels": N_MELS,
            "fmin": 20.0,
            "fmax": 8000.0,
            "log_floor": 1e-5,
            "filterbank_sha256": filterbank_sha256,
        },
        "latency": {"lookahead_samples": 0, "latency_samples": latency_samples, "hop_samples": 160},
        "synthesis": {"kind": "source-filter", "n_fft": 512, "segment_length": 320},
        "pitch": {"f0_min": 60.0, "f0_max": 500.0, "latency_samples": pitch_latency_samples},
        "graphs": {
            "encoder": graph(
                "encoder",
                tensors(log_mel=("hops", N_MELS)),
                tensors(content=("hops", N_CONTENT), phones=("hops", N_PHONES)),
                tensors(last=(1, N_MELS)),
            ),
            "decoder": graph(
                "decoder",
                tensors(content=("hops", N_CONTENT), pitch=("hops", 4), voice=(1, N_VOICE)),
                tensors(filters=("hops", N_FILTERS)),
                tensors(past=(2, N_CONTENT)),
            ),
        },
        "voices": {
            "file": "voices.f32",
            "list": [
                {
                    "name": voice,
                    "description": "random numbers",
                    "licence": "CC0-1.0",
                    "consent": "nobody's voice",
                    "log2_f0_mean": 7.0 + row,
                    "log2_f0_std": 0.3,
                    "row": row,
                }
                for row, voice in enumerate(VOICES)
            ],
        },
        "golden": {
            "file": "golden.f32",
            "n_hops": n_hops,
            "tolerance": {"litert": 1e-4, "onnx": 1e-4},
            "arrays": arrays,
        },
        "files": [{"path": path} for path in sorted(files)],
    }
    write_manifest(folder, manifest)
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def _onnx_model(nodes, inputs, outputs, weights):
    def values(shapes):
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "tiny", values(inputs), values(outputs), constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def onnx_encoder(net):
    ends = {"zero": [0], "one": [1], "minus_one": [-1], "end": [2**31 - 1], "rows": [0]}
    nodes = [
        helper.make_node("Concat", ["state_last_in", "log_mel"], ["context"], axis=0),
        helper.make_node("Slice", ["context", "zero", "minus_one", "rows"], ["before"]),
        helper.make_node("Slice", ["context", "minus_one", "end", "rows"], ["state_last_out"]),
        helper.make_node("Add", ["log_mel", "before"], ["total"]),
        helper.make_node("Mul", ["total", "half"], ["smooth"]),
        helper.make_node("MatMul", ["smooth", "content_w"], ["content"]),
        helper.make_node("MatMul", ["smooth", "phones_w"], ["logits"]),
        helper.make_node("LogSoftmax", ["logits"], ["phones"], axis=-1),
    ]
    weights = {"content_w": net.content, "phones_w": net.phones, "half": np.float32(0.5)}
    weights |= {name: np.asarray(value, np.int64) for name, value in ends.items()}
    return _onnx_model(
        nodes,
        {"log_mel": ["hops", N_MELS], "state_last_in": [1, N_MELS]},
        {"content": ["hops", N_CONTENT], "phones": ["hops", N_PHONES], "state_last_out": [1, N_MELS]},
        weights,
    )


def onnx_decoder(net):
    ends = {"zero": [0], "minus_two": [-2], "end": [2**31 - 1], "rows": [0]}
    nodes = [
        helper.make_node("Concat", ["state_past_in", "content"], ["context"], axis=0),
        helper.make_node("Slice", ["context", "zero", "minus_two", "rows"], ["before"]),
        helper.make_node("Slice", ["context", "minus_two", "end", "rows"], ["state_past_out"]),
        helper.make_node("MatMul", ["pitch", "pitch_w"], ["pitched"]),
        helper.make_node("Add", ["content", "before"], ["total"]),
        helper.make_node("Add", ["total", "pitched"], ["mixed"]),
        helper.make_node("MatMul", ["mixed", "filters_w"], ["spoken"]),
        helper.make_node("MatMul", ["voice", "voice_w"], ["voiced"]),
        helper.make_node("Add", ["spoken", "voiced"], ["filters"]),
    ]
    weights = {"filters_w": net.filters, "pitch_w": net.pitch, "voice_w": net.voice}
    weights |= {name: np.asarray(value, np.int64) for name, value in ends.items()}
    return _onnx_model(
        nodes,
        {
            "content": ["hops", N_CONTENT],
            "pitch": ["hops", 4],
            "voice": [1, N_VOICE],
            "state_past_in": [2, N_CONTENT],
        },
        {"filters": ["hops", N_FILTERS], "state_past_out": [2, N_CONTENT]},
        weights,
    )


class TfliteFile:
    """Collects graphs that share constants, and packs them with one signature each."""

    def __init__(self):
        self.model = tflite.ModelT()
        self.model.version, self.model.description = 3, "tiny"
        self.model.operatorCodes, self.model.subgraphs, self.model.signatureDefs = [], [], []
        self.model.buffers = [tflite.BufferT()]
        self._constants, self._codes = {}, {}

    def constant(self, name, array):
        if name not in self._constants:
            buffer = tflite.BufferT()
            buffer.data = np.frombuffer(array.tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            self._constants[name] = len(self.model.buffers) - 1
        return self._constants[name]

    def code(self, operator):
        if operator not in self._codes:
            entry = tflite.OperatorCodeT()
            entry.builtinCode = getattr(tflite.BuiltinOperator, operator)
            entry.deprecatedBuiltinCode, entry.version = min(entry.builtinCode, 127), 1
            self.model.operatorCodes.append(entry)
            self._codes[operator] = len(self.model.operatorCodes) - 1
        return self._codes[operator]

    def pack(self):
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


class TfliteGraph:
    """Adds one graph to a file: every method returns tensor numbers."""

    def __init__(self, file):
        self.file, self.graph = file, tflite.SubGraphT()
        self.graph.tensors, self.graph.operators, self.names = [], [], {}

    def tensor(self, name, shape, buffer=0, kind="FLOAT32"):
        entry = tflite.TensorT()
        entry.name, entry.shape, entry.buffer, entry.hasRank = name, list(shape), buffer, True
        entry.type = getattr(tflite.TensorType, kind)
        self.graph.tensors.append(entry)
        self.names[name] = len(self.graph.tensors) - 1
        return self.names[name]

    def constant(self, name, array):
        kind = {"f": "FLOAT32", "i": "INT32"}[array.dtype.kind]
        return self.tensor(name, array.shape, self.file.constant(name + str(array.shape), array), kind)

    def add(self, operator, inputs, name, shape, options=None):
        output = self.tensor(name, shape)
        entry = tflite.OperatorT()
        entry.opcodeIndex, entry.inputs, entry.outputs = self.file.code(operator), inputs, [output]
        if options is not None:
            entry.builtinOptions = options
            entry.builtinOptionsType = getattr(tflite.BuiltinOptions, type(options).__name__[:-1])
        self.graph.operators.append(entry)
        return output

    def rows(self, source, name, first, count, width):
        begin = self.constant(f"begin_{first}", np.array([first, 0], np.int32))
        size = self.constant(f"size_{count}_{width}", np.array([count, width], np.int32))
        return self.add("SLICE", [source, begin, size], name, (count, width), tflite.SliceOptionsT())

    def concat(self, inputs, name, shape):
        options = tflite.ConcatenationOptionsT()
        options.axis = 0
        return self.add("CONCATENATION", inputs, name, shape, options)

    def linear(self, source, name, n_rows, weight_name, weight):
        weights = self.constant(weight_name, np.ascontiguousarray(weight.T))
        inputs = [source, weights, -1]
        return self.add("FULLY_CONNECTED", inputs, name, (n_rows, weight.shape[1]), tflite.FullyConnectedOptionsT())

    def finish(self, hops, inputs, outputs):
        self.graph.inputs = [self.names[name] for name in inputs]
        self.graph.outputs = [self.names[name] for name in outputs]
        signature = tflite.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = f"hops{hops}", len(self.file.model.subgraphs)
        signature.inputs, signature.outputs = self._maps(inputs), self._maps(outputs)
        self.file.model.subgraphs.append(self.graph)
        self.file.model.signatureDefs.append(signature)

    def _maps(self, names):
        maps = []
        for name in names:
            entry = tflite.TensorMapT()
            entry.name, entry.tensorIndex = name, self.names[name]
            maps.append(entry)
        return maps


def tflite_encoder(net, chunk_hops=(1, 2, 4)):
    file = TfliteFile()
    for hops in chunk_hops:
        graph = TfliteGraph(file)
        log_mel = graph.tensor("log_mel", (hops, N_MELS))
        last = graph.tensor("state_last_in", (1, N_MELS))
        context = graph.concat([last, log_mel], "context", (hops + 1, N_MELS))
        before = graph.rows(context, "before", 0, hops, N_MELS)
        graph.rows(context, "state_last_out", hops, 1, N_MELS)
        half = graph.constant("half", np.array([0.5], np.float32))
        total = graph.add("ADD", [log_mel, before], "total", (hops, N_MELS), tflite.AddOptionsT())
        smooth = graph.add("MUL", [total, half], "smooth", (hops, N_MELS), tflite.MulOptionsT())
        graph.linear(smooth, "content", hops, "content_w", net.content)
        logits = graph.linear(smooth, "logits", hops, "phones_w", net.phones)
        graph.add("LOG_SOFTMAX", [logits], "phones", (hops, N_PHONES), tflite.LogSoftmaxOptionsT())
        graph.finish(hops, ("log_mel", "state_last_in"), ("content", "phones", "state_last_out"))
    return file.pack()


def tflite_decoder(net, chunk_hops=(1, 2, 4)):
    file = TfliteFile()
    for hops in chunk_hops:
        graph = TfliteGraph(file)
        content = graph.tensor("content", (hops, N_CONTENT))
        pitch = graph.tensor("pitch", (hops, 4))
        voice = graph.tensor("voice", (1, N_VOICE))
        past = graph.tensor("state_past_in", (2, N_CONTENT))
        context = graph.concat([past, content], "context", (hops + 2, N_CONTENT))
        before = graph.rows(context, "before", 0, hops, N_CONTENT)
        graph.rows(context, "state_past_out", hops, 2, N_CONTENT)
        pitched = graph.linear(pitch, "pitched", hops, "pitch_w", net.pitch)
        total = graph.add("ADD", [content, before], "total", (hops, N_CONTENT), tflite.AddOptionsT())
        mixed = graph.add("ADD", [total, pitched], "mixed", (hops, N_CONTENT), tflite.AddOptionsT())
        spoken = graph.linear(mixed, "spoken", hops, "filters_w", net.filters)
        voiced = graph.linear(voice, "voiced", 1, "voice_w", net.voice)
        graph.add("ADD", [spoken, voiced], "filters", (hops, N_FILTERS), tflite.AddOptionsT())
        graph.finish(hops, ("content", "pitch", "voice", "state_past_in"), ("filters", "state_past_out"))
    return file.pack()
