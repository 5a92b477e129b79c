"""Draws spectrogram and F0 of two recordings one above the other."""

from __future__ import annotations

import importlib
import importlib.util
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevc.dsp.features import LogMel
from edgevc.dsp.pitch import PitchTracker
from edgevc.errors import ConfigError, MissingPackageError
from edgevc.files import check_output, write_atomic
from edgevc.limits import SAMPLE_RATE

SUFFIXES = (".png", ".pdf", ".svg")
"""Kinds of picture."""


def check_plot(path: Path, *, overwrite: bool) -> None:
    """Refuse a picture that could not be drawn, before the work that it shall show.

    Raises:
        MissingPackageError: there is no matplotlib.
        ConfigError: the name has another suffix.
        OutputError: the file exists and may not be replaced, or its folder does not exist.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise _missing()
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"a plot must be a {', '.join(SUFFIXES)} file, got {path}")
    check_output(path, overwrite=overwrite)


def _missing() -> MissingPackageError:
    return MissingPackageError("drawing a plot", "matplotlib", "plot")


def plot_comparison(path: Path, recordings: dict[str, NDArray[np.float32]]) -> None:
    """Write a PNG with one panel per recording: mel spectrogram in dB and, as dots, F0.

    Args:
        path: written; its suffix chooses the format.
        recordings: title to samples, float32 (T,) at 16 kHz.

    Raises:
        MissingPackageError: there is no matplotlib.
        ConfigError: matplotlib cannot write this kind of file.
        OutputError: the file cannot be written.
    """
    try:
        importlib.import_module("matplotlib").use("Agg")
        pyplot: Any = importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        raise _missing() from error
    figure, axes = pyplot.subplots(len(recordings), 1, figsize=(10, 3.2 * len(recordings)), sharex=True, squeeze=False)
    for axis, (title, samples) in zip(axes[:, 0], recordings.items(), strict=True):
        _draw(axis, title, samples)
    axes[-1, 0].set_xlabel("time (s)")
    figure.tight_layout()
    picture = io.BytesIO()
    try:
        figure.savefig(picture, dpi=110, format=path.suffix[1:].lower())
    except ValueError as error:
        raise ConfigError(f"cannot draw the plot {path}: {error}; use a .png file") from error
    finally:
        pyplot.close(figure)
    write_atomic(path, picture.getvalue())


def _draw(axis: Any, title: str, samples: NDArray[np.float32]) -> None:
    front_end = LogMel()
    decibels = front_end.process(samples).T * (10 / np.log(10))
    # an axis needs some length, even where nothing was recorded
    seconds = max(len(samples), 1) / SAMPLE_RATE
    config = front_end.config
    mel_top = _mel(config.fmax)
    axis.imshow(
        decibels,
        origin="lower",
        aspect="auto",
        extent=(0, seconds, _mel(config.fmin), mel_top),
        cmap="magma",
        vmin=decibels.max() - 70 if decibels.size else None,
    )
    tracker = PitchTracker()
    f0 = np.concatenate([tracker.process(samples), tracker.flush()])[:, 0]
    times = (160 * (np.arange(len(f0)) + 1) - tracker.latency) / SAMPLE_RATE
    voiced = (f0 > 0) & (times >= 0) & (times <= seconds)
    axis.plot(times[voiced], [_mel(hz) for hz in f0[voiced]], ".", color="cyan", markersize=2, label="F0")
    ticks = [100, 200, 400, 1000, 2000, 4000, 8000]
    axis.set_yticks([_mel(hz) for hz in ticks], [f"{hz}" for hz in ticks])
    axis.set_ylim(_mel(config.fmin), mel_top)
    axis.set_ylabel("Hz (mel scale)")
    # a dollar sign would start a formula
    axis.set_title(title.replace("$", r"\$"))


def _mel(hertz: float) -> float:
    # HTK's mel scale, as the front end's
    return float(2595 * np.log10(1 + hertz / 700))
