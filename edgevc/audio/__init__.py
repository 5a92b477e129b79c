"""Audio files: read, write, mix."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from edgevc.audio.reader import read_audio
from edgevc.audio.source import Source
from edgevc.audio.wav_writer import write_wav


def read(source: Source) -> tuple[NDArray[np.float32], int]:
    """Read a whole audio file: WAV, FLAC or OGG, of any rate and channel count.

    Args:
        source: a path, or a binary file object.

    Returns:
        The mean of all channels, float32 (T,), full scale 1.0; and the sample rate in hertz.

    Raises:
        AudioFileError: the file cannot be read, breaks a rule of its format, is longer than 4.6 hours at 16 kHz, or
            holds NaN or infinity.

    Example:
        >>> import edgevc
        >>> audio, rate = edgevc.read("examples/sentence.wav")
        >>> rate
        16000
    """
    samples, rate, _ = read_audio(source)
    return samples, rate


def write(path: str | os.PathLike[str], samples: NDArray[np.float32], sample_rate: int) -> None:
    """Write a mono WAV file of 16 bits; it appears complete, or not at all, and replaces what was there.

    Args:
        path: where the file shall be.
        samples: float32 (T,), full scale 1.0, finite; what is beyond full scale is clipped.
        sample_rate: hertz, 1000 to 768000.

    Raises:
        TypeError: the samples are not float32.
        ConfigError: the rate or the shape is not allowed, or the samples hold NaN or infinity.
        OutputError: the file cannot be written.

    Example:
        >>> import edgevc, numpy
        >>> edgevc.write("silence.wav", numpy.zeros(1600, numpy.float32), 16000)
    """
    write_wav(path, samples, sample_rate)
