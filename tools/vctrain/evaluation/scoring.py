"""Converts and scores one utterance; slow metrics of a sound are cached."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from vctrain import metrics
from vctrain.data.corpora import SAMPLE_RATE, decode_audio
from vctrain.data.voices import normalise
from vctrain.evaluation import whisper_asr
from vctrain.evaluation.systems import Natural
from vctrain.evaluation.trials import Trial

Metric = Callable[[NDArray[np.float32]], Any]
METRICS: dict[str, tuple[Metric, tuple[Callable[..., Any], ...], str]] = {
    "words": (metrics.recognise, (metrics.recognise, metrics._recogniser, metrics._decode), "pocketsphinx"),
    "base": (
        whisper_asr.recognise_base,
        (whisper_asr.recognise_base, whisper_asr.Recogniser, whisper_asr.words),
        "ctranslate2",
    ),
    "tiny.en": (
        whisper_asr.recognise_tiny,
        (whisper_asr.recognise_tiny, whisper_asr.Recogniser, whisper_asr.words),
        "ctranslate2",
    ),
    "phones": (
        metrics.recognise_phones,
        (metrics.recognise_phones, metrics._phone_recogniser, metrics._decode),
        "pocketsphinx",
    ),
    "embedding": (lambda x: metrics.embed(x).tolist(), (metrics.embed,), "resemblyzer"),
    "dnsmos": (metrics.dnsmos, (metrics.dnsmos, metrics._dnsmos_session), "speechmos"),
}
"""Name to the metric, the functions whose source is its version, and the package behind it."""


@cache
def _version(metric: str) -> str:
    _, functions, package = METRICS[metric]
    text = "".join(inspect.getsource(getattr(f, "__wrapped__", f)) for f in functions) + version(package)
    if metric in whisper_asr.RECOGNISERS:
        text += whisper_asr.RECOGNISERS[metric].sha256
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def cached_metric(samples: NDArray[np.float32], metric: str, cache_folder: Path) -> Any:
    """A metric of (T,) samples, cached under the hashes of the samples and of the metric's own source.

    So natural speech is scored once, and an interrupted evaluation goes on where it stopped.
    """
    sound = hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest()[:32]
    file = cache_folder / f"{metric}-{_version(metric)}" / sound[:2] / f"{sound}.json"
    if file.exists():
        return json.loads(file.read_text())
    value = METRICS[metric][0](samples)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(value))
    part.rename(file)
    return value


@cache
def _natural_f0(path: Path) -> NDArray[np.float64]:
    return metrics.f0(load(path))


def load(path: Path) -> NDArray[np.float32]:
    """A recording as mono float32 (T,) at 16 kHz, at the reference level."""
    return normalise(decode_audio(path.read_bytes()))


def score(trial: Trial, cache_folder: Path) -> dict[str, Any]:
    """Everything that the trial wants, by name; `failed` instead, where it failed and may.

    Melodies are compared with the source's clean recording, in whatever noise the system heard it.

    Raises:
        ConversionError: the system failed.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    clean = load(trial.path)
    source = clean if trial.scene is None else trial.scene.add(clean, f"{trial.speaker}/{trial.utterance}")
    try:
        output = trial.system.convert(source, trial.voice)
    except Exception as error:
        # what went wrong with a language is a result, whatever it was
        if not trial.may_fail:
            raise
        return {"failed": f"{type(error).__name__}: {error}"}
    if trial.keep:
        sf.write(trial.keep, np.clip(output, -1, 1), SAMPLE_RATE)
    result: dict[str, Any] = {"level_dbfs": level_dbfs(output)}
    for metric in sorted(trial.wanted & METRICS.keys()):
        result[metric] = cached_metric(output, metric, cache_folder)
    if "f0" in trial.wanted:
        contour = metrics.f0(output)
        result["f0_range"] = metrics.f0_range(contour)
        if not isinstance(trial.system, Natural):
            melody = metrics.compare_melodies(_natural_f0(trial.path), contour)
            result["f0_correlation"], result["cents_error"] = melody.correlation, melody.cents_error
            result["voiced_frames"] = melody.n_frames
    return result


def level_dbfs(samples: NDArray[np.float32]) -> float:
    """RMS level of (T,) samples; digital silence is -120."""
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2) + 1e-12))


def loudest_dbfs(samples: NDArray[np.float32], seconds: float = 0.1) -> float:
    """RMS level of the loudest stretch of `seconds`: a burst that a mean over a minute hides."""
    n = int(seconds * SAMPLE_RATE)
    return max(level_dbfs(samples[i : i + n]) for i in range(0, max(1, len(samples) - n + 1), n))


def score_all(trials: Sequence[Trial], cache_folder: Path, pool: Executor, what: str) -> list[dict[str, Any]]:
    """Scores of every trial, in order; says how far it is, and how long it will take."""
    futures = {pool.submit(score, trial, cache_folder): i for i, trial in enumerate(trials)}
    results: list[dict[str, Any]] = [{} for _ in trials]
    try:
        for future in _with_progress(as_completed(futures), len(futures), what):
            results[futures[future]] = future.result()
    except BaseException:
        # the first failure ends it; what waits need not be tried
        for future in futures:
            future.cancel()
        raise
    return results


def _with_progress(futures: Iterable[Any], total: int, what: str) -> Iterator[Any]:
    began = reported = time.monotonic()
    for done, future in enumerate(futures, 1):
        yield future
        now = time.monotonic()
        if now - reported > 15 or done == total:
            reported = now
            left = (now - began) / done * (total - done)
            print(f"{what}: {done} of {total}, {now - began:.0f} s, about {left:.0f} s more", flush=True)
