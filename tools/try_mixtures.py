"""Tries mixtures of the trained voices as one voice of a bundle, on speakers outside the test list.

    python tools/try_mixtures.py --run RUN --bundle FLOAT/default --data DATA --voice slt \
        --mixture slt=0.85,bdl=0.15 --mixture slt=0.75,kathleen=0.10,bdl=0.15

Prints for each how much the recogniser's reading of the source changes, and the similarity to the voice's recordings:
what the mixtures of tools/data/speakers.toml were chosen by. The recordings are of 16 LibriSpeech speakers with one
utterance each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from vctrain import metrics
from vctrain.data.corpora import listed
from vctrain.data.speakers import LIBRISPEECH, TRANSCRIBED, UNSEEN_SPEAKERS, VOICES
from vctrain.errors import one_line_errors
from vctrain.evaluation import trials
from vctrain.evaluation.scoring import cached_metric, load
from vctrain.evaluation.systems import Bundle
from vctrain.export import trained
from vctrain.export.graphs import conditioning_table

from edgevc.bundle import ModelBundle, write_manifest

SPEAKERS = 16
SECONDS = (6.0, 13.5)


def recordings(data: Path, rows: list[dict[str, Any]]) -> list[Path]:
    """One utterance of each speaker, in an order that nobody chose."""
    left_out = {*UNSEEN_SPEAKERS, *TRANSCRIBED}
    fitting = [r for r in rows if r["speaker"].startswith(LIBRISPEECH) and r["speaker"] not in left_out]
    fitting = [r for r in fitting if r["split"] == "train" and SECONDS[0] < r["seconds"] < SECONDS[1]]
    fitting.sort(key=lambda r: hashlib.sha256(r["utterance"].encode()).hexdigest())
    return [data / r["path"] for r in fitting[:SPEAKERS]]


def parse(text: str) -> list[float]:
    """Shares of VOICES from slt=0.85,bdl=0.15."""
    shares = {name: float(share) for name, _, share in (part.partition("=") for part in text.split(","))}
    if unknown := set(shares) - set(VOICES):
        raise argparse.ArgumentTypeError(f"voices are {', '.join(VOICES)}, got {', '.join(sorted(unknown))}")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise argparse.ArgumentTypeError(f"shares must add up to 1, got {sum(shares.values()):g}")
    return [shares.get(name, 0.0) for name in VOICES]


def mixed(run: Path, bundle: Path, voice: str, shares: list[float], folder: Path) -> Path:
    """A copy of the bundle whose voice has other shares."""
    shutil.copytree(bundle, folder)
    row = ModelBundle.open(bundle).voice(voice).spec.row
    parts = conditioning_table(trained.load(run).decoder).numpy()
    table = np.fromfile(folder / "voices.f32", "<f4").reshape(-1, parts.shape[1])
    table[row] = np.array(shares) @ parts
    table.tofile(folder / "voices.f32")
    write_manifest(folder, json.loads((folder / "manifest.json").read_text()))
    return folder


def read(path: Path, bundle: Path | None, voice: str, cache: Path) -> tuple[list[str], list[float]]:
    """What the recogniser and the speaker encoder make of a recording, converted by a bundle if there is one."""
    samples = load(path)
    if bundle is not None:
        samples = Bundle(bundle).convert(samples, voice)
    return cached_metric(samples, "words", cache), cached_metric(samples, "embedding", cache)


@one_line_errors
def main() -> None:
    """Prints a line for each mixture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="or tools/weights")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--voice", choices=VOICES, required=True)
    parser.add_argument("--mixture", type=parse, action="append", required=True, metavar="NAME=SHARE,...")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    rows = listed(args.data)
    sources = recordings(args.data, rows)
    own = [args.data / r["path"] for r in trials.choose(rows, args.voice, trials.CENTROID_UTTERANCES)]
    look = partial(read, voice=args.voice, cache=args.data / "scores")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(args.jobs) as pool:
        plain = list(pool.map(partial(look, bundle=None), sources))
        centroid = metrics.centroid([np.array(e) for _, e in pool.map(partial(look, bundle=None), own)])
        for i, shares in enumerate(args.mixture):
            bundle = mixed(args.run, args.bundle, args.voice, shares, Path(folder) / str(i))
            found = list(pool.map(partial(look, bundle=bundle), sources))
            errors = sum(metrics.edit_errors(a, b) for (a, _), (b, _) in zip(plain, found, strict=True))
            change = errors / sum(len(words) for words, _ in plain)
            similarity = np.mean([np.array(e) @ centroid for _, e in found])
            parts = ", ".join(f"{share:g} {name}" for name, share in zip(VOICES, shares, strict=True) if share)
            print(f"{parts}: words changed {change:.3f}, similarity {similarity:.3f}", flush=True)


if __name__ == "__main__":
    main()
