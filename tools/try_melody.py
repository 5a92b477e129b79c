"""Tries how fast the mean of a speaker's melody may move: what csrc/src/pitch_mapper.cc's constants were chosen by.

    python tools/try_melody.py --data DATA

Tracks recordings of speakers outside the test list and follows their mean as the core's PitchMapper does, with other
constants. Prints the correlation of the moved melody with DIO's F0 of the source, and how far its mean lies from the
voice's, in octaves.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from vctrain.data.corpora import listed
from vctrain.data.pitch import held_out_speakers
from vctrain.data.speakers import LIBRISPEECH, TRANSCRIBED, VOICES
from vctrain.data.voices import track_pitch
from vctrain.errors import one_line_errors
from vctrain.evaluation.scoring import load
from vctrain.metrics import MIN_VOICED, compare_melodies, f0

LATENCY, HOP = 480, 160
SECONDS = 15
START, PRIOR, FIRST, LIMIT = np.log2(150), 4.0, 15, 1.0
"""As in the core."""


def recordings(data: Path) -> list[Path]:
    """Of the voices' unseen prompts, of the transcribed readers, and of a part of the LibriSpeech speakers."""
    rows = listed(data)
    train = [r for r in rows if r["split"] == "train" and r["speaker"].startswith(LIBRISPEECH)]
    readers = [r for r in train if r["speaker"] in TRANSCRIBED]
    others = sorted({r["speaker"] for r in train} - set(TRANSCRIBED) - set(held_out_speakers(data)))
    chosen = {*held_out_speakers(data), *others[::3]}
    picked = [r for r in rows if r["speaker"] in chosen] + readers[::8]
    picked += [r for r in rows if r["split"] == "test" and r["speaker"] in VOICES][::8]
    return [data / r["path"] for r in picked]


def moved(contour: NDArray[np.float32], slow: float, opening: float) -> NDArray[np.float64]:
    """Octaves above the running mean, NaN where unvoiced; `opening`: what the first words are taken to lie above it."""
    mean = START
    out = np.full(len(contour), np.nan)
    for n, i in enumerate(np.flatnonzero(contour > 0), 1):
        octaves = np.log2(contour[i])
        mean += (octaves - opening - mean) / (PRIOR + n if n <= FIRST else slow)
        if n > FIRST:
            opening -= opening / slow
        out[i] = np.clip(octaves - mean, -LIMIT, LIMIT)
    return out


@one_line_errors
def main() -> None:
    """Prints a line for each pair of constants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    known = []
    for path in recordings(args.data):
        samples = load(path)[: SECONDS * 16_000]
        # frame m of the tracker is centred at sample 160 (m + 1) - latency, one of DIO's at 160 k
        tracked = track_pitch(samples[: len(samples) // HOP * HOP], LATENCY)[LATENCY // HOP - 1 :, 0]
        known.append((tracked, f0(samples)))
    print(f"{len(known)} recordings")
    for slow, opening in ((600, 0.0), (1200, 0.0), (2000, 0.0), (2000, 0.12), (3000, 0.12)):
        correlations, distances = [], []
        for tracked, source in known:
            melody = moved(tracked, slow, opening)
            compared = compare_melodies(source, np.where(np.isnan(melody), 0, 100 * 2.0 ** np.nan_to_num(melody)))
            if compared.n_frames >= 2 * MIN_VOICED:
                correlations.append(compared.correlation)
                distances.append(abs(np.nanmean(melody)))
        print(
            f"{slow}, {opening:g}: correlation {np.mean(correlations):.3f}, distance {np.mean(distances):.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
