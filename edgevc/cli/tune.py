"""`edgevc tune`: measures this board and writes what a live session should use on it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgevc.cli.common import complain, help_text
from edgevc.cli.progress import Progress
from edgevc.errors import ConfigError, EngineError, MissingPackageError, ModelError, OutputError
from edgevc.limits import HOP_MS

if TYPE_CHECKING:
    from edgevc.board.tune import Lateness, Speed, Trial
    from edgevc.live.config import LiveConfig

_EXAMPLES = """\
  edgevc tune --dry-run
  edgevc tune
  edgevc tune --no-device --seconds 10 --config board.toml
"""
_NOTES = "Run it when nothing else is busy, and once more when the board, its cooling or its sound card changes."
HELP = help_text(_EXAMPLES, (ConfigError, ModelError, EngineError, OutputError, MissingPackageError), notes=_NOTES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--config", type=Path, metavar="PATH", help="file to write (default: where live looks)")
    parser.add_argument("--dry-run", action="store_true", help="show what would change and write nothing")
    parser.add_argument("--no-device", action="store_true", help="leave the sound device alone")
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="of audio for each engine and chunk, 1 to 60 (default 4)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, recommend, write."""
    from edgevc.board import tune
    from edgevc.live.settings import LIVE
    from edgevc.settings.toml_file import CONFIG_VARIABLE, default_config_path
    from edgevc.settings.toml_writer import change, require_writer

    if not 1.0 <= arguments.seconds <= 60.0:
        raise ConfigError(f"--seconds must be within 1..60, got {arguments.seconds:g}; see --help")
    require_writer()
    variable = os.environ.get(CONFIG_VARIABLE)
    path = arguments.config or (Path(variable) if variable else default_config_path())
    if path is None:
        raise ConfigError("there is no home folder to keep settings in; name a file with --config")
    config = LIVE.resolve(argparse.Namespace(config=path if path.exists() else None))
    progress = Progress()
    speeds = tune.measure_speeds(config, arguments.seconds, progress.show)
    progress.show("how late threads wake up")
    lateness = tune.measure_lateness(realtime=config.realtime)
    trials = [] if arguments.no_device else _try_blocks(config, progress)
    progress.close()
    _show(speeds, lateness, trials)
    found = tune.recommend(config, speeds, lateness, trials)
    print()
    for reason in found.reasons:
        print(f"- {reason}")
    values = LIVE.values_for_toml(found.config, found.names)
    shown, backup = change(path, values, LIVE.name, dry_run=arguments.dry_run)
    print()
    print(shown or f"{path} says so already")
    if arguments.dry_run:
        print("\nnothing was written (--dry-run)")
    elif shown:
        print(f"\n{path} written" + (f", the one before is {backup}" if backup else ""))
    return 0


def _show(speeds: Sequence[Speed], lateness: Lateness, trials: Sequence[Trial]) -> None:
    """Print what was measured."""
    print(f"{'engine':8s} {'hops':>4s} {'p99 ms':>8s} {'of ms':>6s} {'RTF':>8s}")
    for speed in speeds:
        print(
            f"{speed.engine:8s} {speed.chunk_hops:4d} {speed.p99_ms:8.3f} {HOP_MS * speed.chunk_hops:6.0f} "
            f"{speed.rtf:8.4f}{'' if speed.fits else '   too slow'}"
        )
    print(f"a thread wakes up {lateness.p50:.2f} ms late, {lateness.p999:.2f} at worst")
    for trial in trials:
        words = "clean" if trial.clean else trial.error or f"{trial.xruns} xruns, {trial.late} late"
        print(f"device at {trial.block_ms:g} ms blocks: {words}")


def _try_blocks(config: LiveConfig, progress: Progress) -> list[Trial]:
    """Try block sizes until one runs clean; none where there is no device."""
    from edgevc.board import tune

    trials = []
    for block_ms in tune.BLOCKS_MS:
        progress.show(f"device at {block_ms:g} ms blocks")
        trial = tune.try_device(config, block_ms)
        trials.append(trial)
        if trial.clean or trial.error:
            break
    if len(trials) == 1 and trials[0].error:
        progress.close()
        complain(f"the device is left out: {trials[0].error}")
        return []
    return trials
