"""Times the converter on this machine, hop by hop and part by part."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.converter import SAMPLE_RATE, VoiceConverter
from edgevc.dsp.features import LogMel


@dataclass(frozen=True)
class Percentiles:
    """Distribution of a time, in milliseconds."""

    p50: float
    p95: float
    p99: float
    maximum: float

    @classmethod
    def of(cls, seconds: list[float]) -> Percentiles:
        """From single measurements in seconds."""
        p50, p95, p99 = (float(p) * 1000 for p in np.percentile(seconds, [50, 95, 99]))
        return cls(p50, p95, p99, max(seconds) * 1000)


@dataclass(frozen=True)
class BenchReport:
    """What `edgevc bench` measured."""

    engine: str
    chunk_hops: int
    chunk: Percentiles
    """Whole chain, per call."""
    parts: dict[str, Percentiles]
    """Part of the chain to its time per call."""
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
        Percentiles.of(times),
        _parts(converter, voice, chunks),
        sum(times) / (len(times) * n / SAMPLE_RATE),
        rss,
    )


def _parts(converter: VoiceConverter, voice: str, chunks: list[NDArray[np.float32]]) -> dict[str, Percentiles]:
    hops = converter.chunk_hops
    front_end, synthesis = LogMel(primed=True), _core.SourceFilter()
    pitch_spec = converter.bundle.pitch
    tracker = _core.PitchTracker(SAMPLE_RATE, converter.hop_length, pitch_spec.f0_min, pitch_spec.f0_max)
    encoder_state, decoder_state = converter.encoder.new_state(), converter.decoder.new_state()
    conditioning = converter.bundle.voice(voice).conditioning
    log_mel = np.zeros((hops, converter.bundle.features.n_mels), np.float32)
    pitch = np.zeros((hops, 4), np.float32)
    f0 = np.full(hops, 150, np.float32)
    output = np.zeros(hops * converter.hop_length, np.float32)
    times: dict[str, list[float]] = {name: [] for name in ("log-mel", "pitch", "encoder", "decoder", "synthesis")}
    for chunk in chunks:
        marks = [time.perf_counter()]
        front_end.process_into(chunk, log_mel)
        marks.append(time.perf_counter())
        tracker.process(chunk)
        marks.append(time.perf_counter())
        content = converter.encoder.run(encoder_state, log_mel)[0]
        marks.append(time.perf_counter())
        filters = converter.decoder.run(decoder_state, content, pitch, conditioning)[0]
        marks.append(time.perf_counter())
        synthesis.process_into(filters, f0, output)
        marks.append(time.perf_counter())
        for name, spent in zip(times, np.diff(marks).tolist(), strict=True):
            times[name].append(spent)
    return {name: Percentiles.of(values) for name, values in times.items()}
