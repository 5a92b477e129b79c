"""The data sets that tools/data/sources.toml lists, with where they come from and what they may be used for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import tomllib

FILE = Path(__file__).resolve().parents[2] / "data" / "sources.toml"


@dataclass(frozen=True)
class Source:
    """A data set; the fields are explained in the file."""

    name: str
    manifest: str
    repository: str
    revision: str
    folders: list[str]
    speakers: list[str]
    licence: str
    source: str
    train: str
    test: str
    needed: bool
    checkout: bool = False

    @property
    def url(self) -> str:
        """Of the repository."""
        return f"https://github.com/{self.repository}"

    @property
    def clone(self) -> str:
        """The clone's folder below CLONES."""
        return self.repository.replace("/", "+")


with FILE.open("rb") as _file:
    SOURCES = tuple(Source(**entry) for entry in tomllib.load(_file)["set"])

NEEDED = tuple(source for source in SOURCES if source.needed)
"""Those that prepare_data.py reads."""


def of_repository(repository: str) -> Source:
    """The source with this repository."""
    return next(source for source in SOURCES if source.repository == repository)


def training_data(speakers: Iterable[str]) -> list[Source]:
    """What a bundle's manifest lists, where training hears these speakers, and noise."""
    heard = set(speakers)
    return [
        source
        for source in SOURCES
        if source.manifest and (not source.speakers or any(s.startswith(tuple(source.speakers)) for s in heard))
    ]
