"""What the watermark costs a listener: DNSMOS, PESQ, the voice's similarity, and the words that Whisper reads.

    python benchmarks/mark_price.py --data CLONES --cache CACHE --whisper FOLDER

Needs speechmos, pesq, Resemblyzer and faster-whisper, in an environment of its own; benchmarks/bench_mark.py --step
none writes the figures. The same filters are spoken with the mark, without it, and without it with other noise, which
is a change that nobody would call one. FOLDER holds a CTranslate2 model of Whisper.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import mark_corpus
import numpy as np
from bench_mark import Ledger
from numpy.typing import NDArray
from whisper_words import errors, words

try:
    from faster_whisper import WhisperModel
    from pesq import pesq
    from resemblyzer import VoiceEncoder
    from speechmos import dnsmos
except ImportError as error:
    raise SystemExit(f"this benchmark needs {error.name}; run it as its first lines say") from None

FloatArray = NDArray[np.float32]
SECONDS = 10.0
"""One window of DNSMOS, which repeats what is shorter than 9 s."""


def judge(
    ledger: Ledger, conversion: mark_corpus.Conversion, encoder: VoiceEncoder, whisper: WhisperModel | None
) -> None:
    """Judge one conversion in its three forms, its words where there is a Whisper."""
    length = round(SECONDS * 16_000)
    forms = {"plain": conversion.plain(), "marked": conversion.marked(), "seed": conversion.other_seed()}
    embedded = {name: encoder.embed_utterance(samples[:length]) for name, samples in forms.items()}
    said = {name: words(whisper, samples[:length]) for name, samples in forms.items()} if whisper else {}
    ledger.add(
        conversion.path.stem,
        ovrl={name: float(dnsmos.run(samples[:length], 16_000)["ovrl_mos"]) for name, samples in forms.items()},
        cosine={name: float(embedded["plain"] @ embedded[name]) for name in ("marked", "seed")},
        embedding={name: [round(float(x), 5) for x in values] for name, values in embedded.items()},
        pesq={
            name: float(pesq(16_000, forms["plain"][:length], forms[name][:length], "wb"))
            for name in ("marked", "seed")
        },
        changed={name: errors(said["plain"], said[name]) for name in ("marked", "seed") if said},
        n_words=len(said.get("plain", ())),
    )


def figures(rows: list[dict]) -> list[list]:
    """Return name, value, unit and bar of each figure."""
    n = len(rows)

    def mean(key: str, form: str) -> float:
        return float(np.mean([row[key][form] for row in rows]))

    def changes(form: str) -> NDArray[np.floating]:
        return np.array([row["ovrl"][form] - row["ovrl"]["plain"] for row in rows])

    # a voice as it is without the mark: the mean of the other conversions into it
    similarity: dict[str, NDArray[np.floating]] = {}
    for form in ("plain", "marked", "seed"):
        values = []
        for row in rows:
            voice = row["key"].split(".", 1)[1]
            others = [r["embedding"]["plain"] for r in rows if r["key"].split(".", 1)[1] == voice and r is not row]
            if others:
                centre = np.mean(others, 0)
                values.append(float(np.dot(row["embedding"][form], centre) / np.linalg.norm(centre)))
        similarity[form] = np.array(values)
    marked, seed = changes("marked"), changes("seed")
    result = [
        ["DNSMOS OVRL unmarked", mean("ovrl", "plain"), "", None],
        [f"DNSMOS OVRL, marked less unmarked{_interval(marked)}", float(marked.mean()), "", ">= -0.01"],
        [f"DNSMOS OVRL, other noise less unmarked{_interval(seed)}", float(seed.mean()), "", None],
        *_similarity_rows(similarity),
        ["cosine of marked to unmarked (Resemblyzer)", mean("cosine", "marked"), "", None],
        ["cosine of other noise to unmarked", mean("cosine", "seed"), "", None],
        ["PESQ-WB of marked against unmarked, mean", mean("pesq", "marked"), "", ">= 4.5"],
        ["PESQ-WB of marked against unmarked, least", min(row["pesq"]["marked"] for row in rows), "", None],
        ["PESQ-WB of other noise against unmarked, mean", mean("pesq", "seed"), "", None],
    ]  # fmt: skip
    n_words = sum(row["n_words"] for row in rows)
    for form, text in (("marked", "marked"), ("seed", "other noise")):
        heard = [row["changed"][form] for row in rows if row["changed"]]
        name = f"words by Whisper that differ from unmarked, {text} (of {n_words} in {len(heard)} of them)"
        result.append([name, sum(heard), "words", None])
    return [[f"{name}; {n} conversions", value, unit, bar] for name, value, unit, bar in result]


def _similarity_rows(similarity: dict[str, NDArray[np.floating]]) -> list[list]:
    rows = []
    for form, text, bar in (("marked", "marked", ">= -0.002"), ("seed", "other noise", None)):
        change = similarity[form] - similarity["plain"]
        if len(change):
            name = f"similarity to the voice, {text} less unmarked{_interval(change)}"
            rows.append([name, float(change.mean()), "", bar])
    return rows


def _interval(values: NDArray[np.floating]) -> str:
    """Return the 95 % interval of a mean of pairs, by the normal distribution."""
    if len(values) < 2:
        return ""
    margin = 1.96 * float(values.std(ddof=1) / np.sqrt(len(values)))
    return f" (95 %: {values.mean() - margin:+.4f} to {values.mean() + margin:+.4f})"


def main() -> None:
    """Judge, and keep the figures in the cache."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--whisper", type=Path, required=True)
    parser.add_argument("--speakers", type=int, default=24)
    parser.add_argument("--conversions", type=int, default=72)
    parser.add_argument("--heard", type=int, default=24, help="conversions whose words Whisper reads (default 24)")
    arguments = parser.parse_args()
    ledger = Ledger(arguments.cache / "scores" / "judged.jsonl")
    encoder = VoiceEncoder("cpu", verbose=False)
    whisper = WhisperModel(str(arguments.whisper), device="cpu", compute_type="int8", cpu_threads=1)
    found = list(mark_corpus.conversions(arguments.data, arguments.cache, arguments.speakers))
    n_voices = len({(conversion.model, conversion.voice) for conversion in found})
    price = arguments.cache / "scores" / "price.jsonl"
    # each speaker in some of the voices, each voice by some of the speakers
    chosen = [c for i, c in enumerate(found) if (i // n_voices) % 2 == i % 2][: arguments.conversions]
    for index, conversion in enumerate(chosen):
        if ledger.missing(conversion.path.stem):
            judge(ledger, conversion, encoder, whisper if index < arguments.heard else None)
        # each time, so that a run that is stopped has its figures
        price.write_text(json.dumps({"key": "price", "figures": figures(ledger.rows)}) + "\n")


if __name__ == "__main__":
    main()
