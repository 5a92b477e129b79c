"""Progress of a training: printed lines and TensorBoard logs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from torch.utils.tensorboard import SummaryWriter


class Progress:
    """Means over the steps since the last report, and what a step took, everything beside the steps included."""

    def __init__(self, writer: SummaryWriter | None = None) -> None:
        self._writer = writer
        self._begin()

    def _begin(self) -> None:
        self._sums: Counter[str] = Counter()
        self._count = 0
        self._since = time.monotonic()

    def add(self, figures: Mapping[str, float]) -> None:
        """Of one step."""
        self._sums.update(figures)
        self._count += 1

    def report(self, step: int) -> None:
        """Prints one line, and writes TensorBoard logs where there is a writer."""
        means = {name: value / self._count for name, value in self._sums.items()}
        if self._writer is not None:
            for name, mean in means.items():
                self._writer.add_scalar(name, mean, step)
        pace = (time.monotonic() - self._since) / self._count
        said = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
        print(f"{step} {said}, {pace:.3f} s/step", flush=True)
        self._begin()
