"""Metrics of converted speech; all run offline.

Similarity: Resemblyzer (Wan et al. 2018), utterance against a centroid. Quality: DNSMOS P.835 (Reddy et al. 2022).
Intelligibility: pocketsphinx with its free US-English language model, and its phone decoder with its phone language
model. F0: WORLD's DIO and StoneMask (Morise 2016).
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000


def words(text: str) -> list[str]:
    """Lower-case words, apostrophes kept."""
    return re.sub(r"[^a-z' ]", " ", text.lower().replace("\u2019", "'")).split()


def edit_errors(reference: Sequence[str | int], hypothesis: Sequence[str | int]) -> int:
    """Levenshtein distance in words or phones: substitutions, insertions and deletions."""
    row = places = np.arange(len(hypothesis) + 1)
    for expected in reference:
        wrong = np.array([heard != expected for heard in hypothesis], int)
        # either the one above or the one diagonally above, then from the left
        best = np.minimum(row[1:] + 1, row[:-1] + wrong)
        row = np.minimum.accumulate(np.concatenate([row[:1] + 1, best]) - places) + places
    return int(row[-1])


@cache
def _recogniser() -> Any:
    from pocketsphinx import Decoder

    return Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")


def recognise(samples: NDArray[np.float32]) -> list[str]:
    """The words that pocketsphinx hears in (T,) samples."""
    decoder = _recogniser()
    _decode(decoder, samples)
    hypothesis = decoder.hyp()
    return words(hypothesis.hypstr) if hypothesis else []


@cache
def _phone_recogniser() -> Any:
    from pocketsphinx import Decoder, get_model_path

    language_model = Path(get_model_path()) / "en-us" / "en-us-phone.lm.bin"
    # weights and beams of pocketsphinx's own phone recognition tutorial
    return Decoder(
        samprate=SAMPLE_RATE, allphone=str(language_model), lw=2.0, beam=1e-10, pbeam=1e-10, loglevel="FATAL"
    )


def recognise_phones(samples: NDArray[np.float32]) -> list[str]:
    """The phones (CMU names) that pocketsphinx's phone loop hears in (T,) samples; silence and noise left out."""
    decoder = _phone_recogniser()
    _decode(decoder, samples)
    return [segment.word for segment in decoder.seg() or () if segment.word.isalpha() and segment.word != "SIL"]


def _decode(decoder: Any, samples: NDArray[np.float32]) -> None:
    # its noise tracker would carry over from the file before
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw((np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()


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


@cache
def _dnsmos_session() -> Any:
    import onnxruntime
    import speechmos

    options = onnxruntime.SessionOptions()
    # several processes score side by side; more threads only wait for each other
    options.intra_op_num_threads = 1
    path = Path(speechmos.__file__).parent / "dnsmos_models" / "sig_bak_ovr.onnx"
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


DNSMOS_SECONDS = 9.01
DNSMOS_FITS = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}
"""Polynomials of Microsoft's dnsmos_local.py, highest power first, from the network's outputs to opinion scores."""


def dnsmos(samples: NDArray[np.float32]) -> dict[str, float]:
    """DNSMOS P.835 `ovrl`, `sig` and `bak` of (T,) samples, T > 0: the mean over windows of 9.01 s, one each second.

    The same figures as `speechmos.dnsmos.run`, which also computes P.808 and takes every core.
    """
    samples = np.clip(samples, -1, 1).astype(np.float32)
    window = int(DNSMOS_SECONDS * SAMPLE_RATE)
    # short recordings are repeated, doubling, as the original does
    while len(samples) < window:
        samples = np.concatenate([samples, samples])
    # as many windows as the original takes, which leaves a full last one out
    n_windows = int(len(samples) // SAMPLE_RATE - DNSMOS_SECONDS) + 1
    starts = range(0, n_windows * SAMPLE_RATE, SAMPLE_RATE)
    session = _dnsmos_session()
    raw = [session.run(None, {"input_1": samples[None, start : start + window]})[0][0] for start in starts]
    return {
        name: float(np.mean(np.polyval(fit, [row[column] for row in raw])))
        for column, (name, fit) in enumerate(DNSMOS_FITS.items())
    }


def f0(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """F0 in Hz every 10 ms, 0 where unvoiced."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyworld

    signal = samples.astype(np.float64)
    coarse, times = pyworld.dio(signal, SAMPLE_RATE, f0_floor=60, f0_ceil=500, frame_period=10)
    return pyworld.stonemask(signal, coarse, times, SAMPLE_RATE)


MIN_VOICED = 20
"""Frames of 10 ms that must be voiced for a figure about F0."""


@dataclass(frozen=True)
class Melody:
    """How well a melody was kept, over the `n_frames` frames of 10 ms that are voiced in both."""

    correlation: float
    """Pearson correlation of log-F0; NaN with under MIN_VOICED frames."""
    cents_error: float
    """Mean distance of the two contours in cents once the mean transposition is removed; NaN likewise."""
    n_frames: int


def compare_melodies(first: NDArray[np.float64], second: NDArray[np.float64]) -> Melody:
    """Two aligned F0 contours in Hz, 0 where unvoiced."""
    n = min(len(first), len(second))
    voiced = (first[:n] > 0) & (second[:n] > 0)
    count = int(voiced.sum())
    if count < MIN_VOICED:
        return Melody(float("nan"), float("nan"), count)
    a, b = np.log2(first[:n][voiced]), np.log2(second[:n][voiced])
    interval = 1200 * (b - a)
    flat = min(a.std(), b.std()) < 1e-9
    correlation = float("nan") if flat else float(np.corrcoef(a, b)[0, 1])
    return Melody(correlation, float(np.abs(interval - interval.mean()).mean()), count)


def f0_range(contour: NDArray[np.float64]) -> tuple[float, float, float] | None:
    """5th, 50th and 95th percentile of the voiced frames in semitones above 1 Hz; None with under MIN_VOICED."""
    voiced = contour[contour > 0]
    if len(voiced) < MIN_VOICED:
        return None
    low, middle, high = np.percentile(12 * np.log2(voiced), (5, 50, 95))
    return float(low), float(middle), float(high)
