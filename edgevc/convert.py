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
from edgevc.audio.content_credentials import ContentCredentials
from edgevc.audio.pcm import pcm16_blocks
from edgevc.audio.provenance import Provenance
from edgevc.audio.rates import resampler_to_16k
from edgevc.audio.reader import AudioReader
from edgevc.audio.wav_writer import encode_pcm16
from edgevc.audio.writers import check_writable_kind, open_writer
from edgevc.converter import ConverterStream, VoiceConverter
from edgevc.converter.aligned import AlignedStream
from edgevc.errors import OutputError
from edgevc.files import refuse_shared_files
from edgevc.limits import SAMPLE_RATE
from edgevc.pipes import write_all

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
    blocks: Iterator[NDArray[np.float32]], sample_rate: int, stream: ConverterStream, name: str
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], float]]:
    """Yields (input block, 16 kHz output, seconds spent); all outputs together line up with all inputs."""
    resampler = resampler_to_16k(sample_rate, name) if sample_rate != SAMPLE_RATE else None
    aligned = AlignedStream(stream, sample_rate, resampler)
    for block in blocks:
        started = time.perf_counter()
        output = aligned.process(block)
        yield block, output, time.perf_counter() - started
    started = time.perf_counter()
    output = aligned.finish()
    yield np.zeros(0, np.float32), output, time.perf_counter() - started


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
    listen: Callable[[NDArray[np.float32], int], None] | None = None,
    credentials: ContentCredentials | None = None,
    durable: bool = True,
) -> ConversionReport:
    """Convert one audio file of any rate and channel count to a 16 kHz mono file that lines up with it.

    Args:
        source: WAV, FLAC or OGG (the last two need soundfile); it is opened once, so that a pipe will do for WAV.
        target: a .wav, .flac or .opus file (the last two need soundfile); it appears when it is complete.
        stream: fresh; it is fresh again afterwards.
        overwrite: replace an existing target.
        progress: told the seconds converted so far and in all.
        backing: accompaniment that starts with the recording and is mixed in; it ends with the recording at the latest.
        listen: given each block of the source, float32 (T,), and its rate in hertz.
        credentials: sign the target with these, and let it hold a C2PA manifest.
        durable: the disk has the target before it takes its name; False where the caller sees to that for many files.

    Raises:
        AudioFileError: the source or the accompaniment cannot be read.
        OutputError: the target exists or cannot be written.
        ConfigError: target is no .wav, .flac or .opus file, or is the source or the accompaniment; or the credentials
            cannot sign it.
    """
    check_target(source, target, overwrite=overwrite, backing=backing.path if backing else None)
    stream.reset()
    level_in, level_out = _Meter(), _Meter()
    seconds = spent = 0.0
    provenance = Provenance.of_conversion(stream.converter.made_with, marked=stream.settings.mark)

    def seal(whole: BinaryIO, signed: BinaryIO) -> None:
        if credentials is not None:
            credentials.sign(whole, signed, provenance)

    with (
        AudioReader(source) as reader,
        open_writer(target, SAMPLE_RATE, provenance, seal if credentials else None, durable=durable) as writer,
    ):
        rate = reader.sample_rate
        total = None if reader.n_samples is None else reader.n_samples / rate
        # what comes here lines up with the recording already
        mixer = _Mixer(backing, delay=0)
        skip = mixer.latency
        for block, voice, took in _convert_blocks(reader.blocks(BLOCK_SIZE), rate, stream, reader.name):
            if listen is not None:
                listen(block, rate)
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


def check_target(source: Path, target: Path, *, overwrite: bool, backing: Path | None = None) -> None:
    """Refuse an output that cannot be meant.

    Raises:
        OutputError: target exists and may not be replaced.
        ConfigError: target is no .wav, .flac or .opus file, or is the source or the accompaniment.
    """
    check_writable_kind(target)
    inputs = [("the input", source)] + ([("the accompaniment", backing)] if backing else [])
    refuse_shared_files(inputs, [("the output", target)])
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
    by as much, and both by 1 ms more, the limiter's. Both pipes may be non-blocking.

    Raises:
        AudioFileError: the input is an audio file with a header, or the accompaniment cannot be read.
    """
    resampler = resampler_to_16k(sample_rate, "raw input") if sample_rate != SAMPLE_RATE else None
    mixer = _Mixer(backing, stream.latency + (resampler.latency if resampler else 0))
    level_in, level_out = _Meter(), _Meter()
    n_samples, spent = 0, 0.0
    for samples in pcm16_blocks(source, round(sample_rate * stream.converter.hop_length / SAMPLE_RATE)):
        started = time.perf_counter()
        output = mixer.process(stream.process(resampler.process(samples) if resampler else samples))
        spent += time.perf_counter() - started
        n_samples += len(samples)
        level_in.add(samples)
        level_out.add(output)
        write_all(target, encode_pcm16(output))
    tail = stream.process(resampler.flush()) if resampler else np.zeros(0, np.float32)
    output = np.concatenate([mixer.process(np.concatenate([tail, stream.flush()])), mixer.flush()])
    level_out.add(output)
    write_all(target, encode_pcm16(output))
    return ConversionReport(n_samples / sample_rate, spent, level_in.db, level_out.db)


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
