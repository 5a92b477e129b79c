"""Teaches the core's pitch tracker: voicing and F0 as WORLD's harvest finds them, from what a stream knows.

    OMP_WAIT_POLICY=PASSIVE python tools/train_pitch.py --data DATA --noises ESC-10 --run RUN [--latency 240]

Writes RUN/pitch_480.pt and csrc/src/pitch_network_weights_480.cc at its end, or those of the other latency; build the
core again afterwards. Judge with benchmarks/f0_accuracy.py. Stopped, it begins anew; only harvest's answers are kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from vctrain import checkpoint, device
from vctrain.data import pitch
from vctrain.data.noise import load_noises
from vctrain.errors import one_line_errors
from vctrain.models.pitch_network import GRID_MIN, GRID_PER_OCTAVE, GRID_SIZE, LATENCIES, PitchNetwork, weights_file
from vctrain.progress import Progress

CROP = 250
WARM_UP = 20
"""Frames at the start of a crop that do not count: what came before them was not heard."""
BLUR = 0.8
"""Standard deviation of the F0 classes' targets, in classes."""


def targets(f0: Tensor) -> Tensor:
    """(N,) Hz, 0 unvoiced, to (N, 1 + GRID_SIZE) that add up to 1."""
    place = torch.log2(f0.clamp(min=1) / GRID_MIN) * GRID_PER_OCTAVE
    near = torch.exp(-0.5 * ((torch.arange(GRID_SIZE, device=f0.device) - place[:, None]) / BLUR) ** 2) + 1e-9
    near = near / near.sum(1, keepdim=True) * (f0 > 0)[:, None]
    return torch.cat([(f0 <= 0).float()[:, None], near], 1)


def cases(
    data: Path, noises: list[NDArray[np.float32]], latency: int, copies: int, jobs: int, rng: np.random.Generator
) -> list[tuple[Tensor, Tensor]]:
    """Features and F0 of everything to learn from."""
    paths = pitch.training_files(data)
    out = []

    def add(speech: pitch.Labelled) -> None:
        heard, f0 = pitch.features(speech, latency)
        out.append((torch.from_numpy(heard), torch.from_numpy(f0)))

    for i, speech in enumerate(pitch.label_all(paths, jobs)):
        add(speech)
        for _ in range(copies):
            add(pitch.distort(speech, noises, rng))
        if i % 100 == 0:
            print(f"{i} of {len(paths)} recordings", flush=True)
    for _ in range(len(paths) // 4):
        add(pitch.synthetic(rng))
    for _ in range(len(paths) // 5):
        add(pitch.noise_only(noises, rng))
    return out


def crop(case: tuple[Tensor, Tensor], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """CROP frames; frames that must not count are UNKNOWN."""
    heard, f0 = case
    start = int(rng.integers(0, max(1, len(f0) - CROP + 1)))
    heard, f0 = heard[start : start + CROP].float(), f0[start : start + CROP].clone()
    if start:
        f0[:WARM_UP] = pitch.UNKNOWN
    missing = CROP - len(f0)
    return nn.functional.pad(heard, (0, 0, 0, missing)), nn.functional.pad(f0, (0, missing), value=pitch.UNKNOWN)


def source(network: PitchNetwork, latency: int) -> str:
    """The weights as C++: int8 with one scale per output."""
    text = [
        "// Written by tools/train_pitch.py; do not edit.",
        '#include "pitch_network_weights.h"',
        "",
        "namespace edgevc {",
        "",
        "namespace {",
        "",
        "// clang-format off",
    ]
    for name, (weight, bias) in network.layers().items():
        scale = weight.detach().abs().amax(1) / 127
        rounded = torch.round(weight.detach() / scale[:, None]).to(torch.int8)
        for kind, type_, values in (
            ("Weights", "signed char", [str(v) for v in rounded.flatten().tolist()]),
            ("Scales", "float", [f"{v:.6e}f" for v in scale.tolist()]),
            ("Bias", "float", [f"{v:.6e}f" for v in bias.detach().tolist()]),
        ):
            text.append(f"constexpr {type_} k{name}{kind}[] = {{")
            per_line = 30 if kind == "Weights" else 8
            text += ["  " + ",".join(values[i : i + per_line]) + "," for i in range(0, len(values), per_line)]
            text.append("};")
    text += ["// clang-format on", "", "}  // namespace", "", f"const PitchNetworkWeights kPitchNetwork{latency} = {{"]
    for name, (weight, _) in network.layers().items():
        text.append(f"    {{{weight.shape[1]}, {weight.shape[0]}, k{name}Weights, k{name}Scales, k{name}Bias}},")
    return "\n".join([*text, "};", "", "}  // namespace edgevc", ""])


@one_line_errors
def main() -> None:
    """Writes RUN/pitch_LATENCY.pt and the C++ weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--noises", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--latency", type=int, choices=LATENCIES, default=LATENCIES[0])
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--copies", type=int, default=3, help="distorted copies of every recording")
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--jobs", type=int, default=1, help="processes that ask harvest")
    parser.add_argument("--threads", type=int, default=1)
    device.add_option(parser)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)

    learnt = cases(args.data, load_noises(args.noises), args.latency, args.copies, args.jobs, rng)
    lengths = np.array([len(f0) for _, f0 in learnt], float)
    where = device.pick(args.device)
    network = PitchNetwork().to(where)
    optimizer = torch.optim.AdamW(network.parameters(), args.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.learning_rate, args.steps)
    print(f"{sum(p.numel() for p in network.parameters())} parameters, {len(learnt)} cases", flush=True)
    progress = Progress()
    for step in range(1, args.steps + 1):
        chosen = rng.choice(len(learnt), args.batch, p=lengths / lengths.sum())
        heard, f0 = (torch.stack(part).to(where) for part in zip(*[crop(learnt[i], rng) for i in chosen], strict=True))
        logits = network(heard).flatten(0, 1)
        known = f0.flatten() != pitch.UNKNOWN
        loss = nn.functional.cross_entropy(logits[known], targets(f0.flatten()[known]))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress.add({"loss": loss.item()})
        if step % 250 == 0:
            progress.report(step)
    checkpoint.save(args.run / f"pitch_{args.latency}.pt", model=network.state_dict(), step=args.steps)
    weights_file(args.latency).write_text(source(network, args.latency))


if __name__ == "__main__":
    main()
