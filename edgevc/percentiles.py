"""The distribution of what was measured many times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Percentiles:
    """Four places of a distribution, in the unit of what was measured."""

    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float] | NDArray[np.floating], scale: float = 1.0) -> Percentiles:
        """From single measurements, each times `scale`; zeros where there are none."""
        if not len(values):
            return cls()
        p50, p95, p99, largest = (float(value) * scale for value in np.percentile(values, [50, 95, 99, 100]))
        return cls(p50, p95, p99, largest)
