"""Takes phones from the audio thread to the control socket: bounded, never waiting, and what is lost is counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgevc.limits import HOP_LENGTH

CAPACITY_HOPS = 200
"""Two seconds."""


class PhoneChunk(Protocol):
    """What the queue needs of a chunk of the session."""

    @property
    def position(self) -> int:
        """Samples at 16 kHz before the chunk."""
        ...

    @property
    def phones(self) -> NDArray[np.float32] | None:
        """Log-probabilities, float32 (hops, n_phones); None where the encoder did not run, such as in bypass."""
        ...


class HasTaps(Protocol):
    """What the queue needs of a session."""

    def add_tap(self, tap: Any) -> None:
        """Give `tap.on_chunk` every chunk from now on."""
        ...

    def remove_tap(self, tap: Any) -> None:
        """Give it nothing more."""
        ...


class PhoneQueue:
    """One thread puts, another takes; while somebody wants phones it is a tap of the session.

    Neither waits for the other: each writes a counter of its own, and a slot is written before its counter moves.
    """

    def __init__(self, session: HasTaps, names: Sequence[str]) -> None:
        """`names` are those of the phones of a hop, in the order in which a chunk has them."""
        self.names = tuple(names)
        self._session = session
        self._values = np.zeros((CAPACITY_HOPS, len(self.names)), np.float32)
        self._positions = np.zeros(CAPACITY_HOPS, np.int64)
        self._put = 0
        self._taken = 0
        self._wanted = False
        self.dropped = 0
        """Hops that found no room since the queue was made."""

    @property
    def waiting(self) -> int:
        """Hops that were put and not taken yet."""
        return self._put - self._taken

    def want(self, wanted: bool) -> None:
        """Begin with what comes from now on, or take nothing; called by the thread that takes."""
        if wanted == self._wanted:
            return
        self._wanted = wanted
        if wanted:
            self._taken = self._put
            self._session.add_tap(self)
        else:
            self._session.remove_tap(self)

    def on_chunk(self, chunk: PhoneChunk) -> None:
        """Put the hops of a chunk, or count those that find no room; called by the audio thread."""
        phones = chunk.phones
        if phones is None:
            return
        for i in range(len(phones)):
            if self._put - self._taken >= CAPACITY_HOPS:
                self.dropped += len(phones) - i
                return
            slot = self._put % CAPACITY_HOPS
            self._values[slot] = phones[i]
            self._positions[slot] = chunk.position + i * HOP_LENGTH
            self._put += 1

    def take(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return what waits: position of each hop in samples, int64 (hops,), and values, float32 (hops, n)."""
        slots = np.arange(self._taken, self._put) % CAPACITY_HOPS
        positions, values = self._positions[slots], self._values[slots]
        self._taken += len(slots)
        return positions, values
