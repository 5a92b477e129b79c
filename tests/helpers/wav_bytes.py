"""WAV files put together byte by byte, for tests."""

import struct

import numpy as np

SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")
UNKNOWN_SIZE = 0xFFFFFFFF


def chunk(kind, content, size=None):
    return kind + struct.pack("<I", len(content) if size is None else size) + content + b"\0" * (len(content) % 2)


def fmt(tag, bits, n_channels=1, sample_rate=16_000, extension=b""):
    frame = n_channels * bits // 8
    return chunk(
        b"fmt ", struct.pack("<HHIIHH", tag, n_channels, sample_rate, sample_rate * frame, frame, bits) + extension
    )


def riff(*chunks, magic=b"RIFF", size=None):
    body = b"WAVE" + b"".join(chunks)
    return magic + struct.pack("<I", len(body) if size is None else size) + body


def encode(integers, width):
    if width == 1:
        return (integers + 128).astype(np.uint8).tobytes()
    return b"".join(int(value).to_bytes(width, "little", signed=True) for value in integers)


GOOD_DATA = chunk(b"data", b"\0\0\0\0")
