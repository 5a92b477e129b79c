"""Where a training computes: the CPU, or a CUDA device."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vctrain.errors import UserError

CHOICES = ("auto", "cpu", "cuda")


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option --device."""
    parser.add_argument("--device", choices=CHOICES, default="auto", help="auto: CUDA if there is one")


def pick(name: str) -> torch.device:
    """The device of a training.

    Raises:
        UserError: CUDA was asked for, and PyTorch has none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError("--device cuda: PyTorch finds no CUDA device here; take --device cpu, or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def of(module: nn.Module) -> torch.device:
    """The device of a network's weights."""
    return next(module.parameters()).device


def mixed_precision(device: torch.device) -> torch.autocast:
    """A context in which products are taken in bfloat16 where the device has instructions for them.

    A CPU without AVX-512 imitates them, eight times slower than it multiplies in float32: there nothing changes.
    """
    native = device.type != "cpu" or torch.backends.cpu.get_cpu_capability() == "AVX512"
    return torch.autocast(device.type, torch.bfloat16, enabled=native)


def moved(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """A batch on the device."""
    return {name: value.to(device) for name, value in batch.items()}
