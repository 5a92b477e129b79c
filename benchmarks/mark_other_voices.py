"""Speech by Kokoro and by the vocoder WORLD, in which benchmarks/bench_mark.py looks for a watermark that is not there.

    PYTHONPATH=tools python benchmarks/mark_other_voices.py --data CLONES --cache CACHE

Needs pyworld, onnxruntime, espeak-ng and the packages of Kokoro (docs/training-reference.md), in an environment of its
own. Writes sounds to CACHE/spoken; a second run makes only what is missing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mark_corpus
import numpy as np
import soundfile
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
N_MIXTURES = 2
"""Timbres of Kokoro besides its own styles."""
N_COPIED = 6
"""Speakers whom WORLD says again."""
SECONDS = 40.0


def by_kokoro(shares: NDArray[np.float64], first_text: int) -> FloatArray:
    """Return TEXTS in one timbre, (T,) at kokoro.SAMPLE_RATE; each time another sentence comes first."""
    from vctrain.data import kokoro

    order = np.roll(np.arange(len(mark_corpus.TEXTS)), -first_text)
    return np.concatenate([kokoro.speak(mark_corpus.TEXTS[i], shares, 1.0) for i in order])


def by_world(samples: FloatArray) -> FloatArray:
    """Return what WORLD makes of a sound when it takes it apart and puts it together, (T,) at 16 kHz."""
    import pyworld

    f0, envelope, aperiodicity = pyworld.wav2world(samples.astype(np.float64), 16_000)
    return np.asarray(pyworld.synthesize(f0, envelope, aperiodicity, 16_000), np.float32)


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        import pyworld  # noqa: F401 (before minutes of work)
        from vctrain.data import kokoro
    except ImportError as error:
        raise SystemExit(f"this benchmark needs {error.name}; run it as its first lines say") from None
    folder = arguments.cache / "spoken"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    timbres = [*np.eye(len(kokoro.STYLES)), *(kokoro.mixture(rng) for _ in range(N_MIXTURES))]
    for index, shares in enumerate(timbres):
        path = folder / f"Kokoro {index}.wav"
        if not path.exists():
            soundfile.write(path, by_kokoro(shares, index % len(mark_corpus.TEXTS)), kokoro.SAMPLE_RATE)
    speakers = {**mark_corpus.npvcc(arguments.data), **mark_corpus.speechocean(arguments.data, adults=True)}
    for name in sorted(speakers, key=mark_corpus.by_hash)[:N_COPIED]:
        path = folder / f"WORLD {name}.wav"
        if not path.exists():
            soundfile.write(path, by_world(mark_corpus.joined(speakers[name], SECONDS)), 16_000)


if __name__ == "__main__":
    main()
