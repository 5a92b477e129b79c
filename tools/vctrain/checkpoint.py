"""Checkpoints that a stopped training resumes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def save(path: Path, **content: Any) -> None:
    """Writes atomically: a training killed while saving keeps its last checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save(content, temporary)
    temporary.replace(path)


def load(path: Path) -> dict[str, Any] | None:
    """The checkpoint's content, or None if there is none yet. Tensors and plain values only."""
    return torch.load(path, weights_only=True) if path.exists() else None
