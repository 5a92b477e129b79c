"""The ear of `studio`: Whisper's encoder, tuned to follow a stream in blocks and to hear in noise.

    python tools/tune_ear.py --data DATA --noises ESC-10 --stored-teacher EAR/encoder.pt --run STUDIO

It learns what the teacher of train_ear.py, which hears whole recordings, made of the clean ones (DATA/targets), while
it hears them distorted, and 220 ms at a time. STUDIO/encoder.pt is an encoder as any other (`evaluate.py --run`, with a
decoder.pt beside it). Stops at any time; the same command goes on from the last checkpoint.
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
from vctrain.checkpoint import copy_decoder
from vctrain.data.alignment import label_index
from vctrain.data.front_end import HOP_LENGTH
from vctrain.data.noise import Noises
from vctrain.data.speakers import SPEECHOCEAN
from vctrain.data.speech import IGNORE, EncoderSampler, Utterance, load_with_targets
from vctrain.data.voices import normalise
from vctrain.errors import UserError, one_line_errors
from vctrain.evaluation.whisper_asr import model_folder
from vctrain.models.ear import EarConfig, WhisperEar, load_any_encoder
from vctrain.models.whisper import LONGEST_ROWS, WhisperEncoder
from vctrain.progress import Progress
from vctrain.teachers import StoredTeacher
from vctrain.trainer import Trainer

STUDIO = EarConfig(neighbours=0, block=11, back=132, latency=3680, loudest=1.5, front_end="edgevc", endless=True)
"""230 ms behind the newest sample: a block of 220 ms, and what frames and convolutions hear ahead of its last row."""
EMA = 0.995
FITTED = 150
"""Recordings, at most, by which the runtime's log-mels are first brought near Whisper's."""
HEAD_RATE = 10.0
"""How much faster the head learns, which begins with nothing, than Whisper's own layers."""


def frame_accuracy(ear: WhisperEar, utterances: list[Utterance]) -> float:
    """Share of frames whose most likely phone is the aligned one."""
    right = total = 0
    with torch.no_grad():
        for utterance in utterances:
            samples = torch.from_numpy(normalise(utterance.sound))[None].to(device.of(ear))
            found = ear.phones(ear.content_frames(samples).float())[0].argmax(-1).cpu().numpy()
            index = label_index(HOP_LENGTH * np.arange(len(found)))
            inside = (index >= 0) & (index < len(utterance.labels))
            right += int((found[inside] == utterance.labels[index[inside]]).sum())
            total += int(inside.sum())
    return right / total if total else float("nan")


def mask_time(samples: Tensor, rng: np.random.Generator) -> Tensor:
    """Time masking: up to 60 ms of every other recording (B, T) are silenced."""
    samples = samples.clone()
    for row in samples:
        if rng.random() < 0.5:
            length = int(rng.integers(0, 960))
            start = int(rng.integers(0, len(row) - length))
            row[start : start + length] = 0
    return samples


@one_line_errors
def main() -> None:
    """Writes RUN/encoder.pt and TensorBoard logs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--noises", type=Path, required=True)
    parser.add_argument("--stored-teacher", type=Path, required=True, help="encoder.pt of train_ear.py")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--start-from", type=Path, help="another run's encoder.pt, whose weights are taken at step 0")
    parser.add_argument("--noise-share", type=float, default=0.7, help="share of crops with noise added")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--frames", type=int, default=528, help="a whole number of blocks, of 22 frames each")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--label-weight", type=float, default=0.3)
    parser.add_argument("--threads", type=int, default=1)
    device.add_option(parser)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    utterances = load_with_targets(args.data)
    noises = replace(Noises.load(args.noises), people=[u.samples for u in utterances if u.split == "train"])
    tested_on = {
        "ls19": [u for u in utterances if u.speaker == "ls19"][::12],
        "speechocean762, test half": [
            u for u in utterances if u.split == "test" and u.speaker.startswith(SPEECHOCEAN) and len(u.words)
        ][::50],
    }
    where = device.pick(args.device)
    teacher = StoredTeacher(args.stored_teacher, where)
    ear = WhisperEar(STUDIO)
    ear.load_whisper(WhisperEncoder.load(model_folder("base", args.data)))
    ear.phones.load_state_dict(teacher.phones.state_dict())
    if isinstance(whole := load_any_encoder(args.stored_teacher), WhisperEar):
        ear.head.init_from(whole.head)
    if args.start_from is not None:
        begun = load_any_encoder(args.start_from)
        if not isinstance(begun, WhisperEar) or begun.config != STUDIO:
            raise UserError(f"--start-from: {args.start_from} is no ear of tune_ear.py; leave it out or give one")
        ear.load_state_dict(begun.state_dict())
    elif not (args.run / "encoder.pt").exists():
        speech = [u for u in utterances if u.split == "train"][:: len(utterances) // FITTED + 1]
        missed = ear.fit_front_end(torch.from_numpy(normalise(u.sound))[None] for u in speech)
        print(f"front end fitted to {len(speech)} recordings: {missed:.4f} of the variance is missed", flush=True)
    ear.to(where)
    own = [p for name, p in ear.named_parameters() if not name.startswith("encoder.")]
    taken = [p for name, p in ear.named_parameters() if name.startswith("encoder.")]
    rates = [args.learning_rate, HEAD_RATE * args.learning_rate]
    optimizer = torch.optim.AdamW([{"params": taken}, {"params": own}], weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, args.steps, pct_start=0.1)
    settings = {"ear": asdict(STUDIO) | {"heard": list(STUDIO.heard)}, "steps": args.steps}
    trainer = Trainer(ear, optimizer, schedule, EMA, args.run / "encoder.pt", settings)
    # frame k of the ear belongs to sample 160 k of the crop
    sampler = EncoderSampler(utterances, noises, HOP_LENGTH, args.seed + trainer.step, args.noise_share)
    print(
        f"{sum(p.numel() for p in ear.parameters()) / 1e6:.2f} M parameters, {len(utterances)} utterances", flush=True
    )
    if args.compile:
        ear.encoder.compile(dynamic=False)
    writer = SummaryWriter(args.run / "tensorboard")
    progress = Progress(writer)
    while trainer.step < args.steps:
        distorted, _, labels, targets = sampler.batch(args.batch, args.frames)
        samples = mask_time(torch.from_numpy(distorted[:, : HOP_LENGTH * args.frames - 1]), sampler.rng).to(where)
        target = torch.from_numpy(labels).to(where)
        with device.mixed_precision(where):
            content = ear.content_frames(samples, int(sampler.rng.integers(LONGEST_ROWS))).float()
        logits = ear.phones(content)
        taught = teacher.loss(torch.from_numpy(targets).to(where), content, logits)
        named = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=IGNORE, label_smoothing=0.05)
        loss = taught + args.label_weight * torch.nan_to_num(named)
        trainer.update(loss)
        heard = target != IGNORE
        right = (logits.argmax(-1) == target)[heard].float().mean()
        progress.add({"loss": loss.item(), "taught": taught.item(), "accuracy": torch.nan_to_num(right).item()})
        if trainer.step % 50 == 0:
            progress.report(trainer.step)
        if trainer.due(args.steps):
            scores = {name: frame_accuracy(trainer.averaged, group) for name, group in tested_on.items()}
            print(f"{trainer.step} frame accuracy {scores}", flush=True)
            trainer.save(scores)
    # so that the run can convert
    copy_decoder(args.stored_teacher.parent, args.run)


if __name__ == "__main__":
    main()
