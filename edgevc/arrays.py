"""Checks of the arrays that come from outside: one rule and one wording for all of edgevc."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevc.errors import ConfigError

_FLOAT32 = np.dtype(np.float32)


def require_float32(array: Any, name: str = "samples") -> None:
    """Refuse what is no NumPy array of float32; nothing is cast.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(array, np.ndarray) or array.dtype != _FLOAT32:
        found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"{name}: expected a float32 array, got {found}; use {name}.astype(numpy.float32)")


def as_mono_float32(samples: Any, name: str = "samples") -> NDArray[np.float32]:
    """Return `samples` as a contiguous array, float32 (T,); nothing is cast.

    Args:
        samples: from a caller.
        name: what the messages call it.

    Raises:
        TypeError: it is no NumPy array of float32.
        ConfigError: it has another shape than (T,).
    """
    require_float32(samples, name)
    if samples.ndim != 1:
        raise ConfigError(f"{name} must have shape (T,), mono, got {samples.shape}; average the channels first")
    return np.ascontiguousarray(samples)


def require_finite(samples: NDArray[np.float32], name: str = "samples", largest: float = np.inf) -> None:
    """Refuse what is not finite or beyond `largest`; the message names the first place.

    Raises:
        ConfigError: a sample breaks the rule.
    """
    # NaN compares as False
    fine = np.abs(samples) <= largest if largest < np.inf else np.isfinite(samples)
    if not fine.all():
        index = int(np.argmin(fine))
        bound = f" and within +-{largest:g}" if largest < np.inf else ""
        raise ConfigError(f"{name} must be finite{bound}, got {samples[index]} at index {index}; repair the recording")


def within(value: float, bounds: tuple[float, float], name: str) -> float:
    """Return `value` if it lies in `bounds`, both ends included.

    Raises:
        ConfigError: it does not, or is not a number.
    """
    low, high = bounds
    # NaN compares as False
    if not low <= value <= high:
        raise ConfigError(f"{name} must be within {low:g}..{high:g}, got {value!r}")
    return value
