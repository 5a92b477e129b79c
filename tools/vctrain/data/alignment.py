"""Phones of recordings as align.py writes them, and where their frames lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vctrain.data.corpora import listed
from vctrain.data.front_end import HOP_LENGTH
from vctrain.errors import UserError

LABEL_CENTRE = 205
"""Sample at which the aligner's frame 0 is centred; frame k lies k hops later."""


def same_recording(entry: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether phones are those of the recording that is listed now."""
    return all(entry.get(key) == row[key] for key in ("path", "text", "seconds"))


def aligned(data: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Row of utterances.jsonl and row of phones.jsonl, of every aligned utterance.

    Raises:
        FileNotFoundError: one of the two is missing.
        UserError: the phones are not those of the recordings.
    """
    rows = {row["path"]: row for row in listed(data)}
    for entry in listed(data, "phones"):
        row = rows.get(entry["path"])
        if row is None or not same_recording(entry, row):
            raise UserError(
                f"{data / 'phones.jsonl'}: the phones of {entry['path']} are of another recording than the one there "
                "now; run tools/align.py again"
            )
        yield row, entry


def label_index(centres: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.intp]:
    """The aligner's frame that is nearest to each place, in samples; negative before the first."""
    return np.floor((centres - LABEL_CENTRE) / HOP_LENGTH + 0.5).astype(np.intp)
