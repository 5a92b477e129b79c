"""What is said, freed of who says it: a causal network from log-mels to a narrow code and phones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from vctrain import checkpoint
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


class ContentEncoder(nn.Module):
    """Log-mels to content and phone logits.

    Output m belongs to the sound `latency` samples before the end of log-mel frame m: so much the network hears beyond
    what it names.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.input = nn.Linear(config.n_mels, config.channels)
        self.input_norm = nn.LayerNorm(config.channels)
        self.stack = CausalStack(config.channels, config.n_blocks, config.kernel_size, config.expansion)
        self.content_norm = nn.LayerNorm(config.channels)
        self.content = nn.Linear(config.channels, config.content_size)
        self.phones = nn.Linear(config.content_size, config.n_phones)

    def new_state(self, batch: int = 1) -> list[Tensor]:
        """The state at the start of a stream."""
        return self.stack.new_state(batch)

    def forward(self, log_mel: Tensor, state: list[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """log_mel: (B, N, n_mels). Returns content (B, N, content_size), phone logits (B, N, n_phones), new state."""
        # brings log-mels of speech, about -11 to 3, near unit variance
        x = self.input_norm(self.input(log_mel * 0.2 + 1.0))
        x, state = self.stack(x, state)
        content = self.content(self.content_norm(x))
        return content, self.phones(content), state


def load_encoder(path: Path) -> ContentEncoder:
    """The judged weights of a run's encoder.pt; FileNotFoundError where there is none."""
    saved = checkpoint.load(path)
    if saved is None:
        raise FileNotFoundError(f"expected {path}; run tools/train_encoder.py first")
    encoder = ContentEncoder(EncoderConfig(**saved["config"]))
    encoder.load_state_dict(saved["model"])
    return encoder
