"""Loads trained networks from a run for export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vctrain import checkpoint
from vctrain.models.content_encoder import ContentEncoder
from vctrain.models.decoder import Decoder, load_decoder
from vctrain.models.ear import WhisperEar, load_any_encoder


@dataclass(frozen=True)
class Trained:
    """What a run has learnt."""

    encoder: ContentEncoder | WhisperEar
    decoder: Decoder
    f0_statistics: dict[str, tuple[float, float]]
    """Voice name to mean and standard deviation of log2(F0 / Hz)."""


def load(run: Path) -> Trained:
    """Reads RUN/encoder.pt and the averaged weights of RUN/decoder.pt."""
    encoder, decoder = load_any_encoder(run / "encoder.pt"), load_decoder(run / "decoder.pt")
    return Trained(encoder.eval(), decoder.eval(), (checkpoint.load(run / "decoder.pt") or {})["f0_statistics"])
