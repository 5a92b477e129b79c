"""The parts of an evaluation beside the main table: baselines, languages, word lists, a quiet room, spectrograms."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vctrain.data.speakers import PICTURED
from vctrain.evaluation import languages, noise, spectrograms, tables, trials, whisper_asr, word_lists
from vctrain.evaluation.scoring import level_dbfs, load, loudest_dbfs
from vctrain.evaluation.session import WORDS_ONLY, Session, conversions, in_kitchen, kept
from vctrain.evaluation.statistics import summarise
from vctrain.evaluation.systems import McAdams, Natural, PitchAndFormants, System, WorldCopy
from vctrain.evaluation.tables import Known
from vctrain.evaluation.trials import Trial

ROOM_SECONDS = 60.0
ROOM_DBFS = (-60.0, -50.0, -40.0)
"""A quiet room, an ordinary one, a loud one; speech is at -26 dBFS."""
ORDINARY_ROOM_DBFS, SILENT_DBFS = -50.0, -55.0
"""What the ordinary one may become, at most."""


def baselines(session: Session, known: Known, kitchen: noise.Kitchen | None) -> dict[str, Any]:
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
    ceilings: dict[str, System] = {"WORLD copy of the target": WorldCopy(), "natural target": Natural()}
    for name, system in ceilings.items():
        own = {v: known.voices[v][: session.args.utterances] for v in session.voices}
        jobs = [session.trial(by_name[n], v, system) for v, names in own.items() for n in names]
        scored = session.evaluate(jobs, known, name)
        # similarity to the source is similarity to the target here
        summary = summarise(scored.scores)
        summary.pop("similarity_to_source")
        result[name] = {"summary": summary}
    return result


def unseen_languages(session: Session, system: System) -> dict[str, Any]:
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


def lists(session: Session, system: System) -> dict[str, Any]:
    """Words on the test lists by Whisper, of the system, of the sources, and with --baselines of WORLD's copies."""
    args = session.args
    wanted = frozenset(whisper_asr.RECOGNISERS)
    texts = {(r["speaker"], r["utterance"]): r["text"] for r in session.rows}
    plain = [r for group in trials.sources(session.rows, args.utterances, args.word_utterances).values() for r in group]
    scenes = word_lists.scenes(args.data, args.clones)
    report: dict[str, Any] = {}
    known: dict[str, dict[word_lists.Name, dict[str, Any]]] = {}

    def heard(system: System, name: str, rows: Sequence[dict[str, Any]], voice: str = "") -> list[Trial]:
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
    rooms: list[dict[str, Any]] = []
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


def picture(session: Session, known: Known, system: System, kitchen: noise.Kitchen | None, path: Path) -> None:
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
