"""What is quantized, a bundle or a bare graph, behind one face: how it is fed, run, and heard."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevc.bundle import ENGINES, ModelBundle
from edgevc.converter import VoiceConverter
from edgevc.dsp.features import LogMel
from edgevc.engines import Graph, GraphState, load_graph
from edgevc.errors import ConfigError, EngineError, ModelError
from edgevc.quantize.calibration_speech import SAMPLE_RATE
from edgevc.quantize.layers import FloatArray, Layer, sqnr_db
from edgevc.quantize.prepare import Prepared, describe, find_states, read_onnx
from edgevc.quantize.schemes.onnx import OnnxQuantizer
from edgevc.quantize.speech import Speech

Files = Mapping[str, bytes]
"""Graph name to its file's content, all of one engine."""
Calls = Sequence[tuple[NDArray[Any], ...]]
"""A graph's inputs without states, call by call."""

DRIFT_CHUNK_HOPS = 4
"""Outputs do not depend on it but for rounding, and ten minutes pass in half the time."""


class Runner(ABC):
    """One graph with one stream's states."""

    @abstractmethod
    def run(self, inputs: tuple[NDArray[Any], ...]) -> tuple[FloatArray, ...]:
        """Take one call's inputs; return the outputs without states, valid until the next call."""

    def play(self, calls: Calls) -> list[FloatArray]:
        """Take a whole stream; return each output with all calls in front, (n_calls, ...)."""
        columns: list[list[FloatArray]] = []
        for inputs in calls:
            outputs = self.run(inputs)
            columns = columns or [[] for _ in outputs]
            for column, output in zip(columns, outputs, strict=True):
                column.append(output.copy())
        return [np.stack(column) for column in columns]


class Subject(ABC):
    """A model, the speech it is judged by, and what its float form makes of it."""

    kind = ""
    quantizers: Mapping[str, Mapping[str, Any]]
    """Engine to graph to quantizer."""
    float_files: Mapping[str, Files]
    """Engine to float files."""
    speech: Speech
    name = ""
    source_sha256 = ""

    @property
    def engines(self) -> tuple[str, ...]:
        """In the order in which they are quantized."""
        return tuple(self.float_files)

    @property
    def graphs(self) -> tuple[str, ...]:
        """In the order in which a call runs them."""
        return tuple(next(iter(self.float_files.values())))

    def layers(self, engine: str) -> list[Layer]:
        """Return all layers of an engine's graphs."""
        return [layer for quantizer in self.quantizers[engine].values() for layer in quantizer.layers]

    @abstractmethod
    def runner(self, engine: str, graph: str, data: bytes, hops: int = 1) -> Runner:
        """Load one graph's file, for a stream of its own."""

    @abstractmethod
    def calls(self, graph: str, part: str, hops: int = 1) -> Iterator[Calls]:
        """Yield the calls of every clip of a part, "calibration" or "held_out"."""

    @abstractmethod
    def output_names(self, graph: str) -> tuple[str, ...]:
        """Return the names of a graph's outputs without states."""

    @property
    @abstractmethod
    def hops(self) -> tuple[int, ...]:
        """Numbers of hops that a call may take."""

    @abstractmethod
    def audio_figures(self, engine: str, files: Files) -> dict[str, float]:
        """Compare what is heard with the float model's output, on the held-out speech."""

    @abstractmethod
    def drift(self, engine: str, files: Files, minutes: int, progress: Callable[[float], None]) -> tuple[float, ...]:
        """Return the distance from the float model in each minute of one long stream."""

    def signature_feeds(self, engine: str, graph: str, count: int) -> dict[str, list[dict[str, FloatArray]]]:
        """Return inputs and states of some calls, by signature; a bare graph has none."""
        return {}

    def tensor_figures(self, engine: str, files: Files, part: str = "held_out", n_calls: int = 0) -> dict[str, float]:
        """Return graph/output to its signal-to-noise ratio against float, in dB, each graph given float inputs.

        Args:
            engine: of the files.
            files: some or all graphs.
            part: of the speech.
            n_calls: per clip; 0 takes all.
        """
        figures: dict[str, float] = {}
        for graph, data in files.items():
            exact = self.reference(engine, graph, part, n_calls)
            found: list[list[FloatArray]] = []
            for calls in self.calls(graph, part):
                # a stream's states are its own
                found.append(self.runner(engine, graph, data).play(calls[:n_calls] if n_calls else calls))
            for i, name in enumerate(self.output_names(graph)):
                figures[f"{graph}/{name}"] = sqnr_db(
                    np.concatenate([clip[i] for clip in exact]), np.concatenate([clip[i] for clip in found])
                )
        return figures

    def reference(self, engine: str, graph: str, part: str, n_calls: int) -> list[list[FloatArray]]:
        """Return the float graph's outputs of every clip."""
        key = (engine, graph, part, n_calls)
        if key not in self._references:
            data = self.float_files[engine][graph]
            self._references[key] = [
                self.runner(engine, graph, data).play(calls[:n_calls] if n_calls else calls)
                for calls in self.calls(graph, part)
            ]
        return self._references[key]

    def __init__(self) -> None:
        """Start without references."""
        self._references: dict[tuple[str, str, str, int], list[list[FloatArray]]] = {}


class Overlay(ModelBundle):
    """A bundle with some files replaced in memory: a candidate is tried before anything is written."""

    def __init__(self, bundle: ModelBundle, replaced: Mapping[str, bytes]) -> None:
        """`replaced`: path in the bundle to content."""
        self.__dict__.update(bundle.__dict__)
        self._replaced = replaced

    def read(self, path: str) -> bytes:
        """Return the replaced content, or the bundle's file."""
        return self._replaced[path] if path in self._replaced else super().read(path)


class UntrustedConverter(VoiceConverter):
    """A converter of a candidate, whose golden vectors do not exist yet."""

    def __init__(self, bundle: ModelBundle, engine: str, chunk_hops: int) -> None:
        """Load the graphs without asking whether the engine reproduces golden vectors."""
        self.bundle, self.engine, self.chunk_hops = bundle, engine, chunk_hops
        self.encoder = load_graph(bundle, "encoder", engine, chunk_hops)
        self.decoder = load_graph(bundle, "decoder", engine, chunk_hops)


class _Recorder(Graph):
    """Runs a graph and keeps what goes in."""

    def __init__(self, inner: Graph) -> None:
        super().__init__(inner.spec, inner.engine, inner.engine_version, inner.chunk_hops)
        self.inner = inner
        self.seen: list[tuple[FloatArray, ...]] = []

    def new_state(self) -> GraphState:
        return self.inner.new_state()

    def run(self, state: GraphState, *inputs: FloatArray) -> tuple[FloatArray, ...]:
        # a voice's conditioning is the same array in every call, and large
        self.seen.append(tuple(array.copy() if array.flags.writeable else array for array in inputs))
        return self.inner.run(state, *inputs)


class _GraphRunner(Runner):
    def __init__(self, graph: Graph) -> None:
        self.graph, self.state = graph, graph.new_state()

    def run(self, inputs: tuple[NDArray[Any], ...]) -> tuple[FloatArray, ...]:
        return self.graph.run(self.state, *inputs)


class BundleSubject(Subject):
    """A float bundle: both graphs are fed by the real chain, log-mel, pitch, encoder, decoder with a voice."""

    kind = "bundle"

    def __init__(self, bundle: ModelBundle, engines: Sequence[str], speech: Speech) -> None:
        """Find the layers of every engine's graphs, and play the speech once to learn what the graphs see."""
        super().__init__()
        self.bundle, self.speech = bundle, speech
        self.name, self.source_sha256 = bundle.name, bundle.sha256
        missing = [e for e in engines if any(e not in spec.files for spec in bundle.graphs.values())]
        if missing:
            raise ConfigError(f"bundle {bundle.name} has no files for {', '.join(missing)}; choose another --engine")
        self.float_files = {
            engine: {name: bundle.read(spec.files[engine]) for name, spec in bundle.graphs.items()}
            for engine in engines
        }
        self.quantizers = {engine: self._quantizers(engine) for engine in engines}
        self._calls = {part: self._record(part) for part in ("calibration", "held_out")}
        self._audio: dict[tuple[str, int], list[FloatArray]] = {}

    @property
    def hops(self) -> tuple[int, ...]:
        """Numbers of hops that a call may take."""
        return self.bundle.graphs["encoder"].chunk_hops

    def _quantizers(self, engine: str) -> dict[str, Any]:
        if engine == "onnx":
            return {name: OnnxQuantizer(self._prepared(name, data)) for name, data in self.float_files[engine].items()}
        from edgevc.quantize.schemes.litert import LitertQuantizer, fingerprint

        known: dict[str, dict[str, str]] = {}
        for name, spec in self.bundle.graphs.items():
            if "onnx" in spec.files:
                twin = OnnxQuantizer(self._prepared(name, self.bundle.read(spec.files["onnx"])))
                known[name] = {fingerprint(layer.weights[0]): layer.name for layer in twin.layers}
        return {name: LitertQuantizer(name, data, known.get(name)) for name, data in self.float_files[engine].items()}

    def _prepared(self, name: str, data: bytes) -> Prepared:
        path = self.bundle.graphs[name].files["onnx"]
        model = read_onnx(data, path)
        states = find_states(model, (), path) if self.bundle.graphs[name].states else ()
        return describe(name, model, states)

    def overlay(self, engine: str, files: Files) -> Overlay:
        """Return the bundle with these graph files in place of its own."""
        return Overlay(self.bundle, {self.bundle.graphs[name].files[engine]: data for name, data in files.items()})

    def converter(self, engine: str, files: Files, hops: int) -> UntrustedConverter:
        """Return a converter of a candidate."""
        return UntrustedConverter(self.overlay(engine, files), engine, hops)

    def _record(self, part: str) -> list[dict[str, list[tuple[FloatArray, ...]]]]:
        engine = self.engines[0]
        converter = self.converter(engine, self.float_files[engine], 1)
        recorders = {"encoder": _Recorder(converter.encoder), "decoder": _Recorder(converter.decoder)}
        converter.encoder, converter.decoder = recorders["encoder"], recorders["decoder"]
        clips = []
        for i, (_, samples) in enumerate(getattr(self.speech, part)):
            converter.stream(self._voice(i)).process(samples)
            clips.append({name: recorder.seen for name, recorder in recorders.items()})
            for recorder in recorders.values():
                recorder.seen = []
        return clips

    def _voice(self, index: int) -> str:
        return self.bundle.voices[index % len(self.bundle.voices)].name

    def runner(self, engine: str, graph: str, data: bytes, hops: int = 1) -> Runner:
        """Load one graph's file, for a stream of its own."""
        return _GraphRunner(load_graph(self.overlay(engine, {graph: data}), graph, engine, hops))

    def calls(self, graph: str, part: str, hops: int = 1) -> Iterator[Calls]:
        """Yield the calls of every clip of a part."""
        streamed = [spec.shape[0] == -1 for spec in self.bundle.graphs[graph].inputs]
        for clip in self._calls[part]:
            single = clip[graph]
            if hops == 1:
                yield single
                continue
            yield [
                tuple(
                    np.concatenate(column) if moves else column[0]
                    for column, moves in zip(zip(*single[k : k + hops], strict=True), streamed, strict=True)
                )
                for k in range(0, len(single) - hops + 1, hops)
            ]

    def output_names(self, graph: str) -> tuple[str, ...]:
        """Return the names of a graph's outputs without states."""
        return tuple(spec.name for spec in self.bundle.graphs[graph].outputs)

    def _convert(self, converter: VoiceConverter) -> list[FloatArray]:
        return [converter.convert(samples, self._voice(i)) for i, (_, samples) in enumerate(self.speech.held_out)]

    def signature_feeds(self, engine: str, graph: str, count: int) -> dict[str, list[dict[str, FloatArray]]]:
        """Return inputs and states of some calls of the calibration speech, for every number of hops."""
        feeds: dict[str, list[dict[str, FloatArray]]] = {}
        spec = self.bundle.graphs[graph]
        for hops in self.hops:
            clips = list(self.calls(graph, "calibration", hops))
            step = max(1, sum(map(len, clips)) // count)
            kept: list[dict[str, FloatArray]] = []
            position = 0
            for calls in clips:
                loaded = load_graph(self.overlay(engine, {}), graph, engine, hops)
                state = loaded.new_state()
                for inputs in calls:
                    if position % step == 0:
                        named = {tensor.name: value for tensor, value in zip(spec.inputs, inputs, strict=True)}
                        kept.append(named | {f"state_{key}_in": value for key, value in state.arrays().items()})
                    loaded.run(state, *inputs)
                    position += 1
            feeds[f"hops{hops}"] = kept
        return feeds

    def audio(self, engine: str, files: Files) -> list[FloatArray]:
        """Convert the held-out clips."""
        return self._convert(self.converter(engine, files, self.hops[-1]))

    def float_audio(self, engine: str) -> list[FloatArray]:
        """Return what the float model makes of the held-out clips."""
        key = (engine, self.hops[-1])
        if key not in self._audio:
            self._audio[key] = self.audio(engine, self.float_files[engine])
        return self._audio[key]

    def audio_figures(self, engine: str, files: Files) -> dict[str, float]:
        """Return snr (dB) and mel (mean |difference| of the log-mel) of the converted held-out speech."""
        exact, found = self.float_audio(engine), self.audio(engine, files)
        return {
            "snr": sqnr_db(np.concatenate(exact), np.concatenate(found)),
            "mel": mel_distance(exact, found),
        }

    def drift(self, engine: str, files: Files, minutes: int, progress: Callable[[float], None]) -> tuple[float, ...]:
        """Return the log-mel distance from the float model in each minute of one stream, its minutes alike."""
        voice = self._voice(0)
        hops = self.hops[-1]
        streams = [self.converter(engine, chosen, hops).stream(voice) for chosen in (self.float_files[engine], files)]
        minute = one_minute(self.speech)
        distances = []
        for index in range(minutes):
            exact, found = (stream.process(minute) for stream in streams)
            distances.append(mel_distance([exact], [found]))
            progress((index + 1) / minutes)
        return tuple(distances)


def one_minute(speech: Speech) -> FloatArray:
    """Return a minute of the held-out clips, and of the others where they are too short, repeated if need be."""
    joined = np.concatenate([samples for _, samples in (*speech.held_out, *speech.calibration)])
    return np.resize(joined, 60 * SAMPLE_RATE).astype(np.float32)


def mel_distance(exact: Sequence[FloatArray], found: Sequence[FloatArray]) -> float:
    """Return the mean absolute difference of two signals' log-mel, natural logarithm of power: 0.1 is 0.43 dB.

    Infinite where a signal holds what is no sound.
    """
    total, count = 0.0, 0
    for one, other in zip(exact, found, strict=True):
        if not np.isfinite(other).all():
            return float(np.inf)
        difference = np.abs(LogMel(primed=True).process(one) - LogMel(primed=True).process(other))
        total += float(difference.sum(dtype=np.float64))
        count += difference.size
    return total / max(count, 1)


class OnnxRunner(Runner):
    """A bare graph in ONNX Runtime; also reads inner tensors."""

    def __init__(self, prepared: Prepared, data: bytes, outputs: Sequence[str] | None = None) -> None:
        """Load; `outputs` in place of the graph's own."""
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineError(f'cannot import onnxruntime: {error}; pip install "edgevc[quantize]"') from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        try:
            self.session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions derive from Exception only
            raise ModelError(f"onnxruntime cannot load {prepared.name}: {str(error)[:300]}; export it again") from error
        self._states = {pair.input: np.zeros(prepared.state_shapes[pair.input], np.float32) for pair in prepared.states}
        self._names = tuple(prepared.inputs)
        self._outputs = tuple(outputs if outputs is not None else prepared.outputs)
        self._pairs = prepared.states
        self._wanted = [*self._outputs, *(pair.output for pair in prepared.states)]

    def run(self, inputs: tuple[NDArray[Any], ...]) -> tuple[FloatArray, ...]:
        """Take one call's inputs; return the outputs without states."""
        feed = dict(zip(self._names, inputs, strict=True)) | self._states
        try:
            values = self.session.run(self._wanted, feed)
        except Exception as error:  # as above
            raise ModelError(f"onnxruntime cannot run the graph: {str(error)[:300]}; see --shape and --feed") from error
        n = len(self._outputs)
        self._states = {pair.input: value for pair, value in zip(self._pairs, values[n:], strict=True)}
        return tuple(values[:n])


class GraphSubject(Subject):
    """A bare ONNX graph with states, fed by adapters from speech."""

    kind = "graph"

    def __init__(self, prepared: Prepared, sha256: str, feeds: Mapping[str, Any], speech: Speech) -> None:
        """`feeds`: input to adapter, see edgevc.quantize.feeds."""
        super().__init__()
        self.prepared, self.speech = prepared, speech
        self.name, self.source_sha256 = prepared.name, sha256
        self.float_files = {"onnx": {prepared.name: prepared.model.SerializeToString()}}
        self.quantizers = {"onnx": {prepared.name: OnnxQuantizer(prepared)}}
        self._feeds = [feeds[name] for name in prepared.inputs]
        self._made = {
            part: [self._inputs_of(samples) for _, samples in getattr(speech, part)]
            for part in ("calibration", "held_out")
        }
        if not any(self._made["calibration"]) or not any(self._made["held_out"]):
            raise ConfigError("the clips are shorter than one call of the graph; give longer recordings")

    def _inputs_of(self, samples: FloatArray) -> list[tuple[NDArray[Any], ...]]:
        return list(zip(*(feed.calls(samples) for feed in self._feeds), strict=False))

    @property
    def hops(self) -> tuple[int, ...]:
        """A bare graph takes what its shape says."""
        return (1,)

    def runner(self, engine: str, graph: str, data: bytes, hops: int = 1) -> Runner:
        """Load the graph's file, for a stream of its own."""
        return OnnxRunner(self.prepared, data)

    def calls(self, graph: str, part: str, hops: int = 1) -> Iterator[Calls]:
        """Yield the calls of every clip of a part."""
        yield from (clip for clip in self._made[part] if clip)

    def output_names(self, graph: str) -> tuple[str, ...]:
        """Return the names of the outputs without states."""
        return self.prepared.outputs

    def audio_figures(self, engine: str, files: Files) -> dict[str, float]:
        """Nothing is heard of a bare graph: what its outputs mean is not known."""
        return {}

    def drift(self, engine: str, files: Files, minutes: int, progress: Callable[[float], None]) -> tuple[float, ...]:
        """Return the relative RMS error of all outputs in each minute of one stream, its minutes alike."""
        calls = self._inputs_of(one_minute(self.speech))
        exact = self.runner(engine, self.name, self.float_files[engine][self.name])
        found = self.runner(engine, self.name, files[self.name])
        errors = []
        # a stream's first minute starts from empty states, all others from full ones: so shall the first here
        for inputs in calls[-len(calls) // 4 :]:
            exact.run(inputs)
            found.run(inputs)
        for index in range(minutes):
            distance = energy = 0.0
            for inputs in calls:
                for one, other in zip(exact.run(inputs), found.run(inputs), strict=True):
                    distance += float(np.sum((one.astype(np.float64) - other) ** 2))
                    energy += float(np.sum(one.astype(np.float64) ** 2))
            errors.append((distance / max(energy, 1e-30)) ** 0.5)
            progress((index + 1) / minutes)
        return tuple(errors)


def default_engines(bundle: ModelBundle) -> tuple[str, ...]:
    """Return the engines that all graphs of a bundle have files for; ONNX Runtime first, its layers name the others."""
    both = [e for e in reversed(ENGINES) if all(e in spec.files for spec in bundle.graphs.values())]
    if not both:
        raise ModelError(f"bundle {bundle.name} has no engine with files for both graphs; export it again")
    return tuple(both)
