"""HTML and SVG whose text is escaped by construction: a plain string can only become text, never a tag."""

from __future__ import annotations

import html
from collections.abc import Iterable

from edgevc.text import printable

_VOID = frozenset({"meta"})


class Markup(str):
    """Text that already is HTML; `element` and `join` make it, nothing else should."""

    __slots__ = ()


def element(name: str, /, *children: str | None, **attributes: str | float | None) -> Markup:
    """Return one element.

    Args:
        name: of the tag; written by us, never taken from a model.
        children: `Markup` goes in as it is, any other string as text; None is left out.
        attributes: a trailing underscore is dropped, others become hyphens (`class_`, `font_size`); None is left out.
    """
    # `viewBox` is the one attribute that keeps its capital letter; none of ours has an underscore of its own
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Iterable[str | None]) -> Markup:
    """Return the parts one after the other; what is not `Markup` becomes text."""
    return Markup(
        "".join(
            part if isinstance(part, Markup) else html.escape(printable(part)) for part in parts if part is not None
        )
    )


def _plain(value: str | float) -> str:
    # a tenth of a pixel is enough, and keeps the page small
    return printable(value) if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
