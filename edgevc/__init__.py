"""edgevc changes the voice and keeps the words, live, on small boards."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    from edgevc import _core as _core
except ImportError as error:
    raise ImportError(
        "edgevc's C++ core is not built; run `pip install .` in the source folder, "
        "or leave the source folder if edgevc is already installed"
    ) from error

try:
    __version__ = version("edgevc")
except PackageNotFoundError:
    # built in place for development, without an installation
    __version__ = "0+unknown"
