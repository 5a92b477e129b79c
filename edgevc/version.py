"""Which version of edgevc this is."""

from __future__ import annotations

from functools import cache


@cache
def version() -> str:
    """Return the installed version; looking it up the first time costs some milliseconds."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("edgevc")
    except PackageNotFoundError:
        # built in place for development, without an installation
        return "0+unknown"
