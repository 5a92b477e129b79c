"""Which version of edgevc this is."""

from __future__ import annotations


def version() -> str:
    """Return the installed version; looking it up costs some milliseconds."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("edgevc")
    except PackageNotFoundError:
        # built in place for development, without an installation
        return "0+unknown"
