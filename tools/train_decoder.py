"""Step 4 of training: the decoder learns to speak as each voice, first by spectra, then against discriminators.

    OMP_WAIT_POLICY=PASSIVE python tools/train_decoder.py --data DATA --run RUN --steps 12000 --adversarial-from 4000

Needs RUN/encoder.pt. Stops at any time; the same command goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter
from vctrain import checkpoint
from vctrain.data.front_end import HOP_LENGTH, LATENCY, log_mel
from vctrain.data.voices import CONTEXT_FRAMES, SourceSampler, VoiceSampler, f0_statistics, load_voices
from vctrain.losses import multi_resolution_stft
from vctrain.models.content_encoder import ContentEncoder, EncoderConfig
from vctrain.models.decoder import Decoder, DecoderConfig
from vctrain.models.discriminators import Discriminators
from vctrain.synthesis import synthesize

WARM_UP = 200
"""Steps of rising learning rate."""
EMA = 0.999
"""The exported weights are this moving average: adversarial training wanders."""

UNCLEAR_WEIGHT = 0.5

JUDGED_SAMPLES = 44 * HOP_LENGTH
"""Length of the excerpt that the discriminators hear of each crop."""


def learning_rate(step: int, args: argparse.Namespace) -> float:
    """Cosine decay in each stage."""
    if step < args.adversarial_from:
        progress = step / args.adversarial_from
        return args.learning_rate * min(1, (step + 1) / WARM_UP) * (0.1 + 0.9 * math.cos(progress * math.pi / 2))
    progress = (step - args.adversarial_from) / max(1, args.steps - args.adversarial_from)
    return args.adversarial_learning_rate * (0.1 + 0.9 * math.cos(min(1, progress) * math.pi / 2))


def speak(decoder: Decoder, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Output at the reference level, context included: (B, 160 * W), 480 samples behind the source."""
    size, width = batch["f0"].shape
    with torch.autocast("cpu", torch.bfloat16):
        filters = decoder(batch["content"], batch["pitch"], decoder.voice(batch["voice"]), decoder.new_state(size))[0]
    noise = (torch.rand(size, HOP_LENGTH * (width + 1)) - 0.5) * math.sqrt(12)
    return synthesize(filters.float(), batch["f0"], noise) / batch["gain"]


def misheard(encoder: ContentEncoder, output: torch.Tensor, phones: torch.Tensor) -> torch.Tensor:
    """How far the encoder hears other phones in the output (B, 160 * W) than were said, logits (B, W, 40)."""
    with torch.autocast("cpu", torch.bfloat16):
        heard = encoder(log_mel(output), encoder.new_state(len(output)))[1]
    delay = LATENCY // HOP_LENGTH
    wanted = phones[:, CONTEXT_FRAMES : -delay - 2].softmax(-1)
    heard = heard[:, CONTEXT_FRAMES + delay : -2].float().log_softmax(-1)
    return (wanted * (wanted.clamp(min=1e-5).log() - heard)).sum(-1).mean()


def main() -> None:
    """Writes RUN/decoder.pt and TensorBoard logs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--start-from", type=Path, help="another run's decoder.pt, whose weights are taken at step 0")
    parser.add_argument("--steps", type=int, default=12000)
    parser.add_argument("--adversarial-from", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=9)
    parser.add_argument("--converted", type=int, default=4, help="crops of other speakers, converted, in every batch")
    parser.add_argument("--frames", type=int, default=80)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--adversarial-learning-rate", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    trained = checkpoint.load(args.run / "encoder.pt")
    if trained is None:
        parser.error(f"expected {args.run / 'encoder.pt'}; run tools/train_encoder.py first")
    encoder = ContentEncoder(EncoderConfig(**trained["config"]))
    encoder.load_state_dict(trained["model"])
    recordings = load_voices(args.data, "train")
    statistics = f0_statistics(recordings)

    decoder, judges = Decoder(DecoderConfig()), Discriminators(DecoderConfig().n_voices)
    average = torch.optim.swa_utils.AveragedModel(decoder, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(EMA))
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
    step = 0
    if args.start_from is not None:
        if (other := checkpoint.load(args.start_from)) is None:
            parser.error(f"--start-from: no file {args.start_from}")
        for name in ("model", "average", "judges"):
            parts[name].load_state_dict(other[name])
    if (saved := checkpoint.load(path)) is not None:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        step = saved["step"]
    encoder.requires_grad_(False)
    sampler = VoiceSampler(recordings, encoder, args.seed + step)
    sources = SourceSampler(args.data, encoder, statistics, args.seed + step)
    n_parameters = sum(p.numel() for p in decoder.parameters())
    print(
        f"{n_parameters / 1e6:.2f} M parameters, {len(recordings)} recordings, {statistics}, from step {step}",
        flush=True,
    )

    writer = SummaryWriter(args.run / "tensorboard")
    clock, saved_at, sums = time.time(), time.time(), np.zeros(5)
    while step < args.steps:
        rate = learning_rate(step, args)
        for optimizer in (speaker_optimizer, judge_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = rate
        batch = sampler.batch(args.batch, args.frames)
        # the last frames' overlap is still to come
        keep = slice(CONTEXT_FRAMES * HOP_LENGTH, -2 * HOP_LENGTH)
        output, target = speak(decoder, batch)[:, keep], batch["target"][:, keep]
        spectral = multi_resolution_stft(output, target)
        loss = spectral
        judged = fooled = matched = unclear = torch.zeros(())
        if step >= args.adversarial_from:
            converting = sources.batch(args.converted, args.frames)
            converted = speak(decoder, converting)
            unclear = misheard(encoder, converted, converting["phones"])
            # the discriminators cost most of a step, so they hear a part of it
            start = int(sampler.rng.integers(0, output.shape[1] - JUDGED_SAMPLES + 1))
            heard, meant, other = (x[:, start : start + JUDGED_SAMPLES] for x in (output, target, converted[:, keep]))
            heard = torch.cat([heard, other])
            voices = torch.cat([batch["voice"], converting["voice"]])
            natural = judges(meant, batch["voice"])
            false = judges(heard.detach(), voices)
            judged = sum(
                ((1 - n[0]) ** 2).mean() + (f[0] ** 2).mean() for n, f in zip(natural, false, strict=True)
            ) / len(natural)
            judge_optimizer.zero_grad()
            judged.backward()
            judge_optimizer.step()
            judges.requires_grad_(False)
            with torch.no_grad():
                natural = judges(meant, batch["voice"])
            false = judges(heard, voices)
            judges.requires_grad_(True)
            fooled = sum(((1 - f[0]) ** 2).mean() for f in false) / len(false)
            matched = sum(
                (a.float() - b[: args.batch].float()).abs().mean()
                for n, f in zip(natural, false, strict=True)
                for a, b in zip(n[1], f[1], strict=True)
            ) / (len(false) * len(false[0][1]))
            loss = 4 * spectral + fooled + 2 * matched + UNCLEAR_WEIGHT * unclear
        speaker_optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 5.0)
        speaker_optimizer.step()
        average.update_parameters(decoder)
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


if __name__ == "__main__":
    main()
