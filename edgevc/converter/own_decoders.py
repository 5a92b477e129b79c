"""The decoders of voices that did not come with a model, made when they are first asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict

from edgevc.bundle import Adapters, ModelBundle
from edgevc.engines import Graph, load_graph
from edgevc.voices.merge import merged

MOST = 16
"""Decoders that are kept, 4 MB each: those that were asked for last."""


class OwnDecoders:
    """Adapters to a loaded decoder. Any thread may ask."""

    def __init__(self, bundle: ModelBundle, engine: str, chunk_hops: int) -> None:
        """Keep what is needed to load one: the model, the engine and the hops per call."""
        self._bundle, self._engine, self._chunk_hops = bundle, engine, chunk_hops
        self._made: OrderedDict[str, Graph] = OrderedDict()
        self._lock = threading.Lock()

    def decoder(self, adapters: Adapters) -> Graph:
        """Return the decoder with these adapters.

        The model's own decoder has proven on this machine that the engine computes it rightly; this one has the same
        operators and other numbers.

        Raises:
            ModelError: they were made for another decoder.
        """
        with self._lock:
            found = self._made.get(adapters.sha256)
        if found is None:
            # outside the lock: who asks for another one does not wait
            own = merged(self._bundle, adapters, self._engine)
            found = load_graph(own, "decoder", self._engine, self._chunk_hops)
        with self._lock:
            found = self._made.setdefault(adapters.sha256, found)
            self._made.move_to_end(adapters.sha256)
            while len(self._made) > MOST:
                self._made.popitem(last=False)
        return found
