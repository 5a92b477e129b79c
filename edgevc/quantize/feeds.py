"""From speech, or from recorded calls, to the inputs of a bare graph: one adapter for each input."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevc.dsp.features import LogMel
from edgevc.errors import ConfigError
from edgevc.quantize.graph_file import shape_of
from edgevc.quantize.layers import FloatArray
from edgevc.quantize.prepare import Prepared

KINDS = ("samples", "spectrum", "magnitude", "logmel", "zeros", "ones")
WINDOWS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "sqrt-hann": np.sqrt,
    "hann": lambda hann: hann,
    "hamming": lambda hann: 0.08 + 0.92 * hann,
    "none": np.ones_like,
}
"""Name to the window, computed from the periodic Hann window; the first is the default of a spectrum."""
MAX_CALLS_BYTES = 1 << 30
"""Of a file of recorded calls."""
MIN_BINS, MIN_SAMPLES = 33, 64
"""Below these a shape alone says too little: 40 values may be features, 5 by 2 anything."""
MAX_OVERLAP = 8
"""Calls in which each sample is seen, for a hop to be taken from the size of an output."""


@dataclass(frozen=True)
class Feed:
    """Makes one input."""

    kind: str
    """One of KINDS, or "file"."""
    shape: tuple[int, ...]
    hop: int = 0
    """Samples between calls; 0 where none are taken."""
    window: str = ""
    """Of a spectrum: a name of WINDOWS, or a length in samples."""
    path: str = ""
    recorded: NDArray[Any] | None = None
    """The calls of a file, (n, *shape)."""
    dtype: str = "float32"
    guessed: bool = False
    """From the shape, not asked for."""

    def __str__(self) -> str:
        """As --feed takes it."""
        if self.kind == "file":
            return self.path
        if self.kind == "spectrum":
            return f"{self.kind}:{self.hop}:{self.window}"
        return f"{self.kind}:{self.hop}" if self.hop else self.kind

    @property
    def constant(self) -> bool:
        """Whether it is the same in every call."""
        return self.kind in ("zeros", "ones")

    def calls(self, samples: FloatArray) -> Iterator[NDArray[Any]]:
        """Yield one array of `shape` for each call that the samples fill; constants never end."""
        if self.constant:
            constant = np.full(self.shape, self.kind == "ones", self.dtype)
            while True:
                yield constant
        elif self.kind == "logmel":
            frames = LogMel(primed=True).process(samples)
            rows = math.prod(self.shape[:-1])
            for k in range(0, len(frames) - rows + 1, rows):
                yield frames[k : k + rows].reshape(self.shape)
        else:
            yield from self._blocks(samples)

    def played(self) -> Iterator[NDArray[Any]]:
        """Yield the calls of the file; constants never end."""
        if self.recorded is None:
            yield from self.calls(np.zeros(0, np.float32))
        else:
            for call in self.recorded:
                yield call.astype(self.dtype)

    def _blocks(self, samples: FloatArray) -> Iterator[NDArray[Any]]:
        """Yield what is made of the newest samples; before the first there is silence."""
        layout = spectrum_layout(self.shape) if self.kind == "spectrum" else None
        length = self.needed
        window = _window(self.window, length) if layout else None
        padded = np.concatenate([np.zeros(max(0, length - self.hop), np.float32), samples])
        for start in range(0, len(padded) - length + 1, self.hop):
            block = padded[start : start + length]
            if layout is not None and window is not None:
                yield layout.arrange(np.fft.rfft(block * window)).astype(np.float32)
            elif self.kind == "magnitude":
                yield np.abs(np.fft.rfft(block)).astype(np.float32).reshape(self.shape)
            else:
                yield block.reshape(self.shape)

    @property
    def needed(self) -> int:
        """Samples that one call sees."""
        layout = spectrum_layout(self.shape) if self.kind == "spectrum" else None
        bins = layout.n_bins if layout else math.prod(self.shape) if self.kind == "magnitude" else 0
        return 2 * (bins - 1) if bins else math.prod(self.shape)


@dataclass(frozen=True)
class SpectrumLayout:
    """Where real and imaginary parts lie in an input."""

    shape: tuple[int, ...]
    n_bins: int
    parts_last: bool
    """Whether both parts of a bin are neighbours; else all real parts come first."""

    def arrange(self, spectrum: NDArray[np.complexfloating]) -> NDArray[np.floating]:
        """Return a spectrum (n_bins,) in the input's shape."""
        axis = -1 if self.parts_last else 0
        return np.stack([spectrum.real, spectrum.imag], axis).reshape(self.shape)


def spectrum_layout(shape: tuple[int, ...]) -> SpectrumLayout | None:
    """Return how a complex spectrum fits a shape: an odd number of bins beside a 2, or both parts in one row.

    Examples are (1, 257, 1, 2), (1, 2, 257), and (1, 514) for 257 real, then 257 imaginary parts. None where it fits
    none of them.
    """
    sizes = [size for size in shape if size > 1]
    if len(sizes) == 2 and 2 in sizes:
        bins = max(sizes)
        if bins > 2 and bins % 2:
            return SpectrumLayout(shape, bins, parts_last=sizes[-1] == 2)
    if len(sizes) == 1 and sizes[0] % 2 == 0 and _is_power_of_two(sizes[0] // 2 - 1):
        return SpectrumLayout(shape, sizes[0] // 2, parts_last=False)
    return None


def choose_feeds(prepared: Prepared, wanted: Mapping[str, str]) -> dict[str, Feed]:
    """Return an adapter for every input, as asked for or as its shape suggests.

    An odd number of bins beside a 2 is a complex spectrum, 80 wide a log-mel frame, 2^k + 1 wide a magnitude spectrum,
    and any other single size samples.

    Args:
        prepared: the graph.
        wanted: input to KIND, KIND:HOP, spectrum:HOP:WINDOW or the name of a .npy file.

    Raises:
        ConfigError: an unknown name or kind, a shape that a kind does not fit, one that fits none, or a bad file.
    """
    for name in wanted:
        if name not in prepared.inputs:
            raise ConfigError(f"--feed {name}: no such input; known: {', '.join(prepared.inputs)}")
    feeds = {
        name: _asked(name, shape, wanted[name]) if name in wanted else _guessed(name, shape, prepared)
        for name, shape in prepared.inputs.items()
    }
    for name, dtype in prepared.numbers.items():
        if not feeds[name].constant and feeds[name].recorded is None:
            raise ConfigError(f"--feed {name}: it takes {dtype}, which speech is not; give --feed {name}=NUMBER")
        feeds[name] = replace(feeds[name], dtype=dtype)
    _require_one_source(feeds)
    return feeds


def _require_one_source(feeds: Mapping[str, Feed]) -> None:
    """Refuse inputs that are all constant, and those from files beside others or of another length."""
    moving = {name: feed for name, feed in feeds.items() if not feed.constant}
    if not moving:
        raise ConfigError("--feed: at least one input must come from the speech or a file, all are constant")
    lengths = {name: len(feed.recorded) for name, feed in moving.items() if feed.recorded is not None}
    if lengths and (len(lengths) < len(moving) or len(set(lengths.values())) > 1):
        said = ", ".join(f"{name} {lengths.get(name, 'speech')}" for name in moving)
        raise ConfigError(f"--feed: where one input comes from a file all must, with as many calls each, got {said}")


def _guessed(name: str, shape: tuple[int, ...], prepared: Prepared) -> Feed:
    """Return what a shape suggests.

    Raises:
        ConfigError: it suggests nothing.
    """
    sizes = [size for size in shape if size > 1]
    width = shape[-1] if shape else 1
    layout = spectrum_layout(shape)
    if layout is not None and layout.n_bins >= MIN_BINS:
        return _feed(name, "spectrum", shape, layout.n_bins - 1, next(iter(WINDOWS)), guessed=True)
    if width == LogMel().n_mels:
        return Feed("logmel", shape, guessed=True)
    if sizes == [width] and width >= MIN_BINS and _is_power_of_two(width - 1):
        return _feed(name, "magnitude", shape, (width - 1) // 2, guessed=True)
    if sizes == [max(sizes, default=0)] and sizes[0] >= MIN_SAMPLES:
        return _feed(name, "samples", shape, _output_hop(prepared, sizes[0]) or sizes[0], guessed=True)
    if not sizes:
        raise ConfigError(f"--feed {name}: one number that speech does not say; give --feed {name}=NUMBER")
    raise ConfigError(
        f"--feed {name}: its shape {'x'.join(map(str, shape))} does not say what it takes; name it with "
        f"--feed {name}=KIND ({', '.join(KINDS)}), or record some calls and give --feed {name}=calls.npy"
    )


def _output_hop(prepared: Prepared, n_samples: int) -> int:
    """Return how many samples come out where fewer than go in do, and it is a share of them; else 0."""
    sizes = [math.prod(map(abs, shape_of(v))) for v in prepared.model.graph.output if v.name in prepared.outputs]
    return sizes[0] if len(sizes) == 1 and n_samples // MAX_OVERLAP <= sizes[0] < n_samples else 0


def _asked(name: str, shape: tuple[int, ...], text: str) -> Feed:
    if text.lower().endswith(".npy"):
        return Feed("file", shape, path=text, recorded=_recorded(name, shape, Path(text)))
    kind, _, rest = text.partition(":")
    hop_text, _, window = rest.partition(":")
    if kind not in KINDS or (window and kind != "spectrum"):
        raise ConfigError(
            f"--feed {name} must be one of {', '.join(KINDS)}, samples:HOP, spectrum:HOP:WINDOW, a .npy file or a "
            f"number, got {text!r}"
        )
    if kind in ("zeros", "ones"):
        return Feed(kind, shape)
    if kind == "logmel":
        if not shape or shape[-1] != LogMel().n_mels:
            raise ConfigError(f"--feed {name}=logmel needs {LogMel().n_mels} as last size, the input has {shape}")
        return Feed(kind, shape)
    try:
        hop = int(hop_text) if hop_text else None
    except ValueError as error:
        raise ConfigError(f"--feed {name}: the hop must be a number of samples, got {hop_text!r}") from error
    return _feed(name, kind, shape, hop, window)


def _feed(
    name: str, kind: str, shape: tuple[int, ...], hop: int | None, window: str = "", *, guessed: bool = False
) -> Feed:
    """Return an adapter that takes samples; without a hop it has the default of its kind."""
    layout = spectrum_layout(shape)
    width = math.prod(shape)
    if kind == "spectrum" and layout is None:
        raise ConfigError(
            f"--feed {name}=spectrum needs an odd number of bins beside a 2, such as 1x257x1x2, the input has "
            f"{'x'.join(map(str, shape))}"
        )
    if kind == "magnitude" and (width < 3 or shape[-1] != width):
        raise ConfigError(f"--feed {name}=magnitude needs one spectrum per call, the input has shape {shape}")
    bins = layout.n_bins if layout is not None and kind == "spectrum" else width if kind == "magnitude" else 0
    length = 2 * (bins - 1) if bins else width
    if hop is None:
        hop = {"spectrum": length // 2, "magnitude": length // 4}.get(kind, length)
    if not 1 <= hop <= length:
        raise ConfigError(f"--feed {name}: the hop must be within 1..{length}, got {hop}")
    if kind == "spectrum":
        window = window or next(iter(WINDOWS))
        _window(window, length, name)
    return Feed(kind, shape, hop, window, guessed=guessed)


def _window(text: str, length: int, name: str = "") -> FloatArray:
    """Return a window of `length` samples: a name of WINDOWS, or so many samples of the default with zeros around.

    Raises:
        ConfigError: it is neither.
    """
    if text not in WINDOWS and not (text.isdecimal() and 1 <= int(text) <= length):
        raise ConfigError(
            f"--feed {name}: the window must be {', '.join(WINDOWS)} or 1..{length} samples, got {text[:40]!r}"
        )
    size = length if text in WINDOWS else int(text)
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)
    before = (length - size) // 2
    shaped = WINDOWS.get(text, np.sqrt)(hann)
    return np.pad(shaped, (before, length - size - before)).astype(np.float32)


def _recorded(name: str, shape: tuple[int, ...], path: Path) -> NDArray[Any]:
    """Return the calls of a file as (n, *shape).

    Raises:
        ConfigError: it cannot be read, or holds something else.
    """
    try:
        if path.stat().st_size > MAX_CALLS_BYTES:
            raise ConfigError(f"--feed {name}: {path} may have {MAX_CALLS_BYTES >> 20} MiB; give fewer calls")
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"--feed {name}: cannot read {path}: {said[:200]}; write it with numpy.save") from error
    wanted = "x".join(map(str, shape)) or "1"
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub" or array.size % max(1, math.prod(shape)):
        raise ConfigError(f"--feed {name}: {path} must hold float calls of {wanted} each, it does not; see numpy.save")
    if array.ndim < 1 or array.shape[1:] != shape:
        raise ConfigError(
            f"--feed {name}: {path} must have the shape Nx{wanted} for N calls, got {'x'.join(map(str, array.shape))}"
        )
    if not np.isfinite(array).all():
        raise ConfigError(f"--feed {name}: {path} must be finite, it holds NaN or infinity; record it again")
    return array


def _is_power_of_two(number: int) -> bool:
    return number > 1 and number & (number - 1) == 0
