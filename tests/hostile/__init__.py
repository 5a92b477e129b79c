"""Bundles that somebody made to do harm, each with right hashes where that matters: `CASES` by name.

`onnx_graphs` and `litert_graphs` hold graphs, `manifests` manifests, folders and archives, `mutants` makes any number.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One bundle."""

    name: str
    engine: str
    """That meets it."""
    write: Callable[[Path], Path | None]
    """Writes the bundle to a folder that does not exist yet; returns where it lies, None for that folder."""
    runs: bool = False
    """Whether it may be opened and run: odd, but it breaks no rule."""


CASES: dict[str, Case] = {}


def case(engine: str, runs: bool = False):
    """Let a function that writes a bundle be a case with the name of its module and its own."""

    def register(write):
        name = f"{write.__module__.rpartition('.')[2]}.{write.__name__}"
        assert name not in CASES, name
        CASES[name] = Case(name, engine, write, runs)
        return write

    return register


def all_cases() -> dict[str, Case]:
    """Return every case."""
    from hostile import litert_graphs, manifests, onnx_graphs  # noqa: F401

    return CASES
