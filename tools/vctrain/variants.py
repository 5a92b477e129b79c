"""The models that are trained: sizes and latency of each variant that is shipped, and of their teacher."""

from __future__ import annotations

from dataclasses import dataclass

from vctrain.models.content_encoder import EncoderConfig
from vctrain.models.decoder import DecoderConfig


@dataclass(frozen=True)
class Variant:
    """What makes a variant."""

    encoder: EncoderConfig
    decoder: DecoderConfig
    description: str


SLOW_DECAY = 0.9934
"""A time constant of 1.5 s."""

VARIANTS = {
    "default": Variant(
        EncoderConfig(slow_decay=SLOW_DECAY, n_repeated=4),
        DecoderConfig(),
        "Any speaker of English to four voices, 16 kHz, 40 ms",
    ),
    "low-latency": Variant(
        EncoderConfig(latency=240, slow_decay=SLOW_DECAY, n_repeated=7),
        DecoderConfig(),
        "Any speaker of English to four voices, 16 kHz, 25 ms: hears less ahead than the default",
    ),
    "tiny": Variant(
        EncoderConfig(channels=104, n_blocks=6, slow_decay=SLOW_DECAY, slow_bands=40, n_repeated=3),
        DecoderConfig(channels=96, n_blocks=5),
        "Any speaker of English to four voices, 16 kHz, 40 ms: a quarter of the default's size and work",
    ),
}

MODELS = VARIANTS | {
    "teacher": Variant(
        EncoderConfig(channels=352, n_blocks=9, latency=4800, slow_decay=SLOW_DECAY),
        DecoderConfig(channels=352, n_blocks=8),
        "Hears 300 ms ahead and has four times the default's weights: for no board, only for others to learn from",
    ),
}
"""What can be trained."""
