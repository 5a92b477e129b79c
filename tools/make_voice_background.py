"""Makes edgevc/voice_maker/background.npz: what many speakers sound like, as a mixture of 64 Gaussians over cepstra.

python tools/make_voice_background.py DATA     (DATA: what tools/prepare_data.py writes)

120 speakers of LibriSpeech (CC BY 4.0), 8 s of each; only the statistics are kept, 20 kB.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import soundfile as sf

from edgevc.voice_maker.material import normalised
from edgevc.voice_maker.mixture import BACKGROUND, Mixture, cepstra

N_SPEAKERS, N_GAUSSIANS = 120, 64


def main() -> None:
    """Read one recording of each speaker, fit the mixture, write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    first: dict[str, str] = {}
    for line in (data / "utterances.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        # ls19, ls26 and ls27 are voices that are judged
        if row["speaker"].startswith("ls") and row["speaker"] not in ("ls19", "ls26", "ls27") and row["seconds"] > 4:
            first.setdefault(row["speaker"], row["path"])
    names = sorted(first)
    chosen = [names[i] for i in np.random.default_rng(3).permutation(len(names))[:N_SPEAKERS]]
    frames = []
    for name in chosen:
        samples = sf.read(data / first[name], dtype="float32")[0][:128_000]
        frames.append(cepstra(normalised(samples))[::2])
    mixture = Mixture.fitted(np.concatenate(frames), N_GAUSSIANS, seed=0)
    parts = {name: getattr(mixture, name).astype(np.float32) for name in ("weights", "means", "variances")}
    np.savez_compressed(BACKGROUND, **parts)
    print(f"{BACKGROUND}: {len(chosen)} speakers, {sum(map(len, frames))} frames")


if __name__ == "__main__":
    main()
