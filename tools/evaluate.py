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
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from vctrain.data.corpora import Clone, listed
from vctrain.data.speakers import BUNDLE_VOICES, VOICES
from vctrain.errors import UserError
from vctrain.evaluation import noise, parts, tables, trials, whisper_asr, word_lists
from vctrain.evaluation.session import PARTS, Session, conversions, in_kitchen, kept, natural_speech
from vctrain.evaluation.statistics import difference, summarise
from vctrain.evaluation.systems import Bundle, Command, ConversionError, Run, System
from vctrain.evaluation.tables import rounded
from vctrain.export.trained import load as load_trained

from edgevc.bundle import ModelBundle
from edgevc.errors import EdgevcError


def evaluate(session: Session, system: System) -> dict[str, Any]:
    """Everything that was asked for."""
    args = session.args
    known = natural_speech(session)
    kitchen = noise.Kitchen(args.noises) if args.noises else None
    jobs = [kept(t, args.keep) for t in conversions(session, known, system, args.voices, pairs=True)]
    report: dict[str, Any] = {"bundle": name_of(args), "engine": args.engine if args.bundle else None}
    if args.words_only:
        table = parts.words_only(session, known, jobs)
        if kitchen:
            heard = in_kitchen(conversions(session, known, system, session.voices, False), kitchen)
            table |= {f"{name}, kitchen": row for name, row in parts.words_only(session, known, heard).items()}
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
        apart = difference(scored.unseen(session.voices), other.unseen(session.voices))
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
        report["baselines"] = parts.baselines(session, known, kitchen)
    if "lists" not in args.skip and args.clones:
        report["lists"] = {"voices": args.list_voices, "lists": parts.lists(session, system)}
    if "languages" not in args.skip:
        report["languages"] = parts.unseen_languages(session, system)
    if "room" not in args.skip:
        report["room_noise"] = session.pool.submit(parts.room_levels, system, args.voices).result()
    report["summary_voices"] = session.voices
    report["trials"] = {
        "sources": {s: [n[1] for n in names] for s, names in known.chosen.items()},
        "enrolment": {s: [n[1] for n in names] for s, names in known.enrolment.items()},
        "targets": {v: [n[1] for n in names] for v, names in known.voices.items()},
    }
    if "picture" not in args.skip:
        parts.picture(session, known, system, kitchen, args.out.with_suffix(".png"))
    return report


def evaluated_system(args: argparse.Namespace) -> System:
    """What is to be scored."""
    if args.bundle:
        return Bundle(args.bundle, args.engine)
    return Run(args.run) if args.run else Command(args.command)


def chosen_voices(args: argparse.Namespace, rows: list[dict[str, Any]]) -> list[str]:
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
