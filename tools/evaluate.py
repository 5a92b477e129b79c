r"""Evaluates a voice converter: a bundle, or any command line that converts a file.

    python tools/evaluate.py --bundle models/default --float FLOAT/default --data DATA --noises ESC-10 \
        --clones CLONES --baselines --out scores.json --jobs 2
    python tools/evaluate.py --command 'sox {input} {output} pitch 300' --data DATA --out sox.json

    python tools/evaluate.py --run RUN --data DATA --clones CLONES --out quick.json --voices kathleen \
        --pair-utterances 0 --skip pocketsphinx phones languages room picture

Every voice from every unseen speaker, and two pairs of trained speakers on unseen prompts; docs/evaluation.md says what
the figures mean. Beside --out stands a PNG of spectrograms. Where a speaker has no transcript the reference is the
recogniser's own reading of the source, so its `wer` is a change, not an error rate. Slow metrics are cached
below DATA/scores: an interrupted evaluation goes on where it stopped. Exit status 1: a conversion failed, or
something is missing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vctrain.data.corpora import Clone, listed
from vctrain.data.speakers import BUNDLE_VOICES, PAIRS, PICTURED, VOICES
from vctrain.errors import UserError
from vctrain.evaluation import languages, noise, spectrograms, tables, trials, whisper_asr, word_lists
from vctrain.evaluation.scoring import level_dbfs, load, loudest_dbfs, score_all
from vctrain.evaluation.statistics import summarise
from vctrain.evaluation.systems import (
    Bundle,
    Command,
    ConversionError,
    McAdams,
    Natural,
    PitchAndFormants,
    Run,
    System,
    WorldCopy,
)
from vctrain.evaluation.tables import Known, rounded
from vctrain.evaluation.trials import Trial
from vctrain.export.trained import load as load_trained

from edgevc.bundle import ModelBundle
from edgevc.errors import EdgevcError

ROOM_SECONDS = 60.0
ROOM_DBFS = (-60.0, -50.0, -40.0)
"""A quiet room, an ordinary one, a loud one; speech is at -26 dBFS."""
ORDINARY_ROOM_DBFS, SILENT_DBFS = -50.0, -55.0
"""What the ordinary one may become, at most."""
WORDS_ONLY = frozenset({"words"})
PARTS = ("pocketsphinx", "whisper", "phones", "lists", "languages", "room", "picture")
METRICS_OF = {"pocketsphinx": {"words"}, "whisper": set(whisper_asr.RECOGNISERS), "phones": {"phones"}}
"""Part to what it asks of every conversion."""


@dataclass(frozen=True)
class Session:
    """What stays the same during an evaluation."""

    args: argparse.Namespace
    rows: list[dict]
    pool: Executor

    @property
    def cache(self) -> Path:
        """Where slow metrics are cached."""
        return self.args.data / "scores"

    @property
    def voices(self) -> list[str]:
        """Those that have recordings to be compared with."""
        return [v for v in self.args.voices if v in VOICES]

    @property
    def wanted(self) -> frozenset[str]:
        """What is asked of every conversion."""
        return trials.ALL.difference(*(METRICS_OF.get(part, ()) for part in self.args.skip))

    def trial(self, row: dict, voice: str, system: System) -> Trial:
        """One recording of DATA by one system, everything wanted."""
        path = self.args.data / row["path"]
        return Trial(system, row["speaker"], voice, row["utterance"], path, wanted=self.wanted)

    def score(self, trials: Sequence[Trial], what: str) -> list[dict[str, Any]]:
        """In parallel."""
        return score_all(trials, self.cache, self.pool, what)

    def evaluate(self, trials: Sequence[Trial], known: Known, what: str) -> tables.System:
        """Scores as a system's."""
        return tables.System(trials, self.score(trials, what), known)


def natural_speech(session: Session) -> Known:
    """Scores of every natural recording that anything is compared with."""
    args, rows = session.args, session.rows
    chosen = trials.sources(rows, args.utterances, args.word_utterances)
    enrolment = trials.enrolment(rows, chosen)
    for speaker, voice in PAIRS:
        if voice in args.voices:
            chosen[speaker] = trials.choose(rows, speaker, args.pair_utterances)
    voices = {v: trials.choose(rows, v, trials.CENTROID_UTTERANCES) for v in VOICES}
    wanted: dict[tuple[str, str], Trial] = {}
    # words cost seconds, and only what is converted needs them
    ceiling = [r for v in session.voices for r in voices[v][: args.utterances]] if args.baselines else []
    everything = [(r, session.wanted) for group in chosen.values() for r in group]
    everything += [(r, session.wanted) for r in ceiling]
    everything += [(r, frozenset({"embedding", "f0"})) for group in voices.values() for r in group]
    everything += [(r, frozenset({"embedding"})) for group in enrolment.values() for r in group]
    for row, what in everything:
        trial = dataclasses.replace(
            session.trial(row, "", trials.NATURAL), wanted=WORDS_ONLY if args.words_only else what
        )
        if not args.words_only or what == session.wanted:
            wanted.setdefault(trial.name, trial)
    results = session.score(list(wanted.values()), "natural speech")
    names = {s: [(s, r["utterance"]) for r in group] for s, group in chosen.items()}
    for voice, group in voices.items():
        names.setdefault(voice, [(voice, r["utterance"]) for r in group[: args.utterances]])
    return Known(
        results=dict(zip(wanted, results, strict=True)),
        texts={(r["speaker"], r["utterance"]): r["text"] for r in rows},
        voices={v: [(v, r["utterance"]) for r in group] for v, group in voices.items()},
        enrolment={s: [(s, r["utterance"]) for r in group] for s, group in enrolment.items()},
        chosen=names,
    )


def conversions(session: Session, known: Known, system: System, voices: Sequence[str], pairs: bool) -> list[Trial]:
    """Every unseen speaker to every voice, and the pairs of trained speakers."""
    by_name = {(r["speaker"], r["utterance"]): r for r in session.rows}
    wanted = [(s, v) for s in known.enrolment for v in voices]
    wanted += [(s, v) for s, v in PAIRS if v in voices] if pairs else []
    return [session.trial(by_name[name], voice, system) for s, voice in wanted for name in known.chosen[s]]


def kept(trial: Trial, folder: Path | None) -> Trial:
    """The trial, its output written into the folder."""
    if folder is None:
        return trial
    return dataclasses.replace(trial, keep=folder / f"{trial.speaker}-{trial.utterance}-{trial.voice}.wav")


def in_kitchen(trials_: Sequence[Trial], kitchen: noise.Kitchen) -> list[Trial]:
    """The same trials in noise; unseen speakers only."""
    return [dataclasses.replace(t, scene=kitchen, keep=None) for t in trials_]


def evaluate_baselines(session: Session, known: Known, kitchen: noise.Kitchen | None) -> dict[str, Any]:
    """What one would use otherwise, and the ceilings, each with its summary."""
    ranges = {v: known.f0_range(v) for v in session.voices}
    pitch = PitchAndFormants(tuple((v, float(r[1])) for v, r in ranges.items() if r is not None))
    result = {}
    systems: dict[str, System] = {"unprocessed source": Natural(), "pitch and formants": pitch, "McAdams": McAdams()}
    for name, system in systems.items():
        jobs = conversions(session, known, system, session.voices, pairs=False)
        scored = session.evaluate(jobs, known, name)
        result[name] = {"summary": scored.summary(session.voices)}
        if isinstance(system, Natural) and kitchen:
            noisy = session.evaluate(in_kitchen(jobs, kitchen), known, f"{name}, kitchen")
            result[name]["summary"] |= tables.noise_increases(noisy.scores, scored.scores)
    by_name = {(r["speaker"], r["utterance"]): r for r in session.rows}
    for name, system in {"WORLD copy of the target": WorldCopy(), "natural target": Natural()}.items():
        own = {v: known.voices[v][: session.args.utterances] for v in session.voices}
        jobs = [session.trial(by_name[n], v, system) for v, names in own.items() for n in names]
        scored = session.evaluate(jobs, known, name)
        # similarity to the source is similarity to the target here
        summary = summarise(scored.scores)
        summary.pop("similarity_to_source")
        result[name] = {"summary": summary}
    return result


def evaluate_languages(session: Session, system: System) -> dict[str, Any]:
    """Speech in languages that no training heard."""
    spoken = languages.speak(session.cache / "languages")
    sounds = frozenset({"phones"})
    sources = [Trial(Natural(), language, "", name, path, wanted=sounds) for language, name, path in spoken]
    natural = session.score(sources, "unseen languages")
    jobs = [
        Trial(system, language, voice, name, path, wanted=sounds, may_fail=True)
        for language, name, path in spoken
        for voice in session.args.voices
    ]
    results = session.score(jobs, "unseen languages, converted")
    heard = {t.name: r for t, r in zip(sources, natural, strict=True)}
    table = tables.language_table(jobs, results, heard)
    # how steady the phone loop is: it hears a copy that nobody would mistake for other words
    copies = [dataclasses.replace(t, system=WorldCopy()) for t in sources]
    copied = tables.language_table(copies, session.score(copies, "unseen languages, WORLD copies"), heard)
    return {language: {**row, "copy_phone_change": copied[language]["phone_change"]} for language, row in table.items()}


def evaluate_lists(session: Session, system: System) -> dict[str, Any]:
    """Words on the test lists by Whisper, of the system, of the sources, and with --baselines of WORLD's copies."""
    args = session.args
    wanted = frozenset(whisper_asr.RECOGNISERS)
    texts = {(r["speaker"], r["utterance"]): r["text"] for r in session.rows}
    plain = [r for group in trials.sources(session.rows, args.utterances, args.word_utterances).values() for r in group]
    scenes = word_lists.scenes(args.data, args.clones)
    report: dict[str, Any] = {}
    known: dict[str, dict[word_lists.Name, dict[str, Any]]] = {}

    def heard(system: System, name: str, rows: Sequence[dict], voice: str = "") -> list[Trial]:
        path = args.keep / name.replace(", ", "-").replace(" ", "") if args.keep and voice else None
        if path:
            path.mkdir(parents=True, exist_ok=True)
        jobs = [dataclasses.replace(session.trial(r, voice, system), scene=scenes[name], wanted=wanted) for r in rows]
        return [kept(job, path) for job in jobs]

    # where there is no transcript, the reading of the clean source is the reference
    for name in [name for name in word_lists.NAMES if name in {"clean", *args.lists}]:
        rows = word_lists.accented(session.rows) if name == "accent" else plain
        sources = heard(Natural(), name, rows)
        known[name] = {t.name: r for t, r in zip(sources, session.score(sources, name), strict=True)}
        clean = known[name] if name == "accent" else known["clean"]
        jobs = [job for voice in args.list_voices for job in heard(system, name, rows, voice)]
        results = session.score(jobs, f"{name}, converted")
        converted = list(zip(jobs, results, strict=True))
        entry: dict[str, Any] = {"n": len(rows), "figures": word_lists.figures(converted, known[name], clean, texts)}
        if args.baselines or args.copies:
            copies = heard(WorldCopy(), name, rows)
            pairs = list(zip(copies, session.score(copies, f"{name}, WORLD copies"), strict=True))
            entry["copy"] = word_lists.figures(pairs, known[name], clean, texts)
        entry["utterances"] = ["/".join(t.name) for t in sources]
        report[name] = entry
    return report


def room_levels(system: System, voices: Sequence[str]) -> dict[str, Any]:
    """What becomes of a minute in a room where nobody speaks."""
    rooms = []
    for level in ROOM_DBFS:
        heard = noise.room(ROOM_SECONDS, level)
        outputs = {voice: system.convert(heard, voice) for voice in voices}
        rooms.append(
            {
                "input_dbfs": level,
                "output_dbfs": {voice: level_dbfs(output) for voice, output in outputs.items()},
                "loudest_100_ms_dbfs": {voice: loudest_dbfs(output) for voice, output in outputs.items()},
            }
        )
    ordinary = rooms[ROOM_DBFS.index(ORDINARY_ROOM_DBFS)]["output_dbfs"]
    return {"rooms": rooms, "limit_dbfs": SILENT_DBFS, "silent": max(ordinary.values()) < SILENT_DBFS}


def draw(session: Session, known: Known, system: System, kitchen: noise.Kitchen | None, path: Path) -> None:
    """One short utterance of two speakers, as they are and converted; the first voice in the kitchen too."""
    by_name = {(r["speaker"], r["utterance"]): r for r in session.rows}
    columns = []
    for speaker in PICTURED:
        if not known.chosen.get(speaker):
            continue
        name = min(known.chosen[speaker], key=lambda n: by_name[n]["seconds"])
        source = load(session.args.data / by_name[name]["path"])
        column = [(f"{speaker} {name[1]}", source)]
        column += [(f"-> {voice}", system.convert(source, voice)) for voice in session.args.voices]
        if kitchen:
            noisy = kitchen.add(source, f"{speaker}/{name[1]}")
            voice = session.args.voices[0]
            column += [("in the kitchen", noisy), (f"-> {voice}", system.convert(noisy, voice))]
        columns.append(column)
    spectrograms.draw(path, columns)


def words_only(session: Session, known: Known, jobs: Sequence[Trial]) -> dict[str, Any]:
    """The short table: word error rates and nothing else."""
    jobs = [dataclasses.replace(t, wanted=WORDS_ONLY) for t in jobs]
    sums: dict[str, list[float]] = {}
    for trial, result in zip(jobs, session.score(jobs, "converted"), strict=True):
        parts = tables.word_parts(trial, result["words"], known)
        row = sums.setdefault(f"{trial.speaker} -> {trial.voice}", [0.0, 0.0, 0.0, 0.0])
        for i, value in enumerate((parts["wer"][0], parts["source_wer"][0], 1.0, parts["wer"][1])):
            row[i] += value
    return {
        name: {
            "wer": wrong / count if count else None,
            "source_wer": own / count if count else None,
            "n": int(n),
            "words": int(count),
        }
        for name, (wrong, own, n, count) in sums.items()
    }


def evaluate(session: Session, system: System) -> dict[str, Any]:
    """Everything that was asked for."""
    args = session.args
    known = natural_speech(session)
    kitchen = noise.Kitchen(args.noises) if args.noises else None
    jobs = [kept(t, args.keep) for t in conversions(session, known, system, args.voices, pairs=True)]
    report: dict[str, Any] = {"bundle": name_of(args), "engine": args.engine if args.bundle else None}
    if args.words_only:
        table = words_only(session, known, jobs)
        if kitchen:
            noisy = in_kitchen(conversions(session, known, system, session.voices, False), kitchen)
            table |= {f"{name}, kitchen": row for name, row in words_only(session, known, noisy).items()}
        return report | {"table": table}
    scored = session.evaluate(jobs, known, "converted")
    other = None
    if args.float:
        plain = [dataclasses.replace(t, system=Bundle(args.float, args.engine), keep=None) for t in jobs]
        other = session.evaluate(plain, known, "converted, float")
    report["table"] = scored.table(other)
    report["summary"] = scored.summary(session.voices)
    report["voices"] = {voice: scored.summary([voice]) for voice in args.voices}
    if other:
        apart = tables.difference(scored.unseen(session.voices), other.unseen(session.voices))
        report["float"] = {
            "bundle": args.float.name,
            "summary": other.summary(session.voices),
            "difference": summarise(apart),
        }
    if kitchen:
        noisy = session.evaluate(
            in_kitchen(conversions(session, known, system, session.voices, False), kitchen), known, "kitchen"
        )
        costs = tables.noise_increases(noisy.unseen(session.voices), scored.unseen(session.voices))
        report["summary"] |= costs
        report["conditions"] = {
            f"kitchen, {kitchen.snr_db:g} dB": {
                "table": noisy.table(),
                "summary": noisy.summary(session.voices),
                "noises": noise.kitchen_files(args.noises),
            }
        }
    if args.baselines:
        report["baselines"] = evaluate_baselines(session, known, kitchen)
    if "lists" not in args.skip and args.clones:
        report["lists"] = {"voices": args.list_voices, "lists": evaluate_lists(session, system)}
    if "languages" not in args.skip:
        report["languages"] = evaluate_languages(session, system)
    if "room" not in args.skip:
        report["room_noise"] = session.pool.submit(room_levels, system, args.voices).result()
    report["summary_voices"] = session.voices
    report["trials"] = {
        "sources": {s: [n[1] for n in names] for s, names in known.chosen.items()},
        "enrolment": {s: [n[1] for n in names] for s, names in known.enrolment.items()},
        "targets": {v: [n[1] for n in names] for v, names in known.voices.items()},
    }
    if "picture" not in args.skip:
        draw(session, known, system, kitchen, args.out.with_suffix(".png"))
    return report


def evaluated_system(args: argparse.Namespace) -> System:
    """What is to be scored."""
    if args.bundle:
        return Bundle(args.bundle, args.engine)
    return Run(args.run) if args.run else Command(args.command)


def chosen_voices(args: argparse.Namespace, rows: list[dict]) -> list[str]:
    """Those that were asked for, or all; what cannot work is said here and not after many minutes.

    Raises:
        UserError: a voice is not there, or nothing is there to compare one with.
    """
    if args.command:
        known = args.voices or list(VOICES)
    elif args.run:
        load_trained(args.run)
        known = list(BUNDLE_VOICES)
    else:
        bundles = [ModelBundle.open(path) for path in (args.bundle, args.float) if path]
        named = [{voice.name for voice in bundle.voices} for bundle in bundles]
        known = [voice.name for voice in bundles[0].voices if all(voice.name in names for names in named)]
    if unknown := [name for name in args.voices or () if name not in known]:
        raise UserError(f"--voices: expected some of {', '.join(known)}, got {', '.join(unknown)}")
    unheard = [voice for voice in VOICES if not trials.choose(rows, voice, 1)]
    if unheard and not args.words_only:
        raise UserError(
            f"{args.data} holds out no recording of {', '.join(unheard)} to compare with; 'Adding a voice' in "
            "docs/training.md says how"
        )
    return args.voices or known


def name_of(args: argparse.Namespace) -> str:
    """How the tables call what was scored."""
    return args.name or (args.command.split()[0] if args.command else (args.bundle or args.run).name)


WORD_COLUMNS = (("wer", "WER", 3), ("source_wer", "source WER", 3))
COLUMNS = (
    ("similarity", "similarity", 3),
    ("similarity_to_source", "to source", 3),
    *WORD_COLUMNS,
    ("phone_change", "phones", 3),
    ("ovrl", "OVRL", 2),
    ("source_ovrl", "source OVRL", 2),
    ("f0_correlation", "F0 corr.", 3),
)


def show(report: dict[str, Any]) -> None:
    """The table, and what it says in the mean."""
    full = "summary" in report
    first = next(iter(report["table"].values()))
    # phones may have been skipped
    columns = [column for column in (COLUMNS if full else WORD_COLUMNS) if column[0] in first]
    print(f"{'':22s} " + "  ".join(title for _, title, _ in columns) + "  utterances")
    for name, row in report["table"].items():
        cells = [
            f"{float('nan') if row[key] is None else row[key]:<{len(title)}.{decimals}f}"
            for key, title, decimals in columns
        ]
        print(f"{name:22s} " + "  ".join(cells) + f"  {row['n']}")
    for name, entry in report.get("lists", {}).get("lists", {}).items():
        for recogniser, figures in entry["figures"].items():
            cells = [f"{key} {f['mean']:.3f} [{f['low']:.3f}, {f['high']:.3f}]" for key, f in figures.items()]
            print(f"{name:18s} {recogniser:8s} " + ", ".join(cells))
    systems = {report["bundle"]: report["summary"]} if full else {}
    systems |= {name: entry["summary"] for name, entry in report.get("baselines", {}).items()}
    for name, summary in systems.items():
        print(f"\n{name}, mean over unseen speakers and {', '.join(report['summary_voices'])} [95 % interval]")
        for key, figure in summary.items():
            interval = "" if figure["low"] is None else f" [{figure['low']:.3f}, {figure['high']:.3f}]"
            print(f"  {key:22s} {figure['mean']:.3f}{interval}")


def main() -> int:
    """Prints a table and writes every score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    systems = parser.add_mutually_exclusive_group(required=True)
    systems.add_argument("--bundle", type=Path)
    systems.add_argument("--run", type=Path, help="a training run, as it is: in float, and no gate")
    systems.add_argument("--command", help="a command line with {input}, {output} and perhaps {voice}; no shell")
    parser.add_argument("--name", help="what the tables call it; default: of the bundle, or of the program")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--float", type=Path, help="the bundle before quantization, to be evaluated beside it")
    parser.add_argument("--noises", type=Path, help="ESC-10: evaluate in a kitchen too, at 10 dB")
    parser.add_argument(
        "--clones", type=Path, help=f"folder of the clone {word_lists.KITCHEN_CLONE}: count words on the test lists too"
    )
    parser.add_argument("--copies", action="store_true", help="beside each list WORLD's copies, as --baselines does")
    parser.add_argument("--lists", nargs="+", choices=word_lists.NAMES, default=word_lists.NAMES, help="default: all")
    parser.add_argument("--list-voices", nargs="+", default=["kathleen"], help="voices of the test lists")
    parser.add_argument("--baselines", action="store_true", help="evaluate baselines, and upper bounds too")
    parser.add_argument(
        "--skip", nargs="+", choices=PARTS, default=[], help="parts that are not wanted; phones are half of the time"
    )
    parser.add_argument("--engine", default="auto")
    parser.add_argument(
        "--voices", nargs="+", help="default: all of the bundle or the run; of a command, those with recordings"
    )
    parser.add_argument("--utterances", type=int, default=6, help="per unseen speaker and voice")
    parser.add_argument("--word-utterances", type=int, default=16, help="the same, of speakers with transcripts")
    parser.add_argument("--pair-utterances", type=int, default=16, help="per pair of trained speakers")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--words-only", action="store_true", help="recognise only: many utterances in the time of a few, for the WER"
    )
    parser.add_argument("--keep", type=Path, help="folder for the converted files")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        if args.noises:
            noise.kitchen_files(args.noises)
        if args.clones:
            with Clone(args.clones / word_lists.KITCHEN_CLONE):
                pass
        system = evaluated_system(args)
        rows = listed(args.data)
        if not {"whisper", "lists"} <= set(args.skip) and not args.words_only:
            whisper_asr.unpack(args.data)
        args.voices = chosen_voices(args, rows)
        for folder in filter(None, (args.out.parent, args.keep)):
            folder.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(args.jobs) as pool:
            report = evaluate(Session(args, rows, pool), system)
    except (ConversionError, EdgevcError, OSError, RuntimeError, ValueError) as error:
        print(f"evaluate.py: {error}", file=sys.stderr)
        return 1
    args.out.write_text(json.dumps(rounded(report), indent=1) + "\n")
    show(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
