"""edgevc changes the voice and keeps the words, live, on small boards."""

from __future__ import annotations

try:
    from edgevc import _core as _core
except ImportError as error:
    raise ImportError(
        "edgevc's C++ core is not built; run `pip install .` in the source folder, "
        "or leave the source folder if edgevc is already installed"
    ) from error


def __getattr__(name: str) -> str:
    """Look the version up when it is asked for: importlib.metadata costs a third of this package's import time."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("edgevc")
    except PackageNotFoundError:
        # built in place for development, without an installation
        return "0+unknown"
