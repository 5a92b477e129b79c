"""Words as Whisper reads them, and how many of them differ; for benchmarks that need faster-whisper anyway."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray


def words(whisper: Any, samples: NDArray[np.float32]) -> list[str]:
    """Return what a `faster_whisper.WhisperModel` reads in 16 kHz samples, float32 (T,), in lower case."""
    segments, _ = whisper.transcribe(
        samples, language="en", beam_size=1, temperature=0, condition_on_previous_text=False
    )
    text = " ".join(segment.text for segment in segments)
    return re.sub(r"[^a-z' ]", " ", text.lower().replace("-", " ")).split()


def errors(expected: list[str], found: list[str]) -> int:
    """Return the edit distance of words."""
    row = np.arange(len(found) + 1)
    for i, word in enumerate(expected, 1):
        before, row = row, np.empty_like(row)
        row[0] = i
        for j, other in enumerate(found, 1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (word != other))
    return int(row[-1])
