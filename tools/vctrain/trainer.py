"""A network in training with its optimizer, learning rate schedule and moving average; goes on from its checkpoint."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor, nn

from vctrain import checkpoint

Network = TypeVar("Network", bound=nn.Module)
PARTS = ("trained", "average", "optimizer", "schedule")
"""Of a checkpoint, beside the averaged weights, which are its `model`."""
CHECKPOINT_SECONDS = 420
"""Between two checkpoints; what is learnt since the last one is lost where a training is stopped."""


class Trainer(Generic[Network]):
    """Steps of a training that keeps an exponential moving average of the weights."""

    def __init__(
        self,
        network: Network,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        ema: float,
        path: Path,
        settings: Mapping[str, Any],
    ) -> None:
        """Load the checkpoint at `path`, if there is one.

        settings: what a checkpoint must have in common with this training.

        Raises:
            UserError: it is of another training.
        """
        self.network, self.optimizer, self.schedule = network, optimizer, schedule
        averaging = torch.optim.swa_utils.get_ema_multi_avg_fn(ema)
        self._average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=averaging)
        self._path, self._settings = path, settings
        self.step = 0
        if (saved := checkpoint.resume(path, PARTS, settings)) is not None:
            network.load_state_dict(saved["trained"])
            self._average.load_state_dict(saved["average"])
            optimizer.load_state_dict(saved["optimizer"])
            schedule.load_state_dict(saved["schedule"])
            self.step = saved["step"]
        self._saved_at = time.monotonic()

    @property
    def averaged(self) -> Network:
        """The network with the averaged weights, which are evaluated and exported."""
        return cast("Network", self._average.module)

    def update(self, loss: Tensor) -> None:
        """One step of the optimizer."""
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self._average.update_parameters(self.network)
        self.step += 1

    def due(self, last_step: int) -> bool:
        """Whether a checkpoint should be written now."""
        return time.monotonic() - self._saved_at > CHECKPOINT_SECONDS or self.step == last_step

    def save(self, scores: Mapping[str, float]) -> None:
        """Write the checkpoint."""
        checkpoint.save(
            self._path,
            model=self.averaged.state_dict(),
            trained=self.network.state_dict(),
            average=self._average.state_dict(),
            optimizer=self.optimizer.state_dict(),
            schedule=self.schedule.state_dict(),
            step=self.step,
            scores=dict(scores),
            **self._settings,
        )
        self._saved_at = time.monotonic()
