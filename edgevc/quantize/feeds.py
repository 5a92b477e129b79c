"""From speech to the inputs of a bare graph: samples, magnitudes, log-mel frames or a constant, call by call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevc.dsp.features import LogMel
from edgevc.errors import ConfigError
from edgevc.quantize.layers import FloatArray
from edgevc.quantize.prepare import Prepared

KINDS = ("samples", "magnitude", "logmel", "zeros", "ones")


@dataclass(frozen=True)
class Feed:
    """Makes one input."""

    kind: str
    shape: tuple[int, ...]
    hop: int
    """Samples between calls."""

    def __str__(self) -> str:
        """As --feed takes it."""
        return f"{self.kind}:{self.hop}" if self.kind in ("samples", "magnitude") else self.kind

    def calls(self, samples: FloatArray) -> Iterator[NDArray[Any]]:
        """Yield one array of `shape` for each call that the samples fill; constants never end."""
        width = self.shape[-1] if self.shape else 1
        if self.kind in ("zeros", "ones"):
            constant = np.full(self.shape, float(self.kind == "ones"), np.float32)
            while True:
                yield constant
        if self.kind == "logmel":
            frames = LogMel(primed=True).process(samples)
            rows = int(np.prod(self.shape[:-1]))
            for k in range(0, len(frames) - rows + 1, rows):
                yield frames[k : k + rows].reshape(self.shape)
            return
        # the window ends with the newest sample; before the first there is silence
        window = 2 * (width - 1) if self.kind == "magnitude" else int(np.prod(self.shape))
        padded = np.concatenate([np.zeros(max(0, window - self.hop), np.float32), samples])
        for start in range(0, len(padded) - window + 1, self.hop):
            block = padded[start : start + window]
            if self.kind == "magnitude":
                block = np.abs(np.fft.rfft(block))
            yield block.astype(np.float32).reshape(self.shape)


def choose_feeds(prepared: Prepared, wanted: Mapping[str, str]) -> dict[str, Feed]:
    """Return an adapter for every input, as asked for or as its shape suggests.

    80 wide is a log-mel frame, 2^k + 1 wide a magnitude spectrum with a quarter of its window as hop, all else samples
    without overlap.

    Args:
        prepared: the graph.
        wanted: input to KIND or KIND:HOP.

    Raises:
        ConfigError: an unknown name or kind, or a shape that it does not fit.
    """
    for name in wanted:
        if name not in prepared.inputs:
            raise ConfigError(f"--feed {name}: no such input; known: {', '.join(prepared.inputs)}")
    feeds = {name: _feed(name, shape, wanted.get(name, "")) for name, shape in prepared.inputs.items()}
    if all(feed.kind in ("zeros", "ones") for feed in feeds.values()):
        raise ConfigError("--feed: at least one input must come from the speech, all are constant")
    return feeds


def _feed(name: str, shape: tuple[int, ...], text: str) -> Feed:
    width = shape[-1] if shape else 1
    spectrum = width > 2 and (width - 1) & (width - 2) == 0
    kind, _, hop_text = text.partition(":")
    if not kind:
        kind = "logmel" if width == LogMel().n_mels else "magnitude" if spectrum else "samples"
    if kind not in KINDS:
        raise ConfigError(f"--feed {name} must be one of {', '.join(KINDS)}, samples:HOP or a number, got {text!r}")
    if kind == "logmel" and width != LogMel().n_mels:
        raise ConfigError(f"--feed {name}=logmel needs {LogMel().n_mels} as last size, the input has {width}")
    if kind == "magnitude" and (width < 3 or int(np.prod(shape)) != width):
        raise ConfigError(f"--feed {name}=magnitude needs one spectrum per call, the input has shape {shape}")
    default = (width - 1) // 2 if kind == "magnitude" else int(np.prod(shape))
    try:
        hop = int(hop_text) if hop_text else default
    except ValueError as error:
        raise ConfigError(f"--feed {name}: the hop must be a number of samples, got {hop_text!r}") from error
    window = 2 * (width - 1) if kind == "magnitude" else int(np.prod(shape))
    if kind in ("samples", "magnitude") and not 1 <= hop <= window:
        raise ConfigError(f"--feed {name}: the hop must be within 1..{window}, got {hop}")
    return Feed(kind, shape, hop)
