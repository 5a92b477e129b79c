"""The teacher: features of Whisper's encoder, stored once, and a head from them to the content of a trained model.

    python tools/train_ear.py features --data DATA                        # 8 to 15 min of one core
    python tools/train_ear.py head --data DATA --run RUN --decoder-run tools/weights     # 3 min
    python tools/train_ear.py targets --data DATA --run RUN               # 1 min

`head` learns the content that the decoder of --decoder-run was trained on, where that model's own encoder recognises
the aligned phone, and the aligned phones elsewhere; RUN/encoder.pt is then an encoder as any other (`evaluate.py
--run`, with a decoder.pt beside it). `targets` stores the teacher's content of every training recording below
DATA/targets, for `train_encoder.py --stored-teacher`. Features and targets that exist are kept.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from vctrain import checkpoint, device
from vctrain.data.alignment import label_index
from vctrain.data.corpora import listed
from vctrain.data.front_end import HOP_LENGTH
from vctrain.data.speakers import LIBRISPEECH, SPEECHOCEAN, SYNTHESISERS, VOICES
from vctrain.data.speech import IGNORE, Utterance, load_utterances
from vctrain.data.voices import normalise
from vctrain.errors import UserError, one_line_errors
from vctrain.evaluation.whisper_asr import model_folder
from vctrain.models.content_encoder import ContentEncoder, load_encoder
from vctrain.models.ear import EarConfig, EarHead, WhisperEar, load_any_encoder
from vctrain.models.whisper import LONGEST_ROWS, ROW_LENGTH, WhisperEncoder
from vctrain.teachers import encode

LONGEST_SECONDS = LONGEST_ROWS * ROW_LENGTH / 16_000
LABEL_WEIGHT = 0.3
"""Of the aligned phones' cross-entropy beside the content's distance over its variance."""


def stored_path(data: Path, kind: str, row: dict[str, Any]) -> Path:
    """Where the features or targets of a recording of DATA lie."""
    return (data / kind / row["path"]).with_suffix(".npy")


def recordings(data: Path) -> list[dict[str, Any]]:
    """Those that training may hear and Whisper has positions for, people first."""
    rows = [r for r in listed(data) if r["split"] == "train" and r["seconds"] < LONGEST_SECONDS - 0.1]
    return sorted(rows, key=lambda r: r["speaker"].startswith(SYNTHESISERS))


def save_array(path: Path, values: NDArray[np.float16]) -> None:
    """Writes a file that is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, values)
    part.replace(path)


def samples_of(data: Path, row: dict[str, Any]) -> Tensor:
    """(1, T), at the reference level."""
    return torch.from_numpy(normalise(sf.read(data / row["path"], dtype="float32")[0]))[None]


def store_features(data: Path, where: torch.device) -> None:
    """Whisper's rows of the heard layers, (N, 1024) in half precision, below DATA/features."""
    ear = WhisperEar(EarConfig())
    ear.load_whisper(WhisperEncoder.load(model_folder("base", data)))
    ear.to(where)
    rows = [r for r in recordings(data) if not stored_path(data, "features", r).exists()]
    began, seconds = time.monotonic(), 0.0
    for i, row in enumerate(rows, 1):
        with torch.no_grad(), device.mixed_precision(where):
            found = ear.rows(samples_of(data, row).to(where))[0]
        save_array(stored_path(data, "features", row), found.half().cpu().numpy())
        seconds += row["seconds"]
        if i % 200 == 0 or i == len(rows):
            print(f"{i}/{len(rows)}, {seconds / 60:.0f} min of sound in {time.monotonic() - began:.0f} s", flush=True)


def head_targets(like: ContentEncoder, samples: Tensor, aligned: Utterance | None) -> tuple[Tensor, Tensor, Tensor]:
    """Of samples (1, T): content (K, 48), labels (K,), whether the content counts (K,); frame k at sample 160 k.

    It counts where `like` names the aligned phone, and everywhere in what nobody aligned.
    """
    ahead = like.config.latency // HOP_LENGTH - 1
    # frame m is the sound at 160 (m + 1) - latency; trailing silence brings the last ones out
    padded = F.pad(samples, (0, -samples.shape[1] % HOP_LENGTH + HOP_LENGTH * (ahead + 1)))
    with torch.no_grad():
        content, phones = (x[0, ahead:] for x in encode(like, padded))
    labels = np.full(len(content), IGNORE, np.int64)
    counts = torch.ones(len(content), dtype=torch.bool)
    if aligned is not None:
        index = label_index(HOP_LENGTH * np.arange(len(content)))
        inside = (index >= 0) & (index < len(aligned.labels))
        labels[inside] = aligned.labels[index[inside]]
        counts = phones.argmax(-1) == torch.from_numpy(labels)
    return content, torch.from_numpy(labels), counts


def train_head(args: argparse.Namespace, where: torch.device) -> None:
    """Writes RUN/encoder.pt."""
    data, rng = args.data, np.random.default_rng(args.seed)
    aligned = {(u.speaker, u.prompt): u for u in load_utterances(data)}
    rows = [r for r in recordings(data) if stored_path(data, "features", r).exists()]
    rows = [r for r in rows if not r["speaker"].startswith(SYNTHESISERS)]
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        own = row["speaker"] if row["speaker"] in VOICES else row["speaker"][:2]
        groups.setdefault(own, []).append(row)
    chosen = []
    for name, group in sorted(groups.items()):
        order, count = (
            rng.permutation(len(group)),
            args.per_corpus if name in (LIBRISPEECH, SPEECHOCEAN) else args.per_voice,
        )
        # speakers without an alignment have no label that could say which content is right
        chosen += [group[i] for i in order[:count]]
        print(f"{name}: {min(len(group), count)} recordings", flush=True)
    like = load_encoder(args.decoder_run / "encoder.pt").eval()
    inputs, content, labels, counts = [], [], [], []
    for row in chosen:
        found = torch.from_numpy(np.load(stored_path(data, "features", row)))
        goal, label, count = head_targets(like, samples_of(data, row), aligned.get((row["speaker"], row["utterance"])))
        n = min(len(found), len(goal) // 2)
        if (row["speaker"], row["utterance"]) not in aligned and row["speaker"].startswith(SPEECHOCEAN):
            continue
        inputs.append(found[:n])
        content.append(goal[: 2 * n].reshape(n, 2, -1))
        labels.append(label[: 2 * n].reshape(n, 2))
        counts.append(count[: 2 * n].reshape(n, 2))
    x, goal, label, count = (torch.cat(part).to(where) for part in (inputs, content, labels, counts))
    shares = count.float().mean(), (label != IGNORE).float().mean()
    print(f"{len(x)} rows, content counts in {shares[0]:.3f} of the frames, {shares[1]:.3f} have a label", flush=True)
    config = EarConfig(content_size=like.config.content_size)
    phones = like.phones.to(where)
    head = EarHead(config).to(where)
    middle, variance = goal[count].mean(0), goal[count].var(0)
    with torch.no_grad():
        head.content.bias.copy_(middle.repeat(2))
    edges = torch.from_numpy(np.concatenate([np.arange(len(i)) for i in inputs])).to(where)
    first, last = edges == 0, torch.cat([edges[1:] == 0, torch.ones(1, dtype=torch.bool, device=where)])
    cross_entropy = torch.nn.CrossEntropyLoss(ignore_index=IGNORE, label_smoothing=0.05)
    optimizer = torch.optim.AdamW(head.parameters(), args.learning_rate, weight_decay=1e-2)
    n_steps = args.epochs * (len(x) // args.batch + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.learning_rate, n_steps)
    began = time.monotonic()
    for epoch in range(args.epochs):
        sums, shuffled = np.zeros(3), torch.from_numpy(rng.permutation(len(x))).to(where)
        for part in shuffled.split(args.batch):
            before = torch.where(first[part], part, part - 1)
            after = torch.where(last[part], part, part + 1)
            three = torch.stack([x[before], x[part], x[after]], 1).float()
            three = three * (1 + 0.05 * torch.randn(len(part), 1, 1, device=where))
            with device.mixed_precision(where):
                found = head.of_middle(three).float()
            distance = ((found - goal[part]).square() / variance)[count[part]].mean()
            logits = phones(found)
            named = cross_entropy(logits.flatten(0, 1), label[part].flatten())
            optimizer.zero_grad()
            (distance + args.label_weight * named).backward()
            optimizer.step()
            schedule.step()
            known = label[part] != IGNORE
            right = (logits.argmax(-1) == label[part])[known].float().mean()
            sums += np.array([distance.item(), named.item(), right.item()]) * len(part)
        told = ", ".join(f"{n} {v:.3f}" for n, v in zip(("distance", "phones", "right"), sums / len(x), strict=True))
        print(f"epoch {epoch}: {told}, {time.monotonic() - began:.0f} s", flush=True)
    ear = WhisperEar(config)
    ear.load_whisper(WhisperEncoder.load(model_folder("base", data)))
    ear.head = head.cpu()
    ear.phones.load_state_dict(phones.state_dict())
    checkpoint.save(args.run / "encoder.pt", model=ear.state_dict(), ear=asdict(config), step=n_steps, scores={})
    checkpoint.copy_decoder(args.decoder_run, args.run)


def store_targets(data: Path, run: Path, where: torch.device) -> None:
    """Content of every recording, (K, 48) in half precision, frame k at sample 160 k, below DATA/targets."""
    ear = load_any_encoder(run / "encoder.pt").eval().to(where)
    if not isinstance(ear, WhisperEar):
        raise UserError(f"{run / 'encoder.pt'} is no ear of train_ear.py; run its step `head` first")
    rows = [r for r in recordings(data) if stored_path(data, "features", r).exists()]
    for i, row in enumerate(rows, 1):
        features = torch.from_numpy(np.load(stored_path(data, "features", row))).float()[None].to(where)
        with torch.no_grad(), device.mixed_precision(where):
            found = ear.head(features)[0]
        save_array(stored_path(data, "targets", row), found.half().cpu().numpy())
        if i % 1000 == 0 or i == len(rows):
            print(f"{i}/{len(rows)} targets", flush=True)


@one_line_errors
def main() -> None:
    """Features, head and targets, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("features", "head", "targets"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--decoder-run", type=Path, help="a run whose content code is the target")
    parser.add_argument("--per-corpus", type=int, default=600, help="recordings of LibriSpeech and speechocean762 each")
    parser.add_argument("--per-voice", type=int, default=120, help="recordings of every voice")
    parser.add_argument("--label-weight", type=float, default=LABEL_WEIGHT)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=1)
    device.add_option(parser)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    where = device.pick(args.device)
    if args.step != "features" and args.run is None:
        raise UserError(f"{args.step} needs --run, the folder of the teacher")
    if args.step == "features":
        store_features(args.data, where)
    elif args.step == "head":
        if args.decoder_run is None:
            raise UserError("head needs --decoder-run, a run such as tools/weights, whose content is to be learnt")
        train_head(args, where)
    else:
        store_targets(args.data, args.run, where)


if __name__ == "__main__":
    main()
