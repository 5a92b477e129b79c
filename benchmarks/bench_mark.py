"""How often the watermark is found, after what; how often where there is none; and what it costs.

    python benchmarks/bench_mark.py --data CLONES --cache CACHE --out docs/results/mark.json

benchmarks/mark_corpus.py says what CLONES holds; benchmarks/mark_other_voices.py, before it, adds Kokoro and WORLD to
what carries no mark. Needs soundfile, ffmpeg (with libopus and libmp3lame), sox, espeak-ng
and flite. All that was computed stays in CACHE, so that a run that was stopped goes on; `--step` does one part. The
price (DNSMOS, PESQ, similarity, words) is measured by benchmarks/mark_price.py, in an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import mark_corpus
import mark_signing
import numpy as np
from mark_attacks import attacks
from numpy.typing import NDArray

from edgevc import VoiceConverter, VoiceSettings, _core
from edgevc.converter.bench import speech_like
from edgevc.limits import SAMPLE_RATE
from edgevc.mark import correlator, detect
from edgevc.mark.correlator import ROWS_PER_SECOND, levels, match, rows, standing_out
from edgevc.mark.detector import CLOCKS, STEADY_SECONDS, THRESHOLD, THRESHOLD_SEARCH, THRESHOLD_SHORT
from edgevc.mark.pattern import PUBLIC_KEY

FloatArray = NDArray[np.float32]

LENGTHS = (1.0, 2.5, 5.0, 10.0)
"""Seconds."""
CROPS = {1.0: 6, 2.5: 4, 5.0: 2, 10.0: 1}
"""Pieces of each conversion."""
NULL_STEP = 1.6
"""Seconds from one window of what is not ours to the next."""
KEYS = (PUBLIC_KEY, *(f"wrong {i}" for i in range(10)))
"""Wrong keys are looked for in the same windows: more judgements of the same sound."""
BARS = {
    **dict.fromkeys(
        ("Opus 32 kbit/s", "Opus 24 kbit/s", "MP3 64 kbit/s", "AAC 48 kbit/s", "mu-law, 8 kHz", "44.1 kHz and back"),
        (5.0, 98),
    ),
    **dict.fromkeys(
        ("48 kHz and back", "none", "gain -20 dB, 16 bits", "clipping 6 dB", "denoiser (afftdn, 12 dB)"), (5.0, 98)
    ),
    **dict.fromkeys(("room, RT60 0.3 s, direct +6 dB", "kitchen, 10 dB"), (5.0, 98)),
    **dict.fromkeys(("formants +4", "formants -4", "formants +2", "formants -2"), (5.0, 98)),
    **dict.fromkeys(
        ("Opus 16 kbit/s", "pink noise, 10 dB", "room, RT60 0.5 s, direct 0 dB", "speed +0.5 %"), (10.0, 95)
    ),
}
"""Attack to the length at which so many per cent must be found."""
SEARCHED = ("speed +2 %", "tempo +3 % (sox)", "pitch +1 semitone (sox)", "none", "converted again, unmarked")
PER_ATTACK = 108
"""Conversions: of each voice of each model the same number."""


def threshold(seconds: float) -> float:
    """Return the least score in one window of this length."""
    return THRESHOLD_SHORT if seconds <= STEADY_SECONDS else THRESHOLD


def score(samples: FloatArray) -> float:
    """Return what the detector takes for one window."""
    return match(rows(samples), CLOCKS if len(samples) > STEADY_SECONDS * SAMPLE_RATE else (0.0,)).score


def crop(samples: FloatArray, seconds: float, rng: np.random.Generator) -> FloatArray | None:
    """Return a piece that begins at any sample; None where there is not as much."""
    length = round(seconds * SAMPLE_RATE)
    if len(samples) < length:
        return None
    start = int(rng.integers(len(samples) - length + 1))
    return samples[start : start + length]


class Ledger:
    """Results of one step, a line of JSON each, in the cache."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            # a line that was being written when the run was stopped is done again
            self.rows = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
        self._done = {row["key"] for row in self.rows}

    def missing(self, key: str) -> bool:
        """Return whether this one is still to be done."""
        return key not in self._done

    def add(self, key: str, **values: Any) -> None:
        """Keep a result."""
        row = {"key": key, **values}
        self.rows.append(row)
        self._done.add(key)
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def seeded(text: str) -> np.random.Generator:
    """Return a generator that the text alone decides."""
    return np.random.default_rng(mark_corpus.by_hash(text))


# --- steps


def clean(arguments: argparse.Namespace, ledger: Ledger) -> None:
    """Crops of each conversion, pauses included."""
    for conversion in mark_corpus.conversions(arguments.data, arguments.cache, arguments.speakers):
        name = conversion.path.stem
        if ledger.missing(name):
            rng, marked = seeded(name), conversion.marked()
            scores = {
                f"{seconds:g}": [score(piece) for _ in range(n) if (piece := crop(marked, seconds, rng)) is not None]
                for seconds, n in CROPS.items()
            }
            ledger.add(name, voice=f"{conversion.model} {conversion.voice}", scores=scores)


def null(arguments: argparse.Namespace, ledger: Ledger) -> None:
    """Windows of what is not ours, in an order that nobody chose, so that a run may be stopped anywhere."""
    for stretch in mark_corpus.not_ours(arguments.data, arguments.cache, arguments.speakers):
        key = f"{stretch.kind} {stretch.name}"
        if not ledger.missing(key):
            continue
        # levels are those of the whole stretch: a window begins where one of its rows does
        samples = stretch.read()
        power = levels(samples) if len(samples) > SAMPLE_RATE else np.zeros((0, 0))
        found: dict[str, list[float]] = {}
        others: dict[str, list[float]] = {}
        for seconds in LENGTHS:
            n_rows = len(levels(np.zeros(round(seconds * SAMPLE_RATE), np.float32)))
            speeds = CLOCKS if seconds > STEADY_SECONDS else (0.0,)
            for start in range(0, len(power) - n_rows + 1, round(NULL_STEP * ROWS_PER_SECOND)):
                window = standing_out(power[start : start + n_rows])
                true, *wrong = [round(float(value), 3) for value in correlator.scores(window, KEYS, speeds)]
                found.setdefault(f"{seconds:g}", []).append(true)
                others.setdefault(f"{seconds:g}", []).extend(wrong)
        ledger.add(key, kind=stretch.kind, scores=found, wrong_keys=others)


def attacked(arguments: argparse.Namespace, ledger: Ledger) -> None:
    """Each attack on whole conversions, which are cropped afterwards."""
    found = attacks(arguments.data)
    for conversion in chosen(arguments):
        marked = conversion.marked()
        for name in arguments.attack or found:
            attack = found[name]
            key = f"{name} | {conversion.path.stem}"
            if ledger.missing(key):
                _judge_attack(ledger, key, name, attack(marked, seeded(key)), search=name in SEARCHED)


def formants(arguments: argparse.Namespace, ledger: Ledger) -> None:
    """Conversions with moved formants."""
    for conversion in mark_corpus.conversions(arguments.data, arguments.cache, mark_corpus.WITH_FORMANTS):
        for semitones in mark_corpus.FORMANTS:
            name = f"formants {semitones:+g}"
            key = f"{name} | {conversion.path.stem}"
            if ledger.missing(key):
                _judge_attack(ledger, key, name, conversion.formant(semitones), search=False)


def chosen(arguments: argparse.Namespace) -> list[mark_corpus.Conversion]:
    """Return PER_ATTACK conversions: as many of each voice, of speakers that change."""
    all_of_them = list(mark_corpus.conversions(arguments.data, arguments.cache, arguments.speakers))
    n_voices = len({(conversion.model, conversion.voice) for conversion in all_of_them})
    # every sixth first: who asks for few has all voices and speakers
    order = [i for k in range(6) for i in range(len(all_of_them)) if (i // n_voices + k) % 6 == i % 6]
    picked = [all_of_them[i] for i in order]
    return picked[: arguments.per_attack]


def _judge_attack(ledger: Ledger, key: str, name: str, samples: FloatArray, *, search: bool) -> None:
    rng = seeded(f"crop {key}")
    scores = {
        f"{seconds:g}": [score(piece)]
        for seconds in LENGTHS[1:]
        if (piece := crop(np.ascontiguousarray(samples), seconds, rng)) is not None
    }
    if search:
        piece = crop(samples, 5.0, rng)
        if piece is not None:
            scores["search 5"] = [detect(piece, search=True).score]
    ledger.add(key, attack=name, scores=scores)


def speed(arguments: argparse.Namespace, ledger: Ledger) -> None:
    """What it takes: the synthesis of a hop with and without the mark, and the whole chain, interleaved."""
    rng = np.random.default_rng(0)
    filters = rng.normal(-3, 1, (100, _core.SourceFilter.n_filters)).astype(np.float32)
    f0 = np.full(100, 140, np.float32)
    out = np.empty(100 * _core.SourceFilter.hop_length, np.float32)
    synths = [_core.SourceFilter(), _core.SourceFilter()]
    synths[1].set_marked(False)
    times: list[list[float]] = [[], []]
    for _ in range(400):
        for synthesis, spent in zip(synths, times, strict=True):
            started = time.perf_counter()
            synthesis.process_into(filters, f0, out)
            spent.append((time.perf_counter() - started) / 100)
    marked, plain = (1e6 * float(np.median(spent)) for spent in times)
    converter, sound = VoiceConverter("default"), speech_like(20.0)
    streams = [converter.stream("kathleen", VoiceSettings(mark=mark)) for mark in (True, False)]
    whole: list[list[float]] = [[], []]
    for start in range(0, len(sound), 160):
        # who comes first changes, since the second one finds the weights in the cache
        for i in (0, 1) if start // 160 % 2 else (1, 0):
            started = time.perf_counter()
            streams[i].process(sound[start : start + 160])
            whole[i].append((time.perf_counter() - started) / 0.01)
    rtf = [float(np.median(spent)) for spent in whole]
    ledger.add(f"{time.time()}", marked_us=marked, plain_us=plain, rtf_marked=rtf[0], rtf_plain=rtf[1])


def memory(arguments: argparse.Namespace, ledger: Ledger) -> None:
    """Peak memory of processes that convert 20 s, with the mark and without, in turn."""
    code = (
        "import resource, sys; from edgevc import VoiceConverter, VoiceSettings; "
        "from edgevc.converter.bench import speech_like; "
        "VoiceConverter().convert(speech_like(20.0), 'slt', VoiceSettings(mark=sys.argv[1] == 'marked')); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    peaks: dict[str, list[float]] = {"marked": [], "plain": []}
    for _ in range(7):
        for name, found in peaks.items():
            run = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True)
            found.append(float(run.stdout))
    ledger.add(f"{time.time()}", **{name: float(np.median(found)) for name, found in peaks.items()})


def signing(arguments: argparse.Namespace, ledger: Ledger) -> None:
    """Signatures of models: who verifies what, and how fast."""
    ledger.add(f"{time.time()}", figures=list(mark_signing.figures()))


STEPS: dict[str, Callable[[argparse.Namespace, Ledger], None]] = {
    "speed": speed,
    "memory": memory,
    "signing": signing,
    "clean": clean,
    "attacks": attacked,
    "formants": formants,
    "null": null,
}


# --- figures


def percent(scores: Iterable[float], least: float) -> float:
    """Return how many per cent are above."""
    values = np.array(list(scores))
    return 100 * float((values > least).mean())


def report(cache: Path, command: str) -> Iterator[dict[str, Any]]:
    """Yield every figure that the cache has."""

    def row(name: str, value: float, unit: str, bar: str | None = None) -> dict[str, Any]:
        return {"name": name, "value": value, "unit": unit, "command": command, "bar": bar}

    ledgers = {step: Ledger(cache / "scores" / f"{step}.jsonl").rows for step in (*STEPS, "price")}
    for seconds, bar in zip(LENGTHS, (">= 95 %", ">= 99.5 %", None, None), strict=True):
        scores = [s for entry in ledgers["clean"] for s in entry["scores"][f"{seconds:g}"]]
        if scores:
            name = f"found, clean, {seconds:g} s (n = {len(scores)})"
            yield row(name, percent(scores, threshold(seconds)), "%", bar)
    yield from _null_rows(ledgers["null"], row)
    yield from _attack_rows([*ledgers["attacks"], *ledgers["formants"]], row)
    for entry in ledgers["speed"][-1:]:
        more = entry["marked_us"] - entry["plain_us"]
        yield row("time of the mark in a hop", more, "us", "<= 2 us")
        change = 100 * (entry["rtf_marked"] / entry["rtf_plain"] - 1)
        yield row("change of the real-time factor", change, "%", "within 1 %")
    for entry in ledgers["memory"][-1:]:
        change = entry["marked"] - entry["plain"]
        name = f"change of the peak memory, medians of 7 processes of {entry['plain']:.0f} MiB"
        yield row(name, change, "MiB", "within 1 MiB")
    for entry in (*ledgers["signing"][-1:], *ledgers["price"]):
        for figure in entry["figures"]:
            yield row(*figure)


def _half(entry: dict[str, Any]) -> int:
    return mark_corpus.by_hash(entry["key"]) % 2


def _null_rows(entries: list[dict[str, Any]], row: Callable[..., dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for seconds in LENGTHS:
        name = f"{seconds:g}"
        # by speaker or recording: no sound is in both halves
        halves = [[s for e in entries if _half(e) == half for s in e["scores"].get(name, ())] for half in (0, 1)]
        both = halves[0] + halves[1]
        if not both:
            continue
        least = threshold(seconds)
        for half, scores in zip(("one half", "other half"), halves, strict=True):
            text = f"false alarms, {name} s, {half} ({sum(s > least for s in scores)} of {len(scores)})"
            yield row(text, percent(scores, least), "%", "<= 0.1 %")
        # of the first half and its wrong keys; the other half is what it is shown on
        first = [
            s for e in entries if _half(e) == 0 for which in ("scores", "wrong_keys") for s in e[which].get(name, ())
        ]
        asked = np.quantile(first, 0.999)
        yield row(f"threshold of 0.1 % by one half, {name} s (used: {least:g})", float(asked), "")
        kinds = sorted({entry["kind"] for entry in entries})
        counts = {k: [s for e in entries if e["kind"] == k for s in e["scores"].get(name, ())] for k in kinds}
        words = ", ".join(f"{k} {sum(s > least for s in v)} of {len(v)}" for k, v in counts.items() if v)
        yield row(f"largest score without a mark, {name} s ({words})", max(both), "")
        wrong = [s for e in entries for s in e["wrong_keys"].get(name, ())]
        if wrong:
            text = f"false alarms with wrong keys, {name} s ({sum(s > least for s in wrong)} of {len(wrong)})"
            yield row(text, percent(wrong, least), "%")


def _attack_rows(entries: list[dict[str, Any]], row: Callable[..., dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for attack in dict.fromkeys(entry["attack"] for entry in entries):
        for length in ("2.5", "5", "10", "search 5"):
            scores = [s for e in entries if e["attack"] == attack for s in e["scores"].get(length, ())]
            if not scores:
                continue
            searched = length.startswith("search")
            least = THRESHOLD_SEARCH if searched else threshold(float(length))
            bar_length, bar = BARS.get(attack, (None, None))
            label = "nothing" if attack == "none" else attack
            text = f"found after {label}, {'5 s, with --search' if searched else f'{length} s'} (n = {len(scores)})"
            wanted = f">= {bar} %" if bar_length is not None and f"{bar_length:g}" == length else None
            yield row(text, percent(scores, least), "%", wanted)


def main() -> None:
    """Run the steps and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--speakers", type=int, default=24, help="that speak in all voices (default 24)")
    parser.add_argument("--per-attack", type=int, default=PER_ATTACK, help="conversions (default 108)")
    parser.add_argument("--attack", action="append", help="this attack alone; may be given again")
    parser.add_argument("--step", choices=(*STEPS, "none"), action="append", help="this part alone; may be given again")
    arguments = parser.parse_args()
    for name in arguments.step or STEPS:
        if name != "none":
            STEPS[name](arguments, Ledger(arguments.cache / "scores" / f"{name}.jsonl"))
    command = "python benchmarks/bench_mark.py --data CLONES --cache CACHE --out docs/results/mark.json"
    arguments.out.write_text(json.dumps(list(report(arguments.cache, command)), indent=1) + "\n")


if __name__ == "__main__":
    main()
