"""Times the converter on this machine, hop by hop and part by part."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevc.converter.model import VoiceConverter
from edgevc.engines import Graph, GraphState
from edgevc.limits import SAMPLE_RATE
from edgevc.percentiles import Percentiles


@dataclass(frozen=True)
class BenchReport:
    """What `edgevc bench` measured."""

    engine: str
    chunk_hops: int
    chunk: Percentiles
    """Whole chain, milliseconds per call."""
    parts: dict[str, Percentiles]
    """Part of the chain to its milliseconds per call; together they are the whole chain."""
    rtf: float
    """Mean processing time / audio time."""
    peak_rss_mb: float
    """Of this process, since its start."""


def speech_like(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Pulses with a moving pitch in bursts: keeps every part of the chain as busy as speech does."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(140 + 40 * np.sin(2 * np.pi * 0.7 * t)) / SAMPLE_RATE
    pulses = sum(np.sin(k * phase) / k for k in range(1, 20)) * (np.sin(2 * np.pi * 2.5 * t) > -0.5)
    return (0.08 * pulses + 0.003 * rng.standard_normal(len(t))).astype(np.float32)


def bench(converter: VoiceConverter, voice: str, seconds: float = 20.0) -> BenchReport:
    """Measure the converter on one thread.

    Args:
        converter: engine and chunk size are its own.
        voice: a name from the bundle.
        seconds: of audio to convert.
    """
    samples = speech_like(seconds)
    stream = converter.stream(voice)
    n = converter.hop_length * converter.chunk_hops
    chunks = [samples[i : i + n] for i in range(0, len(samples) - n + 1, n)]
    for chunk in chunks[:50]:
        stream.process(chunk)
    times = []
    for chunk in chunks:
        started = time.perf_counter()
        stream.process(chunk)
        times.append(time.perf_counter() - started)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return BenchReport(
        converter.engine,
        converter.chunk_hops,
        Percentiles.of(times, 1000),
        _parts(converter, voice, chunks),
        sum(times) / (len(times) * n / SAMPLE_RATE),
        rss,
    )


class _TimedGraph(Graph):
    """Runs a graph and remembers how long each call took."""

    def __init__(self, inner: Graph) -> None:
        super().__init__(inner.spec, inner.engine, inner.engine_version, inner.chunk_hops)
        self._inner = inner
        self.seconds: list[float] = []

    def new_state(self) -> GraphState:
        return self._inner.new_state()

    def run(self, state: GraphState, *inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        started = time.perf_counter()
        outputs = self._inner.run(state, *inputs)
        self.seconds.append(time.perf_counter() - started)
        return outputs


def _parts(converter: VoiceConverter, voice: str, chunks: list[NDArray[np.float32]]) -> dict[str, Percentiles]:
    """Time the two halves of the chain and the graph in each; what is left of a half is its signal processing."""
    encoder, decoder = _TimedGraph(converter.encoder), _TimedGraph(converter.decoder)
    twin = VoiceConverter.of_graphs(converter.bundle, encoder, decoder)
    listener, speaker = twin.listener(), twin.speaker(voice)
    output = np.zeros(listener.chunk_samples, np.float32)
    hearing, speaking = [], []
    for chunk in chunks:
        started = time.perf_counter()
        heard = listener.hear(chunk)
        between = time.perf_counter()
        speaker.speak(heard, output)
        hearing.append(between - started)
        speaking.append(time.perf_counter() - between)
    times = {
        "features and pitch": np.subtract(hearing, encoder.seconds),
        "encoder": np.array(encoder.seconds),
        "decoder": np.array(decoder.seconds),
        "gate and synthesis": np.subtract(speaking, decoder.seconds),
    }
    return {name: Percentiles.of(values, 1000) for name, values in times.items()}
