"""Step 4 of training: the decoder learns to speak as each voice, first by spectra, then against discriminators.

    GOMP_SPINCOUNT=30000 python tools/train_decoder.py --data DATA --noises ESC-10 --run RUN --encoder-too
    ... --run TINY --variant tiny --teacher RUN --encoder-too --adversarial-from 1800 --steps 4800

Needs RUN/encoder.pt. A teacher converts other speakers, and what it says is learnt beside the voices' recordings. With
--encoder-too the encoder goes on learning in the adversarial stage, from how its words come out, and keeps to what its
teacher, or else it itself at the start, makes of clean speech; RUN/encoder.pt then takes what it has learnt, at every
checkpoint.
Stops at any time; the same command goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter
from vctrain import checkpoint
from vctrain.alternatives import SYNTHESES
from vctrain.data.front_end import HOP_LENGTH
from vctrain.data.noise import Noises
from vctrain.data.voices import CONTEXT_FRAMES, SourceSampler, VoiceSampler, f0_statistics, load_voices
from vctrain.errors import UserError, told_in_a_line
from vctrain.losses import multi_resolution_stft
from vctrain.models.content_encoder import ContentEncoder, load_encoder
from vctrain.models.decoder import Decoder, load_decoder
from vctrain.models.discriminators import Discriminators
from vctrain.progress import Progress
from vctrain.teachers import ContentTeacher, VoiceTeacher, divergence, hear, listen, speak
from vctrain.variants import MODELS

WARM_UP = 200
"""Steps of rising learning rate."""
CHECKPOINT_SECONDS = 120
"""Between two checkpoints; what is learnt since the last one is lost where a training is stopped."""
EMA = 0.999
"""The exported weights are this moving average: adversarial training wanders."""

KEPT_WEIGHT = 0.5
"""Of what the encoder is to keep to on clean speech, where it learns too."""

JUDGED_SAMPLES = 44 * HOP_LENGTH
"""Length of the excerpt that the discriminators hear of each crop."""


class Learner:
    """A network that learns, and the moving average of it that is exported."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network
        ema = torch.optim.swa_utils.get_ema_multi_avg_fn(EMA)
        self.average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=ema)
        self.optimizer = new_optimizer(network)

    def learn(self, rate: float) -> None:
        """One step down the gradients that were gathered."""
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        descend(self.optimizer, rate)
        self.average.update_parameters(self.network)


def new_optimizer(network: torch.nn.Module) -> torch.optim.Optimizer:
    """Its rate is given at every step."""
    return torch.optim.AdamW(network.parameters(), 1e-3, betas=(0.8, 0.99))


def descend(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """One step; the gradients are then gone."""
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


def misheard(encoder: ContentEncoder, output: torch.Tensor, phones: torch.Tensor, latency: int) -> torch.Tensor:
    """How far an encoder hears other phones in the output (B, 160 * W) than in its source, logits (B, W, 40).

    latency: samples by which the output lags behind the source.
    """
    delay = -(-latency // HOP_LENGTH)
    # frames of the output and of the source then belong to the same sound
    aligned = torch.nn.functional.pad(output, (delay * HOP_LENGTH - latency, 0))[:, : output.shape[1]]
    heard = hear(encoder, aligned)[1]
    return divergence(phones[:, CONTEXT_FRAMES : -delay - 2], heard[:, CONTEXT_FRAMES + delay : -2]).mean()


Judgement = Sequence[tuple[torch.Tensor, Sequence[torch.Tensor]]]
"""Of each discriminator: its verdict, near 1 for what it takes for natural, and what its layers made of the sound."""


def disagreement(natural: Judgement, false: Judgement) -> torch.Tensor:
    """What the judges are to make small: least-squares GAN, Mao et al. 2017."""
    pairs = zip(natural, false, strict=True)
    return sum(((1 - n[0]) ** 2).mean() + (f[0] ** 2).mean() for n, f in pairs) / len(natural)


def opinion(natural: Judgement, false: Judgement) -> tuple[torch.Tensor, torch.Tensor]:
    """How unnatural the decoder's speech is to the judges, and how far their layers hear it from the recordings.

    The first of `false` answer `natural` one by one; what follows has no recording. The second is the feature matching
    of Kumar et al., MelGAN, 2019.
    """
    fooled = sum(((1 - f[0]) ** 2).mean() for f in false) / len(false)
    layers = [(a, b) for n, f in zip(natural, false, strict=True) for a, b in zip(n[1], f[1], strict=True)]
    return fooled, sum((a.float() - b[: len(a)].float()).abs().mean() for a, b in layers) / len(layers)


class Training:
    """What learns, what it learns from, and one step of it."""

    def __init__(self, args: argparse.Namespace) -> None:
        """What was trained before, and data.

        Raises:
            FileNotFoundError: a file that was named, or RUN/encoder.pt, is missing.
            UserError: RUN/decoder.pt is of another training, or other weights do not fit.
        """
        self.args = args
        encoder = load_encoder(args.run / "encoder.pt").eval().requires_grad_(args.encoder_too)
        teacher = VoiceTeacher(args.teacher) if args.teacher is not None else None
        decoder = Decoder(replace(MODELS[args.variant].decoder, synthesis=args.synthesis))
        if args.start_from is not None:
            other = load_decoder(args.start_from)
            if replace(other.config, synthesis=args.synthesis) != decoder.config:
                raise UserError(f"--start-from: {args.start_from} is a decoder of another size; give its --variant")
            decoder.load_state_dict(other.state_dict())
        self.encoder, self.latency = encoder, encoder.config.latency
        self.speaker = Learner(decoder)
        self.judges = Discriminators(decoder.config.n_voices)
        self.judge_optimizer = new_optimizer(self.judges)
        self.listener = Learner(encoder) if args.encoder_too else None
        self.keeper = ContentTeacher((args.teacher or args.run) / "encoder.pt") if args.encoder_too else None
        self._take_judges()
        self.done = self._resume()

        recordings = load_voices(args.data, "train", self.latency)
        self.statistics = f0_statistics(recordings)
        noises = Noises.load(args.noises) if args.noises is not None else None
        seed = args.seed + self.done
        self.sampler = VoiceSampler(recordings, self.latency, seed, noises)
        # no judge of words may learn along with what it judges
        judge = encoder if self.keeper is None else self.keeper.encoder
        self.sources = SourceSampler(args.data, judge, self.statistics, seed, teacher, noises)
        n_parameters = sum(p.numel() for p in decoder.parameters())
        print(
            f"{n_parameters / 1e6:.2f} M parameters, {len(recordings)} recordings, {self.statistics}, "
            f"from step {self.done}",
            flush=True,
        )

    def _take_judges(self) -> None:
        args = self.args
        file = args.judges_from or args.start_from
        if file is None:
            return
        if (other := checkpoint.load(file)) is None:
            raise FileNotFoundError(f"--judges-from: no file {file}")
        # saved weights come without judges
        if "judges" in other:
            self.judges.load_state_dict(other["judges"])
        elif args.judges_from is not None or not args.judges_first:
            raise FileNotFoundError(f"{file} has no judges; let them learn first, as in --judges-first 400")

    @property
    def _parts(self) -> dict[str, torch.nn.Module | torch.optim.Optimizer]:
        parts = {
            "model": self.speaker.network,
            "average": self.speaker.average,
            "judges": self.judges,
            "speaker_optimizer": self.speaker.optimizer,
            "judge_optimizer": self.judge_optimizer,
        }
        if self.listener is not None:
            parts["encoder"] = self.listener.network
            parts["encoders_average"] = self.listener.average
            parts["encoder_optimizer"] = self.listener.optimizer
            if self.args.teacher is None:
                # RUN/encoder.pt is another by then
                parts["keeper"] = self.keeper.encoder
        return parts

    @property
    def _settings(self) -> dict[str, Any]:
        return {"config": asdict(self.speaker.network.config), "encoder_too": self.listener is not None}

    def _resume(self) -> int:
        saved = checkpoint.resume(self.args.run / "decoder.pt", self._parts, self._settings)
        if saved is None:
            return 0
        for name, part in self._parts.items():
            part.load_state_dict(saved[name])
        return saved["step"]

    def save(self) -> None:
        """Writes RUN/decoder.pt, from which the same command goes on, and what RUN/encoder.pt has learnt with it."""
        checkpoint.save(
            self.args.run / "decoder.pt",
            step=self.done,
            f0_statistics=self.statistics,
            **self._settings,
            **{name: part.state_dict() for name, part in self._parts.items()},
        )
        if self.listener is not None:
            path = self.args.run / "encoder.pt"
            # its scores were another's
            learnt = {"model": self.listener.average.module.state_dict(), "scores": {}}
            checkpoint.save(path, **(checkpoint.load(path) | learnt))

    def step(self) -> dict[str, float]:
        """Learns from one batch, and says what was lost by name."""
        args = self.args
        rate = learning_rate(self.done, args)
        adversarial = self.done >= args.adversarial_from
        learning = not adversarial or self.done >= args.adversarial_from + args.judges_first
        taught = self.sources.teacher is not None
        # a decoder that cannot speak yet has nothing to say about how words come out
        encoder_too = self.listener is not None and adversarial and learning
        with torch.set_grad_enabled(encoder_too):
            batch, _ = listen(self.encoder, self.sampler.batch(args.batch, args.frames))
            if adversarial or taught:
                converting, phones = listen(self.encoder, self.sources.batch(args.converted, args.frames))
        decoder = self.speaker.network
        # the last frames' overlap is still to come
        keep = slice(CONTEXT_FRAMES * HOP_LENGTH, -2 * HOP_LENGTH)
        output, target = speak(decoder, batch)[:, keep], batch["target"][:, keep]
        if adversarial or taught:
            converted = speak(decoder, converting)
        if taught:
            shown = converting["target"][:, keep]
            spectral = multi_resolution_stft(torch.cat([output, converted[:, keep]]), torch.cat([target, shown]))
        else:
            spectral = multi_resolution_stft(output, target)
        loss, lost = spectral, {"spectral": spectral}
        if adversarial:
            unclear = misheard(self.sources.judge, converted, converting["phones"], self.latency)
            judged, fooled, matched = self._judge(output, target, converted[:, keep], batch, converting, rate, learning)
            loss = 4 * spectral + fooled + 2 * matched + args.unclear_weight * unclear
            lost |= {"judged": judged, "fooled": fooled, "matched": matched, "unclear": unclear}
        if learning:
            if encoder_too:
                counts = torch.zeros(phones.shape[:2], dtype=torch.bool)
                counts[:, CONTEXT_FRAMES:] = True
                kept = self.keeper.loss(converting["clean"], converting["content"], phones, counts, self.latency)
                loss = loss + KEPT_WEIGHT * kept
            loss.backward()
            self.speaker.learn(rate)
            if encoder_too:
                self.listener.learn(args.encoder_rate * rate)
        self.done += 1
        return {name: value.item() for name, value in lost.items()}

    def _judge(
        self,
        output: torch.Tensor,
        target: torch.Tensor,
        converted: torch.Tensor,
        batch: dict[str, torch.Tensor],
        converting: dict[str, torch.Tensor],
        rate: float,
        learning: bool,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The judges learn; then what they were wrong in, and their opinion of the decoder where it is learning."""
        # the discriminators cost most of a step, so they hear a part of it
        start = int(self.sampler.rng.integers(0, output.shape[1] - JUDGED_SAMPLES + 1))
        heard, meant, other = (x[:, start : start + JUDGED_SAMPLES] for x in (output, target, converted))
        heard = torch.cat([heard, other])
        voices = torch.cat([batch["voice"], converting["voice"]])
        judged = disagreement(self.judges(meant, batch["voice"]), self.judges(heard.detach(), voices))
        judged.backward()
        descend(self.judge_optimizer, rate)
        if not learning:
            return judged, torch.zeros(()), torch.zeros(())
        self.judges.requires_grad_(False)
        with torch.no_grad():
            natural = self.judges(meant, batch["voice"])
        fooled, matched = opinion(natural, self.judges(heard, voices))
        self.judges.requires_grad_(True)
        return judged, fooled, matched


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--variant", choices=MODELS, default="default")
    parser.add_argument("--synthesis", choices=SYNTHESES, default="learnt-phase", help="the others are for comparison")
    parser.add_argument("--start-from", type=Path, help="another run's decoder.pt, whose weights are taken at step 0")
    parser.add_argument("--judges-from", type=Path, help="another run's decoder.pt: only its discriminators are taken")
    parser.add_argument("--teacher", type=Path, help="another run, whose conversions are learnt as well")
    parser.add_argument("--noises", type=Path, help="ESC-10: a share of the speech is then heard in noise")
    parser.add_argument("--encoder-too", action="store_true", help="it learns once judges do")
    parser.add_argument("--encoder-rate", type=float, default=0.15, help="its learning rate, a share of the decoder's")
    parser.add_argument("--steps", type=int, default=10600)
    parser.add_argument("--adversarial-from", type=int, default=5000)
    parser.add_argument("--judges-first", type=int, default=100, help="adversarial steps in which only judges learn")
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--converted", type=int, default=6, help="crops of other speakers, converted, in every batch")
    parser.add_argument("--unclear-weight", type=float, default=1.0, help="of words that come out wrong")
    parser.add_argument("--frames", type=int, default=80)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--adversarial-learning-rate", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    return parser


@told_in_a_line
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
            progress.tell(training.done)
        if time.monotonic() - saved_at > CHECKPOINT_SECONDS or training.done == args.steps:
            training.save()
            saved_at = time.monotonic()


if __name__ == "__main__":
    main()
