"""What a WAV file says of how it was made, in the chunks LIST/INFO and bext: by which software and model, not of whom.

Sources: RIFF 1991 (Multimedia Programming Interface, INFO list); EBU Tech 3285 (bext, version 1). Neither chunk holds a
date, so that the same input gives the same file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

from edgevc.version import version

_LONGEST = 200
"""Characters of a text; a model may call itself anything."""


@dataclass(frozen=True)
class Provenance:
    """How a sound was made."""

    software: str
    """Name and version, such as "edgevc 0.1.0"."""
    comment: str
    """Such as "voice converted; model default 1.0, sha256 ...; watermark"."""

    @classmethod
    def of_conversion(cls, made_with: str, *, marked: bool) -> Provenance:
        """Return what a converted sound's file says.

        Args:
            made_with: the model, see `VoiceConverter.made_with`.
            marked: whether the sound carries the watermark.
        """
        comment = f"voice converted; {made_with}; {'watermark' if marked else 'no watermark'}"
        return cls(f"edgevc {version()}", comment)

    @classmethod
    def of_recording(cls) -> Provenance:
        """Return what the file of an unconverted recording says."""
        return cls(f"edgevc {version()}", "recorded, not converted")

    @lru_cache(maxsize=16)  # noqa: B019 (small, and asked for with every block that is written)
    def chunks(self, sample_rate: int, width_bits: int) -> bytes:
        """Return the two chunks, as they stand in front of the samples."""
        software, comment = _ascii(self.software), _ascii(self.comment)
        info = b"INFO" + _chunk(b"ISFT", software + b"\0") + _chunk(b"ICMT", comment + b"\0")
        history = f"A=PCM,F={sample_rate},W={width_bits},M=mono,T=".encode() + software + b"\r\n"
        # Description, Originator, OriginatorReference, date, time, two words of time reference, version, UMID, five
        # words of loudness that version 1 leaves empty, and what is reserved.
        bext = struct.pack(
            "<256s32s32s10s8sIIH64s10s180s", comment, software, b"", b"", b"", 0, 0, 1, b"", b"", b""
        )  # fmt: skip
        return _chunk(b"bext", bext + history) + _chunk(b"LIST", info)


def _chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of odd size is followed by one byte that the size does not count."""
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _ascii(text: str) -> bytes:
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text[:_LONGEST]).encode()
