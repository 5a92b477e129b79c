"""Writes docs/results.md, its plots, and the pages of tables behind it, from the measurements in docs/results/.

    python benchmarks/make_results.py

docs/results/*.json are written by the commands that they name: lists of {name, value, unit, command, bar}. Each becomes
a page docs/results/NAME.md. So do the evaluations of int8 and float bundles (tools/evaluate.py --out
docs/results/voices.default.json, ...). docs/results.md is what one reads first: the models side by side, and plots.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from edgevc.bundle import ENGINES, ModelBundle, shipped_models

DOCS = Path(__file__).resolve().parent.parent / "docs"
MORE_MODELS = sorted(path.parent for path in (DOCS.parent / "more_models").glob("*/manifest.json"))
"""Bundles of this repository that have a package of their own."""
UNSEEN = ("ls19", "SF1", "SM1", "TF2", "TM3")
COLUMNS = (
    ("similarity", "similarity to target", "{:.3f}"),
    ("similarity_to_source", "to source", "{:.3f}"),
    ("wer", "WER", "{:.3f}"),
    ("source_wer", "source's own WER", "{:.3f}"),
    ("ovrl", "DNSMOS OVRL", "{:.2f}"),
    ("source_ovrl", "source's OVRL", "{:.2f}"),
    ("f0_correlation", "log-F0 correlation", "{:.3f}"),
    ("n", "utterances", "{:d}"),
)

VOICES_NOTE = """Sources were never heard by any training; bdl and slt speak prompts that no training heard.
Similarity: Resemblyzer, utterance against the centroid of 20 natural recordings (anon: of its conversions of other
speakers). WER by pocketsphinx; where a source has no transcript (SF1, SM1, TF2, TM3), against the recogniser's own
reading of the source, so it is a change and the source's own is 0. Resemblyzer gives natural recordings of one speaker
about 0.9 and of two speakers 0.5 to 0.65; DNSMOS gives Kathleen's own recordings 3.07.
"""

FIGURES = (
    ("similarity", "similarity to target", 3),
    ("similarity_to_source", "similarity to source", 3),
    ("target_eer", "EER, is it the target?", 3),
    ("source_eer", "EER, who spoke?", 3),
    ("wer_minus_source", "WER less the source's own", 3),
    ("words_changed", "words changed", 3),
    ("phone_change", "phones changed", 3),
    ("ovrl", "DNSMOS OVRL", 2),
    ("sig", "SIG", 2),
    ("bak", "BAK", 2),
    ("f0_correlation", "log-F0 correlation", 3),
    ("cents_error", "melody error, cents", 0),
    ("f0_low", "lowest F0 above target's, semitones", 1),
    ("f0_high", "highest F0 above target's, semitones", 1),
    ("noise_wer_increase", "WER increase in the kitchen", 3),
    ("noise_phone_increase", "phones changed, increase in the kitchen", 3),
)
"""Key of a summary, its words, decimals."""

SUMMARY_NOTE = """Means over speakers that no training heard, with the 95 % interval of a bootstrap over utterances;
docs/evaluation.md says what each figure is and which way is better.
"""


TITLES = {
    "live_virtual": "A live session through virtual sound devices (private PulseAudio, no hardware)",
    "live_soak": "Hours of a live session, faster than real time (simulated device, real everything else)",
    "relay": "The relay: from the last word to the message (synthetic speech, Mosquitto on the same machine)",
    "many": "Many files: two processes against one, and the list of a million (docs/many-files.md)",
    "words": "Words by Whisper, on the test lists",
    "live_faults": "A day of a simulated live session under random faults",
    "hostile": "Models made to do harm",
    "before_after": "A hop, the import and the memory before and after all that was made harder to break",
    "same_samples": "Converted sound before and after all that was moved and made harder to break, bit for bit",
    "high_pass": "The high-pass in front of the model",
    "letters": "Words that no dictionary has, by their letters (docs/commands.md)",
    "wyoming_end": "How soon the Wyoming service answers (docs/wyoming.md)",
    "wyoming": "The Wyoming proxy before a real recogniser (docs/wyoming.md)",
    "commands": "Spoken commands: the coffee machine of Picovoice's speech-to-intent benchmark (docs/commands.md)",
    "converter": "The whole chain: time, memory, start",
    "encoder.default": "What the phone head can do (docs/training-log.md)",
    "encoder.low-latency": "What the phone head of low-latency can do",
    "encoder.tiny": "What the phone head of tiny can do",
    "encoder.studio": "What the phone head of studio can do",
    "f0": "F0 and voicing against WORLD's harvest (docs/f0.md)",
    "features": "Log-mel and MFCC, streamed 10 ms at a time from Python",
    "instructions": "Instructions of a hop outside the graphs, on emulated ARM cores",
    "post_chain": "What surrounds the model in a live session, per hop",
    "consent": "Consent that is spoken on the spot: refused and passed (docs/consent.md)",
    "own-voice": "Voices of one's own: like their speakers, words, quality, cost (docs/own-voice.md)",
    "mark": "The watermark: how often it is found, after what, and what it costs (docs/mark.md)",
    "ports": "Sound device ports through a virtual sound card, without a model",
    "quantize": "The default model, quantized with `edgevc quantize` (docs/quantize.md)",
    "quantize_public": "Public models, quantized with `edgevc quantize`",
}
"""File stem to heading."""


LIMITS = """## What no figure here says

- Nothing was measured on a board, with a real microphone, or by listeners.
- pocketsphinx makes a quarter of its word errors by itself, so small losses of words hide behind it.
- Speakers with an accent and worse recordings than those of the test list lose more words.
- Where two intervals overlap, the figures say that the two are alike as far as this can tell.
"""

CHECKS = """## Held by tests

- `tests/streaming/test_converter.py`: the same output sample for sample for input cut in 1, 7, 160, 1000 and 16000
  samples and in one piece, both engines, 1, 2 and 4 hops per call; a click comes out `latency` samples later.
- `tests/runtime/test_corrupted_bundles.py`: 500 corrupted bundles, all refused with ModelError.
- `tests/cpp/`: no allocation in any hot path; AddressSanitizer, UBSan and ThreadSanitizer.
- `make aarch64`: the sentence converted by an emulated Cortex-A72 and by this machine; the limit is 0.3 dB of log-mel
  distance.
"""


def rows_table(rows: list[dict]) -> list[str]:
    """A table for the figures of each command, which stands above it."""
    lines: list[str] = []
    for command in dict.fromkeys(row["command"] for row in rows):
        lines += [f"`{command}`", "", "| what | measured | bar |", "|---|---|---|"]
        for row in rows:
            if row["command"] == command:
                value = f"{row['value']:.4g}" if isinstance(row["value"], float) else str(row["value"])
                bar = "" if row.get("bar") is None else row["bar"]
                lines.append(f"| {row['name']} | {value} {row['unit']} | {bar} |")
        lines.append("")
    return lines


BARS = {
    "default": {"latency": 40, "work": 0.5, "bytes": 4.0},
    "low-latency": {"latency": 25, "work": 0.5, "bytes": 4.0},
    "tiny": {"latency": 40, "work": 0.15, "bytes": 1.0},
    "studio": {"latency": 250, "work": 2.0, "bytes": 24.0},
}
"""Model to the most that it may be: milliseconds, GMAC/s, MB per engine."""

QUALITY_BARS = (
    ("similarity", "similarity", 3, (">= 0.82", ">= 0.80", ">= 0.78", ">= 0.88")),
    ("wer_minus_source", "WER less the source's own", 3, ("<= 0.08", "<= 0.12", "<= 0.15", "")),
    ("ovrl", "DNSMOS OVRL", 2, (">= 2.9", ">= 2.8", ">= 2.7", ">= 3.25")),
    ("f0_correlation", "log-F0 correlation", 3, (">= 0.93", ">= 0.92", ">= 0.90", ">= 0.95")),
    ("noise_wer_increase", "WER increase in a kitchen, 10 dB", 3, ("<= 0.15", "<= 0.18", "<= 0.20", "")),
    ("float similarity", "int8 less float: similarity", 4, ("+-0.005",) * 4),
    ("float wer", "int8 less float: WER", 3, ("+-0.01",) * 4),
    ("float ovrl", "int8 less float: OVRL", 3, ("+-0.03",) * 4),
    (
        "phone frame accuracy, unseen speaker ls19, clean",
        "phone frame accuracy",
        3,
        (">= 0.68", ">= 0.66", ">= 0.64", ">= 0.87"),
    ),
    ("commands fully right, all 619", "spoken commands fully right", 3, (">= 0.90", ">= 0.88", ">= 0.85", ">= 0.94")),
)
"""Key of a figure, its words, decimals, and what is wanted of each model."""


def beside_each_other(results: dict[str, Any]) -> list[str]:
    """What is wanted of every model that comes along, and what was measured; one column per model."""
    columns = {}
    for model in BARS:
        evaluation, encoder = results.get(f"voices.{model}", {}), results.get(f"encoder.{model}", [])
        known = dict(evaluation.get("summary", {}))
        known |= {f"float {key}": figure for key, figure in evaluation.get("float", {}).get("difference", {}).items()}
        single = {row["name"].partition(": ")[2]: row["value"] for row in encoder}
        columns[model] = known | {name: {"mean": value, "low": None, "high": None} for name, value in single.items()}
    lines = [
        "| | " + " | ".join(f"{model} | wanted" for model in columns) + " |",
        "|---" * (2 * len(columns) + 1) + "|",
    ]
    for key, words, decimals, wanted in QUALITY_BARS:
        cells = [
            f"{with_interval(found.get(key), decimals)} | {bar}"
            for found, bar in zip(columns.values(), wanted, strict=True)
        ]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return lines


def sizes_table(bundles: list[ModelBundle]) -> list[str]:
    """What the bundles' manifests and files say, a column for each."""
    columns: list[dict[str, str]] = []
    for bundle in bundles:
        # a model that somebody added has none
        bars = BARS.get(bundle.name, {})
        hop, rate = bundle.latency.hop_samples, bundle.features.sample_rate
        latency = 1000 * (bundle.latency.latency_samples + hop * (bundle.block_hops or 1)) / rate
        work = sum(graph.macs_per_hop for graph in bundle.graphs.values()) * rate / hop / 1e9
        cells = {
            "algorithmic latency, 1 hop or block per call": f"{latency:g} ms ({bars.get('latency', '')})",
            "work": f"{work:.3f} GMAC/s ({bars.get('work', '')})",
        }
        for engine in ENGINES:
            files = [graph.files[engine] for graph in bundle.graphs.values() if engine in graph.files]
            if files:
                size = sum(len(bundle.read(file)) for file in files) / 1e6
                cells[f"both graphs, int8, {engine}"] = f"{size:.2f} MB ({bars.get('bytes', '')})"
        for name, graph in bundle.graphs.items():
            for engine, figures in graph.quantization.items():
                for key, value in figures.items():
                    if key.endswith("_snr_db"):
                        cells[f"{name}: int8 {key[:-7]} against float, {engine}"] = f"{value:.1f} dB SNR"
        columns.append(cells)
    lines = ["| | " + " | ".join(bundle.name for bundle in bundles) + " |", "|---" * (len(bundles) + 1) + "|"]
    for what in dict.fromkeys(key for cells in columns for key in cells):
        lines.append(f"| {what} | " + " | ".join(cells.get(what, "") for cells in columns) + " |")
    return lines


def voices_table(evaluation: dict) -> list[str]:
    """One line per source and target, and the mean over unseen speakers for each voice."""
    table = dict(evaluation["table"])
    # --words-only judges nothing else
    columns = [column for column in COLUMNS if column[0] in next(iter(table.values()))]
    lines = [
        "| source -> voice | " + " | ".join(title for _, title, _ in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for voice in dict.fromkeys(name.split(" -> ")[1] for name in table):
        group = [
            t
            for name, t in evaluation["table"].items()
            if name.endswith(f" -> {voice}") and name.split(" -> ")[0] in UNSEEN
        ]
        if group:
            # a figure that a pair lacks (too little voiced speech) stays out of the mean
            known = {key: [t[key] for t in group if t[key] is not None] for key, _, _ in columns[:-1]}
            mean = {key: sum(values) / len(values) if values else None for key, values in known.items()}
            table[f"**unseen -> {voice}**"] = {**mean, "n": sum(t["n"] for t in group)}
    for name, figures in table.items():
        cells = ["" if figures[key] is None else form.format(figures[key]) for key, _, form in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def with_interval(figure: dict | None, decimals: int) -> str:
    """A mean and its interval, or nothing."""
    if not figure:
        return ""
    mean = f"{figure['mean']:.{decimals}f}"
    return mean if figure["low"] is None else f"{mean} [{figure['low']:.{decimals}f}, {figure['high']:.{decimals}f}]"


def summaries_table(summaries: dict[str, dict]) -> list[str]:
    """One line per figure, a column per summary; figures that none has are left out."""
    lines = ["| | " + " | ".join(summaries) + " |", "|---" * (len(summaries) + 1) + "|"]
    for key, words, decimals in FIGURES:
        if any(key in summary for summary in summaries.values()):
            cells = [with_interval(summary.get(key), decimals) for summary in summaries.values()]
            lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return lines


def judged_parts(evaluation: dict) -> list[str]:
    """What an evaluation says beside its table of pairs: voices, conditions, baselines, int8, languages, silence."""
    if "summary" not in evaluation:
        return []
    name, clean = evaluation["bundle"], evaluation["summary"]
    lines = [*SUMMARY_NOTE.split("\n"), *summaries_table({name: clean, **evaluation["voices"]}), ""]
    conditions = {condition: entry["summary"] for condition, entry in evaluation.get("conditions", {}).items()}
    if conditions:
        lines += ["### In noise", "", *summaries_table({"clean": clean, **conditions}), ""]
    if "baselines" in evaluation:
        baselines = {baseline: entry["summary"] for baseline, entry in evaluation["baselines"].items()}
        lines += ["### Beside what one would use otherwise", "", *summaries_table({name: clean, **baselines}), ""]
    if "float" in evaluation:
        plain = evaluation["float"]
        columns = {"int8": clean, plain["bundle"]: plain["summary"], "int8 less float": plain["difference"]}
        lines += ["### int8 beside float", "", *summaries_table(columns), ""]
    if "languages" in evaluation:
        lines += ["### Languages that no training heard (espeak-ng)", ""]
        lines += [
            "| language | phones changed | by WORLD copy synthesis | failed | softest output | conversions |",
            "|---|---|---|---|---|---|",
        ]
        for language, entry in evaluation["languages"].items():
            level = "" if entry["softest_dbfs"] is None else f"{entry['softest_dbfs']:.0f} dBFS"
            changed = with_interval(entry["phone_change"], 3)
            copied = with_interval(entry["copy_phone_change"], 3)
            lines.append(f"| {language} | {changed} | {copied} | {len(entry['failed'])} | {level} | {entry['n']} |")
        lines.append("")
    if "room_noise" in evaluation:
        rooms = evaluation["room_noise"]["rooms"]
        lines += [
            "### A minute of room noise without speech",
            "",
            "Level of the output, dBFS, and of its loudest 100 ms.",
            "",
        ]
        lines += [
            "| room | " + " | ".join(rooms[0]["output_dbfs"]) + " |",
            "|---" * (len(rooms[0]["output_dbfs"]) + 1) + "|",
        ]
        for room in rooms:
            loudest = room["loudest_100_ms_dbfs"]
            cells = [f"{level:.0f} ({loudest[voice]:.0f})" for voice, level in room["output_dbfs"].items()]
            lines.append(f"| {room['input_dbfs']:.0f} dBFS | " + " | ".join(cells) + " |")
        lines.append("")
    return lines


READERS = {"base": "Whisper base", "tiny.en": "Whisper tiny.en"}
"""Key of a reading in words.json to its name."""


def words_table(content: dict, readers: dict[str, str]) -> list[str]:
    """Share of words that are wrong beyond the source's own; a column for each reader."""
    lines = ["| | list | n | " + " | ".join(readers.values()) + " |", "|---" * (len(readers) + 3) + "|"]
    for system, entry in content["systems"].items():
        for name, found in entry["lists"].items():
            cells = [with_interval(found["figures"].get(reader, {}).get("beyond"), 3) for reader in readers]
            lines.append(f"| {system} | {name} | {found['n']} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def page(title: str, lines: list[str]) -> str:
    """One page of tables."""
    head = [f"# {title}", "", "Made by `python benchmarks/make_results.py`; [all figures](../results.md).", ""]
    return "\n".join([*head, *lines]).rstrip() + "\n"


def subject_page(stem: str, content: Any) -> tuple[str, list[str]]:
    """Title and lines of one measurement's page."""
    if isinstance(content, list):
        return TITLES[stem], rows_table(content)
    if "systems" in content:
        return TITLES[stem], [f"`{content['command']}`", "", *words_table(content, READERS)]
    title = f"Voices of {content['bundle']}, judged"
    return title, [*VOICES_NOTE.split("\n"), *voices_table(content), "", *judged_parts(content)]


def main() -> None:
    """Rewrites docs/results.md, its plots and the pages behind it."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    # matplotlib, which who only wants a table need not have
    import result_plots

    folder = DOCS / "results"
    results = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    known = ("table", "systems")
    results = {k: v for k, v in results.items() if isinstance(v, list) or any(key in v for key in known)}
    pages = {stem: subject_page(stem, content) for stem, content in results.items()}
    for stem, (title, lines) in pages.items():
        (folder / f"{stem}.md").write_text(page(title, lines), encoding="utf-8")
    for name, draw in result_plots.PLOTS.items():
        draw(results, folder / f"{name}.svg")
    lines = [
        "# Measured figures",
        "",
        "Made by `python benchmarks/make_results.py` from the measurements in docs/results/. Timings were taken on two",
        "shared x86-64 cores (AMD EPYC) with other work beside them, one thread, medians; no board was at hand, and no",
        "figure here stands for one.",
        "",
        "## The models beside each other",
        "",
        *SUMMARY_NOTE.split("\n"),
        *beside_each_other(results),
        "",
        "![Similarity, words and quality of each model, with their intervals](results/quality.svg)",
        "",
        "## Words, as Whisper reads them",
        "",
        "Share of the words that are wrong after conversion to kathleen, beyond those that are wrong in the source:",
        "speakers whom no training has heard, clean, with an accent, and in a real kitchen (docs/evaluation.md). Where",
        "the ear began as Whisper base's, tiny.en is the judge.",
        "",
        *words_table(results["words"], READERS),
        "## Size and work",
        "",
        "`edgevc info MODEL`; in brackets the most that it may be.",
        "",
        *sizes_table([*map(ModelBundle.find, shipped_models()), *map(ModelBundle.open, MORE_MODELS)]),
        "",
        "## Time",
        "",
        "Processing time over audio time of the whole chain, 1, 2 and 4 hops per call ([table](results/converter.md)).",
        "",
        "![Real-time factor by engine and hops per call](results/speed.svg)",
        "",
        "## Noise",
        "",
        "How much more of the words is lost in a kitchen at 10 dB than in a quiet room, beyond the source's loss.",
        "",
        "![Words lost in a kitchen, by model](results/noise.svg)",
        "",
        *LIMITS.splitlines(),
        "",
        "## Tables",
        "",
        *(f"- [{title}](results/{stem}.md)" for stem, (title, _) in pages.items()),
        "",
        *CHECKS.splitlines(),
    ]
    (DOCS / "results.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print(f"{DOCS / 'results.md'}: {len(lines)} lines, and {len(pages)} pages of tables")


if __name__ == "__main__":
    main()
