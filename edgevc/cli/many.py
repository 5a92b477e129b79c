"""`edgevc convert --jobs` and `--verify`: many files in several processes, and a check of what they left."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgevc.audio.writers import check_writable_kind
from edgevc.batch.api import checked_jobs, usable_cores
from edgevc.batch.choose import chooser, read_choices, settings_for
from edgevc.batch.manifest import verify
from edgevc.batch.plan import Choice, Chooser, make_plan, speakers_by, voice_rule
from edgevc.batch.run import Batch, Tally
from edgevc.batch.worker import WorkerSettings
from edgevc.cli.common import complain, say, termination_as_interrupt
from edgevc.cli.progress import Progress
from edgevc.converter import VoiceSettings
from edgevc.errors import ConfigError
from edgevc.files import require_private
from edgevc.signing.minisign import read_small_file
from edgevc.text import printable

if TYPE_CHECKING:
    from edgevc.batch.cluster import ClusterBatch

Told = Callable[[Tally, "str | None"], None]
"""What is called after every file, with a sentence where one failed."""
_LISTED = 20
"""Names that are printed of each kind of difference."""


def jobs_from(text: str) -> int:
    """Return the processes that --jobs asks for; auto: one for each core.

    Raises:
        ConfigError: it is neither auto nor a number within its range.
    """
    if text == "auto":
        return checked_jobs(usable_cores())
    if not text.isdecimal() or len(text) > 4:
        raise ConfigError(f"--jobs must be auto or a number, got {text[:20]!r}")
    return checked_jobs(int(text))


def convert_many_files(arguments: argparse.Namespace) -> int:
    """Convert; return 0, or the exit code of the first file that failed.

    Raises:
        ConfigError: an option has no meaning for many files.
    """
    for name in ("plot", "backing", "raw_rate", "c2pa_cert", "c2pa_key"):
        if getattr(arguments, name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')} is for one conversion; leave out --jobs and --ray")
    if arguments.jobs is not None and arguments.ray is not None:
        raise ConfigError("--ray gives the work to the cluster's cores; leave out --jobs")
    # the ranges of pitch, formant and gain are looked at before anything is listed
    VoiceSettings(arguments.pitch, arguments.formant, arguments.gain, arguments.gate)
    seed = _seed(arguments)
    speakers = None if seed is None else speakers_by(seed, arguments.speaker_by)
    rules = [voice_rule(text) for text in arguments.voice_by]
    suffix = f".{arguments.format or 'wav'}"
    check_writable_kind(f"x{suffix}")
    listed = {} if arguments.voices_from is None else read_choices(arguments.voices_from, arguments.pitch)
    settings, voices = settings_for(arguments.bundle, arguments.engine, arguments.chunk_hops, **_sound(arguments))
    default = Choice(arguments.voice or voices.first, arguments.pitch)
    choose = chooser(default, rules, listed, voices, speakers)
    progress = Progress(steps=True)

    def told(tally: Tally, problem: str | None) -> None:
        if problem is not None:
            progress.close()
            complain(problem)
        progress.show(_line(tally), step=f"{100 * _share(tally) // 10 * 10:.0f} %")

    make = _on_this_machine if arguments.ray is None else _on_a_cluster
    batch = make(arguments, choose, settings, suffix, told)
    try:
        with termination_as_interrupt():
            tally = batch.run()
    finally:
        progress.close()
        say(_summary(batch.tally, arguments.paths[-1]))
    return tally.first_exit_code


def _on_this_machine(
    arguments: argparse.Namespace, choose: Chooser, settings: WorkerSettings, suffix: str, told: Told
) -> Batch:
    *sources, target = map(Path, arguments.paths)
    if target.exists() and not target.is_dir():
        raise ConfigError(f"--jobs writes into a folder, got the file {target}; name a folder")
    plan = make_plan(sources, target, suffix)
    for problem in plan.problems:
        complain(problem)
    jobs = jobs_from(arguments.jobs)
    return Batch(plan, target, choose, settings, jobs=jobs, force=arguments.force, told=told)


def _on_a_cluster(
    arguments: argparse.Namespace, choose: Chooser, settings: WorkerSettings, suffix: str, told: Told
) -> ClusterBatch:
    from edgevc.batch.cluster import ClusterBatch, plan_on
    from edgevc.batch.storage import Storage

    *sources, target = arguments.paths
    storage = Storage(target)
    plan, times = plan_on(sources, storage, suffix)
    for problem in plan.problems:
        complain(problem)
    return ClusterBatch(plan, times, storage, choose, settings, address=arguments.ray, force=arguments.force, told=told)


def _seed(arguments: argparse.Namespace) -> str | None:
    seed: str | None = arguments.seed
    if arguments.seed_file is not None:
        if seed is not None:
            raise ConfigError("--seed and --seed-file are the same setting; give one")
        require_private(arguments.seed_file, "a seed")
        seed = read_small_file(arguments.seed_file, "the seed").split("\n")[0]
    if seed is not None and not seed.strip():
        raise ConfigError("a seed must not be empty, or everybody can name the voices; write any text")
    return seed


def verify_folder(folder: Path) -> int:
    """Compare a folder with its manifest and say how they differ; return 0 where they do not, else 1."""
    progress = Progress()
    difference = verify(folder, lambda count: progress.show(f"{count} files"))
    progress.close()
    for what, names in (
        ("is missing", difference.missing),
        ("was changed after it was written", difference.changed),
        ("is in no manifest", difference.unlisted),
        ("could not be converted", difference.failed),
    ):
        for name in names[:_LISTED]:
            complain(f"{printable(name)} {what}")
        if len(names) > _LISTED:
            complain(f"and {len(names) - _LISTED} more, each of which {what}")
    say(f"{difference.fine} files are as they were written")
    return 0 if difference.none else 1


def _sound(arguments: argparse.Namespace) -> dict[str, object]:
    return {"formant": arguments.formant, "gain_db": arguments.gain, "gate": arguments.gate, "mark": arguments.mark}


def _share(tally: Tally) -> float:
    whole = tally.bytes_done + tally.bytes_left
    return tally.bytes_done / whole if whole else 1.0


def _line(tally: Tally) -> str:
    done = tally.converted + tally.failed
    left = tally.seconds_left
    parts = [
        f"{done} / {tally.files - tally.skipped} files",
        f"{tally.seconds / 3600:.2f} h of audio",
        f"{tally.seconds / max(tally.elapsed, 1e-3):.0f} times real time",
        *([f"{_time(left)} left"] if left is not None else []),
        *([f"{tally.failed} failed"] if tally.failed else []),
    ]
    return ", ".join(parts)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes}:{rest:02d}"


def _summary(tally: Tally, target: str) -> str:
    parts = [f"{tally.converted} files converted, {tally.seconds / 3600:.2f} h of audio in {_time(tally.elapsed)}"]
    if tally.skipped:
        parts.append(f"{tally.skipped} were done before")
    if tally.failed:
        parts.append(f"{tally.failed} failed")
    return f"{printable(target)}: {', '.join(parts)}"
