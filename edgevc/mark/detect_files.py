"""Looks for the watermark in files of any length, block by block."""

from __future__ import annotations

from pathlib import Path

from edgevc.audio.rates import resampler_to_16k
from edgevc.audio.reader import AudioReader
from edgevc.errors import AudioFileError, ConfigError
from edgevc.limits import SAMPLE_RATE
from edgevc.mark.detector import Detection, MarkDetector

_BLOCK_SAMPLES = 65_536


def detect_file(path: Path, *, search: bool = False) -> Detection:
    """Look for the watermark in a file, block by block.

    Raises:
        AudioFileError: it cannot be read, or is too short.
    """
    detector = MarkDetector(search=search)
    with AudioReader(path) as reader:
        rate = reader.sample_rate
        resampler = None if rate == SAMPLE_RATE else resampler_to_16k(rate, reader.name)
        for block in reader.blocks(_BLOCK_SAMPLES):
            detector.process(block if resampler is None else resampler.process(block))
        if resampler is not None:
            detector.process(resampler.flush())
    try:
        return detector.finish()
    except ConfigError as error:
        raise AudioFileError(f"{path}: {error}") from error
