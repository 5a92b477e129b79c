"""What is said, freed of who says it: a causal network from log-mels to a narrow code and phones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vctrain import checkpoint
from vctrain.errors import UserError
from vctrain.modules import slow
from vctrain.modules.causal import CausalStack

_NAMES = """
SIL AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH
K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH
"""
PHONES = tuple(_NAMES.split())
"""ARPAbet as pocketsphinx's US-English dictionary uses it; SIL also stands for noise and breath."""

PHONE_INDEX = {phone: i for i, phone in enumerate(PHONES)}


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the content encoder, and how far it hears ahead."""

    n_mels: int = 80
    channels: int = 192
    n_blocks: int = 7
    kernel_size: int = 9
    expansion: int = 3
    content_size: int = 48
    n_phones: int = len(PHONES)
    latency: int = 480
    """Samples between the newest sample of a log-mel frame and the sound that its output belongs to."""
    slow_decay: float = 0.0
    """Per frame, of the running averages that the network hears beside the frame; 0: it hears none."""
    slow_bands: int = 80
    """Bands that are averaged, of equally many mels each."""
    n_repeated: int = 0
    """Blocks, of the last ones, that are gone through twice."""


class ContentEncoder(nn.Module):
    """Log-mels to content and phone logits.

    Output m belongs to the sound `latency` samples before the end of log-mel frame m: so much the network hears beyond
    what it names.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.input = nn.Linear(config.n_mels, config.channels)
        self.slow = nn.Linear(2 * config.slow_bands, config.channels, bias=False) if config.slow_decay else None
        self.input_norm = nn.LayerNorm(config.channels)
        self.stack = CausalStack(
            config.channels, config.n_blocks, config.kernel_size, config.expansion, config.n_repeated
        )
        self.content_norm = nn.LayerNorm(config.channels)
        self.content = nn.Linear(config.channels, config.content_size)
        self.phones = nn.Linear(config.content_size, config.n_phones)

    def new_state(self, batch: int = 1) -> list[Tensor]:
        """The state at the start of a stream."""
        averages = (
            [torch.zeros(batch, 1, 2 * self.config.slow_bands, device=self.input.weight.device)]
            if self.slow is not None
            else []
        )
        return [*self.stack.new_state(batch), *averages]

    def settled_state(self, log_mel: Tensor) -> list[Tensor]:
        """As at the start of a stream, but for running averages that have long heard such sound: (B, N, n_mels)."""
        state = self.new_state(len(log_mel))
        if self.slow is not None:
            state[-1] = self._to_average(scaled(log_mel)).mean(1, keepdim=True)
        return state

    def _to_average(self, mels: Tensor) -> Tensor:
        return slow.to_average(mels, self.config.slow_bands)

    def forward(self, log_mel: Tensor, state: list[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """log_mel: (B, N, n_mels). Returns content (B, N, content_size), phone logits (B, N, n_phones), new state."""
        mels = scaled(log_mel)
        x = self.input(mels)
        averages = []
        if self.slow is not None:
            *state, before = state
            # sums over seconds need more than half precision
            with torch.autocast(mels.device.type, enabled=False):
                heard, after = slow.running(self._to_average(mels.float()), before, self.config.slow_decay)
            x = x + self.slow(slow.features(heard))
            averages = [after]
        x, state = self.stack(self.input_norm(x), state)
        content = self.content(self.content_norm(x))
        return content, self.phones(content), [*state, *averages]

    def init_from(self, other: ContentEncoder) -> None:
        """Takes another's weights; running averages and second times it does not have count for nothing at first.

        Raises:
            UserError: the other is of another size.
        """
        sizes = [(c.channels, c.n_blocks, c.kernel_size, c.expansion) for c in (self.config, other.config)]
        if sizes[0] != sizes[1]:
            raise UserError("an encoder can only begin with the weights of one of its own size; give that --variant")
        weights = other.state_dict()
        if self.slow is not None and other.slow is None:
            weights["slow.weight"] = torch.zeros_like(self.slow.weight)
        for i, block in enumerate(self.stack.blocks):
            if block.again is not None and other.stack.blocks[i].again is None:
                new = {name: weight for name, weight in block.state_dict().items() if name.startswith("again")}
                weights |= {f"stack.blocks.{i}.{name}": weight for name, weight in new.items()}
                # it is added twice now
                weights[f"stack.blocks.{i}.project.bias"] = other.stack.blocks[i].project.bias.detach() / 2
        self.load_state_dict(weights)


def scaled(log_mel: Tensor) -> Tensor:
    """Log-mels of speech, about -11 to 3, near unit variance."""
    return log_mel * 0.2 + 1.0


def load_encoder(path: Path) -> ContentEncoder:
    """The averaged weights of a run's encoder.pt; FileNotFoundError where there is none."""
    saved = checkpoint.load(path)
    if saved is None:
        raise FileNotFoundError(f"expected {path}; run tools/train_encoder.py first")
    encoder = ContentEncoder(EncoderConfig(**saved["config"]))
    encoder.load_state_dict(saved["model"])
    return encoder
