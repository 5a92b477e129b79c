"""Step 4 of training: the decoder learns to speak as each voice, first by spectra, then against discriminators.

    OMP_WAIT_POLICY=PASSIVE python tools/train_decoder.py --data DATA --run RUN --steps 12000 --adversarial-from 4000
    ... --run TINY --variant tiny --teacher RUN
    ... --run RUN --teacher OTHER --noises ESC-10 --encoder-too

Needs RUN/encoder.pt. A teacher converts other speakers, and what it says is learnt beside the voices' recordings. With
--encoder-too the encoder goes on learning, from how its words come out; RUN/encoder.pt is then replaced at the end.
Stops at any time; the same command goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter
from vctrain import checkpoint
from vctrain.alternatives import SYNTHESES
from vctrain.data.front_end import HOP_LENGTH
from vctrain.data.noise import Noises
from vctrain.data.voices import CONTEXT_FRAMES, SourceSampler, VoiceSampler, f0_statistics, load_voices
from vctrain.losses import multi_resolution_stft
from vctrain.models.content_encoder import ContentEncoder, load_encoder
from vctrain.models.decoder import Decoder, load_decoder
from vctrain.models.discriminators import Discriminators
from vctrain.teachers import ContentTeacher, VoiceTeacher, divergence, hear, listen, speak
from vctrain.variants import VARIANTS

WARM_UP = 200
"""Steps of rising learning rate."""
EMA = 0.999
"""The exported weights are this moving average: adversarial training wanders."""

KEPT_WEIGHT = 0.5
"""Of what the teacher's encoder makes of clean speech, where the encoder learns too."""
ENCODER_RATE = 0.4
"""Its learning rate, as a share of the decoder's."""

JUDGED_SAMPLES = 44 * HOP_LENGTH
"""Length of the excerpt that the discriminators hear of each crop."""


def moving_average(network: torch.nn.Module) -> torch.optim.swa_utils.AveragedModel:
    """Starts as the network is."""
    return torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(EMA))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Of every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


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


def main() -> None:
    """Writes RUN/decoder.pt and TensorBoard logs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--variant", choices=VARIANTS, default="default")
    parser.add_argument("--synthesis", choices=SYNTHESES, default="learnt-phase", help="the others are for comparison")
    parser.add_argument("--start-from", type=Path, help="another run's decoder.pt, whose weights are taken at step 0")
    parser.add_argument("--judges-from", type=Path, help="another run's decoder.pt: only its discriminators are taken")
    parser.add_argument("--teacher", type=Path, help="another run, whose conversions are learnt as well")
    parser.add_argument("--noises", type=Path, help="ESC-10: a share of the speech is then heard in noise")
    parser.add_argument("--encoder-too", action="store_true", help="the encoder learns as well; needs --teacher")
    parser.add_argument("--steps", type=int, default=12000)
    parser.add_argument("--adversarial-from", type=int, default=4000)
    parser.add_argument("--judges-first", type=int, default=0, help="adversarial steps in which only the judges learn")
    parser.add_argument("--batch", type=int, default=9)
    parser.add_argument("--converted", type=int, default=4, help="crops of other speakers, converted, in every batch")
    parser.add_argument("--unclear-weight", type=float, default=0.5, help="of words that come out wrong")
    parser.add_argument("--frames", type=int, default=80)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--adversarial-learning-rate", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    try:
        encoder = load_encoder(args.run / "encoder.pt").eval().requires_grad_(args.encoder_too)
        teacher = VoiceTeacher(args.teacher) if args.teacher is not None else None
    except FileNotFoundError as error:
        parser.error(str(error))
    if args.encoder_too and teacher is None:
        parser.error("--encoder-too needs a --teacher, whose phones the encoder keeps to")
    latency = encoder.config.latency
    recordings = load_voices(args.data, "train", latency)
    statistics = f0_statistics(recordings)

    config = replace(VARIANTS[args.variant].decoder, synthesis=args.synthesis)
    decoder, judges = Decoder(config), Discriminators(config.n_voices)
    average = moving_average(decoder)
    speaker_optimizer = torch.optim.AdamW(decoder.parameters(), 1e-3, betas=(0.8, 0.99))
    judge_optimizer = torch.optim.AdamW(judges.parameters(), 1e-3, betas=(0.8, 0.99))
    path = args.run / "decoder.pt"
    parts = {
        "model": decoder,
        "average": average,
        "judges": judges,
        "speaker_optimizer": speaker_optimizer,
        "judge_optimizer": judge_optimizer,
    }
    if args.encoder_too:
        keeper = ContentTeacher(args.teacher / "encoder.pt")
        encoders_average = moving_average(encoder)
        encoder_optimizer = torch.optim.AdamW(encoder.parameters(), 1e-3, betas=(0.8, 0.99))
        parts |= {"encoder": encoder, "encoders_average": encoders_average, "encoder_optimizer": encoder_optimizer}
    step = 0
    for option, file in (("--start-from", args.start_from), ("--judges-from", args.judges_from)):
        if file is not None and not file.is_file():
            parser.error(f"{option}: no file {file}")
    if args.start_from is not None:
        decoder.load_state_dict(load_decoder(args.start_from).state_dict())
        average.module.load_state_dict(decoder.state_dict())
    if (file := args.judges_from or args.start_from) is not None:
        # saved weights come without judges
        if "judges" in (other := checkpoint.load(file)):
            judges.load_state_dict(other["judges"])
        elif args.judges_from is not None or not args.judges_first:
            parser.error(f"{file} has no judges; let them learn first, as in --judges-first 400")
    if (saved := checkpoint.load(path)) is not None:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        step = saved["step"]
    noises = Noises.load(args.noises) if args.noises is not None else None
    sampler = VoiceSampler(recordings, latency, args.seed + step, noises)
    sources = SourceSampler(args.data, encoder, statistics, args.seed + step, teacher, noises)
    n_parameters = sum(p.numel() for p in decoder.parameters())
    print(
        f"{n_parameters / 1e6:.2f} M parameters, {len(recordings)} recordings, {statistics}, from step {step}",
        flush=True,
    )

    writer = SummaryWriter(args.run / "tensorboard")
    clock, saved_at, sums = time.time(), time.time(), np.zeros(5)
    while step < args.steps:
        rate = learning_rate(step, args)
        set_rate(speaker_optimizer, rate)
        set_rate(judge_optimizer, rate)
        learning = step < args.adversarial_from or step >= args.adversarial_from + args.judges_first
        with torch.set_grad_enabled(args.encoder_too and learning):
            batch, _ = listen(encoder, sampler.batch(args.batch, args.frames))
        # the last frames' overlap is still to come
        keep = slice(CONTEXT_FRAMES * HOP_LENGTH, -2 * HOP_LENGTH)
        output, target = speak(decoder, batch)[:, keep], batch["target"][:, keep]
        judged = fooled = matched = unclear = torch.zeros(())
        adversarial = step >= args.adversarial_from
        if adversarial or teacher is not None:
            with torch.set_grad_enabled(args.encoder_too and learning):
                converting, phones = listen(encoder, sources.batch(args.converted, args.frames))
            converted = speak(decoder, converting)
        if teacher is None:
            spectral = multi_resolution_stft(output, target)
        else:
            shown = converting["target"][:, keep]
            spectral = multi_resolution_stft(torch.cat([output, converted[:, keep]]), torch.cat([target, shown]))
        loss = spectral
        if adversarial:
            unclear = misheard(sources.judge, converted, converting["phones"], latency)
            # the discriminators cost most of a step, so they hear a part of it
            start = int(sampler.rng.integers(0, output.shape[1] - JUDGED_SAMPLES + 1))
            heard, meant, other = (x[:, start : start + JUDGED_SAMPLES] for x in (output, target, converted[:, keep]))
            heard = torch.cat([heard, other])
            voices = torch.cat([batch["voice"], converting["voice"]])
            judged = disagreement(judges(meant, batch["voice"]), judges(heard.detach(), voices))
            judge_optimizer.zero_grad()
            judged.backward()
            judge_optimizer.step()
        if adversarial and learning:
            judges.requires_grad_(False)
            with torch.no_grad():
                natural = judges(meant, batch["voice"])
            fooled, matched = opinion(natural, judges(heard, voices))
            judges.requires_grad_(True)
            loss = 4 * spectral + fooled + 2 * matched + args.unclear_weight * unclear
        if args.encoder_too and learning:
            counts = torch.zeros(phones.shape[:2], dtype=torch.bool)
            counts[:, CONTEXT_FRAMES:] = True
            kept = keeper.loss(converting["clean"], converting["content"], phones, counts, latency)
            loss = loss + KEPT_WEIGHT * kept
            set_rate(encoder_optimizer, ENCODER_RATE * rate)
            encoder_optimizer.zero_grad()
        if learning:
            speaker_optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(decoder.parameters(), 5.0)
            speaker_optimizer.step()
            average.update_parameters(decoder)
        if args.encoder_too and learning:
            torch.nn.utils.clip_grad_norm_(encoder.parameters(), 5.0)
            encoder_optimizer.step()
            encoders_average.update_parameters(encoder)
        step += 1
        sums += [spectral.item(), judged.item(), fooled.item(), matched.item(), unclear.item()]
        if step % 100 == 0:
            names = ("spectral", "judged", "fooled", "matched", "unclear")
            for name, value in zip(names, sums / 100, strict=True):
                writer.add_scalar(name, value, step)
            print(
                f"{step} {dict(zip(names, (sums / 100).round(3).tolist(), strict=True))} "
                f"{(time.time() - clock) / 100:.3f} s/step",
                flush=True,
            )
            clock, sums = time.time(), np.zeros(5)
        if time.time() - saved_at > 120 or step == args.steps:
            checkpoint.save(
                path,
                step=step,
                config=asdict(decoder.config),
                f0_statistics=statistics,
                **{name: part.state_dict() for name, part in parts.items()},
            )
            saved_at = time.time()
        if args.encoder_too and step == args.steps:
            heard_by = encoders_average.module
            checkpoint.save(
                args.run / "encoder.pt",
                model=heard_by.state_dict(),
                config=asdict(heard_by.config),
                step=step,
                scores={},
            )


if __name__ == "__main__":
    main()
