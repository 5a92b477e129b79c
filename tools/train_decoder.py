"""Step 4 of training: the decoder learns to speak as each voice, first by spectra, then against discriminators.

    GOMP_SPINCOUNT=30000 python tools/train_decoder.py --data DATA --noises ESC-10 --run RUN --train-encoder
    ... --run TINY --variant tiny --teacher RUN --train-encoder --adversarial-from 1800 --steps 4800

Needs RUN/encoder.pt. With a teacher (knowledge distillation) the teacher's conversions of other speakers are targets
beside the voices' recordings. With --train-encoder the encoder is trained along in the adversarial stage, by the phone
loss of the converted speech, and is held near its teacher, or near itself at the start, on clean speech; every
checkpoint then updates RUN/encoder.pt as well.
Stops at any time; the same command goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch.utils.tensorboard import SummaryWriter
from vctrain import checkpoint, device
from vctrain.alternatives import SYNTHESES
from vctrain.data.front_end import HOP_LENGTH
from vctrain.data.noise import Noises
from vctrain.data.speakers import VOICES
from vctrain.data.voices import CONTEXT_FRAMES, SourceSampler, VoiceSampler, f0_statistics, load_voices
from vctrain.errors import UserError, one_line_errors
from vctrain.losses import multi_resolution_stft
from vctrain.models.content_encoder import ContentEncoder, load_encoder
from vctrain.models.decoder import Decoder, load_decoder
from vctrain.models.discriminators import Discriminators
from vctrain.progress import Progress
from vctrain.teachers import ContentTeacher, VoiceTeacher, decode_batch, encode, encode_batch, kl_divergence
from vctrain.variants import MODELS

WARM_UP = 200
"""Steps of rising learning rate."""
CHECKPOINT_SECONDS = 120
"""Between two checkpoints; what is learnt since the last one is lost where a training is stopped."""
EMA = 0.999
"""The exported weights are this moving average: adversarial training wanders."""

DISTILLATION_WEIGHT = 0.5
"""Of the distillation loss that holds a trained encoder near its reference on clean speech."""

DISCRIMINATOR_SAMPLES = 44 * HOP_LENGTH
"""Length of the excerpt of each crop that the discriminators get."""


Network = TypeVar("Network", bound=torch.nn.Module)


class Learner(Generic[Network]):
    """A network in training, its optimizer, and the moving average of its weights that is exported."""

    def __init__(self, network: Network) -> None:
        self.network = network
        ema = torch.optim.swa_utils.get_ema_multi_avg_fn(EMA)
        self.average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=ema)
        self.optimizer = new_optimizer(network)

    def update(self, rate: float) -> None:
        """One optimizer step with the accumulated gradients, clipped."""
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        optimizer_step(self.optimizer, rate)
        self.average.update_parameters(self.network)


def new_optimizer(network: torch.nn.Module) -> torch.optim.Optimizer:
    """AdamW; its learning rate is set at every step."""
    return torch.optim.AdamW(network.parameters(), 1e-3, betas=(0.8, 0.99))


def optimizer_step(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """One step at this learning rate; clears the gradients."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad()


def learning_rate(step: int, args: argparse.Namespace) -> float:
    """Cosine decay in each stage."""
    if step < args.adversarial_from:
        progress = step / args.adversarial_from
        return args.learning_rate * min(1, (step + 1) / WARM_UP) * (0.1 + 0.9 * math.cos(progress * math.pi / 2))
    progress = (step - args.adversarial_from) / max(1, args.steps - args.adversarial_from)
    return args.adversarial_learning_rate * (0.1 + 0.9 * math.cos(min(1, progress) * math.pi / 2))


def phone_loss(encoder: ContentEncoder, output: torch.Tensor, phones: torch.Tensor, latency: int) -> torch.Tensor:
    """KL divergence between the phones of the output (B, 160 * W) and those of its source, given as logits (B, W, 40).

    latency: samples by which the output lags behind the source.
    """
    delay = -(-latency // HOP_LENGTH)
    # frames of the output and of the source then belong to the same sound
    aligned = torch.nn.functional.pad(output, (delay * HOP_LENGTH - latency, 0))[:, : output.shape[1]]
    found = encode(encoder, aligned)[1]
    return kl_divergence(phones[:, CONTEXT_FRAMES : -delay - 2], found[:, CONTEXT_FRAMES + delay : -2]).mean()


DiscriminatorOutputs = Sequence[tuple[torch.Tensor, Sequence[torch.Tensor]]]
"""Of each discriminator: its scores, near 1 for natural speech, and the features of its layers."""


def discriminator_loss(real: DiscriminatorOutputs, fake: DiscriminatorOutputs) -> torch.Tensor:
    """Least-squares GAN, Mao et al. 2017: real speech towards 1, generated speech towards 0."""
    losses = [((1 - r[0]) ** 2).mean() + (f[0] ** 2).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(losses).mean()


def generator_losses(real: DiscriminatorOutputs, fake: DiscriminatorOutputs) -> tuple[torch.Tensor, torch.Tensor]:
    """Adversarial loss (least squares) and feature matching loss (Kumar et al., MelGAN, 2019) of the decoder.

    The first rows of `fake` belong to the rows of `real`; those that follow have no recording.
    """
    adversarial = torch.stack([((1 - f[0]) ** 2).mean() for f in fake]).mean()
    layers = [(a, b) for r, f in zip(real, fake, strict=True) for a, b in zip(r[1], f[1], strict=True)]
    distances = [(a.float() - b[: len(a)].float()).abs().mean() for a, b in layers]
    return adversarial, torch.stack(distances).mean()


class Training:
    """Networks, optimizers and data of a training, and one step of it."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Load what was trained before, and the data.

        Raises:
            FileNotFoundError: a file that was named, or RUN/encoder.pt, is missing.
            UserError: RUN/decoder.pt is of another training, or other weights do not fit.
        """
        self.args = args
        where = device.pick(args.device)
        encoder = load_encoder(args.run / "encoder.pt").eval().requires_grad_(args.train_encoder).to(where)
        teacher = VoiceTeacher(args.teacher, where) if args.teacher is not None else None
        decoder = Decoder(replace(MODELS[args.variant].decoder, synthesis=args.synthesis, n_voices=len(VOICES)))
        if args.start_from is not None:
            other = load_decoder(args.start_from)
            if replace(other.config, synthesis=args.synthesis) != decoder.config:
                raise UserError(f"--start-from: {args.start_from} is a decoder of another size; give its --variant")
            decoder.load_state_dict(other.state_dict())
        self.encoder, self.latency = encoder, encoder.config.latency
        self.decoder = Learner(decoder.to(where))
        self.discriminators = Discriminators(decoder.config.n_voices).to(where)
        self.discriminator_optimizer = new_optimizer(self.discriminators)
        self.trained_encoder = Learner(encoder) if args.train_encoder else None
        self.reference = (
            ContentTeacher((args.teacher or args.run) / "encoder.pt", where) if args.train_encoder else None
        )
        self._load_discriminators()
        self.done = self._resume()

        recordings = load_voices(args.data, "train", self.latency)
        self.statistics = f0_statistics(recordings)
        noises = Noises.load(args.noises) if args.noises is not None else None
        seed = args.seed + self.done
        self.sampler = VoiceSampler(recordings, self.latency, seed, noises)
        # the encoder of the phone loss stays fixed while the other one is trained
        phone_encoder = encoder if self.reference is None else self.reference.encoder
        self.sources = SourceSampler(args.data, phone_encoder, self.statistics, seed, teacher, noises)
        n_parameters = sum(p.numel() for p in decoder.parameters())
        print(
            f"{n_parameters / 1e6:.2f} M parameters, {len(recordings)} recordings, {self.statistics}, "
            f"from step {self.done}",
            flush=True,
        )

    def _load_discriminators(self) -> None:
        args = self.args
        file = args.discriminators_from or args.start_from
        if file is None:
            return
        if (other := checkpoint.load(file)) is None:
            raise FileNotFoundError(f"--discriminators-from: no file {file}")
        # tools/weights come without discriminators
        if "discriminators" in other:
            self.discriminators.load_state_dict(other["discriminators"])
        elif args.discriminators_from is not None or not args.discriminator_warmup:
            raise FileNotFoundError(f"{file} has no discriminators; train them first, as by --discriminator-warmup 400")

    @property
    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {
            "model": self.decoder.network,
            "average": self.decoder.average,
            "discriminators": self.discriminators,
            "decoder_optimizer": self.decoder.optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }
        if self.trained_encoder is not None:
            parts["encoder"] = self.trained_encoder.network
            parts["encoder_average"] = self.trained_encoder.average
            parts["encoder_optimizer"] = self.trained_encoder.optimizer
            if self.args.teacher is None and self.reference is not None:
                # RUN/encoder.pt has changed by then
                parts["reference"] = self.reference.encoder
        return parts

    @property
    def _settings(self) -> dict[str, Any]:
        return {"config": asdict(self.decoder.network.config), "train_encoder": self.trained_encoder is not None}

    def _resume(self) -> int:
        saved = checkpoint.resume(self.args.run / "decoder.pt", self._parts, self._settings)
        if saved is None:
            return 0
        for name, part in self._parts.items():
            part.load_state_dict(saved[name])
        return saved["step"]

    def save(self) -> None:
        """Writes RUN/decoder.pt, from which the same command goes on, and RUN/encoder.pt where it is trained too."""
        checkpoint.save(
            self.args.run / "decoder.pt",
            step=self.done,
            f0_statistics=self.statistics,
            **self._settings,
            **{name: part.state_dict() for name, part in self._parts.items()},
        )
        if self.trained_encoder is not None:
            path = self.args.run / "encoder.pt"
            # the scores were those of the weights before
            learnt = {"model": self.trained_encoder.average.module.state_dict(), "scores": {}}
            checkpoint.save(path, **((checkpoint.load(path) or {}) | learnt))

    def step(self) -> dict[str, float]:
        """One batch; returns the losses by name."""
        args = self.args
        rate = learning_rate(self.done, args)
        adversarial = self.done >= args.adversarial_from
        train_decoder = not adversarial or self.done >= args.adversarial_from + args.discriminator_warmup
        distilled = self.sources.teacher is not None
        # an untrained decoder has no useful gradient for the encoder
        trained_encoder = self.trained_encoder if adversarial and train_decoder else None
        with torch.set_grad_enabled(trained_encoder is not None):
            batch, _ = encode_batch(self.encoder, self.sampler.batch(args.batch, args.frames))
            if adversarial or distilled:
                converting, phones = encode_batch(self.encoder, self.sources.batch(args.converted, args.frames))
        decoder = self.decoder.network
        # the last frames' overlap is still to come
        keep = slice(CONTEXT_FRAMES * HOP_LENGTH, -2 * HOP_LENGTH)
        output, target = decode_batch(decoder, batch)[:, keep], batch["target"][:, keep]
        if adversarial or distilled:
            converted = decode_batch(decoder, converting)
        if distilled:
            teachers = converting["target"][:, keep]
            spectral = multi_resolution_stft(torch.cat([output, converted[:, keep]]), torch.cat([target, teachers]))
        else:
            spectral = multi_resolution_stft(output, target)
        loss, losses = spectral, {"spectral": spectral}
        if adversarial:
            words = phone_loss(self.sources.phone_encoder, converted, converting["phones"], self.latency)
            sounds, voices = (output, target, converted[:, keep]), (batch["voice"], converting["voice"])
            of_discriminators, of_decoder, matching = self._adversarial_losses(sounds, voices, rate, train_decoder)
            loss = 4 * spectral + of_decoder + 2 * matching + args.phone_loss_weight * words
            losses |= {"discriminator": of_discriminators, "adversarial": of_decoder}
            losses |= {"feature_matching": matching, "phone": words}
        if train_decoder:
            if trained_encoder is not None and self.reference is not None:
                counts = torch.zeros(phones.shape[:2], dtype=torch.bool, device=phones.device)
                counts[:, CONTEXT_FRAMES:] = True
                kept = self.reference.loss(converting["clean"], converting["content"], phones, counts, self.latency)
                loss = loss + DISTILLATION_WEIGHT * kept
            loss.backward()
            self.decoder.update(rate)
            if trained_encoder is not None:
                trained_encoder.update(args.encoder_rate_ratio * rate)
        self.done += 1
        return {name: value.item() for name, value in losses.items()}

    def _adversarial_losses(
        self,
        sounds: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        voices: tuple[torch.Tensor, torch.Tensor],
        rate: float,
        train_decoder: bool,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Train the discriminators; return their loss, and adversarial and feature matching loss of the decoder.

        sounds: output, target and converted speech (B, T); voices: of the first two, and of the third.
        """
        output, target, converted = sounds
        # the discriminators cost most of a step, so they get an excerpt
        start = int(self.sampler.rng.integers(0, output.shape[1] - DISCRIMINATOR_SAMPLES + 1))
        generated, real, other = (x[:, start : start + DISCRIMINATOR_SAMPLES] for x in (output, target, converted))
        generated, everybody = torch.cat([generated, other]), torch.cat(voices)
        loss = discriminator_loss(
            self.discriminators(real, voices[0]), self.discriminators(generated.detach(), everybody)
        )
        loss.backward()
        optimizer_step(self.discriminator_optimizer, rate)
        if not train_decoder:
            return loss.detach(), torch.zeros(()), torch.zeros(())
        self.discriminators.requires_grad_(False)
        with torch.no_grad():
            of_real = self.discriminators(real, voices[0])
        adversarial, matching = generator_losses(of_real, self.discriminators(generated, everybody))
        self.discriminators.requires_grad_(True)
        return loss.detach(), adversarial, matching


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--variant", choices=MODELS, default="default")
    parser.add_argument("--synthesis", choices=SYNTHESES, default="learnt-phase", help="the others are for comparison")
    parser.add_argument("--start-from", type=Path, help="another run's decoder.pt, whose weights are taken at step 0")
    parser.add_argument("--discriminators-from", type=Path, help="another run's decoder.pt, for its discriminators")
    parser.add_argument("--teacher", type=Path, help="another run, whose conversions are targets as well")
    parser.add_argument("--noises", type=Path, help="ESC-10: a share of the speech is then heard in noise")
    parser.add_argument("--train-encoder", action="store_true", help="train the encoder too, in the adversarial stage")
    parser.add_argument(
        "--encoder-rate-ratio", type=float, default=0.15, help="the encoder's learning rate over the decoder's"
    )
    parser.add_argument("--steps", type=int, default=10600)
    parser.add_argument("--adversarial-from", type=int, default=5000)
    parser.add_argument(
        "--discriminator-warmup", type=int, default=100, help="first adversarial steps, which train discriminators only"
    )
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--converted", type=int, default=6, help="crops of other speakers, converted, in every batch")
    parser.add_argument("--phone-loss-weight", type=float, default=1.0, help="of the phone loss")
    parser.add_argument("--frames", type=int, default=80)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--adversarial-learning-rate", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=2)
    device.add_option(parser)
    parser.add_argument("--seed", type=int, default=1)
    return parser


@one_line_errors
def main() -> None:
    """Writes RUN/decoder.pt and TensorBoard logs."""
    args = arguments().parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    training = Training(args)
    progress, saved_at = Progress(SummaryWriter(args.run / "tensorboard")), time.monotonic()
    while training.done < args.steps:
        progress.add(training.step())
        if training.done % 100 == 0:
            progress.report(training.done)
        if time.monotonic() - saved_at > CHECKPOINT_SECONDS or training.done == args.steps:
            training.save()
            saved_at = time.monotonic()


if __name__ == "__main__":
    main()
