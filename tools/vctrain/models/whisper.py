"""Whisper's encoder in PyTorch, from a CTranslate2 file: what a teacher hears with, and the ear of `studio`.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022. Weights: MIT licence.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from librosa.filters import mel as mel_filters
from numpy.typing import NDArray
from torch import Tensor, nn

from vctrain.errors import UserError

SAMPLE_RATE = 16_000
N_FFT = 400
HOP_LENGTH = 160
N_MELS = 80
ROW_LENGTH = 2 * HOP_LENGTH
"""Samples from one row of features to the next; row j is centred at sample 320 j."""
ROW_AHEAD = N_FFT // 2 + 2 * HOP_LENGTH
"""Samples after its centre that a row hears before any attention: half a window, and one frame in each convolution."""
LONGEST_ROWS = 1500
"""Rows that Whisper has positions for: 30 s."""

_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_WINDOW = torch.hann_window(N_FFT)
_MEL = torch.from_numpy(mel_filters(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS).astype(np.float32))


def read_ctranslate2(path: Path) -> dict[str, NDArray[np.generic]]:
    """Every variable of a CTranslate2 model.bin (binary version 6), by name; plain numbers only.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it is not such a file.
    """
    data, place = path.read_bytes(), 0

    def take(kind: str) -> int:
        nonlocal place
        (value,) = struct.unpack_from("<" + kind, data, place)
        place += struct.calcsize("<" + kind)
        return int(value)

    def text() -> str:
        nonlocal place
        size = take("H")
        place += size
        return data[place - size : place].rstrip(b"\0").decode()

    found: dict[str, NDArray[np.generic]] = {}
    try:
        take("I")
        text()
        take("I")
        for _ in range(take("I")):
            name = text()
            shape = [take("I") for _ in range(take("B"))]
            kind = np.dtype(_DTYPES[take("B")])
            size = take("I")
            found[name] = np.frombuffer(data, kind, size // kind.itemsize, place).reshape(shape)
            place += size
        for _ in range(take("I")):
            name = text()
            found[name] = found[text()]
    except (KeyError, ValueError, struct.error) as error:
        raise UserError(f"{path} is no model.bin of CTranslate2, binary version 6; see docs/training.md") from error
    return found


def log_mel(samples: Tensor, loudest: float | None = None) -> Tensor:
    """(B, T) to Whisper's log-mels (B, 80, 1 + T // 160): frame k is centred at sample 160 k.

    They end 8 decades below the loudest of them, or below `loudest`, a log10 of power, where one is given: a stream
    cannot know what is still to come.
    """
    spectrum = torch.stft(
        samples, N_FFT, HOP_LENGTH, window=_WINDOW.to(samples.device), pad_mode="reflect", return_complex=True
    )
    power = spectrum.real.square() + spectrum.imag.square()
    log = torch.log10((_MEL.to(samples.device) @ power).clamp(min=1e-10))
    top = log.amax((1, 2), keepdim=True) if loudest is None else torch.tensor(loudest)
    return (torch.maximum(log, top - 8.0) + 4.0) / 4.0


class WhisperLayer(nn.Module):
    """Self-attention and two Linear layers, each behind a LayerNorm and beside a residual path."""

    def __init__(self, size: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.attention_norm = nn.LayerNorm(size)
        self.joint = nn.Linear(size, 3 * size)
        """Queries, keys and values."""
        self.out = nn.Linear(size, size)
        self.norm = nn.LayerNorm(size)
        self.expand = nn.Linear(size, 4 * size)
        self.project = nn.Linear(4 * size, size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x: (B, N, size); mask (N, N): whether a row hears another. Returns (B, N, size)."""
        parts = self.joint(self.attention_norm(x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in parts)
        heard = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(heard.transpose(1, 2).flatten(2))
        return x + self.project(F.gelu(self.expand(self.norm(x))))


class WhisperEncoder(nn.Module):
    """Log-mels (B, 80, N) at 100 frames a second to rows (B, N / 2, size), any N up to 3000: no padding to 30 s."""

    def __init__(self, size: int = 512, n_layers: int = 6) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(N_MELS, size, 3, padding=1)
        self.conv2 = nn.Conv1d(size, size, 3, stride=2, padding=1)
        self.positions = nn.Buffer(torch.zeros(LONGEST_ROWS, size))
        self.layers = nn.ModuleList(WhisperLayer(size, size // 64) for _ in range(n_layers))
        self.last_norm = nn.LayerNorm(size)

    @classmethod
    def load(cls, folder: Path) -> WhisperEncoder:
        """The encoder of a CTranslate2 Whisper model.

        Raises:
            FileNotFoundError: the folder holds no model.bin.
            UserError: it is another kind of file.
        """
        found = {
            name.removeprefix("encoder/"): torch.from_numpy(value.astype(np.float32))
            for name, value in read_ctranslate2(folder / "model.bin").items()
            if name.startswith("encoder/")
        }
        layers = [int(number[1]) for name in found if (number := re.match(r"layer_(\d+)/", name))]
        if not layers:
            raise UserError(f"{folder / 'model.bin'} holds no encoder of Whisper; see docs/training.md")
        n_layers = 1 + max(layers)
        encoder = cls(len(found["conv1/bias"]), n_layers)
        weights = {"positions": found["position_encodings/encodings"]}

        def put(ours: str, theirs: str, names: tuple[str, str] = ("weight", "bias")) -> None:
            for own, name in zip(("weight", "bias"), names, strict=True):
                weights[f"{ours}.{own}"] = found[f"{theirs}/{name}"]

        norm = ("gamma", "beta")
        put("conv1", "conv1")
        put("conv2", "conv2")
        put("last_norm", "layer_norm", norm)
        for i in range(n_layers):
            ours, theirs = f"layers.{i}", f"layer_{i}"
            put(f"{ours}.attention_norm", f"{theirs}/self_attention/layer_norm", norm)
            put(f"{ours}.joint", f"{theirs}/self_attention/linear_0")
            put(f"{ours}.out", f"{theirs}/self_attention/linear_1")
            put(f"{ours}.norm", f"{theirs}/ffn/layer_norm", norm)
            put(f"{ours}.expand", f"{theirs}/ffn/linear_0")
            put(f"{ours}.project", f"{theirs}/ffn/linear_1")
        encoder.load_state_dict(weights)
        return encoder

    def rows(
        self, mels: Tensor, mask: Tensor | None = None, keep: tuple[int, ...] = (), first: int = 0
    ) -> tuple[Tensor, list[Tensor]]:
        """Rows after the last layer, not yet normalised, and those after the layers in `keep`.

        first: the first row's position; behind the last position comes the first one again.
        """
        x = F.gelu(self.conv2(F.gelu(self.conv1(mels)))).transpose(1, 2)
        x = x + self.positions[(first + torch.arange(x.shape[1], device=x.device)) % LONGEST_ROWS]
        kept = []
        for i, layer in enumerate(self.layers):
            x = layer(x, mask)
            if i in keep:
                kept.append(x)
        return x, kept

    def forward(self, mels: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalised rows, as ctranslate2's `Whisper.encode`."""
        return self.last_norm(self.rows(mels, mask)[0])


def block_mask(n_rows: int, block: int, back: int, device: torch.device | None = None) -> Tensor:
    """(n_rows, n_rows): a row hears the whole of its own block of `block` rows, and `back` rows before that."""
    row = torch.arange(n_rows, device=device)
    begins = (row // block * block)[:, None]
    return (row[None] < begins + block) & (row[None] >= begins - back)


def endless_positions(size: int, n_rows: int = LONGEST_ROWS) -> Tensor:
    """Whisper's sinusoids (n_rows, size), their frequencies rounded so that the last row is followed by the first.

    A stream has no end. Waves longer than twice all rows, which say how late in the recording it is, stand still.
    """
    half = size // 2
    radians = 10_000.0 ** (-torch.arange(half) / (half - 1))
    turns = (radians * n_rows / (2 * torch.pi)).round()
    angles = torch.arange(n_rows)[:, None] * turns * (2 * torch.pi / n_rows)
    return torch.cat([angles.sin(), angles.cos()], 1)
