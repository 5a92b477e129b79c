"""Checkpoints that a stopped training resumes from."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from vctrain.errors import UserError

RENAMED = {
    "judges": "discriminators",
    "judge_optimizer": "discriminator_optimizer",
    "speaker_optimizer": "decoder_optimizer",
    "encoders_average": "encoder_average",
    "keeper": "reference",
    "encoder_too": "train_encoder",
}
"""Old names of a checkpoint's parts, which are still read."""


def save(path: Path, **content: Any) -> None:
    """Writes atomically: a training killed while saving keeps its last checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save(content, temporary)
    temporary.replace(path)


def load(path: Path) -> dict[str, Any] | None:
    """The checkpoint's content, or None if there is none yet. Tensors and plain values only."""
    if not path.exists():
        return None
    saved: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return {RENAMED.get(name, name): value for name, value in saved.items()}


def resume(path: Path, parts: Iterable[str], settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The checkpoint that a training with these `settings` goes on from, or None if there is none yet.

    parts: what it must hold of the training's state.

    Raises:
        UserError: it is of another training, or of one that keeps its weights only.
    """
    saved = load(path)
    if saved is None:
        return None
    elsewhere = f"take another --run folder; --start-from {path} begins with what it has learnt"
    if missing := [part for part in parts if part not in saved]:
        raise UserError(f"{path} has no {', '.join(missing)}, so this training cannot go on from it: {elsewhere}")
    found, wanted = _flat({name: saved.get(name) for name in settings}), _flat(settings)
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise UserError(
                f"{path} was begun with {name} {found.get(name)}, this command says {wanted.get(name)}: {elsewhere}"
            )
    return saved


def copy_decoder(source: Path, run: Path) -> None:
    """Put the decoder that understands this content beside an encoder that has none, so that the run can convert."""
    if (source / "decoder.pt").exists() and not (run / "decoder.pt").exists():
        shutil.copy(source / "decoder.pt", run)


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat
