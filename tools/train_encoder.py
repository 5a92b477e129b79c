"""Step 3 of training: the content encoder learns phones from distorted speech.

    GOMP_SPINCOUNT=30000 python tools/train_encoder.py --data DATA --noises ESC-10 --run RUN --compile
    ... --run TEACHER --variant teacher --noise-share 0.5
    ... --run TINY --variant tiny --teacher TEACHER/encoder.pt
    ... --run RUN --start-from tools/weights/encoder.pt --stored-teacher EAR/encoder.pt

With a teacher (knowledge distillation) the teacher's content and phone probabilities of the clean recording are targets
beside the aligned labels. With --stored-teacher they are read from DATA/targets (train_ear.py), so that a large teacher
costs nothing in training; recordings without an alignment are used as well, and babble is a part of the noise.

Stops at any time; the same command goes on from the last checkpoint. Progress: tensorboard --logdir RUN
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from vctrain import device
from vctrain.data.alignment import label_index
from vctrain.data.front_end import HOP_LENGTH, log_mel
from vctrain.data.noise import Noises
from vctrain.data.speakers import SPEECHOCEAN
from vctrain.data.speech import IGNORE, NOISE_SHARE, EncoderSampler, Utterance, load_utterances, load_with_targets
from vctrain.errors import one_line_errors
from vctrain.models.content_encoder import ContentEncoder, load_encoder
from vctrain.progress import Progress
from vctrain.teachers import ContentTeacher, StoredTeacher, extra_lookahead
from vctrain.trainer import Trainer
from vctrain.variants import MODELS

EMA = 0.998
"""The evaluated and exported weights are this moving average."""
LABEL_WEIGHT = 0.7
"""Of the aligned labels beside a teacher's probabilities."""


def warp_mels(mels: Tensor, rng: np.random.Generator) -> Tensor:
    """Stretch each recording's mel axis (B, N, n_mels) by up to 10 %: another vocal tract, at the same pitch and rate.

    As in N. Jaitly and G. Hinton, "Vocal tract length perturbation improves speech recognition", 2013.
    """
    n_mels = mels.shape[-1]
    factors = torch.from_numpy(np.exp(rng.uniform(-0.1, 0.1, (len(mels), 1))).astype(np.float32)).to(mels.device)
    places = (torch.arange(n_mels, device=mels.device)[None] * factors).clamp(max=n_mels - 1)
    low = places.floor().long()
    share = (places - low)[:, None]
    high = (low + 1).clamp(max=n_mels - 1)
    take = [index[:, None].expand_as(mels) for index in (low, high)]
    return mels.gather(-1, take[0]) * (1 - share) + mels.gather(-1, take[1]) * share


def mask_mels(mels: Tensor, rng: np.random.Generator) -> Tensor:
    """Hides up to two bands of up to 12 mels of each recording (B, N, n_mels) behind the recording's mean.

    SpecAugment's frequency masks, Park et al. 2019: no phone may hang on one band alone, which noise may cover.
    """
    n_mels = mels.shape[-1]
    width = rng.integers(0, 13, (len(mels), 2, 1))
    first = (rng.random(width.shape) * (n_mels + 1 - width)).astype(int)
    mel = np.arange(n_mels)
    hidden = torch.from_numpy(((mel >= first) & (mel < first + width)).any(1)).to(mels.device)[:, None]
    return torch.where(hidden, mels.mean((1, 2), keepdim=True), mels)


def frame_accuracy(encoder: ContentEncoder, utterances: list[Utterance]) -> float:
    """Share of frames whose most likely phone is the aligned one."""
    right = total = 0
    with torch.no_grad():
        for utterance in utterances:
            samples = torch.from_numpy(utterance.sound)[None]
            mels = log_mel(samples.to(device.of(encoder)))
            logits = encoder(mels, encoder.new_state())[1][0].cpu()
            centres = HOP_LENGTH * (np.arange(len(logits)) + 1) - encoder.config.latency
            index = label_index(centres)
            inside = (index >= 0) & (index < len(utterance.labels))
            labels = utterance.labels[index[inside]]
            right += int((logits.argmax(-1).numpy()[inside] == labels).sum())
            total += len(labels)
    return right / total if total else float("nan")


@one_line_errors
def main() -> None:
    """Writes RUN/encoder.pt and TensorBoard logs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--noises", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--variant", choices=MODELS, default="default")
    parser.add_argument("--start-from", type=Path, help="another run's encoder.pt, whose weights are taken at step 0")
    parser.add_argument("--teacher", type=Path, help="another run's encoder.pt, to learn from as well")
    parser.add_argument("--stored-teacher", type=Path, help="encoder.pt of train_ear.py, whose targets are stored")
    parser.add_argument("--label-weight", type=float, default=LABEL_WEIGHT, help="of aligned labels beside a teacher")
    parser.add_argument("--noise-share", type=float, default=NOISE_SHARE, help="share of crops with noise added")
    parser.add_argument("--steps", type=int, default=10000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=2)
    device.add_option(parser)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--compile",
        action="store_true",
        help="by torch.compile, which needs a C++ compiler: a minute, then faster steps",
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    utterances = load_with_targets(args.data) if args.stored_teacher else load_utterances(args.data)
    noises = Noises.load(args.noises)
    if args.stored_teacher:
        noises = replace(noises, people=[u.samples for u in utterances if u.split == "train"])
    unseen = [u for u in utterances if u.speaker == "ls19"][::6]
    accented = [u for u in utterances if u.split == "test" and u.speaker.startswith(SPEECHOCEAN)][::50]
    seen = [u for u in utterances if u.split == "test" and u.speaker == "bdl"]
    where = device.pick(args.device)
    encoder = ContentEncoder(MODELS[args.variant].encoder).to(where)
    latency = encoder.config.latency
    if args.start_from is not None:
        encoder.init_from(load_encoder(args.start_from))
    stored = StoredTeacher(args.stored_teacher, where) if args.stored_teacher is not None else None
    teacher = ContentTeacher(args.teacher, where) if args.teacher is not None else None
    if teacher is not None:
        extra_lookahead(teacher.encoder, latency)
    if args.compile:
        encoder.compile(dynamic=False)
        if teacher is not None:
            teacher.encoder.compile(dynamic=False)
    optimizer = torch.optim.AdamW(encoder.parameters(), args.learning_rate, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.learning_rate, args.steps, pct_start=0.06)
    settings = {"config": asdict(encoder.config), "steps": args.steps}
    trainer = Trainer(encoder, optimizer, schedule, EMA, args.run / "encoder.pt", settings)
    sampler = EncoderSampler(utterances, noises, latency, args.seed + trainer.step, args.noise_share)
    n_parameters = sum(p.numel() for p in encoder.parameters())
    print(f"{n_parameters / 1e6:.2f} M parameters, {len(utterances)} utterances, from step {trainer.step}", flush=True)

    writer = SummaryWriter(args.run / "tensorboard")
    progress = Progress(writer)
    while trainer.step < args.steps:
        distorted, clean, labels, targets = sampler.batch(args.batch, args.frames)
        mels = mask_mels(warp_mels(log_mel(torch.from_numpy(distorted).to(where)), sampler.rng), sampler.rng)
        target = torch.from_numpy(labels).to(where)
        heard = target != IGNORE
        with device.mixed_precision(where):
            content, logits, _ = encoder(mels, encoder.new_state(args.batch))
        content, logits = content.float(), logits.float()
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=IGNORE, label_smoothing=0.05)
        if teacher is not None:
            loss = args.label_weight * loss + teacher.loss(
                torch.from_numpy(clean).to(where), content, logits, heard, latency
            )
        if stored is not None:
            loss = args.label_weight * loss + stored.loss(torch.from_numpy(targets).to(where), content, logits)
        trainer.update(loss)
        right = (logits.argmax(-1) == target)[heard].float().mean()
        progress.add({"loss": loss.item(), "accuracy": right.item()})
        if trainer.step % 100 == 0:
            progress.report(trainer.step)
        if trainer.due(args.steps):
            averaged = trainer.averaged
            scores = {"ls19": frame_accuracy(averaged, unseen), "bdl, unseen prompts": frame_accuracy(averaged, seen)}
            if accented:
                scores["speechocean762, test half"] = frame_accuracy(averaged, accented)
            for name, score in scores.items():
                writer.add_scalar(f"frame accuracy/{name}", score, trainer.step)
            print(f"{trainer.step} frame accuracy {scores}", flush=True)
            trainer.save(scores)


if __name__ == "__main__":
    main()
