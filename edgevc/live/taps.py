"""What hears along with a live session: recorders, spoken commands, whoever wants the sound or the phones of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Chunk:
    """What went through the voice chain in one call; the arrays must not be written to."""

    position: int
    """Samples at 16 kHz that went through before it."""
    dry: NDArray[np.float32]
    """What the microphone brought, float32 (n * 160,), full scale 1; bad samples are zeros."""
    wet: NDArray[np.float32]
    """What is heard, float32 (n * 160,), within [-1, 1]; later than `dry` by the chain's latency."""
    phones: NDArray[np.float32] | None
    """Log-probabilities of the phones, float32 (hops, n_phones); None where the encoder did not run."""
    mode: str
    """convert, bypass or mute."""


class Tap(Protocol):
    """Hangs on the voice chain and is given every chunk.

    It is called by the thread that the sound waits for. So it must neither wait nor compute: it puts the chunk into a
    bounded queue and counts what finds no room there. One that raises is taken off.
    """

    def on_chunk(self, chunk: Chunk) -> None:
        """Take a chunk; return within microseconds."""
        ...
