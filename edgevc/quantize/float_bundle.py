"""A float bundle: both graphs are fed by the real chain, log-mel, pitch, encoder, decoder with a voice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from edgevc.bundle import ENGINES, ModelBundle
from edgevc.converter import VoiceConverter
from edgevc.engines import Graph, GraphState, load_graph
from edgevc.engines.probe import probe_graphs
from edgevc.errors import ConfigError, ModelError
from edgevc.quantize.dataset import Dataset
from edgevc.quantize.float_model import Files, FloatModel, mel_distance, one_minute
from edgevc.quantize.graph_file import find_states, read_onnx
from edgevc.quantize.layers import FloatArray, sizes, sqnr_db
from edgevc.quantize.prepare import Prepared, describe
from edgevc.quantize.runners import Calls, EngineRunner, Runner
from edgevc.quantize.schemes.onnx import OnnxQuantizer


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


class FloatBundle(FloatModel):
    """A float bundle: both graphs are fed by the real chain, log-mel, pitch, encoder, decoder with a voice."""

    kind = "bundle"

    def __init__(self, bundle: ModelBundle, engines: Sequence[str], dataset: Dataset) -> None:
        """Find the layers of every engine's graphs, and play the speech once to learn what the graphs see."""
        super().__init__()
        self.bundle, self.dataset, self.material = bundle, dataset, dataset.material
        self.name, self.source_sha256 = bundle.name, bundle.sha256
        missing = [e for e in engines if any(e not in spec.files for spec in bundle.graphs.values())]
        if missing:
            raise ConfigError(f"bundle {bundle.name} has no files for {', '.join(missing)}; choose another --engine")
        self.float_files = {
            engine: {name: bundle.read(spec.files[engine]) for name, spec in bundle.graphs.items()}
            for engine in engines
        }
        for engine, files in self.float_files.items():
            # nobody vouched for them: a child loads them first
            probe_graphs({bundle.graphs[name].files[engine]: data for name, data in files.items()}, engine, self.hops)
        self.source_bytes = {engine: sizes(files) for engine, files in self.float_files.items()}
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

    def overlay(self, engine: str, files: Files) -> ModelBundle:
        """Return the bundle with these graph files in place of its own."""
        return self.bundle.with_files({self.bundle.graphs[name].files[engine]: data for name, data in files.items()})

    def converter(self, engine: str, files: Files, hops: int) -> VoiceConverter:
        """Return a converter of a candidate."""
        bundle = self.overlay(engine, files)
        encoder, decoder = (load_graph(bundle, name, engine, hops) for name in ("encoder", "decoder"))
        # its golden vectors do not exist yet
        return VoiceConverter.of_graphs(bundle, encoder, decoder)

    def _record(self, part: str) -> list[dict[str, list[tuple[FloatArray, ...]]]]:
        engine = self.engines[0]
        converter = self.converter(engine, self.float_files[engine], self.hops[0])
        recorders = {"encoder": _Recorder(converter.encoder), "decoder": _Recorder(converter.decoder)}
        converter = VoiceConverter.of_graphs(converter.bundle, recorders["encoder"], recorders["decoder"])
        clips = []
        for i, (_, samples) in enumerate(getattr(self.dataset, part)):
            converter.stream(self._voice(i)).process(samples)
            clips.append({name: recorder.seen for name, recorder in recorders.items()})
            for recorder in recorders.values():
                recorder.seen = []
        return clips

    def _voice(self, index: int) -> str:
        return self.bundle.voices[index % len(self.bundle.voices)].name

    def runner(self, engine: str, graph: str, data: bytes, hops: int | None = None) -> Runner:
        """Load one graph's file, for a stream of its own."""
        return EngineRunner(load_graph(self.overlay(engine, {graph: data}), graph, engine, hops or self.hops[0]))

    def calls(self, graph: str, part: str, hops: int | None = None) -> Iterator[Calls]:
        """Yield the calls of every clip of a part."""
        streamed = [spec.shape[0] == -1 for spec in self.bundle.graphs[graph].inputs]
        for clip in self._calls[part]:
            single = clip[graph]
            if hops in (None, self.hops[0]):
                yield single
                continue
            together = hops // self.hops[0]
            yield [
                tuple(
                    np.concatenate(column) if moves else column[0]
                    for column, moves in zip(zip(*single[k : k + together], strict=True), streamed, strict=True)
                )
                for k in range(0, len(single) - together + 1, together)
            ]

    def output_names(self, graph: str) -> tuple[str, ...]:
        """Return the names of a graph's outputs without states."""
        return tuple(spec.name for spec in self.bundle.graphs[graph].outputs)

    def _convert(self, converter: VoiceConverter) -> list[FloatArray]:
        return [converter.convert(samples, self._voice(i)) for i, (_, samples) in enumerate(self.dataset.held_out)]

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
        minute = one_minute(self.dataset)
        distances = []
        for index in range(minutes):
            exact, found = (stream.process(minute) for stream in streams)
            distances.append(mel_distance([exact], [found]))
            progress((index + 1) / minutes)
        return tuple(distances)


def default_engines(bundle: ModelBundle) -> tuple[str, ...]:
    """Return the engines that all graphs of a bundle have files for; ONNX Runtime first, its layers name the others."""
    both = [e for e in reversed(ENGINES) if all(e in spec.files for spec in bundle.graphs.values())]
    if not both:
        raise ModelError(f"bundle {bundle.name} has no engine with files for both graphs; export it again")
    return tuple(both)
