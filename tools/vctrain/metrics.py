"""Judges of converted speech; all run offline.

Similarity: Resemblyzer (Wan et al. 2018), utterance against a centroid. Quality: DNSMOS P.835 (Reddy et al. 2022).
Intelligibility: pocketsphinx with its free US-English language model. F0: WORLD's DIO and StoneMask (Morise 2016).
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000


def words(text: str) -> list[str]:
    """Lower-case words, apostrophes kept."""
    return re.sub(r"[^a-z' ]", " ", text.lower().replace("\u2019", "'")).split()


def word_errors(reference: list[str], hypothesis: list[str]) -> int:
    """Levenshtein distance in words: substitutions, insertions and deletions."""
    row = np.arange(len(hypothesis) + 1)
    for i, expected in enumerate(reference, 1):
        previous, row = row, np.empty_like(row)
        row[0] = i
        for j, heard in enumerate(hypothesis, 1):
            row[j] = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (expected != heard))
    return int(row[-1])


@cache
def _recogniser() -> Any:
    from pocketsphinx import Decoder

    return Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")


def recognise(samples: NDArray[np.float32]) -> list[str]:
    """The words that pocketsphinx hears in (T,) samples."""
    decoder = _recogniser()
    # its noise tracker would carry over from the file before
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw((np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    return words(hypothesis.hypstr) if hypothesis else []


@cache
def _speaker_encoder() -> Any:
    import torch

    torch.set_num_threads(1)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from resemblyzer import VoiceEncoder

        return VoiceEncoder("cpu", verbose=False)


def embed(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit-length speaker embedding (256,) of (T,) samples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from resemblyzer import preprocess_wav

        return _speaker_encoder().embed_utterance(preprocess_wav(samples, SAMPLE_RATE))


def centroid(embeddings: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Unit-length mean of embeddings."""
    mean = np.mean(embeddings, axis=0)
    return mean / np.linalg.norm(mean)


def dnsmos(samples: NDArray[np.float32]) -> dict[str, float]:
    """DNSMOS `ovrl`, `sig` and `bak` of (T,) samples in [-1, 1]."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from speechmos import dnsmos as judge

        scores = judge.run(np.clip(samples, -1, 1), SAMPLE_RATE)
    return {name: float(scores[f"{name}_mos"]) for name in ("ovrl", "sig", "bak")}


def f0(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """F0 in Hz every 10 ms, 0 where unvoiced."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyworld

    signal = samples.astype(np.float64)
    coarse, times = pyworld.dio(signal, SAMPLE_RATE, f0_floor=60, f0_ceil=500, frame_period=10)
    return pyworld.stonemask(signal, coarse, times, SAMPLE_RATE)


def log_f0_correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Pearson correlation of log-F0 where both aligned signals are voiced; NaN with under 20 such frames."""
    first, second = f0(a), f0(b)
    n = min(len(first), len(second))
    voiced = (first[:n] > 0) & (second[:n] > 0)
    if voiced.sum() < 20:
        return float("nan")
    return float(np.corrcoef(np.log(first[:n][voiced]), np.log(second[:n][voiced]))[0, 1])
