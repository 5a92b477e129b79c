"""Whisper's encoder as the ear of a decoder: its rows, and a head from them to content and phones.

A teacher hears whole recordings; `studio` hears in blocks, so that it can follow a stream.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vctrain import checkpoint, device
from vctrain.data.front_end import log_mel
from vctrain.models.content_encoder import PHONES, ContentEncoder, EncoderConfig, scaled
from vctrain.models.whisper import HOP_LENGTH, N_MELS, ROW_LENGTH, WhisperEncoder, block_mask, endless_positions
from vctrain.models.whisper import log_mel as whisper_log_mel

PER_ROW = ROW_LENGTH // HOP_LENGTH
"""Frames of content for one row."""


@dataclass(frozen=True)
class EarConfig:
    """Sizes of Whisper's encoder, which of its layers are heard, and how far each row hears."""

    size: int = 512
    n_layers: int = 6
    heard: tuple[int, ...] = (3, 5)
    """Layers whose rows the head gets."""
    neighbours: int = 1
    """Rows on either side that the head gets as well."""
    hidden: int = 512
    content_size: int = 48
    n_phones: int = len(PHONES)
    latency: int = 480
    """Samples between the newest sample of a frame and the sound that its output belongs to."""
    block: int = 0
    """Rows that hear each other to the end; 0: all of them."""
    back: int = 150
    """Rows before itself that a row hears, where there are blocks."""
    loudest: float | None = None
    """See whisper.log_mel."""
    front_end: str = "whisper"
    """Whose log-mels are heard: `whisper`, or `edgevc`, the runtime's own, through one Linear layer."""
    endless: bool = False
    """Positions that come again, for a stream: see whisper.endless_positions."""


class EarHead(nn.Module):
    """Rows (B, N, inputs) to content, two frames per row: (B, 2 N, content_size)."""

    def __init__(self, config: EarConfig) -> None:
        super().__init__()
        self.config = config
        inputs = config.size * len(config.heard)
        self.norm = nn.LayerNorm(inputs)
        wide = inputs * (1 + 2 * config.neighbours)
        self.hidden = nn.Linear(wide, config.hidden)
        self.content = nn.Linear(config.hidden, PER_ROW * config.content_size)
        self.direct = nn.Linear(wide, PER_ROW * config.content_size, bias=False)

    def init_from(self, other: EarHead) -> None:
        """Takes the weights of one that gets neighbours as well; rows change slowly, so their weights are added up."""
        weights = other.state_dict()
        parts = (1 + 2 * other.config.neighbours) // (1 + 2 * self.config.neighbours)
        for name in ("hidden.weight", "direct.weight"):
            weights[name] = weights[name].unflatten(1, (parts, -1)).sum(1)
        self.load_state_dict(weights)

    def forward(self, rows: Tensor) -> Tensor:
        """The first and last rows' missing neighbours are themselves."""
        x, n = self.norm(rows), self.config.neighbours
        if n:
            padded = torch.cat([x[:, :1].expand(-1, n, -1), x, x[:, -1:].expand(-1, n, -1)], 1)
            x = torch.cat([padded[:, i : i + x.shape[1]] for i in range(2 * n + 1)], -1)
        return self._content(x).reshape(len(x), -1, self.config.content_size)

    def of_middle(self, rows: Tensor) -> Tensor:
        """The middle one of 2 * neighbours + 1 rows (B, that many, inputs) to content: (B, PER_ROW, content_size)."""
        return self._content(self.norm(rows).flatten(1)).reshape(len(rows), PER_ROW, -1)

    def _content(self, x: Tensor) -> Tensor:
        return self.content(F.gelu(self.hidden(x))) + self.direct(x)


class WhisperEar(nn.Module):
    """Samples to content and phone logits, in one piece. Frame k of the head belongs to sample 160 k."""

    def __init__(self, config: EarConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = WhisperEncoder(config.size, config.n_layers)
        if config.endless:
            self.encoder.positions = nn.Buffer(endless_positions(config.size))
        # frame k of the runtime ends with sample 160 (k + 1) and is centred 2.5 ms before Whisper's frame k
        self.adapt = nn.Linear(N_MELS, N_MELS) if config.front_end == "edgevc" else None
        self.head = EarHead(config)
        self.phones = nn.Linear(config.content_size, config.n_phones)

    def mels(self, samples: Tensor) -> Tensor:
        """(B, T) to log-mels (B, 80, N) as Whisper's convolutions take them: frame k belongs to sample 160 k."""
        if self.adapt is None:
            return whisper_log_mel(samples, self.config.loudest)
        return self.adapt(scaled(log_mel(samples))).transpose(1, 2)

    def rows(self, samples: Tensor, first: int = 0) -> Tensor:
        """(B, T) to (B, 1 + T // 320, size * len(heard)): row j is centred at sample 320 j. first: row 0's position."""
        mels = self.mels(samples)
        n_rows = (mels.shape[-1] + 1) // 2
        mask = block_mask(n_rows, self.config.block, self.config.back, mels.device) if self.config.block else None
        return torch.cat(self.encoder.rows(mels, mask, self.config.heard, first)[1], -1)

    def content_frames(self, samples: Tensor, first: int = 0) -> Tensor:
        """(B, T) to content (B, K, content_size): frame k belongs to sample 160 k. first: row 0's position."""
        return self.head(self.rows(samples, first))

    def fit_front_end(self, recordings: Iterable[Tensor]) -> float:
        """Fits `adapt`, so that of these (1, T) Whisper's own log-mels come out: least squares, no training.

        Returns the share of their variance that is missed.
        """
        if self.adapt is None:
            raise ValueError("an ear with Whisper's front end has nothing to fit")
        heard, wanted = [], []
        for samples in recordings:
            ours, theirs = scaled(log_mel(samples))[0], whisper_log_mel(samples, self.config.loudest)[0].T
            n = min(len(ours), len(theirs))
            heard.append(F.pad(ours[:n], (0, 1), value=1.0))
            wanted.append(theirs[:n])
        x, y = torch.cat(heard).double(), torch.cat(wanted).double()
        # a thousandth of the frames' own power keeps neighbouring bands from fighting
        power = x.T @ x
        solved = torch.linalg.solve(power + 1e-3 * power.diagonal().mean() * torch.eye(len(power)), x.T @ y)
        with torch.no_grad():
            self.adapt.weight.copy_(solved[:-1].T.float())
            self.adapt.bias.copy_(solved[-1].float())
        return float((x @ solved - y).square().mean() / y.var(0).mean())

    def load_whisper(self, encoder: WhisperEncoder) -> None:
        """Takes Whisper's weights, and its positions where the config does not want others."""
        weights = encoder.state_dict()
        if self.config.endless:
            weights["positions"] = self.encoder.positions
        self.encoder.load_state_dict(weights)

    def encode(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 160 * N) to content (B, N, content_size) and phone logits (B, N, 40), as teachers.encode."""
        with device.mixed_precision(samples.device):
            content = self.content_frames(samples)
        hops = samples.shape[-1] // HOP_LENGTH
        places = torch.arange(1, hops + 1, device=samples.device) - self.config.latency / HOP_LENGTH
        content = interpolate(content.float(), places)
        return content, self.phones(content)


def interpolate(rows: Tensor, places: Tensor) -> Tensor:
    """(..., K, C) at fractional places (N,), linearly; the first and the last row go on for ever. (..., N, C)."""
    places = places.clamp(0, rows.shape[-2] - 1)
    low = places.floor().long()
    share = (places - low)[:, None].to(rows.dtype)
    return rows[..., low, :] * (1 - share) + rows[..., (low + 1).clamp(max=rows.shape[-2] - 1), :] * share


def load_any_encoder(path: Path) -> ContentEncoder | WhisperEar:
    """The averaged weights of a run's encoder.pt, whatever kind of encoder it is.

    Raises:
        FileNotFoundError: there is none.
    """
    saved = checkpoint.load(path)
    if saved is None:
        raise FileNotFoundError(f"expected {path}; run tools/train_encoder.py first")
    encoder: ContentEncoder | WhisperEar
    if "ear" in saved:
        encoder = WhisperEar(ear_config(saved["ear"]))
    else:
        encoder = ContentEncoder(EncoderConfig(**saved["config"]))
    encoder.load_state_dict(saved["model"])
    return encoder


def ear_config(saved: dict[str, Any]) -> EarConfig:
    """As a checkpoint keeps it."""
    return EarConfig(**saved | {"heard": tuple(saved["heard"])})
