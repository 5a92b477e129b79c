"""Knowledge distillation: trained networks whose outputs are targets for others."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vctrain import device
from vctrain.alternatives import SYNTHESES
from vctrain.data.front_end import HOP_LENGTH, log_mel
from vctrain.data.speakers import VOICES
from vctrain.errors import UserError
from vctrain.models.content_encoder import ContentEncoder, load_encoder
from vctrain.models.decoder import Decoder, load_decoder
from vctrain.models.ear import WhisperEar, load_any_encoder


def decode_batch(decoder: Decoder, batch: dict[str, Tensor]) -> Tensor:
    """Output at the reference level, context included: (B, 160 * W), an encoder's latency behind the source."""
    size, width = batch["f0"].shape
    with device.mixed_precision(batch["f0"].device):
        voice = decoder.voice(batch["voice"])
        filters = decoder(batch["content"], batch["pitch"], voice, decoder.new_state(size), batch["f0"])[0]
    noise = (torch.rand(size, HOP_LENGTH * (width + 1), device=batch["f0"].device) - 0.5) * math.sqrt(12)
    synthesis = SYNTHESES[decoder.config.synthesis]
    return synthesis(filters.float(), batch["f0"], noise) / batch["gain"]


def encode(encoder: ContentEncoder | WhisperEar, samples: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 160 * N) to content (B, N, content_size) and phone logits (B, N, 40).

    The convolutions begin as at the start of a stream, the running averages as after much of the same sound.
    """
    if isinstance(encoder, WhisperEar):
        return encoder.encode(samples)
    mels = log_mel(samples)
    with device.mixed_precision(mels.device):
        content, phones, _ = encoder(mels, encoder.settled_state(mels))
    return content.float(), phones.float()


def encode_batch(encoder: ContentEncoder, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """A sampler's batch with the encoder's content (B, W, content_size) of its input, and the phones (B, W, 40).

    The batch is moved to the encoder's device.
    """
    batch = device.moved(batch, device.of(encoder))
    content, phones = (
        torch.gather(output, 1, batch["frames"][..., None].expand(-1, -1, output.shape[-1]))
        for output in encode(encoder, batch["heard"])
    )
    return batch | {"content": content}, phones


def kl_divergence(wanted: Tensor, found: Tensor) -> Tensor:
    """Kullback-Leibler divergence of phone logits from the target's, (..., 40) to (...)."""
    probability = wanted.softmax(-1)
    return (probability * (wanted.log_softmax(-1) - found.log_softmax(-1))).sum(-1)


def extra_lookahead(teacher: ContentEncoder, latency: int) -> int:
    """Samples by which a teacher's lookahead exceeds a student's of `latency`; UserError where it is smaller."""
    ahead = teacher.config.latency - latency
    if ahead < 0:
        raise UserError(
            f"a teacher needs at least the lookahead of its student, got {teacher.config.latency} samples "
            f"and {latency}; take another --teacher"
        )
    return ahead


class ContentTeacher:
    """A trained encoder whose outputs for clean speech are a student's targets."""

    def __init__(self, path: Path, where: torch.device | None = None) -> None:
        self.encoder = load_encoder(path).eval().requires_grad_(False).to(where)

    def targets(self, samples: Tensor, latency: int) -> tuple[Tensor, Tensor]:
        """Content and phone logits for a student of `latency` samples: target m belongs to the student's frame m.

        samples: (B, 160 * N). There are fewer than N targets where the teacher's lookahead is longer.
        """
        ahead = extra_lookahead(self.encoder, latency)
        frames = -(-ahead // HOP_LENGTH)
        # half a hop more than the student's latency would lie between two frames
        delayed = F.pad(samples, (frames * HOP_LENGTH - ahead, 0))[:, : samples.shape[1]]
        with torch.no_grad():
            content, phones = encode(self.encoder, delayed)
        return content[:, frames:], phones[:, frames:]

    def loss(self, samples: Tensor, content: Tensor, phones: Tensor, counts: Tensor, latency: int) -> Tensor:
        """Divergence of the phones, and squared distance of the content over its variance, where `counts` (B, N)."""
        wanted_content, wanted_phones = self.targets(samples, latency)
        width = wanted_phones.shape[1]
        counts = counts[:, :width]
        wanted_content = wanted_content[counts]
        distance = (content[:, :width][counts] - wanted_content).square().mean(0) / wanted_content.var(0)
        return kl_divergence(wanted_phones[counts], phones[:, :width][counts]).mean() + distance.mean()


class StoredTeacher:
    """A teacher whose content of clean speech is stored; its phones follow from the content."""

    def __init__(self, path: Path, where: torch.device | None = None) -> None:
        self.phones = load_any_encoder(path).phones.requires_grad_(False).to(where)

    def loss(self, targets: Tensor, content: Tensor, phones: Tensor) -> Tensor:
        """As ContentTeacher.loss; targets (B, N, 48) are NaN where there is none."""
        known = targets[..., 0].isfinite()
        if not known.any():
            return content.sum() * 0.0
        wanted = targets[known]
        distance = (content[known] - wanted).square().mean(0) / wanted.var(0)
        return kl_divergence(self.phones(wanted), phones[known]).mean() + distance.mean()


class VoiceTeacher:
    """A trained model whose conversions of other speakers are a student's targets."""

    def __init__(self, run: Path, where: torch.device | None = None) -> None:
        """Both networks of a run, on a device (default: the CPU).

        Raises:
            FileNotFoundError: one of them is missing.
            UserError: it was not trained with as many voices as there are now.
        """
        self.encoder = load_encoder(run / "encoder.pt").eval().requires_grad_(False).to(where)
        self.decoder = load_decoder(run / "decoder.pt").eval().requires_grad_(False).to(where)
        if (known := self.decoder.config.n_voices) != len(VOICES):
            raise UserError(f"--teacher: {run} knows {known} voices, there are {len(VOICES)}: {', '.join(VOICES)}")

    def convert(self, samples: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Converts clean sources (B, 160 * W); pitch, f0, voice and gain as `SourceSampler.batch`. (B, 160 * W)."""
        with torch.no_grad():
            return decode_batch(self.decoder, batch | {"content": encode(self.encoder, samples)[0]})
