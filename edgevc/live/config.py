"""What can be set of a live session; the command line, the environment and the TOML file all fill this."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OVERLOAD_POLICIES = ("drop", "bypass", "silence", "batch")
"""On a machine that is too slow: skip input, let the dry voice or silence through, take more hops per call."""


@dataclass(frozen=True)
class LiveConfig:
    """Validated by `edgevc.live.settings` before a session sees it."""

    model: str | Path | None = None
    """Name of a built-in model, or path to a folder or .zip; None: the default model."""
    voice: str | None = None
    """None: the bundle's first."""
    engine: str = "auto"
    chunk_hops: int = 1
    backend: str = "auto"
    """Who drives the device: portaudio (callback in C++), pyaudio; auto takes the first that is there."""
    input: str | None = None
    """Name or glob of the input device; None: the system's default."""
    output: str | None = None
    block_ms: float = 10.0
    """Of the device; 2.5 to 100."""
    preroll_ms: float = 10.0
    """Playback queue beyond one block when playback starts; 0 to 500."""
    max_latency_ms: float = 250.0
    """Cap of what waits in both queues; above it the oldest input is dropped and counted."""
    overload: str = "drop"
    mode: str = "convert"
    listening: bool = False
    """Go on hearing while nothing is converted, for the taps: device and encoder stay on."""
    semitones: float = 0.0
    formant_semitones: float = 0.0
    gain_db: float = 0.0
    gate: bool = True
    """Turn down what is not speech."""
    mark: bool = True
    """Put the watermark into the converted voice."""
    eq: tuple[tuple[float, float, float], ...] = ()
    """Peaking filters: centre in Hz, gain in dB, Q."""
    backing: Path | None = None
    backing_gain_db: float = 0.0
    record: tuple[Path, Path] | None = None
    """WAV files for the dry input and the output."""
    feedback_guard: bool = True
    realtime: bool = True
    """Try real-time priority and a memory lock; their absence is reported, not fatal."""
    control: str | None = None
    """unix:PATH or 127.0.0.1:PORT of the control socket."""
    metrics: str | None = None
    """HOST:PORT of the Prometheus exporter."""
    metrics_any_interface: bool = False
    """Let `metrics` listen where other machines reach it."""
    virtual_mic: bool = False
    """Play into a PulseAudio or PipeWire source named "edgevc", from which other programs record."""
