"""Raw PCM samples as float32, and several channels as one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgevc.pipes import MAGIC_BYTES, read_some, refuse_container


def decode_pcm(raw: bytes, width: int) -> NDArray[np.float32]:
    """Return signed little-endian integers of 1 to 4 bytes as float32 (T,), full scale 1.

    Args:
        raw: whole samples.
        width: bytes of a sample.
    """
    samples: NDArray[np.float32]
    if width == 3:
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        # The three bytes become the upper ones of 32 bits, which keeps the sign.
        wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        samples = wide.view("<i4")[:, 0].astype(np.float32) / np.float32(1 << 31)
    else:
        samples = np.frombuffer(raw, f"<i{width}").astype(np.float32) / np.float32(1 << (8 * width - 1))
    return samples


def mean_of_channels(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of the channels, float32 (T,), of frames (T, n_channels)."""
    # float64: the sum of two channels may be beyond float32 although their mean is not.
    return frames[:, 0] if frames.shape[1] == 1 else frames.mean(axis=1, dtype=np.float64).astype(np.float32)


def pcm16_blocks(source: BinaryIO, block_size: int) -> Iterator[NDArray[np.float32]]:
    """Yield raw 16-bit mono samples of a pipe as float32 (T,), as soon as they are there.

    Args:
        source: may be non-blocking.
        block_size: samples that are asked for at once; half a sample at the end is left out.

    Raises:
        AudioFileError: what comes is an audio file with a header.
    """
    rest = b""
    while len(rest) < MAGIC_BYTES and (data := read_some(source, 2 * block_size)):
        rest += data
    refuse_container(rest)
    data = rest
    rest = b""
    while data:
        data = rest + data
        whole = len(data) // 2 * 2
        rest = data[whole:]
        yield decode_pcm(data[:whole], 2)
        data = read_some(source, 2 * block_size)
