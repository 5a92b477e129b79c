"""Measures what `edgevc quantize` must hold on the default model, from its float bundle, in one command.

    python tools/make_bundle.py --run RUN --export EXPORT --data DATA --out FLOAT
    python benchmarks/quantize_default.py --bundle FLOAT

Timings mean something on a quiet machine only. The parts, which `--only` chooses from:

- command: `edgevc quantize FLOAT` with everything at its default: seconds, peak memory, every figure of its gate.
- size-speed: bytes of its result against float's, and both in turns at every number of hops per call.
- agree: the engines' outputs against each other, float and int8.
- hand: every encoder layer, and every pair of them, left in float by hand, against what the search finds by itself.
- poison: one channel of one layer 1000 times as loud, as output and as input; the report names it, the gate passes.

Writes docs/results/quantize.json. With --only the other parts' rows stay as they are in that file.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from peak_memory import peak_memory_mb

from edgevc.bundle import ModelBundle
from edgevc.children import edgevc_command
from edgevc.cli.progress import Progress
from edgevc.quantize import quality_gate
from edgevc.quantize.dataset import load_dataset
from edgevc.quantize.float_bundle import FloatBundle, default_engines
from edgevc.quantize.float_model import Files, mel_distance
from edgevc.quantize.layers import sizes, sqnr_db
from edgevc.quantize.report.summary import FIGURES
from edgevc.quantize.search import EngineSearch, Wishes
from edgevc.quantize.timing import race
from edgevc.quantize.write import write_bundle

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results" / "quantize.json"
SMALLER, FASTER = 3.3, {"onnx": 1.3, "litert": 2.2}
"""Least times smaller, and least times as fast at one hop per call."""
SECONDS, MEGABYTES = 180, 600
"""Of the whole command, at most."""
FLOAT_AGREEMENT = 1e-4
TENSOR_DB = 35.0
HARDER_DB = (36.0, 36.5, 37.2)
"""Limits for the hand search beside the default, which the model passes with no layer in float: one, two, two."""
SHOWN = 3
"""Of the choices by hand, for each number of layers, in the results; all are printed."""
POISONED, CHANNEL, FACTOR = "encoder/blocks.2.expand", 17, 1000.0


@dataclass(frozen=True)
class Task:
    """What is measured, and where its files go."""

    bundle: Path
    work: Path

    def model(self) -> FloatBundle:
        """Return the float model with the packaged speech."""
        bundle = ModelBundle.open(self.bundle)
        return FloatBundle(bundle, default_engines(bundle), load_dataset(None))

    def int8(self) -> Path:
        """Return what the command makes of the float bundle; runs it where it has not yet."""
        if not (self.work / "int8" / "manifest.json").exists():
            quantize(self.bundle, self.work / "int8")
        return self.work / "int8"

    def int8_files(self, engine: str) -> Files:
        """Return the graph files of the int8 bundle."""
        bundle = ModelBundle.open(self.int8())
        return {name: bundle.read(spec.files[engine]) for name, spec in bundle.graphs.items()}


def say(text: str) -> None:
    """Show progress."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def row(name: str, value: float, unit: str = "", bar: str | None = None) -> dict:
    """Return one measured figure."""
    command = "python benchmarks/quantize_default.py --bundle FLOAT"
    return {"name": name, "value": value, "unit": unit, "bar": bar, "command": command}


def quantize(model: Path, out: Path, *options: str) -> tuple[dict, float, float]:
    """Run the command as a user does.

    Returns:
        The report, the seconds, and the peak memory in MB, also of its start and its writing.
    """
    report = out.with_suffix(".json")
    command = edgevc_command("quantize", str(model), "-o", str(out), "--force", *options)
    started = time.monotonic()
    try:
        megabytes = peak_memory_mb([*command, "--report", str(report)])
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"edgevc quantize {model} ended with {error.returncode}") from error
    return json.loads(report.read_text(encoding="utf-8")), time.monotonic() - started, megabytes


def gate_rows(title: str, report: dict) -> list[dict]:
    """Return the figures of the chosen candidates."""
    return [
        row(
            f"{title}{candidate['engine']} {candidate['scheme']}, {len(candidate['excluded'])} layers float: "
            f"{FIGURES[figure['name']][1]}",
            figure["value"],
            FIGURES[figure["name"]][0].replace("x", "times"),
            None if figure["limit"] is None else f"{'>=' if figure['at_least'] else '<='} {figure['limit']:g}",
        )
        for candidate in report["candidates"]
        if candidate["chosen"]
        for figure in candidate["gate"]
    ]


def measure_command(task: Task) -> list[dict]:
    """Run the command with its defaults."""
    report, seconds, megabytes = quantize(task.bundle, task.work / "int8", "--report", str(task.work / "report.html"))
    return [
        row("the whole command, both engines", seconds, "s", f"<= {SECONDS}"),
        row("its peak memory", megabytes, "MB", f"<= {MEGABYTES}"),
        *gate_rows("", report),
    ]


def measure_size_and_speed(task: Task) -> list[dict]:
    """Compare bytes, and play float and int8 in turns."""
    model, rows = task.model(), []
    for engine in model.engines:
        exact, found = model.float_files[engine], task.int8_files(engine)
        rows.append(row(f"{engine}: times smaller than float", sizes(exact) / sizes(found), "", f">= {SMALLER}"))
        rows.append(row(f"{engine}: int8 graph files", sizes(found) / 1e6, "MB"))
        for hops in model.hops:
            say(f"{engine}: float and int8 in turns, {hops} hops per call")
            float_us, int8_us = race(model, engine, [exact, found], hops)
            bar = f">= {FASTER[engine]}" if hops == 1 else None
            title = f"{engine}, {hops} hop{'s' if hops > 1 else ''} per call"
            rows.append(row(f"{title}: times as fast as float", float_us / int8_us, "", bar))
            rows.append(row(f"{title}: both graphs, int8", int8_us, "us"))
    return rows


def measure_agreement(task: Task) -> list[dict]:
    """Compare the engines with each other."""
    model = task.model()
    one, other = model.engines
    worst = 0.0
    for graph in model.graphs:
        clips = zip(*(model.reference(engine, graph, "held_out", 0) for engine in (one, other)), strict=True)
        for exact, found in clips:
            worst = max(worst, *(10 ** (-sqnr_db(a, b) / 20) for a, b in zip(exact, found, strict=True)))
    sounds = [model.audio(engine, task.int8_files(engine)) for engine in (one, other)]
    limits = quality_gate.parse(quality_gate.DEFAULT["bundle"], "bundle").limits
    return [
        row(f"float, {one} and {other}: relative RMS difference of outputs", worst, "", f"<= {FLOAT_AGREEMENT:g}"),
        row(
            f"int8, {one} and {other}: log-mel distance of the sound",
            mel_distance(*sounds),
            "",
            f"<= {limits['mel']:g}",
        ),
        row(
            f"int8, {one} and {other}: signal over difference of the sound",
            sqnr_db(*(np.concatenate(sound) for sound in sounds)),
            "dB",
            f">= {limits['snr']:g}",
        ),
    ]


def measure_by_hand(task: Task) -> list[dict]:
    """Leave each layer of the encoder in float, and each pair, and compare with the search, ONNX Runtime, dynamic."""
    bundle = ModelBundle.open(task.bundle)
    model = FloatBundle(bundle, ("onnx",), load_dataset(None))
    quantizers = model.quantizers["onnx"]
    names = [
        layer.name for layer in quantizers["encoder"].layers if not quantizers["encoder"].refusal(layer.name, "dynamic")
    ]
    decoder = quantizers["decoder"].build("dynamic", frozenset())
    decoder_db = min(model.tensor_figures("onnx", {"decoder": decoder}).values())
    tried: list[tuple[int, float, tuple[str, ...]]] = []
    for count in (0, 1, 2):
        choices = list(itertools.combinations(names, count))
        say(f"by hand: {len(choices)} choices of {count} layers in float")
        for kept in choices:
            encoder = quantizers["encoder"].build("dynamic", frozenset(kept))
            figure = min(decoder_db, *model.tensor_figures("onnx", {"encoder": encoder}).values())
            tried.append((len(encoder) + len(decoder), figure, kept))
            print(f"by hand: {len(encoder) + len(decoder):9d} bytes {figure:6.2f} dB  {', '.join(kept) or 'all int8'}")
    rows = [row("by hand: choices of at most two encoder layers in float, tried", len(tried))]
    for count in (0, 1, 2):
        most = sorted((entry for entry in tried if len(entry[2]) == count), key=lambda entry: -entry[1])[:SHOWN]
        rows += [row(f"by hand, float: {', '.join(kept) or 'none'} ({n} bytes)", db, "dB") for n, db, kept in most]
    damage: dict[str, Mapping[str, float]] = {}
    for limit in (TENSOR_DB, *HARDER_DB):
        passed = [entry for entry in tried if entry[1] >= limit]
        hand = min(passed, default=None)
        found = by_search(model, limit, damage)
        if hand is not None:
            title = f"at least {limit:g} dB, smallest by hand, float: {', '.join(hand[2]) or 'none'} ({hand[1]:.1f} dB)"
            rows.append(row(title, hand[0], "bytes"))
        kept = ", ".join(path.partition("/")[2] for path in sorted(found[2])) or "none"
        title = f"at least {limit:g} dB, by itself, float: {kept} ({found[1]:.1f} dB)"
        rows.append(row(title, found[0], "bytes", None if hand is None else f"<= {hand[0]}"))
    return rows


def by_search(
    model: FloatBundle, limit: float, damage: dict[str, Mapping[str, float]]
) -> tuple[int, float, frozenset[str]]:
    """Return bytes, dB and float layers of what the search chooses when it starts with all in int8.

    `damage`: of each layer alone, from the search before; it does not depend on the limit.
    """
    say(f"by itself: at least {limit:g} dB")
    everything = frozenset(layer.path for layer in model.layers("onnx"))
    asked = Wishes("dynamic", quality_gate.parse(f"tensor>={limit}", "bundle"), "min-max", frozenset(), everything, 0)
    outcome = EngineSearch(model, "onnx", asked, Progress(steps=True).show, damage).run()
    damage.update(outcome.damage)
    chosen = outcome.chosen
    if chosen is None:
        return sizes(model.float_files["onnx"]), np.inf, everything
    return chosen.n_bytes, chosen.figures["tensor"], chosen.kept


def poison(data: bytes, weights: np.ndarray, axis: int) -> bytes:
    """Return a graph file with one channel of the weights (out, in) FACTOR times as loud.

    Args:
        data: of either engine, which both store float32 as it is in memory.
        weights: to look for, as they are or transposed.
        axis: 0 for an output channel, 1 for an input channel.
    """
    loud = weights.copy()
    loud[(slice(None), CHANNEL) if axis else CHANNEL] *= np.float32(FACTOR)
    for before, after in ((weights, loud), (weights.T, loud.T)):
        if before.tobytes() in data:
            return data.replace(before.tobytes(), after.tobytes())
    raise SystemExit(f"the weights of {POISONED} are not in the file")


def measure_poison(task: Task) -> list[dict]:
    """Quantize the model with one loud channel."""
    model = task.model()
    graph = POISONED.partition("/")[0]
    rows = []
    for axis, kind in enumerate(("output", "input")):
        files = {}
        for engine in model.engines:
            (layer,) = (entry for entry in model.layers(engine) if entry.path == POISONED)
            spoilt = poison(model.float_files[engine][graph], layer.weights[0], axis)
            files[engine] = {**model.float_files[engine], graph: spoilt}
        say(f"poison: {POISONED}, {kind} channel {CHANNEL}")
        with tempfile.TemporaryDirectory(dir=task.work) as folder:
            figures = {g: {} for g in model.graphs}
            write_bundle(Path(folder) / "float", model.bundle, files, figures)
            text = Path(folder) / "report.txt"
            options = ("--scheme", "dynamic", "--quantize", "*", "--drift-minutes", "2", "--report", str(text))
            report, _, _ = quantize(Path(folder) / "float", Path(folder) / "int8", *options)
            named = " ".join(text.read_text(encoding="utf-8").split()).count(f"{POISONED}: channel {CHANNEL} is ")
        title = f"{POISONED}, {kind} channel {CHANNEL} times {FACTOR:g}"
        rows.append(row(f"{title}: the report's sentences name layer and channel, times", named, "", ">= 1"))
        for engine in model.engines:
            first = next(c for c in report["candidates"] if c["engine"] == engine and not c["excluded"])
            before = next(f["value"] for f in first["gate"] if f["name"] == "tensor")
            returned = [e["name"] for e in report["layers"] if e["engine"] == engine and "given back" in e["reason"]]
            rows.append(row(f"{title}, {engine}: {first['scheme']}, all int8, worst output", before, "dB"))
            rows.append(row(f"{title}, {engine}: given back to float: {', '.join(returned)}", len(returned), "layers"))
        rows += [entry for entry in gate_rows(f"{title}, ", report) if "drift" not in entry["name"]]
    return rows


PARTS: dict[str, Callable[[Task], list[dict]]] = {
    "command": measure_command,
    "size-speed": measure_size_and_speed,
    "agree": measure_agreement,
    "hand": measure_by_hand,
    "poison": measure_poison,
}


def missed(entry: dict) -> bool:
    """Return whether a figure fails its bar, such as ">= 35" or "1"."""
    if not entry["bar"]:
        return False
    sign, _, limit = entry["bar"].rpartition(" ")
    value, bar = entry["value"], float(limit)
    return not (value >= bar if sign == ">=" else value <= bar if sign == "<=" else value == bar)


def measure(task: Task, part: str) -> list[dict]:
    """Return the rows of a part, printed."""
    say(part)
    started = time.monotonic()
    rows = [{**entry, "part": part} for entry in PARTS[part](task)]
    for entry in rows:
        bar = f"(must be {entry['bar']}){' MISSED' if missed(entry) else ''}" if entry["bar"] else ""
        print(f"{entry['name']:110s} {entry['value']:10.4g} {entry['unit']:6s} {bar}", flush=True)
    say(f"{part}: {time.monotonic() - started:.0f} s")
    return rows


def main() -> int:
    """Measures, prints and writes; returns 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="the float bundle")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument(
        "--work", type=Path, help="keeps the int8 bundle and the report there, and takes them from there"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    wanted = arguments.only.split(",")
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"--only takes {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    known = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else []
    rows = {part: [entry for entry in known if entry["part"] == part] for part in PARTS}
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        for part in (part for part in PARTS if part in wanted):
            rows[part] = measure(Task(arguments.bundle, work), part)
            everything = [entry for entries in rows.values() for entry in entries]
            arguments.out.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    return int(any(missed(entry) for part in wanted for entry in rows[part]))


if __name__ == "__main__":
    raise SystemExit(main())
