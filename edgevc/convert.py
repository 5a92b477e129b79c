"""Converts audio files and raw streams, block by block, so that memory stays flat."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgevc import _core
from edgevc.audio.backing import BackingTrack
from edgevc.audio.reader import AudioReader
from edgevc.audio.wav_writer import WavWriter
from edgevc.converter import SAMPLE_RATE, ConverterStream, VoiceConverter
from edgevc.dsp.resample import MAX_RATE, MIN_RATE, Resampler
from edgevc.errors import AudioFileError, ConfigError, OutputError

SUFFIXES = (".wav", ".flac", ".ogg")
"""Files that a folder conversion takes."""
BLOCK_SIZE = 16_384
"""Samples read at once."""

Progress = Callable[[float, "float | None"], None]
"""Called with the seconds converted so far and the seconds of the whole file, None where its header does not say."""


@dataclass(frozen=True)
class ConversionReport:
    """What one conversion took and gave."""

    seconds: float
    """Of audio."""
    processing_seconds: float
    """Spent in resampling and conversion, reading and writing left out."""
    level_in_db: float
    """RMS, dBFS."""
    level_out_db: float
    """RMS, dBFS."""

    @property
    def rtf(self) -> float:
        """Real-time factor, processing time / audio time: below 1 is fast enough."""
        return self.processing_seconds / self.seconds if self.seconds else 0.0


class _Meter:
    """Running RMS level."""

    def __init__(self) -> None:
        self._energy = 0.0
        self._count = 0

    def add(self, samples: NDArray[np.float32]) -> None:
        self._energy += float(np.square(samples, dtype=np.float64).sum())
        self._count += len(samples)

    @property
    def db(self) -> float:
        """-inf where nothing sounded."""
        return 10 * math.log10(self._energy / self._count) if self._energy > 0 else -math.inf


def _convert_blocks(
    blocks: Iterator[NDArray[np.float32]], sample_rate: int, stream: ConverterStream
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], float]]:
    """Yields (input block, 16 kHz output, seconds spent); all outputs together line up with all inputs."""
    resampler = Resampler(sample_rate, SAMPLE_RATE) if sample_rate != SAMPLE_RATE else None
    # what the resampler and the converter delay is dropped at the start and fetched by flushing at the end
    skip = stream.latency + (resampler.latency if resampler else 0)
    n_in = n_out = 0
    for block in blocks:
        started = time.perf_counter()
        output = stream.process(resampler.process(block) if resampler else block)
        dropped = min(skip, len(output))
        skip -= dropped
        output = output[dropped:]
        spent = time.perf_counter() - started
        n_in += len(block)
        n_out += len(output)
        yield block, output, spent
    started = time.perf_counter()
    tail = [stream.process(resampler.flush())] if resampler else []
    output = np.concatenate([*tail, stream.flush()])[skip:]
    wanted = round(n_in * SAMPLE_RATE / sample_rate) - n_out
    yield np.zeros(0, np.float32), output[:wanted], time.perf_counter() - started


class _Mixer:
    """Adds an accompaniment to the voice and keeps the sum below full scale; without one, lets the voice through."""

    def __init__(self, backing: BackingTrack | None, delay: int) -> None:
        self._backing = backing
        self._limiter = _core.Limiter(SAMPLE_RATE)
        self.latency = 0 if backing is None else self._limiter.latency
        if backing is not None:
            backing.restart(delay)

    def process(self, voice: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._backing is None:
            return voice
        mixed: NDArray[np.float32] = voice.copy()
        self._backing.mix_into(mixed)
        self._limiter.process_into(mixed, mixed)
        return mixed

    def flush(self) -> NDArray[np.float32]:
        """What the limiter still holds."""
        rest: NDArray[np.float32] = self._limiter.process(np.zeros(self.latency, np.float32))
        return rest


def convert_file(
    source: Path,
    target: Path,
    stream: ConverterStream,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    backing: BackingTrack | None = None,
) -> ConversionReport:
    """Convert one audio file of any rate and channel count to a 16 kHz mono WAV file that lines up with it.

    Args:
        source: WAV, FLAC or OGG (the last two need soundfile).
        target: a .wav file; it appears when it is complete.
        stream: fresh; it is fresh again afterwards.
        overwrite: replace an existing target.
        progress: told the seconds converted so far and in all.
        backing: accompaniment that starts with the recording and is mixed in; it ends with the recording at the latest.

    Raises:
        AudioFileError: the source cannot be read, or the target exists or cannot be written.
        ConfigError: target is not a .wav file, or is the source.
    """
    check_target(source, target, overwrite=overwrite)
    stream.reset()
    level_in, level_out = _Meter(), _Meter()
    seconds = spent = 0.0
    with AudioReader(source) as reader, WavWriter(target, SAMPLE_RATE) as writer:
        rate = reader.sample_rate
        if not MIN_RATE <= rate <= MAX_RATE:
            raise AudioFileError(f"{source}: sample rate must be in [{MIN_RATE}, {MAX_RATE}] Hz, got {rate}")
        total = None if reader.n_samples is None else reader.n_samples / rate
        # what comes here lines up with the recording already
        mixer = _Mixer(backing, delay=0)
        skip = mixer.latency
        for block, voice, took in _convert_blocks(reader.blocks(BLOCK_SIZE), rate, stream):
            output = mixer.process(voice)
            writer.write(output[skip:])
            skip -= min(skip, len(output))
            level_in.add(block)
            level_out.add(output)
            spent += took
            seconds += len(block) / rate
            if progress is not None:
                progress(seconds, total)
        writer.write(mixer.flush()[skip:])
    return ConversionReport(seconds, spent, level_in.db, level_out.db)


def check_target(source: Path, target: Path, *, overwrite: bool) -> None:
    """Refuse an output that cannot be meant.

    Raises:
        OutputError: target exists and may not be replaced.
        ConfigError: target is not a .wav file, or is the source.
    """
    if target.suffix.lower() != ".wav":
        raise ConfigError(f"the output must be a .wav file, got {target}; edgevc writes WAV only")
    if target.exists() and source.exists() and target.samefile(source):
        raise ConfigError(f"the output must not be the input, got {target} for both; choose another name")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists; give --force to replace it")


def convert_raw(
    source: BinaryIO,
    target: BinaryIO,
    stream: ConverterStream,
    sample_rate: int,
    *,
    backing: BackingTrack | None = None,
) -> ConversionReport:
    """Convert raw 16-bit little-endian mono PCM until the input ends, writing 16 kHz PCM as soon as it is there.

    Unlike a file's, the output keeps the converter's latency: a live stream cannot drop it. An accompaniment is delayed
    by as much, and both by 1 ms more, the limiter's.
    """
    resampler = Resampler(sample_rate, SAMPLE_RATE) if sample_rate != SAMPLE_RATE else None
    mixer = _Mixer(backing, stream.latency + (resampler.latency if resampler else 0))
    level_in, level_out = _Meter(), _Meter()
    hop_bytes = 2 * round(sample_rate * stream.converter.hop_length / SAMPLE_RATE)
    n_samples, spent, rest = 0, 0.0, b""
    # read1 returns what a pipe holds instead of waiting for a whole block
    read = getattr(source, "read1", source.read)
    while data := read(hop_bytes):
        data = rest + data
        whole = len(data) // 2 * 2
        rest = data[whole:]
        samples = np.frombuffer(data[:whole], "<i2").astype(np.float32) / np.float32(32768)
        started = time.perf_counter()
        output = mixer.process(stream.process(resampler.process(samples) if resampler else samples))
        spent += time.perf_counter() - started
        n_samples += len(samples)
        level_in.add(samples)
        level_out.add(output)
        _write_pcm(target, output)
    tail = stream.process(resampler.flush()) if resampler else np.zeros(0, np.float32)
    output = np.concatenate([mixer.process(np.concatenate([tail, stream.flush()])), mixer.flush()])
    level_out.add(output)
    _write_pcm(target, output)
    return ConversionReport(n_samples / sample_rate, spent, level_in.db, level_out.db)


def _write_pcm(target: BinaryIO, samples: NDArray[np.float32]) -> None:
    target.write(np.rint(np.clip(samples, -1, 32767 / 32768) * 32768).astype("<i2").tobytes())
    target.flush()


def list_jobs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """Pair every audio file of a folder with its output of the same name; a single file with itself.

    Hidden files are left out, and so is an output folder that lies inside the source.

    Raises:
        AudioFileError: the source does not exist, or the folder holds no audio file.
        ConfigError: two inputs would give the same output, or the folder would be its own output.
    """
    if not source.is_dir():
        if not source.exists():
            raise AudioFileError(f"{source} does not exist; check the path")
        return [(source, target / f"{source.stem}.wav" if target.is_dir() else target)]
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{source} is a folder, so the output must be one too, got the file {target}")
    if target.resolve() == source.resolve():
        raise ConfigError(f"the output folder must not be the input folder, got {target} for both; choose another one")
    files = sorted(path for path in source.rglob("*") if _is_input(path.relative_to(source), path, target))
    if not files:
        raise AudioFileError(f"{source} holds no {', '.join(SUFFIXES)} file; check the path")
    jobs = [(path, (target / path.relative_to(source)).with_suffix(".wav")) for path in files]
    seen: dict[Path, Path] = {}
    for path, output in jobs:
        if output in seen:
            raise ConfigError(f"{seen[output]} and {path} would both become {output}; rename one")
        seen[output] = path
    return jobs


def _is_input(name: Path, path: Path, target: Path) -> bool:
    return (
        path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in name.parts)
        and target not in path.parents
        and path.is_file()
    )


def describe_latency(converter: VoiceConverter) -> str:
    """One line: the algorithmic latency and its parts, in milliseconds."""

    def ms(samples: int) -> str:
        return f"{1000 * samples / SAMPLE_RATE:.1f}"

    hop = converter.hop_length * converter.chunk_hops
    synthesis = converter.bundle.synthesis.segment_length // 2
    analysis = converter.latency - synthesis
    return (
        f"{ms(converter.algorithmic_latency)} ms (chunk {ms(hop)} + analysis and lookahead {ms(analysis)} "
        f"+ synthesis {ms(synthesis)})"
    )
