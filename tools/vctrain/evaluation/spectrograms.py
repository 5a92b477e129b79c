"""Spectrograms of source and outputs, one above the other."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vctrain.data.corpora import SAMPLE_RATE

PANEL_INCHES = (6.0, 2.0)
FAINTEST_DB, LOUDEST_DB = -100.0, -30.0
"""Ends of the colours, where a full-scale sine is 0 dB: speech at the reference level fills them."""


def draw(path: Path, columns: Sequence[Sequence[tuple[str, NDArray[np.float32]]]]) -> None:
    """Writes one PNG: a column per source, in it a panel per (title, samples at 16 kHz), all at the same scale."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    image: Any = importlib.import_module("PIL.Image")
    n_rows = max(len(column) for column in columns)
    size = (PANEL_INCHES[0] * len(columns), PANEL_INCHES[1] * n_rows)
    figure, axes = pyplot.subplots(n_rows, len(columns), figsize=size, squeeze=False, layout="constrained")
    for x, column in enumerate(columns):
        for y in range(n_rows):
            axis = axes[y, x]
            if y >= len(column):
                axis.set_axis_off()
                continue
            title, samples = column[y]
            axis.imshow(
                _decibels(samples),
                origin="lower",
                aspect="auto",
                extent=(0, len(samples) / SAMPLE_RATE, 0, SAMPLE_RATE / 2000),
                vmin=FAINTEST_DB,
                vmax=LOUDEST_DB,
            )
            axis.set_title(title, fontsize=9, loc="left")
            axis.set_ylabel("kHz")
        axes[len(column) - 1, x].set_xlabel("s")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    # the map has no more colours than a palette: half the size
    with image.open(path) as drawn:
        drawn.convert("RGB").quantize(256).save(path, optimize=True)


def _decibels(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    n_fft, hop = 512, 128
    padded = np.pad(samples, (n_fft // 2, n_fft))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop] * np.hanning(n_fft)
    return (20 * np.log10(np.abs(np.fft.rfft(frames)).T / (n_fft / 4) + 1e-6)).astype(np.float32)
