"""Which files a conversion takes, and where each one goes: like `cp`, with folders that keep their order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgevc.audio.folders import SUFFIXES, audio_files
from edgevc.errors import AudioFileError, ConfigError


@dataclass
class Jobs:
    """What is to be done."""

    pairs: list[tuple[Path, Path]] = field(default_factory=list)
    """Recording and output."""
    problems: list[str] = field(default_factory=list)
    """Folders that cannot be read, as sentences."""


def list_jobs(sources: Sequence[Path], target: Path, *, into_folder: bool = False) -> Jobs:
    """Pair every recording with its output.

    One file becomes `target`, or a file of its own name in the folder `target`. One folder becomes the folder `target`:
    every audio file in it keeps its place and name. Several files and folders go into the folder `target`, which is
    made where it does not exist. Hidden files are left out, and so is an output folder that lies inside a source.

    Args:
        sources: at least one.
        target: of all of them.
        into_folder: `target` is meant to be a folder, though it does not exist yet.

    Raises:
        AudioFileError: a single source does not exist, or there is no audio file in the folders.
        ConfigError: two inputs would give the same output, or a folder would be its own output.
    """
    jobs = Jobs()
    single = sources[0] if len(sources) == 1 else None
    if single is None or single.is_dir():
        _require_folder(sources, target)
        for source in sources:
            _add(jobs, source, target if single or not source.is_dir() else target / source.resolve().name, target)
    elif not os.path.lexists(single):
        raise AudioFileError(f"{single} does not exist; check the path")
    else:
        jobs.pairs = [(single, target / f"{single.stem}.wav" if into_folder or target.is_dir() else target)]
    if not jobs.pairs and not jobs.problems:
        raise AudioFileError(f"{sources[0]} holds no {', '.join(SUFFIXES)} file; check the path")
    _require_distinct(jobs.pairs)
    return jobs


def _require_folder(sources: Sequence[Path], target: Path) -> None:
    is_file = target.exists() and not target.is_dir()
    if len(sources) == 1 and is_file:
        raise ConfigError(f"{sources[0]} is a folder, so the output must be one too, got the file {target}")
    if len(sources) > 1 and (is_file or target.suffix.lower() in SUFFIXES):
        raise ConfigError(f"several inputs go into a folder, which stands last, got the file {target}; name a folder")
    for source in sources:
        if source.is_dir() and target.resolve() == source.resolve():
            raise ConfigError(
                f"the output folder must not be the input folder, got {target} for both; choose another one"
            )


def _add(jobs: Jobs, source: Path, place: Path, target: Path) -> None:
    """Add what one of the sources holds; its files come to lie in the folder `place`."""
    if not source.is_dir():
        # whether it exists is seen when its turn comes: the others are converted all the same
        jobs.pairs.append((source, place / f"{source.stem}.wav"))
        return

    def unreadable(error: OSError) -> None:
        jobs.problems.append(f"the folder {error.filename} cannot be read: {error.strerror}; its files are left out")

    for path in audio_files(source, unreadable, leave_out=target):
        jobs.pairs.append((path, (place / path.relative_to(source)).with_suffix(".wav")))


def _require_distinct(pairs: Sequence[tuple[Path, Path]]) -> None:
    seen: dict[Path, Path] = {}
    for path, output in pairs:
        if output in seen:
            raise ConfigError(f"{seen[output]} and {path} would both become {output}; rename one")
        seen[output] = path
