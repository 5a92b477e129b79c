"""Which files a batch takes, in which voice, and where each one goes; compact, for a million of them."""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from edgevc.audio.folders import SUFFIXES
from edgevc.errors import AudioFileError, ConfigError

MANIFEST = "edgevc-convert.jsonl"
"""In the output folder."""
MAX_DEPTH = 200
"""Folders inside one another; a deeper tree is named and left out."""


@dataclass(frozen=True)
class Choice:
    """What a file is converted to."""

    voice: str
    pitch: float = 0.0
    voice_sha256: str = ""
    """Of the voice's file, where it has one: another voice under the same name is another setting."""


Chooser = Callable[[str], Choice]
"""Path of a source, as it was named, to its voice."""


@dataclass(frozen=True)
class VoiceRule:
    """Files whose path a pattern finds get a voice."""

    pattern: re.Pattern[str]
    voice: str


def voice_rule(text: str) -> VoiceRule:
    """Return the rule of `REGEX=VOICE`.

    Raises:
        ConfigError: it is none.
    """
    expression, equals, voice = text.rpartition("=")
    if not equals or not expression or not voice:
        raise ConfigError(f"a rule is REGEX=VOICE, such as 'speaker1/=slt', got {text!r}")
    try:
        return VoiceRule(re.compile(expression), voice)
    except re.error as error:
        raise ConfigError(f"{expression!r} is no regular expression: {error}; write REGEX=VOICE") from error


@dataclass(frozen=True)
class Speakers:
    """Says whose recording a source is, so that each speaker gets a pseudo-voice of their own."""

    seed: str
    """Any text; another one gives other voices."""
    pattern: re.Pattern[str] | None = None
    """Its first group is the speaker; None: the folder that the source lies in."""

    def of(self, source: str) -> str:
        """Return the name of the speaker of a source."""
        if self.pattern is None:
            return os.path.basename(os.path.dirname(source))  # noqa: PTH119, PTH120
        found = self.pattern.search(source)
        # what the expression does not find has a voice that all such files share
        return found.group(1) or "" if found else ""


def speakers_by(seed: str, expression: str | None) -> Speakers:
    """Return the rule of `--seed` and `--speaker-by`.

    Raises:
        ConfigError: the expression is none, or has not exactly one group.
    """
    if expression is None:
        return Speakers(seed)
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise ConfigError(f"{expression!r} is no regular expression: {error}; write '/(speaker[0-9]+)/'") from error
    if pattern.groups != 1:
        raise ConfigError(
            f"the speaker's name must be the one group of the expression, such as '/(speaker[0-9]+)/', got "
            f"{pattern.groups} groups in {expression!r}"
        )
    return Speakers(seed, pattern)


@dataclass
class Plan:
    """Sources by their paths; two lists and an array, since a million objects would take the machine's memory."""

    roots: list[str] = field(default_factory=list)
    """Of each source folder; a file's own folder where it was named itself."""
    names: list[str] = field(default_factory=list)
    """Path below its root."""
    root_of: array[int] = field(default_factory=lambda: array("L"))
    sizes: array[int] = field(default_factory=lambda: array("Q"))
    """Bytes."""
    suffix: str = ".wav"
    """Of the outputs."""
    problems: list[str] = field(default_factory=list)
    """What is left out, as sentences."""

    def __len__(self) -> int:
        return len(self.names)

    def add_root(self, root: str, found: Iterable[tuple[str, int]]) -> None:
        """Add a folder's recordings: their paths below it, and their bytes."""
        self.roots.append(root)
        before = len(self.names)
        for name, size in found:
            self.names.append(name)
            self.sizes.append(size)
        self.root_of.extend(array("L", [len(self.roots) - 1]) * (len(self.names) - before))

    def require_distinct(self) -> None:
        """Refuse two recordings that would give the same output.

        Raises:
            ConfigError: there are two; names them.
        """
        # hashes take a third of the memory of names
        if len({hash(_stem(name)) for name in self.names}) == len(self):
            return
        seen: set[int] = set()
        for i in range(len(self)):
            digest = hash(self.output(i))
            if digest in seen:
                self._require_other_output(i)
            seen.add(digest)

    def _require_other_output(self, i: int) -> None:
        output = self.output(i)
        for other in range(i):
            if self.output(other) == output:
                raise ConfigError(f"{self.source(other)} and {self.source(i)} would both become {output}; rename one")

    def source(self, i: int) -> str:
        """Return the path of a source."""
        return os.path.join(self.roots[self.root_of[i]], self.names[i])  # noqa: PTH118 (a Path is ten times as large)

    def output(self, i: int) -> str:
        """Return the path of its output, below the output folder."""
        return _stem(self.names[i]) + self.suffix

    def largest_first(self) -> list[int]:
        """Return the order of work: the last files are small, so that no worker is left alone with a large one."""
        return sorted(range(len(self)), key=self.sizes.__getitem__, reverse=True)


def make_plan(sources: Sequence[Path], target: Path, suffix: str = ".wav") -> Plan:
    """List the recordings of files and folders; what a folder holds keeps its place.

    Links to folders are not followed, pipes and devices are left out, and so are hidden files and the output folder.

    Args:
        sources: files and folders.
        target: the output folder.
        suffix: of the outputs, one of `edgevc.audio.writers.SUFFIXES`.

    Raises:
        AudioFileError: there is no recording at all.
        ConfigError: two recordings would give the same output, or the output folder is an input.
    """
    plan = Plan(suffix=suffix)
    for source in sources:
        if source.is_dir():
            if target.exists() and target.samefile(source):
                raise ConfigError(
                    f"the output folder must not be the input folder, got {target} for both; choose another"
                )
            plan.add_root(os.fspath(source), _walk(os.fspath(source), target, plan.problems.append))
        else:
            size = source.stat().st_size if source.is_file() else 0
            plan.add_root(os.path.dirname(os.fspath(source)), [(source.name, size)])  # noqa: PTH120
    if not plan.names:
        raise AudioFileError(f"{sources[0]} holds no {', '.join(SUFFIXES)} file; check the path")
    plan.require_distinct()
    return plan


def _walk(root: str, target: Path, problem: Callable[[str], None]) -> Iterator[tuple[str, int]]:
    """Yield path below `root` and bytes of every recording."""
    avoided = _identity(os.fspath(target))
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(os.path.join(root, below)) as entries:  # noqa: PTH118
                found = sorted(entries, key=attrgetter("name"))
        except OSError as error:
            problem(f"the folder {error.filename} cannot be read: {error.strerror}; its files are left out")
            continue
        folders = []
        before = below and f"{below}/"
        for entry in found:
            name = entry.name
            if name[0] == ".":
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    if avoided is None or avoided != _identity(entry.path):
                        folders.append(before + name)
                elif name.lower().endswith(SUFFIXES) and entry.is_file():
                    yield before + name, entry.stat().st_size
            except OSError as error:
                problem(f"{entry.path} cannot be looked at: {error.strerror}; it is left out")
        if below.count(os.sep) >= MAX_DEPTH and folders:
            problem(f"{os.path.join(root, below)} has folders more than {MAX_DEPTH} deep; they are left out")  # noqa: PTH118
            continue
        waiting.extend(reversed(folders))


def _stem(name: str) -> str:
    # most names, in a tenth of the time; one that is nothing but its ending has no ending
    if name[-4:] == ".wav" and name[-5:-4] not in "/":
        return name[:-4]
    return os.path.splitext(name)[0]  # noqa: PTH122


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return found.st_dev, found.st_ino
