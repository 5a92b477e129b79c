"""Ranges and sizes that several modules share: one number each."""

from __future__ import annotations

SAMPLE_RATE = 16_000
"""Hertz; the only rate inside edgevc. Devices and files are resampled at the border."""
HOP_LENGTH = 160
"""Samples of a hop, 10 ms."""
HOP_MS = 1000 * HOP_LENGTH / SAMPLE_RATE
CHUNK_HOPS = (1, 2, 4)
"""Hops that one call of a model may take, as one likes."""
LONGEST_BLOCK_HOPS = 25
"""Hops that each call takes of a model that hears in blocks, at most: a quarter of a second."""
ENGINES = ("litert", "onnx")
"""In the order in which "auto" tries them."""

SEMITONES = (-24.0, 24.0)
"""By which the pitch may be moved."""
FORMANT_SEMITONES = (-12.0, 12.0)
"""By which the formants may be shifted."""
GAIN_DB = (-40.0, 40.0)
"""Of the output."""
BACKING_GAIN_DB = (-60.0, 20.0)
"""Of an accompaniment."""

LARGEST_SAMPLE = 1e6
"""Full scale is 1; what is beyond this, or not finite, is no sound and is taken as silence."""
