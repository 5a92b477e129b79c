"""The models that a name means: those that come with this package, and those that other installed packages bring."""

from __future__ import annotations

import importlib.util
from importlib.metadata import entry_points
from pathlib import Path

GROUP = "edgevc.models"
"""Entry points of installed packages, NAME = PACKAGE: the folder of PACKAGE is a bundle."""

MODEL_FOLDERS = tuple(parent / "models" for parent in Path(__file__).resolve().parents[1:3])
"""In an installed package, and in a source tree."""


def own_models() -> dict[str, Path]:
    """Name to folder of the bundles that come with the package; the default one is the first."""
    for folder in MODEL_FOLDERS:
        names = sorted(path.parent.name for path in folder.glob("*/manifest.json"))
        if names:
            return {name: folder / name for name in sorted(names, key=lambda name: name != "default")}
    return {}


def installed_models() -> dict[str, Path]:
    """Name to folder of the bundles that other installed packages bring. Nothing of theirs is imported or run."""
    found: dict[str, Path] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        # a dotted name would import what is before the dot
        spec = importlib.util.find_spec(point.value) if point.value.isidentifier() else None
        for folder in (spec.submodule_search_locations or []) if spec is not None else []:
            if (Path(folder) / "manifest.json").is_file():
                found.setdefault(point.name, Path(folder))
    return found


def shipped_models() -> dict[str, Path]:
    """Name to folder of all of them; a name of this package's own goes before another's."""
    own = own_models()
    return own | {name: folder for name, folder in installed_models().items() if name not in own}
