"""The plots of docs/results.md, as SVG that is the same for the same figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
# names inside the file are random otherwise
matplotlib.rcParams["svg.hashsalt"] = "edgevc"
matplotlib.rcParams["font.size"] = 9

from matplotlib import pyplot  # noqa: E402

MODELS = ("default", "low-latency", "tiny")
COLOURS = {"default": "#2f6f9f", "low-latency": "#c2703d", "tiny": "#5b8c5a"}
QUALITY = (
    ("similarity", "similarity to the voice"),
    ("wer_minus_source", "word errors beyond the source's"),
    ("ovrl", "DNSMOS OVRL"),
    ("f0_correlation", "log-F0 correlation"),
)

Results = dict[str, Any]


def save(figure: Any, path: Path) -> None:
    """Write without a date."""
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def interval(axis: Any, place: float, figure: dict, colour: str) -> None:
    """Draw a mean and its 95 % interval as a dot on a line."""
    axis.plot([figure["low"], figure["high"]], [place, place], color=colour, lw=2)
    axis.plot([figure["mean"]], [place], "o", color=colour)


def quality(results: Results, path: Path) -> None:
    """Four figures, a line for each model."""
    figure, axes = pyplot.subplots(1, len(QUALITY), figsize=(10, 1.8), sharey=True)
    for axis, (key, words) in zip(axes, QUALITY, strict=True):
        for place, model in enumerate(reversed(MODELS)):
            found = results.get(f"voices.{model}", {}).get("summary", {}).get(key)
            if found:
                interval(axis, place, found, COLOURS[model])
        axis.set_title(words, fontsize=9)
        axis.set_ylim(-0.6, len(MODELS) - 0.4)
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(MODELS)), list(reversed(MODELS)))
    save(figure, path)


def speed(results: Results, path: Path) -> None:
    """Real-time factor of the default model, a bar for each engine and number of hops per call."""
    rows = {row["name"]: row["value"] for row in results.get("converter", [])}
    names = [
        (engine, hops, f"{engine}, {hops} hop{'s' if hops > 1 else ''}: RTF of the median hop")
        for engine in ("litert", "onnx")
        for hops in (1, 2, 4)
    ]
    found = [(f"{engine}, {hops}", rows[name], engine) for engine, hops, name in names if name in rows]
    figure, axis = pyplot.subplots(figsize=(7, 2.2))
    colours = {"litert": "#2f6f9f", "onnx": "#c2703d"}
    axis.barh([label for label, _, _ in found], [value for _, value, _ in found], color=[colours[e] for *_, e in found])
    axis.invert_yaxis()
    axis.set_xlabel("processing time / audio time, one core")
    axis.grid(axis="x", alpha=0.3)
    save(figure, path)


def noise(results: Results, path: Path) -> None:
    """How much more of the words is lost in a kitchen than in a quiet room."""
    figure, axis = pyplot.subplots(figsize=(7, 1.8))
    for place, model in enumerate(reversed(MODELS)):
        found = results.get(f"voices.{model}", {}).get("summary", {}).get("noise_wer_increase")
        if found:
            interval(axis, place, found, COLOURS[model])
    axis.set_yticks(range(len(MODELS)), list(reversed(MODELS)))
    axis.set_ylim(-0.6, len(MODELS) - 0.4)
    axis.set_xlabel("increase of the word error rate, kitchen at 10 dB")
    axis.grid(axis="x", alpha=0.3)
    save(figure, path)


PLOTS: dict[str, Callable[[Results, Path], None]] = {"quality": quality, "speed": speed, "noise": noise}
"""File stem to what draws it."""
