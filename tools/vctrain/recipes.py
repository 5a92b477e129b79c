"""Recipes: what tools/recipes/*.toml say about training a model, as commands, and which of them are done."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomllib

from vctrain.errors import UserError

TOOLS = Path(__file__).resolve().parents[1]
FOLDER = TOOLS / "recipes"
RECIPE_KEYS = {"description", "before", "after", "environment"}
STEP_KEYS = {"tool", "module", "python", "arguments", "options", "makes", "alone"}


@dataclass(frozen=True)
class Step:
    """One command of a recipe."""

    recipe: str
    name: str
    command: tuple[str, ...]
    makes: tuple[Path, ...]
    environment: Mapping[str, str]
    alone: bool = False
    """Runs only when it is asked for by its name."""
    key: str = ""
    """Hash of its command and of those before it."""


@dataclass(frozen=True)
class Places:
    """Where a training reads and writes, and what it runs with."""

    work: Path
    clones: Path | None = None
    data: Path | None = None
    noises: Path | None = None
    device: str = "auto"
    jobs: int = 2
    litert_python: str = sys.executable
    changes: Mapping[str, str] = field(default_factory=dict)
    """`step.option` to another value."""

    def of(self, recipe: str) -> dict[str, str]:
        """Values of the placeholders in a recipe."""
        clones = self.clones or self.work / "clones"
        runs = self.work / "runs"
        return {
            "clones": str(clones),
            "data": str(self.data or self.work / "data"),
            "noises": str(self.noises or clones / "karolpiczak+ESC-10"),
            "weights": str(TOOLS / "weights"),
            "runs": str(runs),
            "run": str(runs / recipe),
            "export": str(self.work / "export" / recipe),
            "float": str(self.work / "float" / recipe),
            "model": str(self.work / "models" / recipe),
            "report": str(self.work / "models" / f"{recipe}.html"),
            "scores": str(self.work / "scores" / f"{recipe}.json"),
            "device": self.device,
            "jobs": str(self.jobs),
            "litert_python": self.litert_python,
        }


def names() -> list[str]:
    """Every recipe."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read(name: str) -> dict[str, Any]:
    """A recipe as it is written.

    Raises:
        UserError: there is none of this name, or it has a key that means nothing.
    """
    path = FOLDER / f"{name}.toml"
    if not path.is_file():
        raise UserError(f"no recipe {name}: expected one of {', '.join(names())}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: {error}") from error
    for key, entry in table.items():
        if key in RECIPE_KEYS:
            continue
        if not isinstance(entry, dict) or (unknown := entry.keys() - STEP_KEYS):
            what = f"{key}: {', '.join(sorted(unknown))}" if isinstance(entry, dict) else key
            raise UserError(f"{path}: unknown key {what}; a step has {', '.join(sorted(STEP_KEYS))}")
        if ("tool" in entry) == ("module" in entry):
            raise UserError(f"{path}: step {key} needs either a `tool` (a file of tools/) or a `module`")
    return table


def steps(name: str, places: Places) -> list[Step]:
    """Every step of a recipe in order, those of the recipes `before` and `after` it included.

    Raises:
        UserError: a recipe cannot be read, or places.changes names no step.
    """
    found = []
    key = ""
    for step in _steps(name, places, name):
        text = json.dumps([key, step.command, sorted(step.environment.items())])
        digest = hashlib.sha256(text.encode()).hexdigest()
        if not step.alone:
            key = digest
        found.append(Step(**{**step.__dict__, "key": digest}))
    if unknown := {change.partition(".")[0] for change in places.changes} - {step.name for step in found}:
        raise UserError(f"--set: no step {', '.join(sorted(unknown))}; there are {', '.join(s.name for s in found)}")
    return found


def _steps(name: str, places: Places, run: str) -> Iterator[Step]:
    """Steps of a recipe; run: the recipe whose run they work on."""
    recipe = read(name)
    for other in recipe.get("before", ()):
        yield from _steps(other, places, other)
    values = places.of(run)
    for step, entry in recipe.items():
        if step not in RECIPE_KEYS:
            changes = {
                option.partition(".")[2]: value
                for option, value in places.changes.items()
                if option.partition(".")[0] == step
            }
            yield Step(
                run,
                step,
                tuple(_command(entry, values, changes)),
                tuple(Path(made.format(**values)) for made in entry.get("makes", ())),
                recipe.get("environment", {}),
                entry.get("alone", False),
            )
    for other in recipe.get("after", ()):
        yield from _steps(other, places, run)


def _command(entry: Mapping[str, Any], values: Mapping[str, str], changes: Mapping[str, str]) -> Iterator[str]:
    yield entry.get("python", sys.executable).format(**values)
    # -P: a module is the installed one, wherever this is typed; a source folder has no compiled core
    yield from [str(TOOLS / entry["tool"])] if "tool" in entry else ["-P", "-m", entry["module"]]
    yield from (argument.format(**values) for argument in entry.get("arguments", ()))
    for option, value in {**entry.get("options", {}), **changes}.items():
        if value is False or value == "false":
            continue
        yield f"--{option}" if len(option) > 1 else f"-{option}"
        if value is not True and value != "true":
            yield from (str(one).format(**values) for one in (value if isinstance(value, list) else [value]))


class Progress:
    """Which steps were finished, in WORK/steps: one file for each, with the key of what was run."""

    def __init__(self, work: Path) -> None:
        self.folder = work / "steps"

    def _file(self, step: Step) -> Path:
        return self.folder / f"{step.recipe}.{step.name}"

    def done(self, step: Step) -> bool:
        """Whether the same command was finished after the same steps, and its outputs are there."""
        file = self._file(step)
        finished = file.is_file() and file.read_text() == step.key
        return finished and all(path.exists() for path in step.makes)

    def finish(self, step: Step) -> None:
        """Remember it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file(step).write_text(step.key)


def run(step: Step) -> None:
    """Run a step to its end.

    Raises:
        UserError: it failed, or did not make what it should have.
    """
    for path in step.makes:
        path.parent.mkdir(parents=True, exist_ok=True)
    status = subprocess.run(step.command, env={**os.environ, **step.environment}, check=False).returncode
    if status:
        raise UserError(f"step {step.name} ended with exit status {status}; the same command goes on from there")
    if missing := [str(path) for path in step.makes if not path.exists()]:
        raise UserError(f"step {step.name} ended without {', '.join(missing)}")


def chosen(found: Sequence[Step], name: str) -> list[Step]:
    """The step of this name, or all that belong to `all`.

    Raises:
        UserError: there is no such step.
    """
    if name == "all":
        return [step for step in found if not step.alone]
    # a recipe's own step before one of the same name that comes earlier
    picked = [step for step in found if step.name == name][-1:]
    if not picked:
        raise UserError(f"no step {name}: expected all or one of {', '.join(dict.fromkeys(s.name for s in found))}")
    return picked
