"""Converts unseen speakers with a bundle and lets the judges of vctrain.metrics score the results.

    python tools/evaluate.py --bundle models/default --data DATA --out scores.json --jobs 2

Every voice from every unseen speaker, and two pairs of trained speakers on unseen prompts. Where a speaker has no
transcript the reference is the recogniser's own reading of the source, so its `wer` is a change, not an error rate.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray
from vctrain import metrics
from vctrain.data.corpora import UNSEEN_SPEAKERS, VOICES
from vctrain.data.voices import normalise

from edgevc.bundle import ModelBundle
from edgevc.converter import VoiceConverter

PAIRS = (("bdl", "kathleen"), ("slt", "bdl"))
SECONDS = (2.5, 9.0)
"""Shortest and longest test utterance: long ones cost minutes to recognise, short ones tell little."""


def choose(rows: list[dict], speaker: str, count: int) -> list[dict]:
    """A fixed selection of a speaker's test utterances."""
    rows = [
        r for r in rows if r["speaker"] == speaker and r["split"] == "test" and SECONDS[0] < r["seconds"] < SECONDS[1]
    ]
    rows.sort(key=lambda r: hashlib.sha256(r["utterance"].encode()).hexdigest())
    return rows[:count]


def judge(job: dict) -> dict:
    """Converts one utterance to one voice (None: leaves it natural) and scores it."""
    os.environ["OMP_NUM_THREADS"] = "1"
    source = normalise(sf.read(job["path"], dtype="float32")[0])
    output = source
    if job["voice"] is not None:
        converter = _converter(job["bundle"], job["engine"])
        output = converter.convert(source, job["voice"])
    if job["keep"]:
        sf.write(job["keep"], np.clip(output, -1, 1), 16_000)
    result = {k: job[k] for k in ("speaker", "voice", "utterance")}
    if job["words_only"]:
        return result | {"heard": metrics.recognise(output)}
    result["embedding"] = metrics.embed(output).tolist()
    # a centroid needs no words, and recognising costs seconds
    result["heard"] = metrics.recognise(output) if job["words"] else []
    result |= metrics.dnsmos(output)
    result["f0_correlation"] = 1.0 if job["voice"] is None else metrics.log_f0_correlation(source, output)
    return result


_converters: dict[tuple[str, str], VoiceConverter] = {}


def _converter(bundle: str, engine: str) -> VoiceConverter:
    if (bundle, engine) not in _converters:
        _converters[bundle, engine] = VoiceConverter(ModelBundle.open(Path(bundle)), engine=engine)
    return _converters[bundle, engine]


def natural(jobs: list[dict], cache_folder: Path, pool: ProcessPoolExecutor) -> dict[tuple[str, str], dict]:
    """Scores of natural recordings by (speaker, utterance), kept between runs."""
    cache_folder.mkdir(parents=True, exist_ok=True)
    file = cache_folder / "natural.json"
    known = {(r["speaker"], r["utterance"]): r for r in json.loads(file.read_text())} if file.exists() else {}
    missing = [j for j in jobs if (j["speaker"], j["utterance"]) not in known]
    for result in pool.map(judge, missing):
        known[result["speaker"], result["utterance"]] = result
    file.write_text(json.dumps(list(known.values())))
    return known


def word_table(results: list[dict], known: dict, texts: dict) -> dict[str, dict[str, float]]:
    """Word error rates by "speaker -> voice", and the source's own; of all words together."""
    table: dict[str, dict[str, float]] = {}
    for speaker, voice in dict.fromkeys((r["speaker"], r["voice"]) for r in results):
        group = [r for r in results if (r["speaker"], r["voice"]) == (speaker, voice)]
        errors = source_errors = count = 0
        for r in group:
            before = known[speaker, r["utterance"]]
            text = texts[speaker, r["utterance"]]
            reference = metrics.words(text) if text else before["heard"]
            errors += metrics.word_errors(reference, r["heard"])
            source_errors += metrics.word_errors(reference, before["heard"])
            count += len(reference)
        table[f"{speaker} -> {voice}"] = {
            "wer": errors / count,
            "source_wer": source_errors / count,
            "n": len(group),
            "words": count,
        }
    return table


def write_words(args: argparse.Namespace, table: dict[str, dict[str, float]]) -> None:
    """The short table of --words-only."""
    args.out.write_text(
        json.dumps({"bundle": args.bundle.name, "engine": args.engine, "table": table}, indent=1) + "\n"
    )
    print(f"{'':22s} WER   source WER  utterances")
    for name, t in table.items():
        print(f"{name:22s} {t['wer']:.3f} {t['source_wer']:.3f}       {t['n']}")


def main() -> None:
    """Prints a table and writes every score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--voices", nargs="+", default=[*VOICES, "anon"])
    parser.add_argument("--utterances", type=int, default=6, help="per unseen speaker and voice")
    parser.add_argument("--pair-utterances", type=int, default=16, help="per pair of trained speakers")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--words-only", action="store_true", help="recognise only: many utterances in the time of a few, for the WER"
    )
    parser.add_argument("--keep", type=Path, help="folder for the converted files")
    args = parser.parse_args()
    rows = [json.loads(line) for line in (args.data / "utterances.jsonl").open()]
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)

    def job(row: dict, voice: str | None) -> dict:
        keep = args.keep / f"{row['speaker']}-{row['utterance']}-{voice}.wav" if args.keep and voice else None
        return {
            "path": str(args.data / row["path"]),
            "speaker": row["speaker"],
            "utterance": row["utterance"],
            "voice": voice,
            "bundle": str(args.bundle),
            "engine": args.engine,
            "keep": str(keep) if keep else None,
            "words": True,
            "words_only": args.words_only,
        }

    converted = [job(r, v) for s in UNSEEN_SPEAKERS for r in choose(rows, s, args.utterances) for v in args.voices]
    for speaker, voice in PAIRS:
        if voice in args.voices:
            converted += [job(r, voice) for r in choose(rows, speaker, args.pair_utterances)]
    sources = {(j["speaker"], j["utterance"]): {**j, "voice": None, "keep": None} for j in converted}
    targets = [{**job(r, None), "words": False} for v in VOICES for r in choose(rows, v, 20)]
    # a recording may be a source and stand in a centroid; its words are wanted then
    targets = [t for t in targets if (t["speaker"], t["utterance"]) not in sources]
    texts = {(r["speaker"], r["utterance"]): r["text"] for r in rows}

    if args.words_only:
        with ProcessPoolExecutor(args.jobs) as pool:
            known = {(r["speaker"], r["utterance"]): r for r in pool.map(judge, sources.values())}
            results = list(pool.map(judge, converted))
        write_words(args, word_table(results, known, texts))
        return
    with ProcessPoolExecutor(args.jobs) as pool:
        known = natural(targets + list(sources.values()), args.data / "scores", pool)
        results = list(pool.map(judge, converted))
    centroids = {
        v: metrics.centroid([np.array(known[v, r["utterance"]]["embedding"]) for r in choose(rows, v, 20)])
        for v in VOICES
    }

    def target(speaker: str, voice: str) -> NDArray[np.float32]:
        if voice in centroids:
            return centroids[voice]
        # nobody's voice has no recordings: what it should sound like is what it sounds like for other speakers
        others = [r for r in results if r["voice"] == voice and r["speaker"] != speaker]
        return metrics.centroid([np.array(r["embedding"]) for r in others])

    table: dict[str, dict[str, float]] = {}
    for speaker, voice in dict.fromkeys((r["speaker"], r["voice"]) for r in results):
        group = [r for r in results if (r["speaker"], r["voice"]) == (speaker, voice)]
        words = word_table(group, known, texts)[f"{speaker} -> {voice}"]
        own = metrics.centroid([np.array(known[speaker, r["utterance"]]["embedding"]) for r in group])
        table[f"{speaker} -> {voice}"] = {
            "similarity": float(np.mean([np.array(r["embedding"]) @ target(speaker, voice) for r in group])),
            "similarity_to_source": float(np.mean([np.array(r["embedding"]) @ own for r in group])),
            "wer": words["wer"],
            "source_wer": words["source_wer"],
            "ovrl": float(np.mean([r["ovrl"] for r in group])),
            "sig": float(np.mean([r["sig"] for r in group])),
            "bak": float(np.mean([r["bak"] for r in group])),
            "source_ovrl": float(np.mean([known[speaker, r["utterance"]]["ovrl"] for r in group])),
            "f0_correlation": float(np.nanmean([r["f0_correlation"] for r in group])),
            "n": len(group),
        }
    args.out.write_text(
        json.dumps({"bundle": args.bundle.name, "engine": args.engine, "table": table}, indent=1) + "\n"
    )
    print(f"{'':22s} sim   to source  WER   source WER  OVRL  source OVRL  F0 corr.")
    for name, t in table.items():
        print(
            f"{name:22s} {t['similarity']:.3f} {t['similarity_to_source']:.3f}      {t['wer']:.3f} "
            f"{t['source_wer']:.3f}       {t['ovrl']:.2f}  {t['source_ovrl']:.2f}         {t['f0_correlation']:.3f}"
        )


if __name__ == "__main__":
    main()
