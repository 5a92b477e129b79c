"""Loads trained networks from a run for export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vctrain import checkpoint
from vctrain.models.content_encoder import ContentEncoder, EncoderConfig
from vctrain.models.decoder import Decoder, DecoderConfig


@dataclass(frozen=True)
class Trained:
    """What a run has learnt."""

    encoder: ContentEncoder
    decoder: Decoder
    f0_statistics: dict[str, tuple[float, float]]
    """Voice name to mean and standard deviation of log2(F0 / Hz)."""


def load(run: Path) -> Trained:
    """Reads RUN/encoder.pt and the averaged weights of RUN/decoder.pt."""
    saved_encoder, saved_decoder = checkpoint.load(run / "encoder.pt"), checkpoint.load(run / "decoder.pt")
    if saved_encoder is None or saved_decoder is None:
        raise FileNotFoundError(f"expected encoder.pt and decoder.pt in {run}; train both first")
    encoder = ContentEncoder(EncoderConfig(**saved_encoder["config"]))
    encoder.load_state_dict(saved_encoder["model"])
    decoder = Decoder(DecoderConfig(**saved_decoder["config"]))
    decoder.load_state_dict({k[7:]: v for k, v in saved_decoder["average"].items() if k.startswith("module.")})
    return Trained(encoder.eval(), decoder.eval(), saved_decoder["f0_statistics"])
