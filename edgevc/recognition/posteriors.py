"""Log-posteriors of phones for whole recordings, from the half of a converter that hears."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevc.bundle import ModelBundle
from edgevc.converter.fits import require_fit
from edgevc.converter.listener import Listener
from edgevc.engines import choose_engine, load_graph


class PhonePosteriors:
    """The encoder of a bundle as a function from samples to posteriors; every call is a new stream.

    A live stream takes `Listener.hear` itself, chunk by chunk.
    """

    def __init__(self, bundle: ModelBundle, engine: str = "auto") -> None:
        """Load the encoder with the longest chunk that it takes: the values are those of single hops, sooner.

        Raises:
            EngineError, ModelError: as `edgevc.engines.load_graph`, or the front end is another one.
        """
        require_fit(bundle)
        self.engine = choose_engine(bundle, engine)
        self.phones = bundle.phones
        self.hop_length = bundle.features.hop_length
        self.latency = bundle.latency.latency_samples
        self._chunk = max(bundle.graphs["encoder"].chunk_hops)
        # a recording's samples as they are: a microphone's rumble is taken away where there is a microphone
        self._listener = Listener(bundle, load_graph(bundle, "encoder", self.engine, self._chunk), high_pass=False)

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return natural logs of phone probabilities, (L, n_phones), for samples (T,) at the bundle's rate.

        The stream's delay is taken off in whole hops (`centres` says what is left), and silence is fed behind the end
        until the last sound has come out, so L is T // hop_length.
        """
        n_frames = len(samples) // self.hop_length
        # output m is centred at hop_length * (m + 1) - latency
        first = round(self.latency / self.hop_length) - 1
        n_hops = -(-(first + n_frames) // self._chunk) * self._chunk
        padded = np.zeros(n_hops * self.hop_length, np.float32)
        kept = min(len(samples), len(padded))
        padded[:kept] = samples[:kept]
        self._listener.reset()
        out = np.empty((n_hops, len(self.phones)), np.float32)
        for start in range(0, n_hops, self._chunk):
            chunk = padded[start * self.hop_length : (start + self._chunk) * self.hop_length]
            out[start : start + self._chunk] = self._listener.hear(chunk).phones
        return out[first : first + n_frames]

    def centres(self, n_frames: int) -> NDArray[np.int64]:
        """Return the sample that each frame of a result is centred at, (n_frames,)."""
        first = round(self.latency / self.hop_length) - 1
        return self.hop_length * (np.arange(n_frames) + first + 1) - self.latency
